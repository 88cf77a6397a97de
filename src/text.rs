// SPDX-License-Identifier: MIT
//! Text of images, registries and containers, made safe for terminals and for the journal. Pure.
//!
//! Every sink that can print such text passes it through [`line`]: a control character could change earlier output on a
//! terminal, and a newline could forge a second message in the journal.

use std::fmt::Write as _;

/// `text` on one line: control and invisible formatting characters are written as escapes, newlines among them.
#[must_use]
pub fn line(text: &str) -> String {
    escape(text, false)
}

/// As [`line`], but newlines stay. For messages that this program formats in several lines and that contain no text of images.
#[must_use]
pub fn lines(text: &str) -> String {
    escape(text, true)
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

/// Characters that are invisible, break lines, or change the direction of text: the classes Cf, Zl and Zp of Unicode, as far
/// as terminals and editors obey them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(line("a\x1b[2Jb\nc\td\u{202e}e\u{9b}"), "a\\u{1b}[2Jb\\nc\\td\\u{202e}e\\u{9b}");
        assert_eq!(lines("one\ntwo\r"), "one\ntwo\\r");
        assert_eq!(line("größe `x` 日本"), "größe `x` 日本");
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
