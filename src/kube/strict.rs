// SPDX-License-Identifier: MIT
//! A deserializer that accepts only known fields: an unknown field, a text instead of a number and
//! similar errors are reported with the path of the field and a remedy. Pure.
//!
//! The input is the values of [`crate::compose::yaml`], so that manifests are parsed by the same
//! YAML parser as Compose files. `serde_ignored` and `serde_path_to_error` would report the paths,
//! but not the existing fields, which a remedy needs, and would refuse `cpu: 1`.

use std::cell::RefCell;
use std::fmt;

use k8s_openapi::serde::de::value::StrDeserializer;
use k8s_openapi::serde::de::{
    self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};

use crate::compose::value::Value;
use crate::diag::suggestion;

/// The error of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The path of the field.
    pub path: String,
    /// The cause and, after a semicolon, the remedy.
    pub message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: String::new(), message: message.to_string() }
    }
}

impl Wrong {
    /// Sets the path of the error, unless it has a path already.
    fn at(mut self, path: &str) -> Self {
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        }
        self
    }
}

/// The path of the field `key` in the mapping at `path`.
#[must_use]
pub fn key(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{key}]"),
    }
}

/// The path of an element of the list at `path`.
pub fn index(path: &str, number: usize) -> String {
    format!("{path}[{number}]")
}

/// A value that is deserialized.
pub struct Strict<'a> {
    value: &'a Value,
    path: String,
    /// Collects the unknown fields.
    unknown: &'a RefCell<Vec<Wrong>>,
    /// Whether a number is accepted as text.
    is_quantity: bool,
}

impl<'a> Strict<'a> {
    /// Deserializes the value at `path`. Unknown fields are added to `unknown`.
    pub fn new(value: &'a Value, path: &str, unknown: &'a RefCell<Vec<Wrong>>) -> Self {
        Self { value, path: path.to_owned(), unknown, is_quantity: false }
    }

    fn needs(&self, what: &str) -> Wrong {
        let remedy = match (what, self.value) {
            ("a text", Value::Number(text)) => format!("write \"{text}\""),
            ("a text", Value::Bool(value)) => format!("write \"{value}\""),
            ("a number", Value::Text(text)) if text.parse::<i64>().is_ok() => format!("write {text} without quotes"),
            ("a boolean", _) => "write true or false".to_owned(),
            ("a list", _) => "write a - in front of each element".to_owned(),
            ("a mapping", _) => "write a line KEY: VALUE for each field".to_owned(),
            _ => format!("write {what}"),
        };
        let kind = self.value.kind();
        Wrong { path: self.path.clone(), message: format!("{kind} is in the place of {what}; {remedy}") }
    }

    fn integer<T: TryFrom<i128>>(&self) -> Result<T, Wrong> {
        let Value::Number(text) = self.value else { return Err(self.needs("a number")) };
        let number = text.parse::<i128>().map_err(|_| Wrong {
            path: self.path.clone(),
            message: format!("{text} is no whole number; write a whole number"),
        })?;
        T::try_from(number).map_err(|_| Wrong {
            path: self.path.clone(),
            message: format!("{text} is out of range; write a smaller number"),
        })
    }

    fn text(&self) -> Result<&'a str, Wrong> {
        match self.value {
            Value::Text(text) => Ok(text),
            Value::Number(text) if self.is_quantity => Ok(text),
            _ => Err(self.needs("a text")),
        }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $kind:ty),+ $(,)?) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let number: $kind = self.integer()?;
            visitor.$visit(number).map_err(|error: Wrong| error.at(&self.path))
        })+
    };
}

impl<'a> Deserializer<'a> for Strict<'a> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::Text(text) => visitor.visit_str(text).map_err(|error: Wrong| error.at(&self.path)),
            Value::Number(text) if text.parse::<i64>().is_ok() => self.deserialize_i64(visitor),
            Value::Number(text) => {
                let number = text.parse().map_err(|_| self.needs("a number"))?;
                visitor.visit_f64(number).map_err(|error: Wrong| error.at(&self.path))
            }
            Value::Bool(value) => visitor.visit_bool(*value).map_err(|error: Wrong| error.at(&self.path)),
            Value::Null | Value::Reset => visitor.visit_unit().map_err(|error: Wrong| error.at(&self.path)),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::Override(value) => Strict { value, ..self }.deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Value::Bool(value) = self.value else { return Err(self.needs("a boolean")) };
        visitor.visit_bool(*value)
    }

    integers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
    );

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_any(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let text = self.text()?;
        visitor.visit_str(text).map_err(|error: Wrong| error.at(&self.path))
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::Null | Value::Reset => visitor.visit_none(),
            _ => {
                let path = self.path.clone();
                visitor.visit_some(self).map_err(|error: Wrong| error.at(&path))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, name: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        let path = self.path.clone();
        let inner = Strict { is_quantity: name == "Quantity", ..self };
        visitor.visit_newtype_struct(inner).map_err(|error| error.at(&path))
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Value::List(items) = self.value else { return Err(self.needs("a list")) };
        visitor.visit_seq(Items { rest: items.iter(), number: 0, path: self.path, unknown: self.unknown })
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Value::Map(map) = self.value else { return Err(self.needs("a mapping")) };
        let entries: Vec<(&str, &Value)> = map.iter().collect();
        visitor.visit_map(Entries { rest: entries.into_iter(), value: None, path: self.path, unknown: self.unknown })
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let Value::Map(map) = self.value else { return Err(self.needs("a mapping")) };
        for (name, _) in map.iter().filter(|(name, _)| !fields.contains(name)) {
            let near = suggestion(name, fields.iter().copied());
            let remedy = if near.is_empty() { "; remove it".to_owned() } else { near };
            let message = format!("there is no field {name} here{remedy}");
            self.unknown.borrow_mut().push(Wrong { path: key(&self.path, name), message });
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let text: StrDeserializer<'a, Wrong> = self.text()?.into_deserializer();
        visitor.visit_enum(text).map_err(|error: Wrong| error.at(&self.path))
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    k8s_openapi::serde::forward_to_deserialize_any! {
        <W: Visitor<'a>> bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    rest: std::slice::Iter<'a, Value>,
    number: usize,
    path: String,
    unknown: &'a RefCell<Vec<Wrong>>,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(value) = self.rest.next() else { return Ok(None) };
        let path = index(&self.path, self.number);
        self.number += 1;
        seed.deserialize(Strict::new(value, &path, self.unknown)).map(Some).map_err(|error| error.at(&path))
    }
}

struct Entries<'a> {
    rest: std::vec::IntoIter<(&'a str, &'a Value)>,
    value: Option<(&'a str, &'a Value)>,
    path: String,
    unknown: &'a RefCell<Vec<Wrong>>,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.value = self.rest.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        let key: StrDeserializer<'a, Wrong> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some((name, value)) = self.value.take() else { return Err(Wrong::custom("a value is missing")) };
        let path = key(&self.path, name);
        seed.deserialize(Strict::new(value, &path, self.unknown)).map_err(|error| error.at(&path))
    }
}
