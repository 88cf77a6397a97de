// SPDX-License-Identifier: MIT
//! Splits a command that a Compose file has as one text into words, in the same way as the
//! reference implementation. Pure.

/// Splits at whitespace outside quotes. Within single quotes a backslash is an ordinary character;
/// elsewhere it quotes the next character.
///
/// # Errors
/// Returns an error if a quote is not closed, or if a backslash is the last character.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = chars.next().ok_or("a backslash at the end protects nothing")?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("the quote {quote} is never closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_command_is_split_into_the_words_of_the_reference() {
        for (text, expected) in [
            ("a  b\n c", &["a", "b", "c"][..]),
            ("prog --re '^\\d+'", &["prog", "--re", "^\\d+"]),
            ("nginx -g \"daemon off;\"", &["nginx", "-g", "daemon off;"]),
            ("a\\ b \"c\\\"d\" ''", &["a b", "c\"d", ""]),
            ("x='y z'", &["x=y z"]),
            ("", &[]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
        assert!(split("a 'b").is_err() && split("a\\").is_err());
    }
}
