// SPDX-License-Identifier: MIT
//! Escapes text from images, registries and containers for terminals and for the journal. Pure.
//!
//! Every function that prints such text passes it through [`line`], or through [`json`] if programs
//! read it: a control character could change earlier output on a terminal, and a newline could
//! forge a second message in the journal.

use std::fmt::Write as _;

/// Returns `text` as one line: control characters, newlines and invisible formatting characters are
/// escaped.
#[must_use]
pub fn line(text: &str) -> String {
    escape(text, false)
}

/// Like [`line`], but keeps newlines. This is for messages that this program formats in several
/// lines and that contain no text of images.
#[must_use]
pub fn lines(text: &str) -> String {
    escape(text, true)
}

/// Escapes the same characters in a JSON document, except its newlines, with JSON's own escapes
/// (RFC 8259, section 7), so that programs read the same strings. This is needed because JSON
/// requires escapes only below U+0020, and `serde_json` writes no others.
#[must_use]
pub fn json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        if c != '\n' && (c.is_control() || is_format(c)) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn escape(text: &str, keep_newlines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if keep_newlines => out.push(c),
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            c if c.is_control() || is_format(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Whether a character is invisible, breaks lines, or changes the direction of text: the classes
/// Cf, Zl and Zp of Unicode, as far as terminals and editors act on them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(line("a\x1b[2Jb\nc\td\u{202e}e\u{9b}"), "a\\u{1b}[2Jb\\nc\\td\\u{202e}e\\u{9b}");
        assert_eq!(lines("one\ntwo\r"), "one\ntwo\\r");
        assert_eq!(line("größe `x` 日本"), "größe `x` 日本");
    }

    #[test]
    fn json_stays_the_same_document() {
        let document = serde_json::json!({"a\u{9b}\n": ["\x7f\u{202e}\u{e0041}\u{85}", "größe"]});
        let text = json(&serde_json::to_string_pretty(&document).unwrap());
        assert!(text.contains(r"a\u009b\n") && text.contains(r"\u007f\u202e\udb40\udc41\u0085"), "{text}");
        assert!(text.contains("größe") && text.contains("[\n"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), document);
    }

    proptest! {
        #[test]
        fn nothing_reaches_a_terminal(text in any::<String>(), raw in "[\\x00-\\x1f\\x7f-\\u{9f}\\u{2028}-\\u{202e}a]*") {
            for text in [text, raw] {
                prop_assert!(!line(&text).chars().any(|c| c.is_control() || is_format(c)));
                prop_assert!(!lines(&text).chars().any(|c| c != '\n' && (c.is_control() || is_format(c))));
                prop_assert_eq!(line(&line(&text)), line(&text));
            }
        }
    }
}
