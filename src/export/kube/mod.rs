// SPDX-License-Identifier: MIT
//! Objects of Kubernetes from the configuration: a workload for each pod and for each container alone, with what it needs. From files
//! alone; the same files give the same bytes. Pure over [`Outside`].

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

/// What is asked of this machine beside the configuration.
pub trait Outside {
    /// The content of a regular file, if it can be read and is no larger than a cluster takes.
    fn file(&self, path: &str) -> Option<Vec<u8>>;
    /// The names of the regular files of a directory without others; nothing if it is no such directory.
    fn directory(&self, path: &str) -> Option<Vec<String>>;
    /// The value of a credential.
    fn credential(&self, name: &str) -> Option<Vec<u8>>;
    /// Timers: the path and text of each.
    fn timers(&self) -> Vec<(String, String)>;
}

/// Which object a workload becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// `StatefulSet` where a volume is the workload's own, else `Deployment`.
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

/// What to export, and how.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Names of pods and of containers; all without any.
    pub names: Vec<String>,
    /// Which objects workloads become.
    pub kind: Kind,
    /// The namespace.
    pub namespace: Option<String>,
    /// Whether values of secrets are written.
    pub with_secrets: bool,
    /// Whether paths of the host are mounted.
    pub host_paths: bool,
    /// Whether ports out of the range of node ports become those of load balancers.
    pub load_balancer: bool,
}

/// What a file says that the objects do not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// Where it was written.
    pub at: Location,
    /// The key.
    pub key: String,
    /// Why, and what to do.
    pub reason: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::text::line(&format!("{}: {}=: {}", self.at, self.key, self.reason)))
    }
}

/// What the configuration becomes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exported {
    /// Objects by the name of their file, which is that of the workload.
    pub files: BTreeMap<String, Vec<Value>>,
    /// What was lost.
    pub lost: Vec<Lost>,
    /// What else is worth knowing; nothing is lost by it.
    pub remarks: Vec<String>,
}

impl Exported {
    /// The text of a file.
    ///
    /// # Errors
    /// An object cannot be written, which no type of Kubernetes is.
    pub fn text(&self, file: &str) -> Result<String, String> {
        let objects = self.files.get(file).map(Vec::as_slice).unwrap_or_default();
        write::documents(&[HEAD.to_owned()], objects)
    }
}

/// The first line of each file, without the sign of a comment.
pub const HEAD: &str = "Written by sdme-gen export kube";

/// What the parts of the export share.
struct Context<'a> {
    model: &'a Model,
    outside: &'a dyn Outside,
    request: &'a Request,
    /// The settings of each file, by its path.
    settings: BTreeMap<&'a str, Settings>,
    out: Exported,
    /// Claims that have been written, because several workloads use them.
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

    /// Where a key of a file was written last; its first line without the key.
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

    /// Whether the file of a workload has an object of this kind, and of this name if one is given.
    fn has(&self, workload: &str, kind: &str, name: Option<&str>) -> bool {
        self.out.files.get(workload).is_some_and(|all| all.iter().any(|object| is(object, kind, name)))
    }

    /// The metadata of an object.
    fn metadata(&self, name: &str, labels: BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: self.request.namespace.clone(),
            labels: Some(labels).filter(|labels| !labels.is_empty()),
            ..ObjectMeta::default()
        }
    }
}

/// Exports what was compiled.
///
/// # Errors
/// A name is not in the configuration, or a file of what is to be exported has a mistake.
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

/// The workloads of the names that were given.
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

/// Whether an object is of this kind, and of this name if one is given.
fn is(object: &Value, kind: &str, name: Option<&str>) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    text("/kind") == Some(kind) && name.is_none_or(|name| text("/metadata/name") == Some(name))
}

/// A name as labels of DNS have it.
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
    fn names_are_those_of_dns() {
        for (name, expected) in [("web", "web"), ("Web_1", "web-1"), ("-a.b-", "a-b"), ("___", "x")] {
            assert_eq!(dns(name), expected, "{name}");
        }
        assert_eq!(secrets::split("db-password"), ("db".to_owned(), "password".to_owned()));
        assert_eq!(secrets::split("token"), ("token".to_owned(), "value".to_owned()));
        assert_eq!(secrets::split("A-b"), ("a-b".to_owned(), "value".to_owned()));
    }
}
