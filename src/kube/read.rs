// SPDX-License-Identifier: MIT
//! Parses the text of manifests into typed objects. Handles several documents and lists, and
//! reports every error with its line and field. Pure.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::serde::Deserialize;

use super::lines::{Lines, lines};
use super::strict::{Strict, Wrong, index, key};
use crate::compose::value::{Map, Value};
use crate::compose::{Malformed, yaml};
use crate::diag::suggestion;
use crate::text;

/// A field of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The path in its document, such as `spec.containers[0].image`. Empty for the document itself.
    pub path: String,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, ": {}", self.path) }
    }
}

/// An error: `FILE:LINE: FIELD: cause; remedy`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The field with the error.
    pub field: Field,
    /// The cause and, after a semicolon, the remedy.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::line(&format!("{}: {}", self.field, self.message)))
    }
}

macro_rules! objects {
    ($($kind:ident $version:literal $help:literal),+ $(,)?) => {
        /// An object of a supported kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Object {
            $(#[doc = $help] $kind(Box<$kind>),)+
        }

        /// The supported kinds, each with its API version.
        const KINDS: &[(&str, &str)] = &[$((stringify!($kind), $version)),+];

        impl Object {
            /// The name of the object's kind.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($kind),)+ }
            }

            /// The section `metadata` of the object.
            #[must_use]
            pub fn metadata(&self) -> &super::ObjectMeta {
                match self { $(Self::$kind(object) => &object.metadata,)+ }
            }

            fn read(kind: &str, value: Strict<'_>) -> Option<Result<Self, Wrong>> {
                match kind {
                    $(stringify!($kind) => Some($kind::deserialize(value).map(|object| Self::$kind(Box::new(object)))),)+
                    _ => None,
                }
            }
        }
    };
}

objects! {
    ConfigMap "v1" "Settings and files.",
    CronJob "batch/v1" "A job that runs at times.",
    DaemonSet "apps/v1" "A pod for each machine.",
    Deployment "apps/v1" "Replicas of a pod.",
    Job "batch/v1" "A pod that ends.",
    PersistentVolumeClaim "v1" "A volume that stays.",
    Pod "v1" "A pod.",
    ReplicaSet "apps/v1" "Replicas of a pod.",
    Secret "v1" "Values that are not shown.",
    Service "v1" "A name and ports for pods.",
    StatefulSet "apps/v1" "Replicas of a pod that keep their names and volumes.",
}

/// An object and its location.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The object.
    pub object: Object,
    /// The object as an untyped value, as it was written.
    pub value: Value,
    place: Place,
}

/// The location of an object.
#[derive(Debug, Clone)]
struct Place {
    file: Arc<str>,
    lines: Arc<Lines>,
    /// The path of the object in its document. Not empty for an element of a list.
    prefix: String,
}

impl Place {
    fn field(&self, path: &str) -> Field {
        let path = match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) if path.starts_with('[') => format!("{prefix}{path}"),
            (prefix, path) => format!("{prefix}.{path}"),
        };
        let mut above = path.as_str();
        // For a missing field, the line is that of the nearest parent that exists.
        let line = loop {
            match (self.lines.get(above), above.rfind(['.', '['])) {
                (Some(line), _) => break *line,
                (None, Some(end)) => above = above.get(..end).unwrap_or_default(),
                (None, None) => break self.lines.get("").copied().unwrap_or(1),
            }
        };
        Field { file: Arc::clone(&self.file), line, path }
    }
}

impl Manifest {
    /// The location of a field of the object.
    #[must_use]
    pub fn field(&self, path: &str) -> Field {
        self.place.field(path)
    }

    /// The value at a path of the object, as it was written.
    #[must_use]
    pub fn value_at(&self, path: &str) -> Option<&Value> {
        let parts = path.split(['.', '[']).filter(|part| !part.is_empty());
        parts.into_iter().try_fold(&self.value, |value, part| match part.strip_suffix(']') {
            Some(number) => value.as_list()?.get(number.parse::<usize>().ok()?),
            None => value.get(part),
        })
    }

    /// The object's name. Empty if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.object.metadata().name.as_deref().unwrap_or_default()
    }

    /// The object's namespace, or `default` if it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.object.metadata().namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or("default")
    }
}

/// An object of an unsupported kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The kind of the object.
    pub kind: String,
    /// The location of the object.
    pub field: Field,
}

/// The content of manifest files.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// The objects of supported kinds, in the order of the files.
    pub manifests: Vec<Manifest>,
    /// The objects of other kinds.
    pub others: Vec<Other>,
    /// The errors, sorted by location.
    pub problems: Vec<Problem>,
}

/// Parses files, each given as name and text. All errors are reported at once.
#[must_use]
pub fn read(files: &[(String, String)]) -> Read {
    let mut out = Read::default();
    for (name, text) in files {
        let file: Arc<str> = Arc::from(name.as_str());
        let documents = match yaml::documents(text) {
            Ok(documents) => documents,
            Err(error) => {
                out.problems.push(unreadable(&file, &error));
                continue;
            }
        };
        let mut lines = lines(text).into_iter();
        for value in documents {
            let lines = Arc::new(lines.next().unwrap_or_default());
            let place = Place { file: Arc::clone(&file), lines, prefix: String::new() };
            out.document(value, place);
        }
    }
    out.problems.sort();
    out.problems.dedup();
    out
}

/// The error of a text that is not YAML.
fn unreadable(file: &Arc<str>, error: &Malformed) -> Problem {
    let field = Field { file: Arc::clone(file), line: error.line.unwrap_or(1), path: String::new() };
    Problem { field, message: error.fault.to_string() }
}

impl Read {
    fn document(&mut self, value: Value, place: Place) {
        let problem = |path: &str, message: String| Problem { field: place.field(path), message };
        if !matches!(value, Value::Map(_)) {
            let message =
                format!("{} is in the place of an object; write apiVersion:, kind: and metadata:", value.kind());
            self.problems.push(problem("", message));
            return;
        }
        let text = |name: &str| match value.get(name) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let Some(kind) = text("kind") else {
            self.problems
                .push(problem("kind", "the kind is missing; write kind:, such as kind: Deployment".to_owned()));
            return;
        };
        let Some(version) = text("apiVersion") else {
            let known = KINDS.iter().find(|(name, _)| *name == kind).map_or("v1", |(_, version)| version);
            let message = format!("the version is missing; write apiVersion: {known}");
            self.problems.push(problem("apiVersion", message));
            return;
        };
        if kind == "List" || kind.strip_suffix("List").is_some_and(|kind| KINDS.iter().any(|(name, _)| *name == kind)) {
            self.list(&value, &kind, &place);
            return;
        }
        let Some((_, known)) = KINDS.iter().find(|(name, _)| *name == kind) else {
            let near = suggestion(&kind, KINDS.iter().map(|(name, _)| *name));
            if near.is_empty() {
                self.others.push(Other { kind, field: place.field("") });
            } else {
                self.problems.push(problem("kind", format!("the kind {kind} is not known{near}")));
            }
            return;
        };
        if version != *known {
            // A kind with a supported name, but of another API group.
            if version.contains('.') && !version.contains("k8s.io") {
                self.others.push(Other { kind: format!("{kind} of {version}"), field: place.field("") });
                return;
            }
            let message = format!("{version} has no {kind} that can be read; write apiVersion: {known}");
            self.problems.push(problem("apiVersion", message));
            return;
        }
        self.object(&kind, value, place);
    }

    fn list(&mut self, value: &Value, kind: &str, place: &Place) {
        for (name, _) in value.as_map().into_iter().flat_map(Map::iter) {
            if !["apiVersion", "kind", "metadata", "items"].contains(&name) {
                let near = suggestion(name, ["items", "metadata"]);
                let remedy = if near.is_empty() { "; remove it" } else { &near };
                let message = format!("there is no field {name} here{remedy}");
                self.problems.push(Problem { field: place.field(name), message });
            }
        }
        let Some(Value::List(items)) = value.get("items") else {
            let message = format!("a {kind} has no items; write items: and a - in front of each object");
            self.problems.push(Problem { field: place.field("items"), message });
            return;
        };
        for (number, item) in items.iter().enumerate() {
            let prefix = index(&key(&place.prefix, "items"), number);
            self.document(item.clone(), Place { prefix, ..place.clone() });
        }
    }

    fn object(&mut self, kind: &str, value: Value, place: Place) {
        let unknown = RefCell::new(Vec::new());
        let object = Object::read(kind, Strict::new(&value, "", &unknown));
        let wrong = |wrong: &Wrong| {
            let remedy = if wrong.message.contains(';') { String::new() } else { remedy(kind, &wrong.path) };
            Problem { field: place.field(&wrong.path), message: format!("{}{remedy}", wrong.message) }
        };
        self.problems.extend(unknown.borrow().iter().map(wrong));
        match object {
            None => {}
            Some(Err(error)) => self.problems.push(wrong(&error)),
            Some(Ok(object)) => self.manifests.push(Manifest { object, value, place }),
        }
    }
}

/// The remedy for a value that a type of k8s-openapi refuses.
fn remedy(kind: &str, path: &str) -> String {
    if kind == "Secret" && path.starts_with("data") {
        return "; write the value in base64, or as it is below stringData:".to_owned();
    }
    if path.starts_with("binaryData") {
        return "; write the value in base64, or as it is below data:".to_owned();
    }
    "; correct the value".to_owned()
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
