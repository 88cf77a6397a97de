// SPDX-License-Identifier: MIT
//! `sdme-gen ps`: the state of containers. States come from the service manager, ports and processes from the kernel, and images are those
//! that a container was started on. The configuration is only the expected state.

mod notes;
pub mod ports;
pub mod processes;
pub mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::admin::changed;
use crate::admin::changed::Outdated;
use crate::admin::leftovers;
use crate::cause;
use crate::config::keys::FileType;
use crate::contract::health::State;
use crate::image::trust::Accepted;
use crate::image::{ImageRecord, Store};
use crate::model::{App, Container, Facts, Image, Model, Named, Pod, Rejected};
use crate::paths::container_runtime;
use crate::plan;
use crate::rootdir::tree::Tree;
use crate::runtime::ports::listening::Listening;
use crate::started::{self, Started};

use units::{Ended, Units};

/// A container and how it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// `running`, `starting`, `restarting`, `stopping`, `stopped`, `failed`, `exited` for a job that has ended and remains active,
    /// `rejected` for a file that cannot be used, `importing` while an image is imported that its start needs, `no image`, `port taken` or `no network` for a start that failed by that, and
    /// `leftover` for files of a container that is not there any more.
    pub state: String,
    /// Why it has failed, in a word or two: `failed 3`, `unhealthy`, `timeout`.
    pub cause: Option<String>,
    /// The exit status of its main process, if it has failed.
    pub status: Option<u8>,
    /// The number of the signal that killed its main process, if it has failed.
    pub signal: Option<u8>,
    /// What it needs: `files`, `image` or `base` that have changed since it was started, or `rejected` or `removed` for the file
    /// of a container that runs.
    pub changed: BTreeSet<String>,
    /// What is not as it should be, and what to do.
    pub note: Option<String>,
    /// Seconds since its only application was started, or else its first process, while it is running.
    pub uptime: Option<u64>,
    /// Where the images come from that it runs on, or would be started on, the first application's first; none for a clone of the
    /// host.
    pub images: Vec<String>,
    /// The digests of the manifests of these images, as far as they are imported. Only root can see them.
    pub digests: Vec<Option<String>>,
    /// When these versions were imported, in seconds since 1970, as far as they are imported. Only root can see them.
    pub imported: Vec<Option<u64>>,
    /// The keys by which these versions were accepted, each with the policy that asked for it; none where no signature was asked for.
    /// Only root can see them.
    pub accepted: Vec<Vec<Accepted>>,
    /// What is known about its images beyond what it runs on: `available` or `downloaded` for a new version, `rolled back` for
    /// one that is not used because it failed or somebody went back from it.
    pub update: Option<String>,
    /// The pod it is in, or its application.
    pub pod: Option<String>,
    /// The networks with names that it is connected to, by itself or by its pod, the first one first.
    pub networks: Vec<String>,
    /// The state of each application, by name, while the container runs: `running`, `restarting` or `ended`.
    pub apps: BTreeMap<String, String>,
    /// The health of each application that is checked, by name, while the container runs.
    pub health: BTreeMap<String, String>,
    /// Ports of the host that are open for it or its pod, `[IP:]PORT[:PORT]/PROTOCOL`; in the host's network, `[IP:]PORT/PROTOCOL`
    /// of its own processes, which only root can see.
    pub published: Vec<String>,
    /// Ports that its images expose.
    pub exposed: Vec<String>,
    /// First user ID on the host and number of IDs, with a user namespace.
    pub users: Option<(u32, u32)>,
}

/// States of containers that were not started because something that they need has failed.
const WITHOUT_START: [&str; 3] = ["no image", "port taken", "no network"];

/// The configured containers and those that run without a file, by name; with `all`, also what others left. With `names`, only
/// those.
///
/// # Errors
/// The service manager does not answer, or there is no container of one of the names.
pub fn list(names: &[String], all: bool) -> Result<Vec<Listed>> {
    let root = Path::new("/");
    let (model, facts) = crate::runtime::known(root);
    let started = started::read(root);
    let units = units::read()?;
    let listening = Listening::read();
    let host = Host {
        ended: units::ended(&units),
        open: ports::open(&started, &listening),
        listening,
        outdated: changed::compare(&model, &facts, &started).0,
        groups: processes::groups(),
        store: Store::open(root),
        model,
        facts,
        started,
        units,
    };
    let mut known: BTreeSet<String> = host.model.containers.keys().map(ToString::to_string).collect();
    known.extend(host.rejected().map(|rejected| rejected.name.clone()));
    known.extend(host.started.iter().filter_map(|started| Container::of_unit(&started.unit)).map(str::to_owned));
    // What others left is looked for only where it is asked for: that takes root.
    if all || names.iter().any(|name| !known.contains(name)) {
        let left = leftovers::containers(root, &host.model)?;
        known.extend(left.into_iter().filter(|name| all || names.contains(name)));
    }
    if let Some(name) = names.iter().find(|name| !known.contains(*name)) {
        bail!("there is no container {name}");
    }
    known.retain(|name| names.is_empty() || names.contains(name));
    Ok(known.iter().map(|name| host.listed(name)).collect())
}

/// Everything that is known about this host.
struct Host {
    model: Model,
    facts: Facts,
    started: Vec<Started>,
    units: Units,
    ended: BTreeMap<String, Ended>,
    /// Open ports, by the unit of the container or pod.
    open: BTreeMap<String, Vec<String>>,
    outdated: Vec<Outdated>,
    groups: BTreeMap<String, PathBuf>,
    listening: Listening,
    store: Store,
}

impl Host {
    fn rejected(&self) -> impl Iterator<Item = &Rejected> {
        self.model.rejected.iter().filter(|rejected| rejected.file_type == FileType::Container)
    }

    fn listed(&self, name: &str) -> Listed {
        let unit = Container::unit(name);
        let container = self.model.containers.get(name).map(|container| &**container);
        let group = self.groups.get(&unit);
        let leader = group.and_then(|group| processes::leader(group));
        let is_job = container.is_some_and(Container::is_job);
        let state = self.units.get(&unit).map_or("stopped", |unit| unit.word(is_job));
        let is_active = self.units.get(&unit).is_some_and(units::Unit::is_active);
        let mut listed = Listed { name: name.to_owned(), ..Listed::default() };
        let pods = self.pods(name, container);
        let shown = match self.why_not_started(container, &pods) {
            _ if is_active => state,
            _ if self.rejected().any(|rejected| rejected.name == name) => "rejected",
            _ if container.is_none() => "leftover",
            _ if container.is_some_and(|container| self.is_imported(container)) => "importing",
            Some(why) => why,
            None => state,
        };
        shown.clone_into(&mut listed.state);
        if let Some(ended) = self.ended.get(&unit).filter(|_| ["failed", "restarting"].contains(&listed.state.as_str()))
        {
            (listed.status, listed.signal) = (ended.status, ended.signal);
            listed.cause = cause::of(&unit).map(|cause| cause.word);
        }
        let apps = container.map(|container| self.model.applications(container, &self.facts)).unwrap_or_default();
        if let (Some(leader), Some(group)) = (leader, group) {
            let processes = processes::applications(group);
            listed.health = health(leader, apps, &self.facts);
            listed.apps = states(apps, &processes);
            if state == "running" {
                if listed.apps.values().any(|state| state == "restarting") {
                    "restarting".clone_into(&mut listed.state);
                }
                let only = processes.values().next().filter(|_| processes.len() == 1);
                listed.uptime = only.copied().or(Some(leader)).and_then(processes::age);
            }
            listed.users = processes::users(leader);
        }
        self.images(&mut listed, container);
        self.ports(&mut listed, &pods, group);
        listed.networks = pods.iter().flat_map(|pod| self.networks(pod)).collect();
        listed.pod = pods.into_iter().find(|pod| pod != name);
        let older = self.outdated.iter().find(|outdated| outdated.unit == unit);
        listed.changed = older.map(|outdated| self.changes(outdated)).unwrap_or_default();
        listed.update = container.and_then(|container| self.update(container));
        listed.note = self.note(&listed, container).or_else(|| notes::of_update(&listed));
        listed
    }

    fn changes(&self, outdated: &Outdated) -> BTreeSet<String> {
        if outdated.problem.is_none() {
            return outdated.older.iter().map(|what| (*what).to_owned()).collect();
        }
        let rejected = self.rejected().any(|rejected| rejected.name == outdated.name);
        BTreeSet::from([if rejected { "rejected" } else { "removed" }.to_owned()])
    }

    /// The pods it is in, or its application: those it was started in, or else those of the configuration.
    fn pods(&self, name: &str, container: Option<&Container>) -> Vec<String> {
        let unit = Container::unit(name);
        if let Some(started) = self.started.iter().find(|started| started.unit == unit) {
            let needed =
                started.own().flat_map(|(_, text)| text.lines()).filter_map(|line| line.strip_prefix("Wants="));
            let pods = needed.filter_map(|unit| Pod::of_service(unit));
            return pods.map(str::to_owned).collect();
        }
        container.map(Container::pods).unwrap_or_default().into_iter().map(str::to_owned).collect()
    }

    /// The networks with names that a pod is connected to: those it was started with, or else those of the configuration.
    fn networks(&self, pod: &str) -> Vec<String> {
        let unit = Pod::service(pod);
        if self.started.iter().any(|started| started.unit == unit) {
            let units = started::networks_of(&unit);
            return units.iter().filter_map(|unit| Named::of_service(unit)).map(str::to_owned).collect();
        }
        let pod = self.model.pods.get(pod);
        pod.into_iter().flat_map(|pod| &pod.networks).map(|attachment| attachment.network.clone()).collect()
    }

    /// The images that a start of a container needs.
    fn images_of<'a>(&self, container: &'a Container) -> impl Iterator<Item = &'a str> + use<'a> {
        plan::images(container, &self.model).into_iter()
    }

    /// Whether an image that a start of a container needs is being imported.
    fn is_imported(&self, container: &Container) -> bool {
        let is_starting = |image| self.units.get(&Image::service(image)).is_some_and(units::Unit::is_starting);
        self.images_of(container).any(is_starting)
    }

    /// Why a container that does not run was not started, if a unit that it needs has failed.
    fn why_not_started(&self, container: Option<&Container>, pods: &[String]) -> Option<&'static str> {
        let container = container?;
        let own = cause::of(&Container::unit(&container.name));
        // A failed unit that was reset has a cause, too, and is one that was stopped.
        if let Some(own) = own.and_then(|own| WITHOUT_START.into_iter().find(|word| *word == own.word)) {
            return Some(own);
        }
        if self.images_of(container).any(|image| self.has_failed(&Image::service(image))) {
            return Some("no image");
        }
        if pods.iter().any(|pod| self.taken(pod).is_some()) {
            return Some("port taken");
        }
        pods.iter().any(|pod| self.has_failed(&Pod::service(pod))).then_some("no network")
    }

    /// The socket of a pod that could not be opened.
    fn taken(&self, pod: &str) -> Option<String> {
        let pod = self.model.pods.get(pod)?;
        let mut sockets = crate::plan::sockets(pod).into_iter();
        sockets.find(|socket| self.has_failed(socket))
    }

    /// What the container runs on by its links, or would be started on.
    fn images(&self, listed: &mut Listed, container: Option<&Container>) {
        let runtime = PathBuf::from(container_runtime(&listed.name));
        let record = |link: &str| -> Option<(ImageRecord, Option<u64>)> {
            let tree = fs::read_link(runtime.join(link)).ok()?;
            Some((self.store.record(&tree)?, created(&tree)))
        };
        let configured = container.map(|container| container.apps.as_slice()).unwrap_or_default();
        let first = record("app").or_else(|| record("base"));
        if let Some(first) = first {
            let further = configured.iter().filter(|app| !app.first);
            let further = further.filter_map(|app| record(&format!("apps/{}", app.name)));
            let all = std::iter::once(first).chain(further);
            let (all, times): (Vec<ImageRecord>, Vec<_>) = all.unzip();
            listed.imported = times;
            listed.exposed = all.iter().flat_map(|record| record.exposed_ports.clone()).collect();
            listed.digests = all.iter().map(|record| Some(record.manifest.clone())).collect();
            listed.accepted = all.iter().map(|record| record.accepted.clone()).collect();
            listed.images = all.into_iter().map(|record| record.reference).collect();
            return;
        }
        for app in configured {
            let image = self.model.images.get(&app.image);
            let found = self.store.lookup(&app.image).ok().flatten();
            listed.imported.push(found.as_ref().and_then(|found| created(&found.tree)));
            let record = found.map(|found| found.image);
            listed.images.push(image.map_or_else(|| app.image.clone(), |image| image.source.to_string()));
            listed.exposed.extend(record.iter().flat_map(|record| record.exposed_ports.clone()));
            listed.accepted.push(record.as_ref().map(|record| record.accepted.clone()).unwrap_or_default());
            listed.digests.push(record.map(|record| record.manifest));
        }
    }

    /// What the last look at the sources of its images has found.
    fn update(&self, container: &Container) -> Option<String> {
        let words = self.images_of(container).filter_map(|name| {
            let image = self.model.images.get(name)?;
            let current = self.store.lookup(name).ok()??;
            self.store.updates(name, &image.source.to_string()).word(&current)
        });
        words.min().map(str::to_owned)
    }

    fn ports(&self, listed: &mut Listed, pods: &[String], group: Option<&PathBuf>) {
        let units = pods.iter().map(|pod| Pod::service(pod)).chain([Container::unit(&listed.name)]);
        let open = units.filter_map(|unit| self.open.get(&unit)).flatten().cloned();
        listed.published = open.collect();
        if let Some(group) = group.filter(|_| pods.is_empty()) {
            listed.published = self.listening.of_processes(&processes::all(group));
        }
    }
}

/// When a tree was made, in seconds since 1970.
fn created(tree: &Path) -> Option<u64> {
    let time = fs::metadata(tree).and_then(|found| found.created()).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
}

/// The state of each application of a container that runs, from the processes in their control groups.
fn states(apps: &[App], processes: &BTreeMap<String, u32>) -> BTreeMap<String, String> {
    let state = |app: &App| {
        let restarts = app.service.iter().rev().find(|(key, _)| key == "Restart").map(|(_, value)| value.as_str());
        if processes.contains_key(&format!("{}.service", app.unit())) {
            "running"
        } else if restarts.is_some_and(|value| value != "no") {
            "restarting"
        } else {
            "ended"
        }
    };
    apps.iter().map(|app| (app.name.clone(), state(app).to_owned())).collect()
}

/// What the checks in a container have written down. It is the container's word: nothing of its files is followed out of it.
fn health(leader: u32, apps: &[App], facts: &Facts) -> BTreeMap<String, String> {
    // The link itself is not followed without the dot.
    let Ok(tree) = Tree::open(Path::new(&format!("/proc/{leader}/root/."))) else {
        // Only root may look into it.
        return BTreeMap::new();
    };
    let checked = apps.iter().filter(|app| {
        let image = facts.images.get(&app.image).and_then(|image| image.health.as_ref());
        app.health.on(image).is_some()
    });
    let state = |app: &App| {
        let path = format!("run/sdme/health/{}", app.name);
        let text = tree.read_file(path.as_bytes(), 1 << 16).ok()??;
        serde_json::from_slice::<State>(&text).ok()
    };
    checked.map(|app| (app.name.clone(), state(app).unwrap_or_default().status.word().to_owned())).collect()
}
