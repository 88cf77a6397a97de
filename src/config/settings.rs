// SPDX-License-Identifier: MIT
//! One configuration file merged with its drop-ins, every section, key and value checked. Pure.

use super::keys::{FileType, Kind, supported};
use super::sources::{SourceFile, Text};
use crate::diag::{Diagnostic, Location, Spanned, suggestion};
use crate::ini::{Document, Entry, parse, split_words};

/// The assignments of a file and its drop-ins in the order they apply, resets already carried out.
#[derive(Debug, Clone)]
pub struct Settings {
    entries: Vec<Entry>,
}

impl Settings {
    /// Parses, checks and merges.
    ///
    /// A drop-in that is wrong makes the whole file wrong: half a configuration is worse than none.
    ///
    /// # Errors
    /// All problems of the file and its drop-ins.
    pub fn load(file: &SourceFile) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut entries = Vec::new();
        for text in std::iter::once(&file.main).chain(&file.drop_ins) {
            match read(text) {
                Ok(document) => {
                    check_sections(file.file_type, &document, &mut problems);
                    entries.extend(document.entries);
                }
                Err(more) => problems.extend(more),
            }
        }
        let own = file.file_type.section();
        for entry in entries.iter().filter(|e| &*e.section == own) {
            if let Err(message) = check_entry(file.file_type, entry) {
                problems.push(Diagnostic::error(&entry.at, message));
            }
        }
        if problems.is_empty() { Ok(Self { entries: without_resets(file.file_type, entries) }) } else { Err(problems) }
    }

    /// The last assignment of a key, unless it is empty.
    #[must_use]
    pub fn text(&self, section: &str, key: &str) -> Option<Spanned<&str>> {
        let last = self.all(section, key).last()?;
        (!last.value.is_empty()).then(|| Spanned { value: last.value.as_str(), at: last.at.clone() })
    }

    /// All words of a key, each with its place.
    #[must_use]
    pub fn words(&self, section: &str, key: &str) -> Vec<Spanned<String>> {
        let words = |e: &Entry| split_words(&e.value).unwrap_or_default();
        self.all(section, key)
            .flat_map(|e| words(e).into_iter().map(|value| Spanned { value, at: e.at.clone() }))
            .collect()
    }

    /// All assignments of a section.
    pub fn section(&self, section: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| &*e.section == section)
    }

    fn all(&self, section: &str, key: &str) -> impl Iterator<Item = &Entry> {
        self.section(section).filter(move |e| e.key == key)
    }
}

fn read(text: &Text) -> Result<Document, Vec<Diagnostic>> {
    match &text.content {
        Ok(bytes) => parse(&text.path, bytes),
        Err(message) => Err(vec![Diagnostic::error(&Location::new(&text.path, 1), message.clone())]),
    }
}

fn check_sections(file_type: FileType, document: &Document, problems: &mut Vec<Diagnostic>) {
    let own = file_type.section();
    let passed = file_type.passed_through();
    for (name, at) in &document.headers {
        // As in unit files, X- sections are for others to read.
        if &**name == own || passed.contains(&&**name) || name.starts_with("X-") {
            continue;
        }
        let message = if &**name == "Quadlet" {
            "[Quadlet] is not supported yet; remove the section".to_owned()
        } else {
            let known = std::iter::once(own).chain(passed.iter().copied());
            format!("unknown section [{name}] in a .{} file{}", file_type.extension(), suggestion(name, known))
        };
        problems.push(Diagnostic::error(at, message));
    }
}

fn check_entry(file_type: FileType, entry: &Entry) -> Result<(), String> {
    let key = supported(file_type, &entry.key)?;
    let (name, value) = (key.name, entry.value.as_str());
    if value.is_empty() {
        return Ok(());
    }
    match key.kind {
        Kind::Text => Ok(()),
        Kind::Flag if parse_bool(value).is_some() => Ok(()),
        Kind::Flag => Err(format!("{name}={value} is not a boolean; write yes or no")),
        Kind::Choice(words) if words.contains(&value) => Ok(()),
        Kind::Choice(words) => Err(format!(
            "{name}={value} is not one of {}{}",
            words.join(", "),
            suggestion(value, words.iter().copied())
        )),
        Kind::Words => split_words(value).map(drop).map_err(|e| format!("{name}=: {e}")),
    }
}

/// The words of systemd's `parse_boolean()`, in any case.
#[must_use]
pub fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// An empty assignment of an own key takes back what came before it. Sections that are passed through are left alone:
/// systemd does its own resets there.
fn without_resets(file_type: FileType, entries: Vec<Entry>) -> Vec<Entry> {
    let own = file_type.section();
    let mut out: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        if &*entry.section == own && entry.value.is_empty() {
            out.retain(|e| &*e.section != own || e.key != entry.key);
        } else {
            out.push(entry);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;

    fn text(path: &str, content: &str) -> Text {
        Text { path: Arc::from(path), content: Ok(content.as_bytes().to_vec()) }
    }

    fn load(main: &str, drop_in: &str) -> Result<Settings, Vec<String>> {
        let file = SourceFile {
            file_type: FileType::Container,
            name: "x".into(),
            main: text("x.container", main),
            drop_ins: vec![text("x.container.d/a.conf", drop_in)],
        };
        Settings::load(&file).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lists_append_and_reset_scalars_replace() {
        let base = "[Container]\nImage=a\nEnvironment=A=1 \"B=2 3\"\n";
        let merged = load(base, "[Container]\nImage=b\nEnvironment=C=4\n").unwrap();
        assert_eq!(merged.text("Container", "Image").unwrap().value, "b");
        let values =
            |s: &Settings| s.words("Container", "Environment").into_iter().map(|w| w.value).collect::<Vec<_>>();
        assert_eq!(values(&merged), ["A=1", "B=2 3", "C=4"]);
        let reset = load(base, "[Container]\nImage=\nEnvironment=\nEnvironment=D=5\n").unwrap();
        assert_eq!(reset.text("Container", "Image"), None);
        assert_eq!(values(&reset), ["D=5"]);
    }

    #[test]
    fn problems_of_all_files_with_their_lines() {
        let all = load("[Containr]\n[Container]\nImag=x\n", "[Container]\nMode=bass\nExec=\"a\n").unwrap_err();
        assert_eq!(
            all,
            [
                "x.container:1: unknown section [Containr] in a .container file; did you mean Container?",
                "x.container:3: unknown key Imag= in [Container]; did you mean Image?",
                "x.container.d/a.conf:2: Mode=bass is not one of auto, base, app; did you mean base?",
                "x.container.d/a.conf:3: Exec=: the quote \" is never closed",
            ]
        );
    }

    #[test]
    fn booleans_are_systemds() {
        assert_eq!(parse_bool("oN"), Some(true));
        assert_eq!(parse_bool("f"), Some(false));
        assert_eq!(parse_bool("maybe"), None);
    }
}
