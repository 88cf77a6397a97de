// SPDX-License-Identifier: MIT
//! Converts the process of a service: command, environment, user and health check. Pure.

use std::collections::BTreeMap;

use super::{Context, shell};
use crate::compose::dotenv;
use crate::compose::value::{Map, Value, words};
use crate::convert::Builder;

/// Writes `command` or `entrypoint`.
pub fn command(key: &str, value: &Value, settings: &Map, container: &mut Builder) {
    let all = match value {
        Value::List(_) => Ok(words(value)),
        other => shell::split(&other.scalar().unwrap_or_default()),
    };
    let all = match all {
        Ok(all) => all,
        Err(error) => return container.note(key, &error),
    };
    match (key, all.first()) {
        ("entrypoint", None) => container.put(key, "Entrypoint", "[]"),
        ("entrypoint", Some(first)) if first.starts_with('[') => json(key, "Entrypoint", &all, container),
        ("entrypoint", Some(_)) => container.words(key, "Entrypoint", &all),
        // An entrypoint also disables the command of the image, so an empty command changes
        // nothing.
        (_, None) if settings.get("entrypoint").is_some_and(|value| *value != Value::Null) => {}
        (_, None) => container.note(key, "it is empty, and the command of the image stays; set entrypoint:"),
        (_, Some(_)) => container.words(key, "Exec", &all),
    }
}

fn json(key: &str, ours: &str, all: &[String], container: &mut Builder) {
    let text = serde_json::Value::from(all.to_vec()).to_string();
    container.put(key, ours, &text);
}

/// Writes `user`: a user, optionally followed by a colon and a group.
pub fn user(value: &Value, container: &mut Builder) {
    let text = value.scalar().unwrap_or_default();
    let (user, group) = text.split_once(':').map_or((text.as_str(), ""), |(user, group)| (user, group));
    for (key, part) in [("User", user), ("Group", group)] {
        if !part.is_empty() {
            container.put("user", key, part);
        }
    }
}

/// Writes `environment` and `env_file`. A file is referenced by `EnvironmentFile=` if that yields
/// the same variables, so that changes take effect at the next start. Otherwise its variables are
/// copied.
pub fn environment(settings: &Map, container: &mut Builder, context: &Context<'_>) {
    let own: Vec<(String, Option<String>)> = match settings.get("environment") {
        Some(Value::Map(map)) => map
            .iter()
            .map(|(name, value)| (name.to_owned(), (*value != Value::Null).then(|| value.scalar().unwrap_or_default())))
            .collect(),
        Some(other) => words(other)
            .into_iter()
            .map(|word| match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            })
            .collect(),
        None => Vec::new(),
    };
    let mut inherited: BTreeMap<String, String> = BTreeMap::new();
    let mut written: BTreeMap<String, String> = BTreeMap::new();
    for (path, required, raw) in env_files(settings) {
        let project = &context.resolved.environment;
        let outside = |name: &str| project.get(name).or_else(|| inherited.get(name)).cloned();
        let literal = |text: &str| dotenv::parse_raw(text, &|_| None);
        match context.files.read(&path) {
            Ok(Some(text)) => {
                let parsed = if raw { Ok(dotenv::parse_raw(&text, &outside)) } else { dotenv::parse(&text, &outside) };
                match parsed {
                    Ok(variables) => {
                        if variables == literal(&text) && written.is_empty() && !path.contains('%') {
                            container.put("env_file", "EnvironmentFile", &path);
                        } else {
                            written.extend(variables.clone());
                        }
                        inherited.extend(variables);
                    }
                    Err(error) => container.note("env_file", &error.of(&path).to_string()),
                }
            }
            // A missing file is referenced too, because it may exist at the next start.
            Ok(None) => {
                let mark = if required { "" } else { "-" };
                container.put("env_file", "EnvironmentFile", &format!("{mark}{path}"));
            }
            Err(fault) => container.note("env_file", &fault.to_string()),
        }
    }
    for (name, value) in written {
        if !own.iter().any(|(known, _)| *known == name) {
            container.put("env_file", "Environment", &format!("{name}={value}"));
        }
    }
    for (name, value) in own {
        // A name without a value takes the value of the user's environment or of .env; without a
        // value there, the variable is not set.
        if let Some(value) = value.or_else(|| context.resolved.environment.get(&name).cloned()) {
            container.put("environment", "Environment", &format!("{name}={value}"));
        }
    }
}

/// Returns the files of `env_file`: the path, whether the file is required, and whether it is in
/// the raw format.
fn env_files(settings: &Map) -> Vec<(String, bool, bool)> {
    let one = |value: &Value| {
        let path = value.scalar().or_else(|| value.get("path")?.scalar())?;
        let required = value.get("required").and_then(Value::boolean) != Some(false);
        Some((path, required, value.get("format").and_then(Value::scalar).as_deref() == Some("raw")))
    };
    match settings.get("env_file") {
        Some(Value::List(items)) => items.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Writes `healthcheck`.
pub fn health(value: &Value, container: &mut Builder) {
    let none = Map::default();
    let settings = value.as_map().unwrap_or(&none);
    let test = settings.get("test").map(|test| (words(test), matches!(test, Value::List(_))));
    let disabled = settings.get("disable").and_then(Value::boolean) == Some(true);
    if disabled || test.as_ref().is_some_and(|(test, list)| *list && test.first().is_some_and(|word| word == "NONE")) {
        return container.put("healthcheck", "HealthCmd", "none");
    }
    match test.as_ref().map(|(test, list)| (test.as_slice(), *list)) {
        Some(([kind, rest @ ..], true)) if kind == "CMD" && !rest.is_empty() => {
            json("healthcheck.test", "HealthCmd", rest, container);
        }
        Some(([kind, line], true)) if kind == "CMD-SHELL" => shell_line("healthcheck.test", line, container),
        Some(([line], false)) if !line.trim().is_empty() => shell_line("healthcheck.test", line, container),
        Some((other, _)) if !other.is_empty() => {
            container.note("healthcheck.test", "it has neither CMD, CMD-SHELL nor NONE first");
        }
        _ => {}
    }
    for (key, value) in settings.iter().filter(|(_, value)| **value != Value::Null) {
        let ours = match key {
            "interval" => "HealthInterval",
            "timeout" => "HealthTimeout",
            "retries" => "HealthRetries",
            "start_period" => "HealthStartPeriod",
            "start_interval" => {
                container.note("healthcheck.start_interval", "checks come at the usual interval after the start, too");
                continue;
            }
            "test" | "disable" => continue,
            key if key.starts_with("x-") => continue,
            _ => {
                container.note(&format!("healthcheck.{key}"), "unknown key; it is ignored");
                continue;
            }
        };
        let time = value.scalar().unwrap_or_default();
        // Docker treats zero as the default value.
        if time.trim_end_matches(|c: char| c.is_ascii_alphabetic()) != "0" {
            container.put(&format!("healthcheck.{key}"), ours, &time);
        }
    }
}

/// Writes a health check that is a line for the shell. A line that `HealthCmd=` would read
/// differently is written as a list of words instead.
pub fn shell_line(origin: &str, line: &str, container: &mut Builder) {
    let plain = !line.starts_with('[')
        && !line.contains(char::is_control)
        && line.trim() == line
        && !line.ends_with('\\')
        && line != "none";
    if plain {
        container.put(origin, "HealthCmd", line);
    } else {
        let words = ["/bin/sh", "-c", line.trim_end_matches('\n')].map(str::to_owned);
        json(origin, "HealthCmd", &words, container);
    }
}
