// SPDX-License-Identifier: MIT
//! `sdme-gen restart --changed`: what runs on older files, image or base than a start would give it now, and its restart.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{known, links, systemd};
use crate::config::keys::FileType;
use crate::image::Store;
use crate::image::digest::Digest;
use crate::output::tree::{Node, Place, Tree};
use crate::paths::container_runtime;
use crate::plan;
use crate::resolve::model::{Container, Facts, Model};
use crate::resolve::pod::Pod;
use crate::resolve::userns;
use crate::started;

/// A unit that runs on what is older than the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outdated {
    /// The container's or pod's name.
    pub name: String,
    /// What is restarted.
    pub unit: String,
    /// What is older: `files`, `image`, `base`.
    pub older: BTreeSet<&'static str>,
    /// Why it cannot be restarted.
    pub problem: Option<String>,
}

/// Where prepare notes the digest of what it has planned for a start.
fn note(name: &str) -> PathBuf {
    Path::new(&container_runtime(name)).join("plan")
}

fn digest(planned: &Tree) -> String {
    Digest::of(planned.to_string().as_bytes()).hex().to_owned()
}

/// Notes what was planned for the start of a container.
///
/// # Errors
/// It cannot be written.
pub fn remember(name: &str, planned: &Tree) -> io::Result<()> {
    fs::write(note(name), digest(planned))
}

/// The containers and pods that run on older files, image or base, by name. With `names`, only those.
///
/// # Errors
/// A name is not that of a container or pod that runs.
pub fn outdated(names: &[String]) -> Result<Vec<Outdated>> {
    let root = Path::new("/");
    let (model, facts) = known(root);
    let units = plan::units(&model);
    let store = Store::open(root);
    let mut all: Vec<Outdated> = Vec::new();
    let mut running = BTreeSet::new();
    let ranges = userns::ranges(&model, &facts);
    let all_started = started::read(root);
    let units_started: BTreeSet<&str> = all_started.iter().map(|started| started.unit.as_str()).collect();
    for started in &all_started {
        // A port belongs to what its proxy is bound to.
        let unit = started.owner().unwrap_or(&started.unit);
        let (name, container) = match (instance(unit, "systemd-nspawn@"), instance(unit, "sdme-pod@")) {
            (Some(container), _) => (container, true),
            // The network of a container is made anew by the container's restart.
            (None, Some(pod)) => (pod, started.container_of_pod().is_some()),
            (None, None) => continue,
        };
        // A port alone waits for its container.
        if !units_started.contains(unit) {
            continue;
        }
        running.insert(name.to_owned());
        let mut older = BTreeSet::new();
        if started.files.iter().any(|(path, text)| planned(&units, path) != Some(text)) {
            older.insert("files");
        }
        if let Some(container) = model.containers.get(name).filter(|_| started.unit == Container::unit(name)) {
            older.extend(since_start(container, &model, &facts, &store, ranges.get(name).copied()));
        }
        if older.is_empty() {
            continue;
        }
        let file_type = if container { FileType::Container } else { FileType::Pod };
        let unit = if container { Container::unit(name) } else { Pod::service(name) };
        if let Some(outdated) = all.iter_mut().find(|outdated| outdated.unit == unit) {
            outdated.older.extend(older);
        } else {
            all.push(Outdated { name: name.to_owned(), unit, older, problem: problem(&model, file_type, name) });
        }
    }
    if let Some(name) = names.iter().find(|name| !running.contains(*name)) {
        bail!("{name} is no container or pod that runs");
    }
    all.retain(|outdated| names.is_empty() || names.contains(&outdated.name));
    all.sort();
    Ok(all)
}

fn instance<'a>(unit: &'a str, template: &str) -> Option<&'a str> {
    unit.strip_prefix(template)?.strip_suffix(".service")
}

fn planned<'a>(units: &'a Tree, path: &str) -> Option<&'a String> {
    match units.get(&Place::Units, path) {
        Some(Node::File(text)) => Some(text),
        _ => None,
    }
}

/// Why a start would fail: the file is rejected, or it is not there.
fn problem(model: &Model, file_type: FileType, name: &str) -> Option<String> {
    let there = match file_type {
        FileType::Pod => model.pods.contains_key(name),
        _ => model.containers.contains_key(name),
    };
    let gone = || format!("there is no {name}.{} any more", file_type.extension());
    (!there).then(|| model.rejection(file_type, name).map_or_else(gone, ToString::to_string))
}

/// What of a container is not as a start would have it now; `range` is the first of its user IDs, if it has a user namespace.
fn since_start(
    container: &Container,
    model: &Model,
    facts: &Facts,
    store: &Store,
    range: Option<u32>,
) -> BTreeSet<&'static str> {
    let name = &container.name;
    let mut older = BTreeSet::new();
    let runs_on = |link: &str| fs::read_link(Path::new(&container_runtime(name)).join(link)).ok();
    if let Ok((app, base)) = links::layers(store, model.stack(container, facts)) {
        if runs_on("app").as_ref() != app.first() {
            older.insert("image");
        }
        if runs_on("base") != Some(base) {
            older.insert("base");
        }
    }
    for (app, lower) in links::further(store, model.applications(container, facts)).unwrap_or_default() {
        if runs_on(&format!("apps/{app}")).as_ref() != lower.first() {
            older.insert("image");
        }
    }
    // An image also says how its application is started.
    if older.is_empty() {
        let mut tree = Tree::default();
        plan::start(container, model, facts, range, &mut tree);
        if fs::read_to_string(note(name)).is_ok_and(|noted| noted != digest(&tree)) {
            older.insert("files");
        }
    }
    older
}

/// Restarts these units in one transaction, in which the service manager keeps the order that they have among each other.
///
/// # Errors
/// One of them does not start.
pub fn restart(outdated: &[Outdated]) -> Result<()> {
    let units = outdated.iter().map(|outdated| outdated.unit.as_str());
    let arguments: Vec<&str> = ["restart"].into_iter().chain(units).collect();
    // The units of before are of no use for another start.
    systemd::reload(Path::new("/"))?;
    systemd::systemctl(&arguments)
}
