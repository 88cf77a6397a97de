// SPDX-License-Identifier: MIT
//! Joins physical lines to logical lines. Handles comments, continuations and the byte order mark,
//! as in systemd.syntax(7). Pure.

use std::borrow::Cow;

/// A logical line, and the number, from 1, of the physical line that it starts on.
#[derive(Debug, PartialEq, Eq)]
pub struct Logical<'a> {
    pub line: u32,
    pub text: Cow<'a, str>,
}

/// Joins continued lines and drops comments and blank lines.
///
/// A line that ends in an odd number of backslashes is continued: the last backslash becomes a
/// space, and the next line follows with its leading blanks. Comment lines within a continuation
/// are dropped. A blank line ends a continuation.
pub fn logical_lines(text: &str) -> Vec<Logical<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out: Vec<Logical<'_>> = Vec::with_capacity(text.len() / 16);
    let mut open: Option<Logical<'_>> = None;
    for (number, raw) in (1u32..).zip(physical_lines(text)) {
        // This also trims form feeds, unlike systemd. Files with form feeds are refused (see
        // `document`).
        if raw.trim_ascii_start().starts_with(['#', ';']) {
            continue;
        }
        let mut current = match open.take() {
            Some(mut begun) => {
                begun.text.to_mut().push_str(raw);
                begun
            }
            None => Logical { line: number, text: Cow::Borrowed(raw) },
        };
        if continues(raw) {
            let joined = current.text.to_mut();
            joined.pop();
            joined.push(' ');
            open = Some(current);
        } else {
            out.push(current);
        }
    }
    out.extend(open);
    out.retain(|l| !l.text.trim_ascii().is_empty());
    out
}

/// Splits at `\n`, `\r` and `\r\n`, like systemd's `read_line()`.
fn physical_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        let end = here.bytes().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(here.len());
        let (line, after) = here.split_at(end);
        rest = ["\r\n", "\n", "\r"].into_iter().find_map(|end| after.strip_prefix(end));
        Some(line)
    })
}

/// Whether the next line belongs to this one: it ends in a backslash that is not escaped itself.
#[must_use]
pub fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<(u32, String)> {
        logical_lines(text).into_iter().map(|l| (l.line, l.text.into_owned())).collect()
    }

    #[test]
    fn continuation_becomes_one_space_and_keeps_the_next_lines_blanks() {
        assert_eq!(joined("a=b\\\n  c\n"), [(1, "a=b   c".to_owned())]);
        assert_eq!(joined("a=b\\\\\nc=d"), [(1, "a=b\\\\".to_owned()), (2, "c=d".to_owned())]);
    }

    #[test]
    fn comments_inside_a_continuation_are_dropped_and_do_not_continue() {
        assert_eq!(joined("a=b\\\n# no \\\n; no\nc"), [(1, "a=b c".to_owned())]);
        assert_eq!(joined("# x \\\na=b"), [(2, "a=b".to_owned())]);
    }

    #[test]
    fn a_blank_line_ends_a_continuation() {
        assert_eq!(joined("a=b\\\n\nc=d"), [(1, "a=b ".to_owned()), (3, "c=d".to_owned())]);
    }

    #[test]
    fn dangling_continuation_mark_and_line_ends() {
        assert_eq!(joined("\u{feff}a=b\r\nc=d\\"), [(1, "a=b".to_owned()), (2, "c=d ".to_owned())]);
        assert_eq!(joined("a\rb\n\nc"), [(1, "a".to_owned()), (2, "b".to_owned()), (4, "c".to_owned())]);
    }
}
