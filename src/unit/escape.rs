// SPDX-License-Identifier: MIT
//! The escaping rules of the file formats that are written. They are in one module so that they are
//! not confused. Pure.

use std::fmt::Write as _;

/// Escapes a value in a unit: `%` would start a specifier (systemd.unit(5), "Specifiers").
#[must_use]
pub fn unit_value(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word of a command line (systemd.service(5), "Command lines"): quotes and C escapes as in
/// systemd.syntax(7). `%` and `$` are doubled, because specifiers and variables are expanded after
/// unquoting.
#[must_use]
pub fn exec_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    quoted(word, "%$")
}

/// Returns `word` in double quotes. The characters in `doubled` are written twice.
fn quoted(word: &str, doubled: &str) -> String {
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            c if doubled.contains(c) => out.extend([c, c]),
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A word of a value in a configuration file, which `ini::split_words` splits: like [`exec_word`],
/// but `%` and `$` are not doubled.
#[must_use]
pub fn config_word(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    quoted(word, "")
}

/// A path in a list of paths such as `RequiresMountsFor=`: quotes as in systemd.syntax(7), and `%`
/// doubled.
#[must_use]
pub fn unit_path(path: &str) -> String {
    let path = unit_value(path);
    if !path.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c)) {
        return path;
    }
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A path in `BindPaths=`, where colons and blanks are separators (systemd.exec(5)). Blanks are
/// quoted, because systemd 262 does not accept them after a backslash.
#[must_use]
pub fn bind_path(path: &str) -> String {
    let special = |c: char| "\"\\:".contains(c);
    let escaped = unit_value(path).chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect();
    if path.contains(|c: char| c.is_whitespace() || c == '\'') { format!("\"{escaped}\"") } else { escaped }
}

/// A path in an `.nspawn` value with colons as separators, such as `Bind=` (systemd.nspawn(5)).
#[must_use]
pub fn nspawn_path(path: &str) -> String {
    path.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ini::split_words;
    use proptest::prelude::*;

    #[test]
    fn exec_words() {
        assert_eq!(exec_word("daemon"), "daemon");
        assert_eq!(exec_word(""), "\"\"");
        assert_eq!(exec_word("a b"), "\"a b\"");
        assert_eq!(exec_word("50%$HOME\"\\\n"), "\"50%%$$HOME\\\"\\\\\\x0a\"");
        assert_eq!(exec_word(";"), "\";\"");
    }

    /// The result of systemd's expansion of a word after unquoting: doubled `%` and `$` become
    /// single ones.
    fn expand(word: &str) -> String {
        let mut out = String::new();
        let mut chars = word.chars().peekable();
        while let Some(c) = chars.next() {
            if matches!(c, '%' | '$') {
                assert_eq!(chars.next(), Some(c), "a lone {c} would be expanded");
            }
            out.push(c);
        }
        out
    }

    proptest! {
        #[test]
        fn exec_words_arrive_as_they_were(words in proptest::collection::vec("[^\0]{0,12}", 0..5)) {
            let line = words.iter().map(|w| exec_word(w)).collect::<Vec<_>>().join(" ");
            let back: Vec<String> = split_words(&line).unwrap().iter().map(|w| expand(w)).collect();
            prop_assert_eq!(back, &words[..]);
            let line = words.iter().map(|w| config_word(w)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split_words(&line).unwrap(), words);
        }
    }
}
