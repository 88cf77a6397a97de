// SPDX-License-Identifier: MIT
//! Exports the configuration as objects of Kubernetes: a workload for each pod and for each
//! container without a pod, with the objects that it needs. The objects depend only on the files,
//! and equal files yield equal bytes. Pure over [`Outside`].

mod accounts;
mod configs;
mod jobs;
mod networks;
mod pod;
mod secrets;
mod services;
mod storage;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::serde::Serialize;
use serde_json::Value;

use crate::config::settings::Settings;
use crate::config::sources::Sources;
use crate::diag::Location;
use crate::kube::{ObjectMeta, write};
use crate::model::Model;
use workloads::Workload;

/// Access to the parts of this machine that are not configuration.
pub trait Outside {
    /// Returns the content of a regular file, if it is readable and not larger than a cluster
    /// accepts.
    fn file(&self, path: &str) -> Option<Vec<u8>>;
    /// Returns the names of the files in a directory, or `None` if it is not a directory of regular
    /// files only.
    fn directory(&self, path: &str) -> Option<Vec<String>>;
    /// Returns the value of a credential.
    fn credential(&self, name: &str) -> Option<Vec<u8>>;
    /// Returns the path and the text of each timer unit.
    fn timers(&self) -> Vec<(String, String)>;
}

/// The kind of object that a workload becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// `StatefulSet` if the workload has a volume that no other workload uses, `Deployment`
    /// otherwise.
    #[default]
    Auto,
    /// `Pod`
    Pod,
    /// `Deployment`
    Deployment,
    /// `StatefulSet`
    StatefulSet,
    /// `DaemonSet`
    DaemonSet,
}

/// The selection and the options of an export.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Names of pods and containers; if empty, everything is exported.
    pub names: Vec<String>,
    /// The kind of object that workloads become.
    pub kind: Kind,
    /// The namespace of the objects; by default they have none.
    pub namespace: Option<String>,
    /// Whether the values of secrets are exported.
    pub with_secrets: bool,
    /// Whether paths of the host are mounted.
    pub host_paths: bool,
    /// Whether ports outside of the range of node ports are published by load balancers.
    pub load_balancer: bool,
}

/// A setting that is not exported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// The file and line of the setting.
    pub at: Location,
    /// The key of the setting.
    pub key: String,
    /// The reason, and what the user can do.
    pub reason: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::text::line(&format!("{}: {}=: {}", self.at, self.key, self.reason)))
    }
}

/// The result of an export.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exported {
    /// The objects by file. A file is named after its workload.
    pub files: BTreeMap<String, Vec<Value>>,
    /// The settings that were not exported.
    pub lost: Vec<Lost>,
    /// Further remarks about settings that were exported.
    pub remarks: Vec<String>,
}

impl Exported {
    /// Returns the text of a file as YAML documents.
    ///
    /// # Errors
    /// Returns an error if an object cannot be serialized, which does not happen with the types of
    /// Kubernetes.
    pub fn text(&self, file: &str) -> Result<String, String> {
        let objects = self.files.get(file).map(Vec::as_slice).unwrap_or_default();
        write::documents(&[HEAD.to_owned()], objects)
    }
}

/// The text of the comment in the first line of each file.
pub const HEAD: &str = "Written by sdme-gen export kube";

/// The state that all parts of the export share.
struct Context<'a> {
    model: &'a Model,
    outside: &'a dyn Outside,
    request: &'a Request,
    /// The settings of each file, by the path of the file.
    settings: BTreeMap<&'a str, Settings>,
    out: Exported,
    /// The claims that were written already, because several workloads can use one.
    claims: BTreeSet<String>,
}

impl Context<'_> {
    fn lose(&mut self, at: &Location, key: &str, reason: impl Into<String>) {
        let lost = Lost { at: at.clone(), key: key.to_owned(), reason: reason.into() };
        if !self.out.lost.contains(&lost) {
            self.out.lost.push(lost);
        }
    }

    fn remark(&mut self, text: String) {
        if !self.out.remarks.contains(&text) {
            self.out.remarks.push(text);
        }
    }

    /// Returns the location of the last line that sets a key in a file, or the location of the
    /// whole file if no line does.
    fn at(&self, file: &std::sync::Arc<str>, section: &str, key: &str) -> Location {
        let settings = self.settings.get(&**file);
        let entry = settings.and_then(|settings| settings.section(section).filter(|entry| entry.key == key).last());
        entry.map_or_else(|| Location::whole(file), |entry| entry.at.clone())
    }

    /// Adds an object to the file of a workload.
    fn add(&mut self, workload: &str, object: &impl Serialize) {
        match write::value(object) {
            Ok(value) => self.out.files.entry(workload.to_owned()).or_default().push(value),
            Err(message) => self.remark(format!("{workload}: {message}")),
        }
    }

    /// Whether the file of a workload has an object of this kind and, if given, of this name.
    fn has(&self, workload: &str, kind: &str, name: Option<&str>) -> bool {
        self.out.files.get(workload).is_some_and(|all| all.iter().any(|object| is(object, kind, name)))
    }

    /// Returns the metadata of an object.
    fn metadata(&self, name: &str, labels: BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: self.request.namespace.clone(),
            labels: Some(labels).filter(|labels| !labels.is_empty()),
            ..ObjectMeta::default()
        }
    }
}

/// Exports a compiled configuration.
///
/// # Errors
/// Returns a message for each requested name that does not exist, and the diagnostics of each
/// requested file that was rejected.
pub fn export(
    sources: &Sources,
    model: &Model,
    outside: &dyn Outside,
    request: &Request,
) -> Result<Exported, Vec<String>> {
    let settings = sources.files.iter().filter_map(|file| {
        let settings = Settings::load_on(file, sources).ok()?;
        Some((&*file.main.path, settings))
    });
    let mut context = Context {
        model,
        outside,
        request,
        settings: settings.collect(),
        out: Exported::default(),
        claims: BTreeSet::new(),
    };
    let all = workloads::all(sources, model);
    let chosen = choose(&all, model, request)?;
    let timers = jobs::timers(outside);
    for workload in &chosen {
        accounts::files(workload, &mut context);
        pod::export(workload, &all, &timers, &mut context);
    }
    networks::policies(&chosen, &mut context);
    context.out.lost.sort();
    context.out.lost.dedup();
    context.out.remarks.sort();
    Ok(context.out)
}

/// Selects the workloads that the request names.
fn choose<'w, 'a>(
    all: &'w [Workload<'a>],
    model: &Model,
    request: &Request,
) -> Result<Vec<&'w Workload<'a>>, Vec<String>> {
    let is_chosen = |workload: &&Workload<'_>| {
        request.names.is_empty() || request.names.iter().any(|name| workload.is_called(name))
    };
    let mut problems: Vec<String> = Vec::new();
    for name in &request.names {
        let rejected = model.rejected.iter().find(|rejected| rejected.name == *name);
        if let Some(rejected) = rejected {
            problems.extend(rejected.problems.iter().map(ToString::to_string));
        } else if !all.iter().any(|workload| workload.is_called(name)) {
            let names = all.iter().map(|workload| workload.name.as_str());
            problems.push(format!("there is no container or pod {name}{}", crate::diag::suggestion(name, names)));
        }
    }
    if request.names.is_empty() {
        problems.extend(model.rejected.iter().flat_map(|rejected| &rejected.problems).map(ToString::to_string));
    }
    if problems.is_empty() { Ok(all.iter().filter(is_chosen).collect()) } else { Err(problems) }
}

/// Whether an object has this kind and, if given, this name.
fn is(object: &Value, kind: &str, name: Option<&str>) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    text("/kind") == Some(kind) && name.is_none_or(|name| text("/metadata/name") == Some(name))
}

/// Converts a name to a DNS label: lower-case letters, digits and dashes, at most 63 characters.
fn dns(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).take(63).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() { "x".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_dns_labels_and_credentials_become_secret_keys() {
        for (name, expected) in [("web", "web"), ("Web_1", "web-1"), ("-a.b-", "a-b"), ("___", "x")] {
            assert_eq!(dns(name), expected, "{name}");
        }
        assert_eq!(secrets::split("db-password"), ("db".to_owned(), "password".to_owned()));
        assert_eq!(secrets::split("token"), ("token".to_owned(), "value".to_owned()));
        assert_eq!(secrets::split("A-b"), ("a-b".to_owned(), "value".to_owned()));
    }
}
