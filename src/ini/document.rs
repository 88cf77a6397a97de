// SPDX-License-Identifier: MIT
//! Sections and assignments, parsed by `ini_core` after systemd's rules for lines have been
//! applied. Pure.

use std::sync::Arc;

use ini_core::{Item, Parser};

use super::lines::logical_lines;
use crate::diag::{Code, Diagnostic, Location};

/// An assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Section without its brackets.
    pub section: Arc<str>,
    /// Key, without surrounding blanks.
    pub key: String,
    /// Value, without surrounding blanks; quotes and escapes are unchanged.
    pub value: String,
    /// The location at which the assignment begins.
    pub at: Location,
}

/// A parsed file: the section headers and the assignments, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Section headers, including repeated ones.
    pub headers: Vec<(Arc<str>, Location)>,
    /// Assignments of all sections.
    pub entries: Vec<Entry>,
}

/// Parses `bytes`, which were read from `file`.
///
/// Lines that systemd would ignore with a warning (an assignment before any section, a line without
/// `=`) are errors here, so that nothing a user wrote is dropped silently.
///
/// # Errors
/// All problems of the file. There is no document then.
pub fn parse(file: &Arc<str>, bytes: &[u8]) -> Result<Document, Vec<Diagnostic>> {
    let (document, problems) = parse_partly(file, bytes).map_err(|problem| vec![problem])?;
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

/// Like [`parse`], but returns both the readable part of a file and the problems of its invalid
/// lines.
///
/// # Errors
/// The file is not text.
pub fn parse_partly(file: &Arc<str>, bytes: &[u8]) -> Result<(Document, Vec<Diagnostic>), Diagnostic> {
    let text = decode(file, bytes)?;
    let lines = logical_lines(text);
    // Each logical line becomes one line, so that the line number of ini_core is an index into
    // `lines`.
    let joined = lines.iter().fold(String::with_capacity(text.len()), |mut all, l| {
        all.push_str(l.text.trim_ascii());
        all.push('\n');
        all
    });
    let mut document = Document { headers: Vec::new(), entries: Vec::with_capacity(lines.len()) };
    let mut problems = Vec::new();
    let mut section: Option<Arc<str>> = None;
    // Assignments after an invalid header belong to an unknown section. The diagnostic about the
    // header is enough.
    let mut broken = false;
    let mut parser = Parser::new(&joined).comment_char(b'#').auto_trim(true);
    while let Some(item) = parser.next() {
        let index = (parser.line() as usize).saturating_sub(1);
        let at = Location::new(file, lines.get(index).map_or(1, |l| l.line));
        match item {
            Item::Section(name) => {
                let name: Arc<str> = Arc::from(name);
                document.headers.push((Arc::clone(&name), at));
                section = Some(name);
                broken = false;
            }
            Item::Property(key, value) => match (&section, value) {
                _ if broken => {}
                (_, None) => problems.push(Diagnostic::error(
                    &at,
                    Code::Assignment
                        .problem("the line is not an assignment", "write KEY=VALUE, [SECTION] or a # comment"),
                )),
                (_, Some(_)) if key.is_empty() => {
                    problems.push(Diagnostic::error(
                        &at,
                        Code::Assignment.problem("the key before the = is missing", "write KEY=VALUE"),
                    ));
                }
                (None, Some(_)) => problems.push(Diagnostic::error(
                    &at,
                    Code::Assignment.problem(
                        format!("{key}= stands before any section"),
                        "write a line such as [Container] before it",
                    ),
                )),
                (Some(section), Some(value)) => document.entries.push(Entry {
                    section: Arc::clone(section),
                    key: key.to_owned(),
                    value: value.to_owned(),
                    at,
                }),
            },
            Item::Error(text) => {
                broken = true;
                problems.push(Diagnostic::error(
                    &at,
                    Code::SectionHeader
                        .problem(format!("invalid section header {text:?}"), "write [SECTION] alone on its line"),
                ));
            }
            Item::SectionEnd | Item::Comment(_) | Item::Blank => {}
        }
    }
    Ok((document, problems))
}

fn decode<'a>(file: &Arc<str>, bytes: &'a [u8]) -> Result<&'a str, Diagnostic> {
    let line_of = |offset: usize| {
        let newlines = bytes.iter().take(offset).filter(|b| **b == b'\n').count();
        Location::new(file, u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1))
    };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Diagnostic::error(
            &line_of(e.valid_up_to()),
            Code::NotText.problem("the line is not UTF-8 text", "save the file as UTF-8"),
        )
    })?;
    let plain = |b: u8| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    // Most files contain only ASCII, which can be checked by bytes. The loop has no early exit, so
    // that the compiler can vectorize it.
    if text.bytes().fold(true, |all, b| all & plain(b)) {
        return Ok(text);
    }
    let control = text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    match control {
        Some((offset, c)) => Err(Diagnostic::error(
            &line_of(offset),
            Code::NotText.problem(
                format!("the line has the control character {}", c.escape_unicode()),
                "save the file as plain text",
            ),
        )),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::unwrap_in_result, clippy::indexing_slicing)]
    use super::*;

    fn file() -> Arc<str> {
        Arc::from("x.container")
    }

    fn entries(text: &str) -> Vec<(String, String, String, u32)> {
        let document = parse(&file(), text.as_bytes()).unwrap();
        document.entries.into_iter().map(|e| (e.section.to_string(), e.key, e.value, e.at.line)).collect()
    }

    fn errors(text: &[u8]) -> Vec<String> {
        parse(&file(), text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keeps_order_repeats_and_lines() {
        assert_eq!(
            entries("\u{feff}# c\n[Container] \nA = 1\n\n  A=\\\n  two\nB=\n[X]\r\nC=d=e"),
            [
                ("Container".into(), "A".into(), "1".into(), 3),
                ("Container".into(), "A".into(), "two".into(), 5),
                ("Container".into(), "B".into(), String::new(), 7),
                ("X".into(), "C".into(), "d=e".into(), 9),
            ]
        );
    }

    #[test]
    fn values_keep_quotes_hashes_and_semicolons() {
        let all = entries("[C]\nE=\"a b\" # x ; y\n");
        assert_eq!(all[0].2, "\"a b\" # x ; y");
    }

    #[test]
    fn what_systemd_ignores_is_an_error_here() {
        assert_eq!(
            errors(b"A=1\n[C\nB=2\n[D]\nnonsense\n=v\n"),
            [
                "x.container:1: A= stands before any section; write a line such as [Container] before it",
                "x.container:2: invalid section header \"[C\"; write [SECTION] alone on its line",
                "x.container:5: the line is not an assignment; write KEY=VALUE, [SECTION] or a # comment",
                "x.container:6: the key before the = is missing; write KEY=VALUE",
            ]
        );
    }

    #[test]
    fn binary_is_refused_with_its_line() {
        assert_eq!(errors(b"[C]\nA=\xff\n"), ["x.container:2: the line is not UTF-8 text; save the file as UTF-8"]);
        assert!(errors(b"[C]\nA=\0\n")[0].starts_with("x.container:2: the line has the control character \\u{0}"));
    }
}
