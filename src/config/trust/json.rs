// SPDX-License-Identifier: MIT
//! JSON of signature policies and signatures. An object may have a key only once, in its exact
//! spelling, and may have no unknown keys. Pure.
//!
//! `serde_json::Value` keeps the last of two equal keys. A policy or a signature with two values
//! for one key must be rejected, as the reference implementation of containers-policy.json(5) does.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::diag::nearest;

/// A JSON value. An object has all its keys in their order, including duplicate keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole document, without text after its value.
    ///
    /// # Errors
    /// The line of the error, from 1, and the message without the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, (u32, String)> {
        serde_json::from_slice(bytes).map_err(|error| {
            let text = error.to_string();
            // The caller shows the line in front of the message.
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
            (u32::try_from(error.line()).unwrap_or(u32::MAX).max(1), text.to_owned())
        })
    }

    /// Returns the members of an object that may have only the keys in `known`.
    ///
    /// # Errors
    /// The value is not an object, or has a duplicate or an unknown key.
    pub fn fields(&self, known: &[&str]) -> Result<BTreeMap<&str, &Self>, String> {
        let members = self.members()?;
        match members.keys().find(|key| !known.contains(key)) {
            Some(key) => {
                let near = nearest(key, known.iter().copied());
                Err(format!(
                    "unknown key {key:?}{}",
                    near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)"))
                ))
            }
            None => Ok(members),
        }
    }

    /// Does the same as [`Json::fields`], and requires all keys.
    ///
    /// # Errors
    /// The same errors as [`Json::fields`], or a key is missing.
    pub fn exact_fields(&self, wanted: &[&str]) -> Result<BTreeMap<&str, &Self>, String> {
        let members = self.fields(wanted)?;
        match wanted.iter().find(|key| !members.contains_key(*key)) {
            Some(key) => Err(format!("the key {key:?} is missing")),
            None => Ok(members),
        }
    }

    /// Returns the members of an object with any keys.
    ///
    /// # Errors
    /// The value is not an object, or has a duplicate key.
    pub fn members(&self) -> Result<BTreeMap<&str, &Self>, String> {
        let Self::Object(all) = self else { return Err(format!("{} is not an object", self.kind())) };
        let mut members = BTreeMap::new();
        for (key, value) in all {
            if members.insert(key.as_str(), value).is_some() {
                return Err(format!("the key {key:?} is given twice"));
            }
        }
        Ok(members)
    }

    /// Returns the text of a string.
    ///
    /// # Errors
    /// The value is not a string.
    pub fn text(&self) -> Result<&str, String> {
        if let Self::Text(text) = self { Ok(text) } else { Err(format!("{} is not a string", self.kind())) }
    }

    /// Returns the items of an array.
    ///
    /// # Errors
    /// The value is not an array.
    pub fn list(&self) -> Result<&[Self], String> {
        if let Self::List(list) = self { Ok(list) } else { Err(format!("{} is not an array", self.kind())) }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "JSON has no other numbers")]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "JSON has no other numbers")]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Json::Object(object))
    }
}

/// Whether a text is base64 in the format of Go's `[]byte` in JSON: the standard alphabet with
/// padding, in which line ends are ignored.
#[must_use]
pub fn is_base64(text: &str) -> bool {
    let text: Vec<u8> = text.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = text.len().saturating_sub(padding);
    text.len().is_multiple_of(4)
        && padding <= 2
        && text.iter().take(digits).all(|b| b.is_ascii_alphanumeric() || b"+/".contains(b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn duplicate_unknown_and_missing_keys_are_rejected() {
        let parse = |text: &str| Json::parse(text.as_bytes()).unwrap();
        let fields = |text: &str| parse(text).fields(&["a", "b"]).map(|found| found.len());
        assert_eq!(fields(r#"{"a": 1, "b": [true, null, 1.5, "x", {"c": 1, "c": 2}]}"#), Ok(2));
        assert_eq!(fields(r#"{"a": 1, "a": 1}"#).unwrap_err(), r#"the key "a" is given twice"#);
        assert_eq!(fields(r#"{"A": 1}"#).unwrap_err(), r#"unknown key "A" (did you mean "a"?)"#);
        assert_eq!(fields("[]").unwrap_err(), "an array is not an object");
        assert_eq!(parse(r#"{"a": 1}"#).exact_fields(&["a", "b"]).unwrap_err(), r#"the key "b" is missing"#);
        assert!(parse("1").text().is_err() && parse("null").list().is_err());
        for (bad, line) in [("{\"a\":\n1,}", 2), ("{} {}", 1), ("", 1), ("\"\u{1}\"", 1)] {
            assert_eq!(Json::parse(bad.as_bytes()).unwrap_err().0, line, "{bad:?}");
        }
    }

    #[test]
    fn base64_has_the_standard_alphabet_and_padding() {
        for good in ["", "QQ==", "QUI=", "QUJD", "QU\nJD\r\n"] {
            assert!(is_base64(good), "{good:?}");
        }
        for bad in ["Q", "QQ", "Q===", "QQ=a", "QU-D", "QU D", "===="] {
            assert!(!is_base64(bad), "{bad:?}");
        }
    }
}
