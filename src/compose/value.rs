// SPDX-License-Identifier: MIT
//! The values of a Compose file, as YAML has them. Pure.

/// A value. Numbers keep the text that the reference implementation prints for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: `null`, `~` or an empty value.
    Null,
    /// `true` or `false`
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

/// A mapping in the order of the file. No key occurs twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    entries: Vec<(String, Value)>,
}

impl Map {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.entries.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Sets a key; one that exists keeps its place.
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

    /// The keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The keys and values in order, the values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        self.entries.iter_mut().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps the keys for which `keep` is true.
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
    /// A mapping's key, or nothing if this is no mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// The mapping.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text of a scalar, as the reference implementation writes it into a string. Nothing for null, lists and mappings.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The boolean, which may be text that interpolation made: the words of YAML 1.1, as the reference implementation takes them.
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

    /// What kind of value this is, for messages.
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

/// A value, the items of a list, or `NAME=VALUE` for those of a mapping.
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

/// Whether a list or mapping has nothing in it.
#[must_use]
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}
