// SPDX-License-Identifier: MIT
//! Converts a resolved Compose project to configuration files of sdme-gen: a container for each
//! service, a volume for each named volume, and a network for each network that a service uses.
//! Every key is converted, has no effect, or is listed as lost. Pure over [`Files`].

mod cdi;
mod limits;
pub(super) mod network;
pub(super) mod process;
mod replicas;
pub(super) mod service;
mod shell;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

pub use super::outcome::{Lost, Outcome};
use replicas::Place;
use service::Service;

use super::{Builder, mark, name, unique, without_refused};
use crate::compose::value::{Map, Value};
use crate::compose::{Files, Resolved};
use crate::config::keys::FileType;
use crate::diag::Fault;

/// The name of the conversion in the marks of the written files.
pub const TOOL: &str = "compose";

/// The state that the conversions of all services share.
pub(super) struct Context<'a> {
    resolved: &'a Resolved,
    files: &'a dyn Files,
    /// All services with their settings.
    services: &'a Map,
    /// The names of the container files, by service.
    containers: BTreeMap<&'a str, Place>,
    /// The source of each volume in `Volume=`: the name of a `.volume` file, of a volume, or a
    /// path.
    volumes: BTreeMap<&'a str, String>,
    /// Services that another service waits for until they are healthy.
    healthy: BTreeSet<String>,
    /// Services that another service waits for until they have completed.
    completed: BTreeSet<String>,
    out: Outcome,
}

impl Context<'_> {
    fn lose(&mut self, subject: &str, key: &str, reason: impl Into<String>) {
        let lost = Lost { subject: subject.to_owned(), key: key.to_owned(), reason: reason.into() };
        if !self.out.lost.contains(&lost) {
            self.out.lost.push(lost);
        }
    }

    /// Moves the notes of a builder to the list of lost settings. Each note starts with its key.
    fn take_notes(&mut self, subject: &str, builder: &mut Builder) {
        for note in std::mem::take(&mut builder.notes) {
            let (key, reason) = note.split_once(": ").unwrap_or((&note, ""));
            self.lose(subject, key, reason);
        }
    }
}

/// Converts a project.
///
/// # Errors
/// Returns an error if a service is not a mapping.
pub fn compose(resolved: &Resolved, files: &dyn Files) -> Result<Outcome, Fault> {
    let none = Map::default();
    let services = resolved.model.get("services").and_then(Value::as_map).unwrap_or(&none);
    let mut context = Context {
        resolved,
        files,
        services,
        containers: BTreeMap::new(),
        volumes: BTreeMap::new(),
        healthy: BTreeSet::new(),
        completed: BTreeSet::new(),
        out: Outcome { project: resolved.name.clone(), ..Outcome::default() },
    };
    for variable in &resolved.unset {
        context.out.remarks.push(format!("the variable {variable} is not set, and is empty"));
    }
    let mut taken = BTreeSet::new();
    for (service, settings) in services.iter() {
        let Some(settings) = settings.as_map() else {
            let cause = format!("the service {service} must be a mapping, and is {}", settings.kind());
            return Err(Fault::new(cause, format!("write image: below {service}:")));
        };
        if settings.get("image").and_then(Value::scalar).is_none_or(|image| image.is_empty()) {
            let (key, reason) = without_image(resolved, service, settings);
            context.lose(service, key, reason);
            continue;
        }
        let containers = replicas::number(service, settings, &mut context);
        let wanted = format!("{}-{}", name(&resolved.name), name(service));
        context.containers.insert(service, Place::new(&wanted, containers, &mut taken));
        conditions(settings, &mut context);
    }
    if context.containers.is_empty() {
        return Ok(context.out);
    }
    storage::volumes(&mut context);
    sections(&mut context);
    let plan = network::plan(&mut context);
    let mut started = Vec::new();
    for (service, settings) in services.iter() {
        let (Some(settings), Some(place)) = (settings.as_map(), context.containers.get(service).cloned()) else {
            continue;
        };
        let builder = Service::convert(service, settings, &plan, &mut context);
        context.out.files.insert(format!("{}.container", place.file()), builder.draft.to_string());
        if is_started(settings, context.resolved) {
            started.push(place);
        }
    }
    let Context { mut out, containers, .. } = context;
    replicas::expand(&mut out, &containers);
    without_problems(&mut out);
    replicas::collapse(&mut out, &containers);
    started.retain(|place| out.files.contains_key(&format!("{}.container", place.file())));
    out.start = started.iter().flat_map(Place::names).collect();
    mark::mark(&mut out, TOOL);
    Ok(out)
}

/// Whether a service starts with the project: one of its profiles is active, and it has at least
/// one replica.
fn is_started(settings: &Map, resolved: &Resolved) -> bool {
    let replicas = replicas::setting(settings).and_then(|(_, value)| value.scalar());
    replicas.as_deref() != Some("0") && resolved.is_active(&Value::Map(settings.clone()))
}

fn without_image(resolved: &Resolved, service: &str, settings: &Map) -> (&'static str, String) {
    let build = settings.get("build");
    let context = build.and_then(|build| build.scalar().or_else(|| build.get("context")?.scalar()));
    match (build, context) {
        (Some(_), context) => {
            let image = format!("localhost/{}-{service}", resolved.name);
            let context = context.unwrap_or_else(|| resolved.directory.clone());
            let command = format!("podman build -t {image} {context}");
            (
                "build",
                format!(
                    "the service is not converted, as it has no image; run `{command}`, push the image, and set image:"
                ),
            )
        }
        (None, _) => ("image", "the service is not converted, as it has no image; set image:".to_owned()),
    }
}

/// Records which services have to become healthy or complete because this service waits for them.
fn conditions(settings: &Map, context: &mut Context<'_>) {
    let Some(Value::Map(dependencies)) = settings.get("depends_on") else { return };
    for (other, dependency) in dependencies.iter() {
        match dependency.get("condition").and_then(Value::scalar).as_deref() {
            Some("service_healthy") => context.healthy.insert(other.to_owned()),
            Some("service_completed_successfully") => context.completed.insert(other.to_owned()),
            _ => continue,
        };
    }
}

/// Lists the sections of the project that have no counterpart.
fn sections(context: &mut Context<'_>) {
    let known = ["version", "name", "services", "volumes", "networks", "secrets", "configs"];
    let others = context
        .resolved
        .model
        .iter()
        .filter(|(key, value)| !known.contains(key) && !key.starts_with("x-") && **value != Value::Null);
    for (key, _) in others {
        context.lose("project", key, "this section has no counterpart and is ignored");
    }
}

/// Removes the lines and files that `check` would refuse, and lists them as lost.
fn without_problems(out: &mut Outcome) {
    for refused in without_refused(&mut out.files) {
        let reason =
            if refused.whole { format!("the file is not written: {}", refused.reason) } else { refused.reason };
        out.lost.push(Lost { subject: refused.file, key: refused.line, reason });
    }
}

/// Creates the builder of a volume, network or container file.
fn builder(file_type: FileType) -> Builder {
    Builder::new(file_type)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
