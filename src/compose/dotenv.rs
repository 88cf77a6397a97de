// SPDX-License-Identifier: MIT
//! Parses `.env` files and the files that `env_file` names, by the grammar of the reference
//! implementation (compose-go 2). Pure.

use std::collections::BTreeMap;

use super::Malformed;
use super::template::{Variables, substitute};
use crate::diag::Fault;

/// Variables by name.
pub type Environment = BTreeMap<String, String>;

/// Parses the text of a file in the `.env` format and returns the variables by name. A value may
/// refer to variables that the file sets on earlier lines, and to variables of `outside`; `outside`
/// takes precedence.
///
/// # Errors
/// Returns an error with the line number if a line is not an assignment, if a quote is not closed,
/// or if an expression is invalid.
pub fn parse(text: &str, outside: Variables<'_>) -> Result<Environment, Malformed> {
    let mut out = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    loop {
        rest = rest.trim_start();
        let line = 1 + text.get(..text.len() - rest.len()).unwrap_or_default().matches('\n').count();
        let failed = |fault: Fault| Malformed { line: u32::try_from(line).ok(), fault };
        if rest.is_empty() {
            return Ok(out);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let (name, assigned, after) = name(rest).map_err(failed)?;
        if !assigned {
            // A name without `=` takes its value from `outside`; without a value there it stays
            // unset.
            if let Some(value) = outside(name) {
                out.insert(name.to_owned(), value);
            }
            rest = after;
            continue;
        }
        let after = after.trim_start_matches(is_blank);
        let known = |name: &str| outside(name).or_else(|| out.get(name).cloned());
        let expanded = |value: &str| substitute(value, &known, &mut |_| {}).map_err(failed);
        let open = || failed(Fault::new(format!("the quote of {name} is never closed"), "close it"));
        let (value, after) = if let Some(inner) = after.strip_prefix('\'') {
            quoted(inner, '\'').ok_or_else(open)?
        } else if let Some(inner) = after.strip_prefix('"') {
            let closed = quoted(inner, '"').ok_or_else(open)?;
            (expanded(&unescape(&closed.0))?, closed.1)
        } else {
            let (value, after) = after.split_once('\n').unwrap_or((after, ""));
            let value = value.split_once(" #").map_or(value, |(value, _)| value);
            (expanded(value.trim_end())?, after)
        };
        out.insert(name.to_owned(), value);
        rest = after;
    }
}

/// Whether a character is a blank that does not end a line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// Splits off the name at the start of a line. Returns the name, whether a value follows, and the
/// text after the separator. A colon separates a name from its value as well, as in YAML.
fn name(text: &str) -> Result<(&str, bool, &str), Fault> {
    let unexported = text.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace));
    let text = unexported.map_or(text, |rest| rest.trim_start_matches(is_blank));
    let end = text.find(['=', ':', '\n']).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let bad = name.chars().find(|c| !is_blank(*c) && !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-' | '[' | ']'));
    if let Some(bad) = bad {
        return Err(Fault::new(format!("a name cannot have the character {bad:?}"), "write NAME=VALUE"));
    }
    let name = name.trim_end();
    if name.contains(' ') {
        return Err(Fault::new(format!("a name cannot have a blank, as in {name:?}"), "write NAME=VALUE"));
    }
    let mut after = after.chars();
    let separator = after.next();
    Ok((name, matches!(separator, Some('=' | ':')), after.as_str()))
}

/// Returns the text up to the closing quote, and the text after that quote. A backslash in front of
/// the closing kind of quote is removed.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next()?;
                if next != quote {
                    out.push('\\');
                }
                out.push(next);
            }
            c if c == quote => return Some((out, chars.as_str())),
            c => out.push(c),
        }
    }
    None
}

/// Replaces the escape sequences that double quotes allow. `\$` becomes `$$`, which the later
/// substitution turns into a plain dollar sign.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out += before;
        let mut chars = after.chars();
        let (replaced, length) = match chars.next() {
            Some('a') => ("\u{7}".to_owned(), 1),
            Some('b') => ("\u{8}".to_owned(), 1),
            Some('f') => ("\u{c}".to_owned(), 1),
            Some('n') => ("\n".to_owned(), 1),
            Some('r') => ("\r".to_owned(), 1),
            Some('t') => ("\t".to_owned(), 1),
            Some('v') => ("\u{b}".to_owned(), 1),
            Some('$') => ("$$".to_owned(), 1),
            Some('"') => ("\"".to_owned(), 1),
            Some('\\') => ("\\".to_owned(), 1),
            Some('0') => octal(after),
            _ => ("\\".to_owned(), 0),
        };
        out += &replaced;
        rest = after.get(length..).unwrap_or_default();
    }
    out + rest
}

/// Returns the text for `\0` and up to three octal digits, and the length of the sequence after its
/// backslash. Exactly three digits with a value below 256 stand for one character; any other
/// sequence is kept as written.
fn octal(after: &str) -> (String, usize) {
    let digits: String = after.chars().skip(1).take(3).take_while(char::is_ascii_digit).collect();
    let character = if digits.len() == 3 { u32::from_str_radix(&digits, 8).ok().filter(|c| *c < 256) } else { None };
    match character.and_then(char::from_u32) {
        Some(character) => (character.to_string(), 1 + digits.len()),
        None => (format!("\\0{digits}"), 1 + digits.len()),
    }
}

/// Parses a file of `env_file` whose `format` is `raw`: each line is `NAME=VALUE`, and values are
/// taken literally. `docker run --env-file` and `EnvironmentFile=` of a `.container` file use the
/// same format.
#[must_use]
pub fn parse_raw(text: &str, outside: Variables<'_>) -> BTreeMap<String, String> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let lines = lines.map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| match line.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => Some((line.trim_end().to_owned(), outside(line.trim_end())?)),
        })
        .collect()
}

#[cfg(test)]
#[path = "dotenv_tests.rs"]
mod tests;
