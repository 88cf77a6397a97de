// SPDX-License-Identifier: MIT
//! The values of a Compose file, in the data model of YAML. Pure.

/// A value. A number is kept as the text that the reference implementation prints for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No value: `null`, `~` or an empty value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer or a floating point number.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A mapping.
    Map(Map),
    /// Marked with `!reset`: removes what earlier files set.
    Reset,
    /// Marked with `!override`: replaces what earlier files set instead of merging with it.
    Override(Box<Value>),
}

/// A mapping that keeps the order of the file. Every key is unique.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    entries: Vec<(String, Value)>,
}

impl Map {
    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Returns the value of a key as a mutable reference.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.entries.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Sets the value of a key. An existing key keeps its position; a new key is appended.
    pub fn set(&mut self, key: &str, value: Value) {
        match self.get_mut(key) {
            Some(known) => *known = value,
            None => self.entries.push((key.to_owned(), value)),
        }
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.entries.iter().position(|(known, _)| known == key)?;
        Some(self.entries.remove(index).1)
    }

    /// Iterates over the keys and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Iterates over the keys and mutable values in the order of the file.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        self.entries.iter_mut().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether the mapping has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps the entries for which `keep` returns true.
    pub fn retain(&mut self, keep: impl Fn(&str, &Value) -> bool) {
        self.entries.retain(|(key, value)| keep(key, value));
    }
}

impl FromIterator<(String, Value)> for Map {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(entries: T) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.set(&key, value);
        }
        map
    }
}

impl Value {
    /// Returns the value of a key, or `None` if this value is not a mapping or lacks the key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Returns the mapping, or `None` for another kind of value.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the items of the list, or `None` for another kind of value.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the text of a scalar, as the reference implementation formats it. Returns `None` for
    /// null, lists and mappings.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// Returns the boolean. A text counts as a boolean too, because interpolation makes texts: the
    /// words of YAML 1.1 are accepted, as in the reference implementation.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "y" | "yes" | "on" | "1" => Some(true),
                "false" | "n" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the kind of this value with its article, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null | Self::Reset => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Override(value) => value.kind(),
        }
    }
}

/// Returns the items of a list, `NAME=VALUE` for each entry of a mapping, or the one value of a
/// scalar.
#[must_use]
pub fn words(value: &Value) -> Vec<String> {
    match value {
        Value::List(items) => items.iter().filter_map(Value::scalar).collect(),
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| value.scalar().map_or_else(|| key.to_owned(), |value| format!("{key}={value}")))
            .collect(),
        other => other.scalar().into_iter().collect(),
    }
}

/// Whether the value is an empty list or an empty mapping.
#[must_use]
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}
