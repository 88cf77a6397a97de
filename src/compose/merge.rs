// SPDX-License-Identifier: MIT
//! Merges a Compose file with the file that overrides it, or a service with the service that
//! extends it, by the rules of the reference implementation (compose-go 2). Pure.

use std::collections::BTreeMap;

use super::value::{Map, Value};
use crate::diag::Fault;

/// Keys of a service whose value in the later file replaces the whole earlier value.
const REPLACED: [&str; 3] = ["command", "entrypoint", "healthcheck.test"];

/// Keys of a service that are merged as lists, of `NAME=VALUE` or of plain items, no matter whether
/// they are written as list, mapping or scalar.
const SEQUENCES: [&str; 14] = [
    "annotations",
    "build.additional_contexts",
    "build.args",
    "build.labels",
    "deploy.labels",
    "dns",
    "dns_opt",
    "dns_search",
    "env_file",
    "environment",
    "label_file",
    "labels",
    "sysctls",
    "tmpfs",
];

/// Merges two files and applies their `!reset` and `!override` tags.
///
/// # Errors
/// Returns an error if the files have values of different kinds for one key, such as a list and a
/// mapping.
pub fn files(base: Map, over: &Map) -> Result<Map, Fault> {
    let mut path = Vec::new();
    let mut merged = mappings(base, over, &mut path)?;
    unique(&mut merged);
    Ok(merged)
}

/// Merges a service with the service that extends it.
///
/// # Errors
/// The same errors as those of [`files`].
pub fn services(name: &str, base: Value, over: Value) -> Result<Value, Fault> {
    let mut path = vec!["services".to_owned(), name.to_owned()];
    values(base, over, &mut path)
}

fn mappings(mut base: Map, over: &Map, path: &mut Vec<String>) -> Result<Map, Fault> {
    for (key, value) in over.iter() {
        match value {
            Value::Reset => {
                base.remove(key);
            }
            Value::Override(value) => base.set(key, untagged((**value).clone())),
            value => match base.get_mut(key) {
                None => base.set(key, untagged(value.clone())),
                Some(known) => {
                    path.push(key.to_owned());
                    *known = values(std::mem::replace(known, Value::Null), value.clone(), path)?;
                    path.pop();
                }
            },
        }
    }
    Ok(base)
}

fn values(base: Value, over: Value, path: &mut Vec<String>) -> Result<Value, Fault> {
    let key = match path.as_slice() {
        [section, _, keys @ ..] if section == "services" => keys.join("."),
        _ => String::new(),
    };
    let driver = |value: &Value| value.get("driver").and_then(Value::scalar);
    let labels = matches!(path.as_slice(), [section, _, key] if section != "services" && key == "labels");
    match key.as_str() {
        key if REPLACED.contains(&key) => return Ok(untagged(over)),
        key if SEQUENCES.contains(&key) || labels => {
            return Ok(Value::List([sequence(base), sequence(untagged(over))].concat()));
        }
        "extra_hosts" | "build.extra_hosts" => {
            let mut all = sequence(base);
            for host in sequence(untagged(over)) {
                if !all.contains(&host) {
                    all.push(host);
                }
            }
            return Ok(Value::List(all));
        }
        "depends_on" | "networks" => {
            let started = key == "depends_on";
            return values_of_kind(mapping(base, started), mapping(over, started), path);
        }
        "build" => return values_of_kind(context(base), context(over), path),
        "logging" if driver(&base).zip(driver(&over)).is_some_and(|(a, b)| a != b) => return Ok(untagged(over)),
        key if key.starts_with("ulimits.") => return Ok(untagged(over)),
        _ => {}
    }
    values_of_kind(base, over, path)
}

fn values_of_kind(base: Value, over: Value, path: &mut Vec<String>) -> Result<Value, Fault> {
    match (base, over) {
        (base, Value::Null) => Ok(base),
        (Value::Map(base), Value::Map(over)) => Ok(Value::Map(mappings(base, &over, path)?)),
        (Value::List(base), Value::List(over)) => {
            Ok(Value::List([base, over.into_iter().map(untagged).collect()].concat()))
        }
        (base @ (Value::Map(_) | Value::List(_)), over) => {
            let cause = format!("{}: {} cannot override {}", path.join("."), over.kind(), base.kind());
            Err(Fault::new(cause, "write the same kind, or !override in front of the value"))
        }
        (_, over) => Ok(untagged(over)),
    }
}

/// Removes the tags from a value that has no earlier value to act on: an entry marked `!reset` is
/// left out, and an entry marked `!override` becomes a plain value.
#[must_use]
pub fn untagged(value: Value) -> Value {
    match value {
        Value::Override(value) => untagged(*value),
        Value::Map(map) => Value::Map(
            map.iter()
                .filter(|(_, value)| **value != Value::Reset)
                .map(|(key, value)| (key.to_owned(), untagged(value.clone())))
                .collect(),
        ),
        Value::List(items) => {
            Value::List(items.into_iter().filter(|value| *value != Value::Reset).map(untagged).collect())
        }
        Value::Reset => Value::Null,
        other => other,
    }
}

/// Converts a value to its list form: a mapping becomes one `NAME=VALUE` for each key, and a scalar
/// becomes a list of one item.
fn sequence(value: Value) -> Vec<Value> {
    match value {
        Value::List(items) => items,
        Value::Map(map) => map
            .iter()
            .flat_map(|(key, value)| match value {
                Value::List(items) => {
                    items.iter().map(|item| format!("{key}={}", item.scalar().unwrap_or_default())).collect()
                }
                Value::Null => vec![key.to_owned()],
                value => vec![format!("{key}={}", value.scalar().unwrap_or_default())],
            })
            .map(Value::Text)
            .collect(),
        Value::Null | Value::Reset => Vec::new(),
        other => vec![other],
    }
}

fn mapping(value: Value, started: bool) -> Value {
    match value {
        Value::List(items) => {
            let condition = Value::Text("service_started".to_owned());
            let settings = if started {
                Value::Map([("condition".to_owned(), condition)].into_iter().collect())
            } else {
                Value::Null
            };
            Value::Map(items.iter().filter_map(Value::scalar).map(|name| (name, settings.clone())).collect())
        }
        other => other,
    }
}

fn context(value: Value) -> Value {
    match value {
        text @ Value::Text(_) => Value::Map([("context".to_owned(), text)].into_iter().collect()),
        other => other,
    }
}

/// Removes the list items that a later item of the same list replaces, such as an earlier value of
/// the same environment variable.
pub fn unique(model: &mut Map) {
    let Some(Value::Map(services)) = model.get_mut("services") else { return };
    for (_, service) in services.iter_mut() {
        let Value::Map(service) = service else { continue };
        for (key, value) in service.iter_mut() {
            let identity: fn(&Value) -> Option<String> = match key {
                "volumes" | "devices" => target,
                "secrets" | "configs" => source,
                "ports" => port,
                "env_file" => |value| value.scalar().or_else(|| value.get("path")?.scalar()),
                "expose" => Value::scalar,
                key if SEQUENCES.contains(&key) || ["cap_add", "cap_drop", "links"].contains(&key) => name,
                _ => continue,
            };
            if let Value::List(items) = value {
                *items = last_of_each(std::mem::take(items), identity);
            }
        }
    }
}

/// Keeps the last item of each identity, at the position of the first one.
fn last_of_each(items: Vec<Value>, identity: fn(&Value) -> Option<String>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    let mut places = BTreeMap::new();
    for item in items {
        let known = identity(&item).map(|key| *places.entry(key).or_insert(out.len()));
        match known.and_then(|place| out.get_mut(place)) {
            Some(place) => *place = item,
            None => out.push(item),
        }
    }
    out
}

fn name(value: &Value) -> Option<String> {
    let text = value.scalar()?;
    Some(text.split_once('=').map_or(text.clone(), |(name, _)| name.to_owned()))
}

/// The path in the container at which a volume or a device appears.
fn target(value: &Value) -> Option<String> {
    let Some(text) = value.scalar() else { return value.get("target")?.scalar() };
    let mut parts = text.split(':');
    let first = parts.next()?;
    Some(parts.next().unwrap_or(first).to_owned())
}

fn source(value: &Value) -> Option<String> {
    value.scalar().or_else(|| value.get("target")?.scalar()).or_else(|| value.get("source")?.scalar())
}

fn port(value: &Value) -> Option<String> {
    let part = |key: &str| value.get(key).and_then(Value::scalar);
    let text = match value.scalar() {
        Some(text) => text,
        None => format!(
            "{}:{}:{}/{}",
            part("host_ip").unwrap_or_default(),
            part("published").unwrap_or_default(),
            part("target")?,
            part("protocol").unwrap_or_else(|| "tcp".to_owned())
        ),
    };
    let (numbers, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    let numbers = numbers.trim_start_matches(':').trim_start_matches("0.0.0.0:");
    Some(format!("{numbers}/{protocol}"))
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
