// SPDX-License-Identifier: MIT
//! Writes typed objects as YAML. The emitter is that of libyaml; this module decides which texts
//! need quotes. Pure.

use k8s_openapi::serde::Serialize;
use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};
use serde_json::Value;

use crate::compose::yaml;

/// The text of a file: one document per object, with comments at the beginning.
///
/// # Errors
/// An object is not a mapping, which cannot happen for the types of Kubernetes.
pub fn documents(comments: &[String], objects: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    for comment in comments {
        out += &format!("# {}\n", comment.replace(char::is_control, " "));
    }
    for object in objects {
        out += "---\n";
        out += &document(object)?;
    }
    Ok(out)
}

/// An object as a value, without unset fields.
///
/// # Errors
/// The object cannot be serialized, which cannot happen for the types of Kubernetes.
pub fn value(object: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(object).map(without_empty).map_err(|error| error.to_string())
}

/// Removes empty mappings of optional sections.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().map(|(key, value)| (key, without_empty(value)));
            // For these fields, an empty mapping has a meaning: `emptyDir`, a selector, data.
            let may_be_empty = |key: &str| ["emptyDir", "podSelector", "data", "stringData"].contains(&key);
            let empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
            Value::Object(kept.filter(|(key, value)| may_be_empty(key) || !empty(value)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        other => other,
    }
}

fn document(object: &Value) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut emitter = Emitter::new();
    emitter.set_output(&mut bytes);
    emitter.set_width(-1);
    emitter.set_unicode(true);
    let mut emit = |event: Event| emitter.emit(event).map_err(|error| error.to_string());
    emit(Event::stream_start(Encoding::Utf8))?;
    emit(Event::document_start(None, &[], true))?;
    node(object, &mut emit)?;
    emit(Event::document_end(true))?;
    emit(Event::stream_end())?;
    emitter.flush().map_err(|error| error.to_string())?;
    drop(emitter);
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn node(value: &Value, emit: &mut impl FnMut(Event) -> Result<(), String>) -> Result<(), String> {
    match value {
        Value::Null => emit(scalar("null", ScalarStyle::Plain)),
        Value::Bool(value) => emit(scalar(&value.to_string(), ScalarStyle::Plain)),
        Value::Number(number) => emit(scalar(&number.to_string(), ScalarStyle::Plain)),
        Value::String(text) => emit(scalar(text, style(text))),
        Value::Array(items) => {
            let style = if items.is_empty() { SequenceStyle::Flow } else { SequenceStyle::Block };
            emit(Event::sequence_start(None, None, true, style))?;
            items.iter().try_for_each(|item| node(item, emit))?;
            emit(Event::sequence_end())
        }
        Value::Object(map) => {
            let style = if map.is_empty() { MappingStyle::Flow } else { MappingStyle::Block };
            emit(Event::mapping_start(None, None, true, style))?;
            for (key, value) in map {
                emit(scalar(key, self::style(key)))?;
                node(value, emit)?;
            }
            emit(Event::mapping_end())
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Event {
    Event::scalar(None, None, text, true, true, style)
}

/// The quoting style with which every reader parses a scalar as this text.
fn style(text: &str) -> ScalarStyle {
    let several_lines = text.trim_end_matches('\n').contains('\n') || text.ends_with('\n');
    let plain_lines = text.lines().all(|line| !line.ends_with([' ', '\t']) && !line.contains(|c: char| c.is_control()));
    if several_lines && plain_lines && text.starts_with(|c: char| !c.is_whitespace()) {
        return ScalarStyle::Literal;
    }
    // YAML 1.1 has additional words for booleans, and numbers to the base 60. go-yaml reads them as
    // text, but other parsers do not.
    let other_words = ["y", "n", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word));
    let other_numbers = text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || ":.".contains(c));
    let date = text.starts_with(|c: char| c.is_ascii_digit());
    let is_text = || {
        let read = yaml::documents(&format!("a: {text}\n"));
        let text_again = read.ok().and_then(|all| all.first()?.get("a").cloned());
        text_again == Some(crate::compose::value::Value::Text(text.to_owned()))
    };
    let merge = text == "<<";
    if merge || other_words || other_numbers || date || !is_text() {
        ScalarStyle::DoubleQuoted
    } else {
        ScalarStyle::Plain
    }
}

/// Escapes a text so that Kubernetes expands no reference in it. Kubernetes reads two dollar signs
/// as one; a single dollar sign is literal unless a parenthesis follows.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, dollars) = rest.split_at(at);
        let after = dollars.trim_start_matches('$');
        let count = dollars.len() - after.len();
        out += before;
        out += &"$".repeat(if count > 1 || after.starts_with('(') { 2 * count } else { count });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let texts = [
            "a",
            "",
            " a",
            "a ",
            "yes",
            "No",
            "1",
            "1.5",
            "0x1f",
            "true",
            "null",
            "~",
            "12:30",
            "2026-01-01",
            "a: b",
            "a #b",
            "#a",
            "- a",
            "a\nb",
            "a\nb\n",
            "\n",
            "a\n\n",
            " a\nb",
            "a\tb",
            "é",
            "\"x\"",
            "'x'",
            "{a}",
            "[a",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "a\u{7f}b",
            "a \nb",
            "a\r\nb",
            "<<",
            "=",
            "1e3",
            "a\\b",
            "$(A)",
            "?",
            "-",
            ":",
            "a:",
        ];
        for text in texts {
            let object = serde_json::json!({"k": text, "l": [text, {"m": text}], "n": {text: 1}});
            let written = documents(&["x".to_owned()], &[object]).unwrap();
            let read =
                yaml::documents(&written).unwrap_or_else(|error| panic!("{text:?}: {error}\n{written}")).remove(0);
            let expected = Some(crate::compose::value::Value::Text(text.to_owned()));
            assert_eq!(read.get("k").cloned(), expected, "{written}");
            assert_eq!(read.get("l").unwrap().as_list().unwrap().first().cloned(), expected, "{written}");
        }
    }

    #[test]
    fn objects_are_sorted() {
        let object = serde_json::json!({"kind": "Pod", "apiVersion": "v1", "spec": {"b": [1, true], "a": {}, "e": [], "emptyDir": {}}});
        let text = documents(&["one\ntwo".to_owned()], &[value(&object).unwrap()]).unwrap();
        assert_eq!(
            text,
            "# one two\n---\napiVersion: v1\nkind: Pod\nspec:\n  b:\n  - 1\n  - true\n  e: []\n  emptyDir: {}\n"
        );
    }
}
