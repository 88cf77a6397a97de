// SPDX-License-Identifier: MIT
//! The image's environment as a systemd `EnvironmentFile=`.
//!
//! Must not know how a line is quoted. Pure.

use crate::unit::{env_assignment, is_env_name};

/// Renders `NAME=VALUE` strings. Gives the text and the strings that had to be left out because systemd cannot have
/// them. Where a name is given twice both lines are written; the later one counts, as in the image.
#[must_use]
pub fn render(env: &[String]) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut left_out = Vec::new();
    for item in env {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        if !is_env_name(name) || value.contains('\0') {
            left_out.push(item.clone());
        } else {
            text.push_str(&env_assignment(name, value));
        }
    }
    (text, left_out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::match_same_arms)]
    use proptest::prelude::*;

    use super::*;

    /// A model of how systemd reads such a file, states and all (systemd.exec(5), `EnvironmentFile=`).
    fn read(text: &str) -> Vec<(String, String)> {
        #[derive(PartialEq)]
        enum State {
            BeforeKey,
            Key,
            BeforeValue,
            Value,
            ValueEscape,
            Single,
            Double,
            DoubleEscape,
            Comment,
        }
        let mut out = Vec::new();
        let (mut key, mut value) = (String::new(), String::new());
        let mut state = State::BeforeKey;
        let newline = |c| c == '\n' || c == '\r';
        for c in text.chars() {
            state = match state {
                State::BeforeKey if matches!(c, '#' | ';') => State::Comment,
                State::BeforeKey if c.is_ascii_whitespace() => State::BeforeKey,
                State::BeforeKey => {
                    key = c.to_string();
                    value.clear();
                    State::Key
                }
                State::Key if newline(c) => State::BeforeKey,
                State::Key if c == '=' => State::BeforeValue,
                State::Key => {
                    key.push(c);
                    State::Key
                }
                State::BeforeValue | State::Value if newline(c) => {
                    out.push((key.trim_end().to_owned(), value.clone()));
                    State::BeforeKey
                }
                State::BeforeValue if c == '\'' => State::Single,
                State::BeforeValue if c == '"' => State::Double,
                State::BeforeValue | State::Value if c == '\\' => State::ValueEscape,
                State::BeforeValue if c.is_ascii_whitespace() => State::BeforeValue,
                State::BeforeValue | State::Value => {
                    value.push(c);
                    State::Value
                }
                State::ValueEscape => {
                    if !newline(c) {
                        value.push(c);
                    }
                    State::Value
                }
                State::Single if c == '\'' => State::BeforeValue,
                State::Single => {
                    value.push(c);
                    State::Single
                }
                State::Double if c == '"' => State::BeforeValue,
                State::Double if c == '\\' => State::DoubleEscape,
                State::Double => {
                    value.push(c);
                    State::Double
                }
                State::DoubleEscape => {
                    if matches!(c, '"' | '\\' | '`' | '$') {
                        value.push(c);
                    } else if c != '\n' {
                        value.push('\\');
                        value.push(c);
                    }
                    State::Double
                }
                State::Comment if newline(c) => State::BeforeKey,
                State::Comment => State::Comment,
            };
        }
        assert!(state == State::BeforeKey, "the file ends inside a value");
        out
    }

    proptest! {
        #[test]
        fn arrives_unchanged(values in prop::collection::vec("([\\\\\"'`$#; \t\n\r=a%{}]|\\PC)*", 0..5)) {
            let env: Vec<_> = values.iter().enumerate().map(|(i, v)| format!("V{i}={v}")).collect();
            let want: Vec<_> = values.iter().enumerate().map(|(i, v)| (format!("V{i}"), v.clone())).collect();
            let (text, left_out) = render(&env);
            prop_assert_eq!(read(&text), want);
            prop_assert!(left_out.is_empty());
        }
    }

    #[test]
    fn as_written() {
        let env = ["A=x".to_owned(), "B=a \"b\" $c \\ `d`\ne".to_owned(), "EMPTY=".to_owned(), "EQ=a=b".to_owned()];
        let want = "A=\"x\"\nB=\"a \\\"b\\\" \\$c \\\\ \\`d\\`\ne\"\nEMPTY=\"\"\nEQ=\"a=b\"\n";
        assert_eq!(render(&env).0, want);
    }

    #[test]
    fn impossible_names_are_reported() {
        let env = ["discovery.type=single".to_owned(), "OK=1".to_owned(), "=x".to_owned(), "1A=x".to_owned()];
        let (text, left_out) = render(&env);
        assert_eq!(text, "OK=\"1\"\n");
        assert_eq!(left_out, ["discovery.type=single", "=x", "1A=x"]);
    }
}
