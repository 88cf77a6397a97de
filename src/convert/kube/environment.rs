// SPDX-License-Identifier: MIT
//! Converts the environment of a container, and references `$(NAME)` to it in values and commands.
//! Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource};

use super::workload::Workload;
use super::{Context, accounts, values};
use crate::convert::Builder;
use crate::unit::is_env_name;

/// The variables of a container. A variable that is set to a secret has no value here.
#[derive(Debug, Default)]
pub struct Variables {
    known: BTreeMap<String, Option<String>>,
}

impl Variables {
    /// Replaces the references in a text. `$$(NAME)` becomes `$(NAME)`, and a reference to a
    /// variable that does not exist is kept.
    ///
    /// # Errors
    /// Returns the name of a referenced variable whose value is a secret.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out += before;
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let reference = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
            match reference.and_then(|(name, after)| Some((name, self.known.get(name)?, after))) {
                Some((_, Some(value), after)) => {
                    out += value;
                    rest = after;
                }
                Some((name, None, _)) => return Err(name.to_owned()),
                None => out.push('$'),
            }
        }
        Ok(out + rest)
    }
}

/// An environment under construction: a later source overrides an earlier one, and a single
/// variable overrides all sources.
#[derive(Default)]
struct Environment {
    variables: Variables,
    written: BTreeMap<String, EnvValue>,
    order: Vec<String>,
}

impl Environment {
    fn set(&mut self, name: &str, value: EnvValue) {
        let known = if let EnvValue::Value(text) = &value { Some(text.clone()) } else { None };
        self.variables.known.insert(name.to_owned(), known);
        if self.written.insert(name.to_owned(), value).is_none() {
            self.order.push(name.to_owned());
        }
    }
}

/// Writes the environment, and returns its variables.
pub fn environment(
    own: &Container,
    path: &str,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) -> Variables {
    let mut out = Environment::default();
    for (number, source) in own.env_from.iter().flatten().enumerate() {
        whole(source, &format!("{path}.envFrom[{number}]"), workload, &mut out, context);
    }
    for (number, variable) in own.env.iter().flatten().enumerate() {
        let path = format!("{path}.env[{number}]");
        let name = variable.name.as_str();
        if !is_env_name(name) {
            let reason = format!("{name:?} is no name of a variable here; write another name");
            context.lose(workload.manifest, &path, reason);
        } else if let Some(from) = &variable.value_from {
            one(name, from, &format!("{path}.valueFrom"), own, workload, &mut out, context);
        } else {
            match out.variables.expand(variable.value.as_deref().unwrap_or_default()) {
                Ok(value) => out.set(name, EnvValue::Value(value)),
                Err(secret) => context.lose(workload.manifest, &path, of_secret(&secret)),
            }
        }
    }
    for name in out.order {
        match out.written.remove(&name) {
            Some(EnvValue::Value(value)) => builder.put("env", "Environment", &format!("{name}={value}")),
            Some(EnvValue::Secret(credential)) => {
                builder.put("env", "Secret", &format!("{credential},type=env,target={name}"));
            }
            None => {}
        }
    }
    out.variables
}

/// Adds all values of a `ConfigMap` or `Secret`.
fn whole(
    source: &EnvFromSource,
    path: &str,
    workload: &Workload<'_>,
    out: &mut Environment,
    context: &mut Context<'_>,
) {
    let manifest = workload.manifest;
    let prefix = source.prefix.clone().unwrap_or_default();
    let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
        (Some(map), _) => ("ConfigMap", map.name.as_str(), map.optional),
        (None, Some(secret)) => ("Secret", secret.name.as_str(), secret.optional),
        (None, None) => return,
    };
    let all = match kind {
        "ConfigMap" => values::config_map(name, manifest, context),
        _ => values::secret(name, manifest, context),
    };
    let Some(all) = all else {
        if optional != Some(true) {
            let reason = format!("the {kind} {name} is not in these files; add its file, or write the variables");
            context.lose(manifest, path, reason);
        }
        return;
    };
    for (key, value) in all {
        let variable = format!("{prefix}{key}");
        if !is_env_name(&variable) {
            let reason = format!("{variable:?} is no name of a variable, so it is left out; write it below env:");
            context.lose(manifest, path, reason);
        } else if kind == "Secret" {
            let credential = values::credential(name, &key, Some(&value), manifest, context);
            out.set(&variable, EnvValue::Secret(credential));
        } else if let Ok(text) = String::from_utf8(value) {
            out.set(&variable, EnvValue::Value(text));
        } else {
            context.lose(
                manifest,
                path,
                format!("the value of {key} is no text, so it is left out; mount it as a file"),
            );
        }
    }
}

/// Adds a variable whose value is a reference.
fn one(
    name: &str,
    from: &EnvVarSource,
    path: &str,
    own: &Container,
    workload: &Workload<'_>,
    out: &mut Environment,
    context: &mut Context<'_>,
) {
    let manifest = workload.manifest;
    accounts::others(manifest, path, &["configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef"], context);
    if let Some(reference) = &from.config_map_key_ref {
        let all = values::config_map(&reference.name, manifest, context);
        let value = all.as_ref().and_then(|all| all.get(&reference.key));
        match value.and_then(|value| std::str::from_utf8(value).ok()) {
            Some(value) => out.set(name, EnvValue::Value(value.to_owned())),
            None if reference.optional == Some(true) => {}
            None => {
                let (key, map) = (&reference.key, &reference.name);
                let reason =
                    format!("there is no {key} in a ConfigMap {map} of these files; add its file, or write value:");
                context.lose(manifest, &format!("{path}.configMapKeyRef"), reason);
            }
        }
    } else if let Some(reference) = &from.secret_key_ref {
        let all = values::secret(&reference.name, manifest, context);
        let value = all.as_ref().and_then(|all| all.get(&reference.key));
        if value.is_none() && reference.optional == Some(true) {
            return;
        }
        let credential = values::credential(&reference.name, &reference.key, value, manifest, context);
        if value.is_none() {
            let reason = missing(&reference.key, &reference.name, &credential);
            context.lose(manifest, &format!("{path}.secretKeyRef"), reason);
        }
        out.set(name, EnvValue::Secret(credential));
    } else if let Some(reference) = &from.field_ref {
        match values::field(reference, workload) {
            Ok(value) => out.set(name, EnvValue::Value(value)),
            Err(reason) => context.lose(manifest, &format!("{path}.fieldRef"), reason),
        }
    } else if let Some(reference) = &from.resource_field_ref {
        match values::resource(reference, own, workload) {
            Ok(value) => out.set(name, EnvValue::Value(value)),
            Err(reason) => context.lose(manifest, &format!("{path}.resourceFieldRef"), reason),
        }
    }
}

/// The value of a variable in the file.
enum EnvValue {
    Value(String),
    /// The name of a credential.
    Secret(String),
}

/// Returns the message for a text that is not converted because it refers to a secret.
pub fn of_secret(name: &str) -> String {
    format!("the value of {name} is a secret, and would be readable here; let the program read the variable {name}")
}

/// Returns the message for a key of a Secret that is not in the files.
pub fn missing(key: &str, secret: &str, credential: &str) -> String {
    format!(
        "there is no {key} in a Secret {secret} of these files; write its value to /etc/credstore/{credential}, or encrypted by \
         systemd-creds(1) to /etc/credstore.encrypted/{credential}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references_to_known_variables_are_replaced() {
        let known = [("A".to_owned(), Some("x".to_owned())), ("S".to_owned(), None)].into();
        let variables = Variables { known };
        for (text, expected) in
            [("$(A)y", "xy"), ("$$(A)", "$(A)"), ("$(B) $A $", "$(B) $A $"), ("$(A", "$(A"), ("a$$b", "a$b")]
        {
            assert_eq!(variables.expand(text).unwrap(), expected, "{text}");
        }
        assert_eq!(variables.expand("x $(S)"), Err("S".to_owned()));
    }
}
