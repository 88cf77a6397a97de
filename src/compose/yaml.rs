// SPDX-License-Identifier: MIT
//! Parses YAML into values in the same way as the reference implementation: with merge keys,
//! several documents, and a limit on what aliases expand to. Pure.
//!
//! The parser and the parser of the reference implementation are both ports of libyaml, so both
//! accept the same texts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libyaml_safer::{Error, Event, EventData, Mark, Parser, ScalarStyle};

use super::Malformed;
use super::value::{Map, Value};
use crate::diag::Fault;

/// The remedy for a text that is not YAML.
const CORRECT: &str = "correct the YAML";

/// Maximum total size of all aliases of a file after expansion, counted as one per value plus one
/// per byte of text.
const MOST_EXPANDED: usize = 4 << 20;
/// Maximum nesting of lists and mappings.
const MOST_LEVELS: usize = 64;

/// Parses all documents of a file. Documents without content are left out.
///
/// # Errors
/// Returns an error, with the line where possible, if the text is not YAML, if a key is duplicate,
/// if an alias is unknown, or if a limit is exceeded.
pub fn documents(text: &str) -> Result<Vec<Value>, Malformed> {
    // libyaml-safer panics at a block scalar (`|` or `>`) whose last line has no line break.
    let ended = if text.ends_with('\n') { Cow::Borrowed(text) } else { Cow::Owned(format!("{text}\n")) };
    let mut bytes = ended.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut bytes);
    let mut reader = Reader { parser, anchors: BTreeMap::new(), expanded: 0, line: 1 };
    let mut all = Vec::new();
    loop {
        let event = reader.next()?;
        match event.data {
            EventData::StreamEnd => return Ok(all),
            EventData::DocumentStart { .. } => reader.anchors.clear(),
            EventData::StreamStart { .. } | EventData::DocumentEnd { .. } => {}
            _ => match reader.value(event, MOST_LEVELS)? {
                Value::Null => {}
                value => all.push(value),
            },
        }
    }
}

struct Reader<'a> {
    parser: Parser<&'a mut &'a [u8]>,
    /// The value of each anchor, with its size.
    anchors: BTreeMap<String, (Value, usize)>,
    expanded: usize,
    /// The line at which the last event ended, starting from 1.
    line: u32,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Event, Malformed> {
        // libyaml-safer 0.3 panics at a tag that is directly followed by a comma, as in `[!tag,b]`.
        // libyaml reports an error there.
        let parsed = catch_unwind(AssertUnwindSafe(|| self.parser.parse()));
        let parsed = parsed.map_err(|_| {
            let cause = "here or on a later line, the text is no YAML, such as a tag in front of a comma";
            Malformed::at(self.line, cause, CORRECT)
        })?;
        let event = parsed.map_err(|error: Error| match error.problem_mark() {
            Some(mark) => Malformed::at(line(mark), error.problem(), CORRECT),
            None => Malformed { line: None, fault: Fault::new(error.to_string(), CORRECT) },
        })?;
        self.line = line(event.end_mark);
        Ok(event)
    }

    fn value(&mut self, event: Event, levels: usize) -> Result<Value, Malformed> {
        let line = line(event.start_mark);
        let Some(levels) = levels.checked_sub(1) else {
            let cause = format!("there are more than {MOST_LEVELS} levels of lists and mappings");
            return Err(Malformed::at(line, cause, "use fewer levels"));
        };
        let (anchor, tag, value) = match event.data {
            EventData::Alias { anchor } => {
                let Some((value, size)) = self.anchors.get(&anchor) else {
                    let cause = format!("unknown anchor {anchor}");
                    return Err(Malformed::at(line, cause, &format!("write &{anchor} at an earlier value")));
                };
                self.expanded = self.expanded.saturating_add(*size);
                if self.expanded > MOST_EXPANDED {
                    return Err(Malformed::at(line, "the aliases expand to too much", "use fewer aliases"));
                }
                return Ok(value.clone());
            }
            EventData::Scalar { anchor, tag, value, style, .. } => {
                let value = if style == ScalarStyle::Plain && tag.is_none() {
                    plain(&value)
                } else {
                    tagged(tag.as_deref(), value)
                };
                (anchor, tag, value)
            }
            EventData::SequenceStart { anchor, tag, .. } => (anchor, tag, self.list(levels)?),
            EventData::MappingStart { anchor, tag, .. } => (anchor, tag, self.map(levels)?),
            _ => return Err(Malformed::at(line, "a value is missing", "write a value")),
        };
        let value = match tag.as_deref() {
            Some("!reset") => Value::Reset,
            Some("!override") => Value::Override(Box::new(value)),
            _ => value,
        };
        if let Some(anchor) = anchor {
            let size = size(&value);
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn list(&mut self, levels: usize) -> Result<Value, Malformed> {
        let mut items = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::SequenceEnd) {
                return Ok(Value::List(items));
            }
            items.push(self.value(event, levels)?);
        }
    }

    fn map(&mut self, levels: usize) -> Result<Value, Malformed> {
        let mut map = Map::default();
        let mut merged = Vec::new();
        loop {
            let event = self.next()?;
            let line = line(event.start_mark);
            // Only a plain `<<` is a merge key; a quoted `"<<"` is an ordinary key.
            let is_merge = match &event.data {
                EventData::MappingEnd => break,
                EventData::Scalar { value, style, .. } => value == "<<" && *style == ScalarStyle::Plain,
                _ => false,
            };
            let key = self.value(event, levels)?;
            let event = self.next()?;
            let value = self.value(event, levels)?;
            if is_merge {
                match value {
                    Value::List(maps) => merged.extend(maps),
                    value => merged.push(value),
                }
                continue;
            }
            let key = match key {
                Value::Null => "null".to_owned(),
                key => key.scalar().ok_or_else(|| {
                    Malformed::at(line, format!("{} cannot be a key", key.kind()), "write a text as the key")
                })?,
            };
            if map.get(&key).is_some() {
                return Err(Malformed::at(line, format!("the key {key} is given twice"), "remove one of the two"));
            }
            map.set(&key, value);
        }
        // A key of the mapping itself takes precedence over merged keys, and an earlier merged
        // mapping over a later one.
        for source in merged {
            match source {
                Value::Map(source) => {
                    for (key, value) in source.iter().filter(|(key, _)| map.get(key).is_none()).collect::<Vec<_>>() {
                        map.set(key, value.clone());
                    }
                }
                Value::Null => {}
                other => {
                    let cause = format!("<< needs a mapping or a list of mappings, and has {}", other.kind());
                    return Err(Malformed::at(self.line, cause, "write an alias of a mapping, such as *NAME"));
                }
            }
        }
        Ok(Value::Map(map))
    }
}

/// The number of the line of a mark, from 1.
fn line(mark: Mark) -> u32 {
    u32::try_from(mark.line).unwrap_or(u32::MAX).saturating_add(1)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Number(text) => 1 + text.len(),
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(map) => 1 + map.iter().map(|(key, value)| key.len() + size(value)).sum::<usize>(),
        Value::Override(value) => 1 + size(value),
        Value::Null | Value::Bool(_) | Value::Reset => 1,
    }
}

/// Returns the value of a scalar that is quoted or has a tag.
fn tagged(tag: Option<&str>, text: String) -> Value {
    match tag {
        None | Some("!" | "tag:yaml.org,2002:str" | "tag:yaml.org,2002:binary") => Value::Text(text),
        Some(_) => plain(&text),
    }
}

/// Returns the value of a plain scalar by the rules of go-yaml: YAML 1.2, with the octal numbers of
/// YAML 1.1.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Number("NaN".to_owned()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Number("+Inf".to_owned()),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Number("-Inf".to_owned()),
        _ => {}
    }
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if !starts {
        return Value::Text(text.to_owned());
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Value::Number(number.to_string());
    }
    match float(&digits) {
        Some(number) => Value::Number(number),
        None => Value::Text(text.to_owned()),
    }
}

fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let radix = |prefix: &str, radix: u32| lower.strip_prefix(prefix).map(|digits| (digits.to_owned(), radix));
    let octal = || lower.strip_prefix('0').filter(|d| !d.is_empty()).map(|digits| (digits.to_owned(), 8));
    let (digits, radix) = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(octal)
        .unwrap_or((lower.clone(), 10));
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let number = i128::from(u64::from_str_radix(&digits, radix).ok()?);
    Some(if negative { -number } else { number })
}

/// Returns a floating-point number as Go prints it: with an exponent below 1e-4 and from 1e6 on.
fn float(text: &str) -> Option<String> {
    let mantissa = text.trim_start_matches(['+', '-']);
    let shape = mantissa.contains(|c: char| c.is_ascii_digit())
        && mantissa.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && text.len() - mantissa.len() <= 1;
    let number: f64 = if shape { text.parse().ok()? } else { return None };
    if !number.is_finite() {
        return None;
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if number != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return Some(format!("{digits}e{sign}{:02}", exponent.unsigned_abs()));
    }
    Some(number.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn one(text: &str) -> Value {
        documents(text).unwrap().remove(0)
    }

    #[test]
    fn scalars_have_the_values_of_the_reference() {
        for (text, expected) in [
            ("yes", "yes"),
            ("on", "on"),
            ("True", "true"),
            ("22:22", "22:22"),
            ("0777", "511"),
            ("0o17", "15"),
            ("0x1F", "31"),
            ("1_000", "1000"),
            ("08", "8"),
            ("1.10", "1.1"),
            ("2.0", "2"),
            ("1e3", "1000"),
            ("1e6", "1e+06"),
            ("1234567.5", "1.2345675e+06"),
            ("0.00001", "1e-05"),
            ("-5", "-5"),
            ("1.2.3", "1.2.3"),
            ("2001-01-01", "2001-01-01"),
            ("'0777'", "0777"),
            ("\"a\\tb\"", "a\tb"),
            ("!!str 012", "012"),
            ("12e", "12e"),
            ("+1", "1"),
            ("18446744073709551616", "1.8446744073709552e+19"),
        ] {
            let value = one(&format!("a: {text}\n"));
            assert_eq!(value.get("a").and_then(Value::scalar).as_deref(), Some(expected), "{text}");
        }
        for text in ["~", "null", "", "NULL"] {
            assert_eq!(one(&format!("a: {text}\n")).get("a"), Some(&Value::Null), "{text}");
        }
    }

    #[test]
    fn merge_keys_work_at_every_level() {
        let value = one(
            "x: &x {a: '1', b: '2'}\ny: &y {b: '3', c: '4'}\none: {<<: *x, b: '0'}\ntwo: {<<: [*x, *y]}\nthree: {'<<': 5}\n",
        );
        let text = |map: &str, key: &str| value.get(map).unwrap().get(key).and_then(Value::scalar);
        assert_eq!(text("one", "a").as_deref(), Some("1"));
        assert_eq!(text("one", "b").as_deref(), Some("0"));
        assert_eq!(text("two", "b").as_deref(), Some("2"));
        assert_eq!(text("two", "c").as_deref(), Some("4"));
        assert_eq!(text("three", "<<").as_deref(), Some("5"));
        assert_eq!(text("two", "<<"), None);
    }

    #[test]
    fn texts_that_only_libyaml_accepts_are_parsed() {
        let command = one("s:\n  command: [\n    \"a\"\n  ]\n  tty: true\n");
        assert_eq!(command.get("s").unwrap().get("tty"), Some(&Value::Bool(true)));
        assert_eq!(one("\u{feff}a: 1\n").get("a"), Some(&Value::Number("1".to_owned())));
        assert_eq!(one("a:\tb\n").get("a"), Some(&Value::Text("b".to_owned())));
        for text in ["a: |\n  b", "a: >\n  b", "a:\n |\n  b", "a: |\n  b\n\n  "] {
            assert_eq!(one(text).get("a"), Some(&Value::Text("b\n".to_owned())), "{text:?}");
        }
        let two = documents("a: 1\n---\n---\nb: !reset null\nc: !override [1]\n").unwrap();
        assert_eq!(two.len(), 2, "{two:?}");
        assert_eq!(two.get(1).unwrap().get("b"), Some(&Value::Reset));
        assert!(matches!(two.get(1).unwrap().get("c"), Some(Value::Override(_))));
        assert_eq!(documents("").unwrap(), []);
    }

    #[test]
    fn errors_name_the_line_and_limits_hold() {
        for (text, part) in [
            ("a: [", "line 2: "),
            ("a: 1\nb: [!tag,b]\n", "line 2: here or on a later line, the text is no YAML"),
            ("a: 1\nb: 2\na: 3\n", "line 3: the key a is given twice"),
            ("a: *x\n", "unknown anchor x"),
            ("<<: 5\n", "<< needs a mapping"),
            ("a:\n  {}: 1\n", "a mapping cannot be a key"),
        ] {
            let error = documents(text).unwrap_err();
            assert!(error.to_string().contains(part), "{text:?}: {error}");
        }
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let below = format!("*a{},", level - 1).repeat(9);
            bomb += &format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(','));
        }
        assert!(documents(&bomb).unwrap_err().to_string().contains("too much"));
        let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
        assert!(documents(&deep).unwrap_err().to_string().contains("levels"));
    }
}
