// SPDX-License-Identifier: MIT
//! Environments in the format of systemd's `EnvironmentFile=` (systemd.exec(5)): written by
//! sdme-gen, edited by administrators, read by the launcher. Pure.

/// Renders `NAME=VALUE` strings. Returns the text, and the strings that were left out because such
/// a file cannot contain them. If a name occurs twice, both lines are written; the later one
/// applies, as in an image.
#[must_use]
pub fn render_env(env: &[String]) -> (String, Vec<String>) {
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

/// A line of such a file. The value is in double quotes, in which a backslash escapes `"`, `\`, `$`
/// and a backtick. Line breaks are kept.
#[must_use]
pub fn env_assignment(name: &str, value: &str) -> String {
    let mut out = format!("{name}=\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push_str("\"\n");
    out
}

/// Whether `name` can be the name of a variable in such a file. Applications use names that shells
/// and systemd refuse, such as `discovery.type`; the launcher accepts them.
#[must_use]
pub fn is_env_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['#', ';'])
        && name.trim() == name
        && !name.contains(|c: char| c == '=' || c.is_control())
}

/// The name and the value of a variable, as bytes in any encoding.
pub type Variable = (Vec<u8>, Vec<u8>);

/// Parses such a file as systemd does, with comments, quotes, escapes and continued lines. A line
/// without `=` is skipped. A variable that is assigned several times is returned several times.
#[must_use]
#[allow(clippy::match_same_arms, reason = "state by state it reads like the machine it is")]
pub fn parse_env(text: &[u8]) -> Vec<Variable> {
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
        CommentEscape,
    }
    let newline = |c| matches!(c, b'\n' | b'\r');
    let mut out = Vec::new();
    let (mut key, mut value) = (Vec::new(), Vec::new());
    // The length of the value without blanks at the end of an unquoted part, which do not belong to
    // it.
    let mut kept = 0;
    let mut state = State::BeforeKey;
    for &c in text {
        state = match state {
            State::BeforeKey if matches!(c, b'#' | b';') => State::Comment,
            State::BeforeKey if c.is_ascii_whitespace() => State::BeforeKey,
            State::BeforeKey => {
                key = vec![c];
                kept = 0;
                State::Key
            }
            State::Key if newline(c) => State::BeforeKey,
            State::Key if c == b'=' => State::BeforeValue,
            State::Key => {
                key.push(c);
                State::Key
            }
            State::BeforeValue | State::Value if newline(c) => {
                value.truncate(kept);
                out.push((key.trim_ascii_end().to_vec(), std::mem::take(&mut value)));
                State::BeforeKey
            }
            State::BeforeValue if c == b'\'' => State::Single,
            State::BeforeValue if c == b'"' => State::Double,
            State::BeforeValue | State::Value if c == b'\\' => State::ValueEscape,
            State::BeforeValue if c.is_ascii_whitespace() => State::BeforeValue,
            State::BeforeValue | State::Value => {
                value.push(c);
                if !c.is_ascii_whitespace() {
                    kept = value.len();
                }
                State::Value
            }
            State::ValueEscape => {
                if !newline(c) {
                    value.push(c);
                    kept = value.len();
                }
                State::Value
            }
            State::Single if c == b'\'' => State::BeforeValue,
            State::Double if c == b'"' => State::BeforeValue,
            State::Double if c == b'\\' => State::DoubleEscape,
            State::Single | State::Double => {
                value.push(c);
                kept = value.len();
                state
            }
            State::DoubleEscape => {
                if !matches!(c, b'"' | b'\\' | b'`' | b'$' | b'\n') {
                    value.push(b'\\');
                }
                if c != b'\n' {
                    value.push(c);
                }
                kept = value.len();
                State::Double
            }
            State::Comment if newline(c) => State::BeforeKey,
            State::Comment if c == b'\\' => State::CommentEscape,
            State::Comment | State::CommentEscape => State::Comment,
        };
    }
    // The end of the file ends the last line, and also a quote that is not closed.
    if !matches!(state, State::BeforeKey | State::Key | State::Comment | State::CommentEscape) {
        value.truncate(kept);
        out.push((key.trim_ascii_end().to_vec(), value));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let text_of = |bytes| String::from_utf8(bytes).unwrap();
        parse_env(text.as_bytes()).into_iter().map(|(name, value)| (text_of(name), text_of(value))).collect()
    }

    proptest! {
        #[test]
        fn arrives_unchanged(values in prop::collection::vec("([\\\\\"'`$#; \t\n\r=a%{}]|\\PC)*", 0..5)) {
            let env: Vec<_> = values.iter().enumerate().map(|(i, v)| format!("V{i}={v}")).collect();
            let want: Vec<_> = values.iter().enumerate().map(|(i, v)| (format!("V{i}"), v.clone())).collect();
            let (text, left_out) = render_env(&env);
            prop_assert_eq!(parsed(&text), want);
            prop_assert!(left_out.is_empty());
        }

        #[test]
        fn nothing_is_too_broken(text in "([A='\"\\\\ #\n]|\\PC){0,20}") {
            let total: usize = parse_env(text.as_bytes()).iter().map(|(name, value)| name.len() + value.len()).sum();
            prop_assert!(total <= text.len());
        }
    }

    #[test]
    fn as_written() {
        let env = ["A=x".to_owned(), "B=a \"b\" $c \\ `d`\ne".to_owned(), "EMPTY=".to_owned(), "EQ=a=b".to_owned()];
        let want = "A=\"x\"\nB=\"a \\\"b\\\" \\$c \\\\ \\`d\\`\ne\"\nEMPTY=\"\"\nEQ=\"a=b\"\n";
        assert_eq!(render_env(&env).0, want);
    }

    #[test]
    fn as_edited_by_hand() {
        for (text, want) in [
            ("A=1\nB = 2 3 \n", &[("A", "1"), ("B", "2 3")][..]),
            ("# no=1\n; no=2 \\\nno=3\n\n  A=1", &[("A", "1")]),
            ("A='$x \\n' \"b\" c \nA=2\n", &[("A", "$x \\nbc"), ("A", "2")]),
            ("A=a\\\nb\\ \nnonsense\nB=", &[("A", "ab "), ("B", "")]),
            ("A=\"x \\t \\\" \\\ny\"", &[("A", "x \\t \" y")]),
            ("A=1\r\nB=it's\r\n", &[("A", "1"), ("B", "it's")]),
            ("A=\"open\nB=2", &[("A", "open\nB=2")]),
            ("A=x\\", &[("A", "x")]),
            ("=1\ndiscovery.type=single\n", &[("discovery.type", "single")]),
        ] {
            let want: Vec<_> = want.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(parsed(text), want, "{text:?}");
        }
    }

    #[test]
    fn impossible_names_are_reported() {
        let env = ["discovery.type=single".to_owned(), "OK=1".to_owned(), "=x".to_owned(), "#A=x".to_owned()];
        let (text, left_out) = render_env(&env);
        assert_eq!(text, "discovery.type=\"single\"\nOK=\"1\"\n");
        assert_eq!(left_out, ["=x", "#A=x"]);
    }
}
