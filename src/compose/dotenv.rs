// SPDX-License-Identifier: MIT
//! The format of `.env` and of the files that `env_file` names, by the grammar of the reference implementation. Pure.

use std::collections::BTreeMap;

use super::template::{Variables, substitute};

/// Reads a file. A value may use the variables before it and those of `outside`, which come first.
///
/// # Errors
/// A line that is no assignment, a quote that is not closed, or an invalid expression; with the line.
pub fn parse(text: &str, outside: Variables<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut out = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    loop {
        rest = rest.trim_start();
        let line = 1 + text.get(..text.len() - rest.len()).unwrap_or_default().matches('\n').count();
        let failed = |message: String| format!("line {line}: {message}");
        if rest.is_empty() {
            return Ok(out);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let (name, assigned, after) = name(rest).map_err(failed)?;
        if !assigned {
            // A name alone takes its value from outside.
            if let Some(value) = outside(name) {
                out.insert(name.to_owned(), value);
            }
            rest = after;
            continue;
        }
        let after = after.trim_start_matches(is_blank);
        let known = |name: &str| outside(name).or_else(|| out.get(name).cloned());
        let expanded = |value: &str| substitute(value, &known, &mut |_| {}).map_err(failed);
        let (value, after) = if let Some(inner) = after.strip_prefix('\'') {
            quoted(inner, '\'').ok_or_else(|| failed(format!("the quote of {name} is never closed")))?
        } else if let Some(inner) = after.strip_prefix('"') {
            let closed = quoted(inner, '"').ok_or_else(|| failed(format!("the quote of {name} is never closed")))?;
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

/// Blanks that do not end a line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// The name at the start of a line, whether a value follows, and what is after the separator. As in YAML, a colon separates, too.
fn name(text: &str) -> Result<(&str, bool, &str), String> {
    let unexported = text.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace));
    let text = unexported.map_or(text, |rest| rest.trim_start_matches(is_blank));
    let end = text.find(['=', ':', '\n']).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let bad = name.chars().find(|c| !is_blank(*c) && !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-' | '[' | ']'));
    if let Some(bad) = bad {
        return Err(format!("a name cannot have the character {bad:?}"));
    }
    let name = name.trim_end();
    if name.contains(' ') {
        return Err(format!("a name cannot have a blank, as in {name:?}"));
    }
    let mut after = after.chars();
    let separator = after.next();
    Ok((name, matches!(separator, Some('=' | ':')), after.as_str()))
}

/// The text up to the closing quote, with backslashes before that quote removed, and what is after it.
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

/// Replaces the escape sequences of double quotes. `\$` becomes `$$`, which no variable begins with.
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

/// `\0` and three octal digits stand for a character; with other digits the sequence stays.
fn octal(after: &str) -> (String, usize) {
    let digits: String = after.chars().skip(1).take(3).take_while(char::is_ascii_digit).collect();
    let character = if digits.len() == 3 { u32::from_str_radix(&digits, 8).ok().filter(|c| *c < 256) } else { None };
    match character.and_then(char::from_u32) {
        Some(character) => (character.to_string(), 1 + digits.len()),
        None => (format!("\\0{digits}"), 1 + digits.len()),
    }
}

/// Reads a file of `env_file` whose `format` is `raw`: lines of `NAME=VALUE`, values as they are written. This is also the format
/// of `docker run --env-file` and of `EnvironmentFile=`.
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
