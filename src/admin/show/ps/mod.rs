// SPDX-License-Identifier: MIT
//! `sdme-gen ps`: the state of containers. States come from the service manager, ports and
//! processes from the kernel, and images from the links of the containers' starts. The
//! configuration only shows the expected state.

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
use crate::cause::{self, Cause};
use crate::config::keys::FileType;
use crate::contract::health::State;
use crate::image::trust::Accepted;
use crate::image::{ImageRecord, Store, Updates};
use crate::model::{App, Container, Facts, Image, Model, Named, Pod, Rejected};
use crate::paths::container_runtime;
use crate::plan;
use crate::rootdir::tree::Tree;
use crate::runtime::ports::listening::Listening;
use crate::started::{self, Started};

use units::{Ended, Units};

/// A container and its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The name of the container.
    pub name: String,
    /// The state: `running`, `starting`, `restarting`, `stopping`, `stopped` or `failed`; `exited`
    /// for a job that has ended and stays active; `rejected` for a file with errors; `importing`
    /// while an image is imported that the start needs; `no image`, `port taken` or `no network`
    /// for the cause of a failed start; `leftover` for files of a container that was removed.
    pub state: String,
    /// The cause of a failure as a keyword: `failed 3`, `unhealthy`, `timeout`.
    pub cause: Option<String>,
    /// The exit status of the main process, if the container has failed.
    pub status: Option<u8>,
    /// The number of the signal that killed the main process, if the container has failed.
    pub signal: Option<u8>,
    /// What has changed since the start: `files`, `image` or `base`. For a running container,
    /// `rejected` or `removed` if that has happened to its file.
    pub changed: BTreeSet<String>,
    /// The problem of the container, with a remedy.
    pub note: Option<Cause>,
    /// Seconds since the start of its only application, or else of its first process, while the
    /// container is running.
    pub uptime: Option<u64>,
    /// The sources of the images that the container runs on, or would be started on, with that of
    /// the first application first. Empty for a clone of the host.
    pub images: Vec<String>,
    /// The digests of the manifests of these images. None for an image that is not imported. Only
    /// root can read them.
    pub digests: Vec<Option<String>>,
    /// The times of the imports, in seconds since 1970. None for an image that is not imported.
    /// Only root can read them.
    pub imported: Vec<Option<u64>>,
    /// The keys by which these images were accepted, each with the policy that required the
    /// signature. Empty for an image that needed no signature. Only root can read them.
    pub accepted: Vec<Vec<Accepted>>,
    /// The state of updates: `available` or `downloaded` for a new version, `rolled back` for a
    /// version that is not used because it failed or an administrator went back from it, `not
    /// accepted` for a version that is refused.
    pub update: Option<String>,
    /// The pod that the container or its application is in.
    pub pod: Option<String>,
    /// The named networks that the container or its pod is connected to, in the order of the file.
    pub networks: Vec<String>,
    /// The state of each application, by its name, while the container runs: `running`,
    /// `restarting` or `ended`.
    pub apps: BTreeMap<String, String>,
    /// The health of each application with a health check, by its name, while the container runs.
    pub health: BTreeMap<String, String>,
    /// The ports of the host that are open for the container or its pod, as
    /// `[IP:]PORT[:PORT]/PROTOCOL`. In the host's network, the ports on which its processes listen,
    /// as `[IP:]PORT/PROTOCOL`, which only root can read.
    pub published: Vec<String>,
    /// The ports that the images expose.
    pub exposed: Vec<String>,
    /// The first ID on the host and the number of IDs of the user namespace, if the container has
    /// one.
    pub users: Option<(u32, u32)>,
}

/// The states of containers that were not started because a unit that they need has failed.
const WITHOUT_START: [&str; 3] = ["no image", "port taken", "no network"];

/// The configured containers and the running ones without a file, sorted by name. With `all`,
/// removed containers that have left files are included. With `names`, only these containers are
/// listed.
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
    // Leftovers are searched only on request, because that needs root privileges.
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

/// The facts about this host that the list is made from.
struct Host {
    model: Model,
    facts: Facts,
    started: Vec<Started>,
    units: Units,
    ended: BTreeMap<String, Ended>,
    /// The open ports, by the unit of the container or pod.
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
            let checks = health(leader, apps, &self.facts);
            listed.health = checks.iter().map(|(app, state)| (app.clone(), state.status.word().to_owned())).collect();
            listed.note = notes::of_health(name, &checks);
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
        let update = container.and_then(|container| self.update(container));
        listed.update = update.as_ref().map(|(word, _)| (*word).to_owned());
        let updates = update.map(|(_, updates)| updates).unwrap_or_default();
        let note = listed.note.take().or_else(|| self.note(&listed, container));
        listed.note = note.or_else(|| notes::of_update(&listed, &updates));
        listed
    }

    fn changes(&self, outdated: &Outdated) -> BTreeSet<String> {
        if outdated.problem.is_none() {
            return outdated.older.iter().map(|what| (*what).to_owned()).collect();
        }
        let rejected = self.rejected().any(|rejected| rejected.name == outdated.name);
        BTreeSet::from([if rejected { "rejected" } else { "removed" }.to_owned()])
    }

    /// The pods that the container or its application is in: those of its start, or those of the
    /// configuration if it is not started.
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

    /// The named networks that a pod is connected to: those of its start, or those of the
    /// configuration if it is not started.
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

    /// The state of a container that was not started because a unit that it needs has failed.
    fn why_not_started(&self, container: Option<&Container>, pods: &[String]) -> Option<&'static str> {
        let container = container?;
        let own = cause::of(&Container::unit(&container.name));
        // A unit that was reset by systemctl reset-failed still has a cause, but it counts as
        // stopped.
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

    /// The socket unit of the pod that could not be started.
    fn taken(&self, pod: &str) -> Option<String> {
        let pod = self.model.pods.get(pod)?;
        let mut sockets = crate::plan::sockets(pod).into_iter();
        sockets.find(|socket| self.has_failed(socket))
    }

    /// Adds the images that the container runs on according to its links, or those that it would be
    /// started on.
    fn images(&self, listed: &mut Listed, container: Option<&Container>) {
        let runtime = PathBuf::from(container_runtime(&listed.name));
        let record = |link: &str| -> Option<(ImageRecord, Option<u64>)> {
            let tree = fs::read_link(runtime.join(link)).ok()?;
            Some((self.store.record(&tree)?, created(&tree)))
        };
        let configured = container.map(|container| container.apps.as_slice()).unwrap_or_default();
        let first = record("app").or_else(|| record("base"));
        if let Some(first) = first {
            let additional = configured.iter().filter(|app| !app.first);
            let additional = additional.filter_map(|app| record(&format!("apps/{}", app.name)));
            let all = std::iter::once(first).chain(additional);
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

    /// The result of the last check for new versions of the container's images, with the record of
    /// that check. If the results of several images differ, the first one in alphabetical order.
    fn update(&self, container: &Container) -> Option<(&'static str, Updates)> {
        let words = self.images_of(container).filter_map(|name| {
            let image = self.model.images.get(name)?;
            let current = self.store.lookup(name).ok()??;
            let updates = self.store.updates(name, &image.source.to_string());
            Some((updates.word(&current)?, updates))
        });
        words.min_by_key(|(word, _)| *word)
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

/// The time at which a directory was made, in seconds since 1970.
fn created(tree: &Path) -> Option<u64> {
    let time = fs::metadata(tree).and_then(|found| found.created()).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
}

/// The state of each application of a running container, from the processes in the control groups.
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

/// The health that the checks in a container have recorded. The files are hostile: they are read
/// without following links out of the container.
fn health(leader: u32, apps: &[App], facts: &Facts) -> BTreeMap<String, State> {
    // Without the dot, the link itself would not be followed.
    let Ok(tree) = Tree::open(Path::new(&format!("/proc/{leader}/root/."))) else {
        // Only root may open the container's root.
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
    checked.map(|app| (app.name.clone(), state(app).unwrap_or_default())).collect()
}
