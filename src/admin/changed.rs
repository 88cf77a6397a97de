// SPDX-License-Identifier: MIT
//! `sdme-gen restart --changed`: finds units that run on older files, an older image or an older
//! base than a start would use now, and restarts them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use crate::cause;
use crate::config::keys::FileType;
use crate::image::Store;
use crate::model::{Container, Facts, Model, Named, Pod};
use crate::output::tree::{Node, Place, Tree};
use crate::paths::container_runtime;
use crate::plan;
use crate::resolve::container::userns;
use crate::runtime::prepare::layers::links;
use crate::runtime::prepare::planned;
use crate::runtime::{known, systemd};
use crate::started::{self, Started};

/// A unit that runs on an older state than the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outdated {
    /// The name of the container, pod or network.
    pub name: String,
    /// The unit that is restarted or reloaded.
    pub unit: String,
    /// The kinds of older state: `files`, `image`, `base`.
    pub older: BTreeSet<&'static str>,
    /// The reason why the unit cannot be restarted.
    pub problem: Option<String>,
}

/// The containers, pods and networks that run on older files, image or base, sorted by name. With
/// `names`, only these.
///
/// # Errors
/// A name is not that of a running container, pod or network.
pub fn outdated(names: &[String]) -> Result<Vec<Outdated>> {
    let root = Path::new("/");
    let (model, facts) = known(root);
    let (mut all, running) = compare(&model, &facts, &started::read(root));
    if let Some(name) = names.iter().find(|name| !running.contains(*name)) {
        bail!("{name} is no container, pod or network that runs");
    }
    all.retain(|outdated| names.is_empty() || names.contains(&outdated.name));
    Ok(all)
}

/// Compares everything that runs with the configuration. Returns the units that run on older files,
/// image or base, and the names of everything that runs.
#[must_use]
pub fn compare(model: &Model, facts: &Facts, all_started: &[Started]) -> (Vec<Outdated>, BTreeSet<String>) {
    let units = plan::units(model);
    let store = Store::open(Path::new("/"));
    let mut all: Vec<Outdated> = Vec::new();
    let mut running = BTreeSet::new();
    let ranges = userns::ranges(model, facts);
    let units_started: BTreeSet<&str> = all_started.iter().map(|started| started.unit.as_str()).collect();
    for started in all_started {
        // A unit of a published port belongs to the unit that its proxy is bound to.
        let unit = started.owner().unwrap_or(&started.unit);
        let (name, file_type) = match (Container::of_unit(unit), Pod::of_service(unit), Named::of_service(unit)) {
            (Some(container), ..) => (container, FileType::Container),
            // A restart of a container also makes its own network again.
            (None, Some(pod), _) if started.container_of_pod().is_some() => (pod, FileType::Container),
            (None, Some(pod), _) => (pod, FileType::Pod),
            (None, None, Some(network)) => (network, FileType::Network),
            (None, None, None) => continue,
        };
        // The socket of a port can be open while its container does not run.
        if !units_started.contains(unit) {
            continue;
        }
        running.insert(name.to_owned());
        let mut older = BTreeSet::new();
        if started.files.iter().any(|(path, text)| planned(&units, path) != Some(text)) {
            older.insert("files");
        }
        if let Some(container) = model.containers.get(name).filter(|_| started.unit == Container::unit(name)) {
            older.extend(since_start(container, model, facts, &store, ranges.get(name).copied()));
        }
        if older.is_empty() {
            continue;
        }
        let unit = match file_type {
            FileType::Pod => Pod::service(name),
            FileType::Network => Named::service(name),
            _ => Container::unit(name),
        };
        if let Some(outdated) = all.iter_mut().find(|outdated| outdated.unit == unit) {
            outdated.older.extend(older);
        } else {
            all.push(Outdated { name: name.to_owned(), unit, older, problem: problem(model, file_type, name) });
        }
    }
    all.sort();
    (all, running)
}

fn planned<'a>(units: &'a Tree, path: &str) -> Option<&'a String> {
    match units.get(&Place::Units, path) {
        Some(Node::File(text)) => Some(text),
        _ => None,
    }
}

/// The reason why a start would fail: the file is rejected or missing.
fn problem(model: &Model, file_type: FileType, name: &str) -> Option<String> {
    let there = match file_type {
        FileType::Pod => model.pods.contains_key(name),
        FileType::Network => model.networks.contains_key(name),
        _ => model.containers.contains_key(name),
    };
    let gone = || format!("there is no {name}.{} any more", file_type.extension());
    (!there).then(|| model.rejection(file_type, name).map_or_else(gone, ToString::to_string))
}

/// The kinds of state in which a container differs from a start with the present configuration.
/// `range` is the first ID of its range, if it has a user namespace.
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
    for (app, lower) in links::additional(store, model.applications(container, facts)).unwrap_or_default() {
        if runs_on(&format!("apps/{app}")).as_ref() != lower.first() {
            older.insert("image");
        }
    }
    // The configuration of an image also determines how its application is started.
    if older.is_empty() {
        let mut tree = Tree::default();
        plan::start(container, model, facts, range, &mut tree);
        if planned::has_changed(name, &tree) {
            older.insert("files");
        }
    }
    older
}

impl Outdated {
    /// The verb of systemctl: a network is reloaded, so that its members keep running; all other
    /// units are restarted.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        if Named::of_service(&self.unit).is_some() { "reload" } else { "restart" }
    }
}

/// Reloads the networks among these units, then restarts the others in one transaction, in which
/// the service manager keeps their order.
///
/// # Errors
/// A unit does not start.
pub fn restart(outdated: &[Outdated]) -> Result<()> {
    // systemd must read the present units before it starts them.
    systemd::reload(Path::new("/"))?;
    for verb in ["reload", "restart"] {
        let some: Vec<&Outdated> = outdated.iter().filter(|outdated| outdated.verb() == verb).collect();
        let arguments: Vec<&str> =
            [verb].into_iter().chain(some.iter().map(|outdated| outdated.unit.as_str())).collect();
        if some.is_empty() {
            continue;
        }
        systemd::systemctl(&arguments).map_err(|error| {
            let causes = some.iter().filter_map(|outdated| Some((&outdated.name, cause::of(&outdated.unit)?)));
            let causes: Vec<String> = causes.map(|(name, text)| format!("{name}: {text}")).collect();
            if causes.is_empty() { error } else { anyhow!(causes.join("; ")) }
        })?;
    }
    Ok(())
}
