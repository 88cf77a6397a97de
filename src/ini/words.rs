// SPDX-License-Identifier: MIT
//! Splitting a value into words: quotes and C escapes as in systemd.syntax(7) and
//! systemd.service(5). Pure.

use crate::diag::Fault;

/// The error of a value that cannot be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordError {
    /// A quote is never closed.
    OpenQuote(char),
    /// A backslash sequence that systemd does not have.
    Escape(String),
    /// An escape sequence that stands for NUL or for bytes that are not UTF-8.
    NotText,
}

impl WordError {
    /// The error with its remedy.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::OpenQuote(q) => Fault::new(
                format!("the quote {q} is never closed"),
                format!("close the quote, or write \\{q} for the character"),
            ),
            Self::Escape(s) => Fault::new(format!("unknown escape sequence {s}"), "write \\\\ for a backslash"),
            Self::NotText => Fault::new(
                "an escape sequence stands for NUL, or is not UTF-8",
                "write the character without an escape",
            ),
        }
    }
}

impl std::fmt::Display for WordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault().fmt(f)
    }
}

/// Splits a value at blanks outside of quotes, removes quotes and resolves escapes. Like systemd,
/// resolves escapes within single quotes, too.
///
/// # Errors
/// A quote is never closed, an escape is unknown, or a word is not text.
pub fn split_words(value: &str) -> Result<Vec<String>, WordError> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote: Option<char> = None;
    let room = || Vec::with_capacity(value.len().min(64));
    let special = |b: u8| matches!(b, b'\\' | b'"' | b'\'' | b' ' | b'\t' | b'\n' | b'\r');
    let mut rest = value;
    loop {
        let (plain, from) = rest.split_at(rest.bytes().position(special).unwrap_or(rest.len()));
        if !plain.is_empty() {
            word.get_or_insert_with(room).extend_from_slice(plain.as_bytes());
        }
        let mut chars = from.chars();
        let Some(c) = chars.next() else { break };
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (_, '\\') => escape(&mut chars, word.get_or_insert_with(room))?,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_with(room);
            }
            (None, ' ' | '\t' | '\n' | '\r') => {
                if let Some(done) = word.take() {
                    words.push(text(done)?);
                }
            }
            _ => push(word.get_or_insert_with(room), c),
        }
        rest = chars.as_str();
    }
    if let Some(q) = quote {
        return Err(WordError::OpenQuote(q));
    }
    if let Some(done) = word {
        words.push(text(done)?);
    }
    Ok(words)
}

fn text(bytes: Vec<u8>) -> Result<String, WordError> {
    String::from_utf8(bytes).map_err(|_| WordError::NotText)
}

fn push(word: &mut Vec<u8>, c: char) {
    word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Resolves an escape sequence, like systemd's `cunescape_one()`.
fn escape(chars: &mut std::str::Chars<'_>, word: &mut Vec<u8>) -> Result<(), WordError> {
    let Some(c) = chars.next() else {
        return Err(WordError::Escape("\\".to_owned()));
    };
    let byte = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        '\'' => b'\'',
        's' => b' ',
        'x' => return number(chars, "x", 2, 16, word),
        'u' => return number(chars, "u", 4, 16, word),
        'U' => return number(chars, "U", 8, 16, word),
        '0'..='7' => return number(chars, c.encode_utf8(&mut [0; 4]), 2, 8, word),
        _ => return Err(WordError::Escape(format!("\\{c}"))),
    };
    word.push(byte);
    Ok(())
}

/// Parses `count` digits of `radix`. `lead` is `x`, `u`, `U` or the first of three octal digits.
fn number(
    chars: &mut std::str::Chars<'_>,
    lead: &str,
    count: usize,
    radix: u32,
    word: &mut Vec<u8>,
) -> Result<(), WordError> {
    let digits: String = chars.by_ref().take(count).collect();
    let whole = if radix == 8 { format!("{lead}{digits}") } else { digits.clone() };
    let bad = || WordError::Escape(format!("\\{lead}{digits}"));
    if digits.chars().count() != count || !whole.chars().all(|c| c.is_digit(radix)) {
        return Err(bad());
    }
    let code = u32::from_str_radix(&whole, radix).map_err(|_| bad())?;
    match lead {
        "u" | "U" if code != 0 => push(word, char::from_u32(code).ok_or_else(bad)?),
        _ => match u8::try_from(code) {
            Ok(0) => return Err(WordError::NotText),
            Ok(byte) => word.push(byte),
            Err(_) => return Err(bad()),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(value: &str) -> Vec<String> {
        split_words(value).unwrap()
    }

    #[test]
    fn quotes_blanks_and_escapes() {
        assert_eq!(words(r#"a "b c"  'd "e"' f"g h"i"#), ["a", "b c", "d \"e\"", "fg hi"]);
        assert_eq!(words(r#""" a\tb \x41\102\u00e9 \s"#), ["", "a\tb", "AB\u{e9}", " "]);
        assert_eq!(words(r"'\n'"), ["\n"]);
        assert_eq!(words(r"\xc3\xa9"), ["\u{e9}"]);
        assert_eq!(words(" \t "), Vec::<String>::new());
    }

    #[test]
    fn errors() {
        assert_eq!(split_words("\"a"), Err(WordError::OpenQuote('"')));
        assert_eq!(split_words("a\\"), Err(WordError::Escape("\\".into())));
        assert_eq!(split_words(r"\q"), Err(WordError::Escape("\\q".into())));
        assert_eq!(split_words(r"\x4"), Err(WordError::Escape("\\x4".into())));
        assert_eq!(split_words(r"\000"), Err(WordError::NotText));
        assert_eq!(split_words(r"\777"), Err(WordError::Escape("\\777".into())));
        assert_eq!(split_words(r"\xff"), Err(WordError::NotText));
    }
}
