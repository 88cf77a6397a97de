// SPDX-License-Identifier: MIT
//! `sdme-gen ps`: how the containers are. One call asks the service manager for the states of all of them, and no more than
//! the states, which takes it a while for each; the rest is read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use crate::config::keys::FileType;
use crate::health::State;
use crate::image::Store;
use crate::resolve::model::{App, Container, Facts, Model, Network};
use crate::rootdir::tree::Tree;

/// A container and how it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// `running`, `starting`, `stopping`, `stopped`, `failed`, `exited` for a job that has ended and remains active or, for a
    /// file that cannot be used, `rejected`.
    pub state: String,
    /// Seconds since its first process was started, while it is running.
    pub uptime: Option<u64>,
    /// Where its images come from, the first application's first; none for a clone of the host.
    pub images: Vec<String>,
    /// The pod it is in, or its application.
    pub pod: Option<String>,
    /// The health of each application that is checked, by name, while the container runs.
    pub health: BTreeMap<String, String>,
    /// Ports of the host, `[IP:]PORT[:PORT]/PROTOCOL`; those of its pod.
    pub published: Vec<String>,
    /// Ports that its images expose.
    pub exposed: Vec<String>,
    /// First user ID on the host and number of IDs, with a user namespace.
    pub users: Option<(u32, u32)>,
}

/// All configured containers, by name.
///
/// # Errors
/// The service manager does not answer.
pub fn list() -> Result<Vec<Listed>> {
    let (model, facts) = super::known(Path::new("/"));
    let units = units()?;
    let mut groups = BTreeMap::new();
    find_groups(Path::new("/sys/fs/cgroup"), &mut groups);
    let exposed = exposed(&model);
    let all = model.containers.values().map(|container| {
        let unit = Container::unit(&container.name);
        let state = units.get(&unit).map_or("stopped", |unit| word(unit, container.is_job()));
        let apps = model.applications(container, &facts);
        let leader = groups.get(&unit).and_then(|group| leader(group));
        let images = container.apps.iter().map(|app| app.image.as_str());
        let pod = pod(container);
        let published = pod.and_then(|name| model.pods.get(name)).map(|pod| pod.wanted.ports.as_slice());
        Listed {
            name: container.name.clone(),
            state: state.to_owned(),
            uptime: leader.filter(|_| state == "running").and_then(age),
            images: images.clone().map(|name| source(&model, name)).collect(),
            pod: pod.filter(|name| model.pods.get(*name).is_some_and(|pod| !pod.own)).map(str::to_owned),
            health: leader.map(|leader| health(leader, apps, &facts)).unwrap_or_default(),
            published: published.unwrap_or_default().iter().map(ToString::to_string).collect(),
            exposed: images.flat_map(|name| exposed.get(name).cloned().unwrap_or_default()).collect(),
            users: leader.and_then(users),
        }
    });
    let rejected = model.rejected.iter().filter(|r| r.file_type == FileType::Container);
    let rejected = rejected.map(|r| Listed { name: r.name.clone(), state: "rejected".to_owned(), ..Listed::default() });
    let mut all: Vec<Listed> = all.chain(rejected).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// A word for a unit's state. A job is being started as long as it runs.
fn word(unit: &Unit, is_job: bool) -> &'static str {
    match unit.active.as_str() {
        "active" if unit.sub == "exited" => "exited",
        "activating" if is_job && unit.sub == "start" => "running",
        "active" | "reloading" | "refreshing" => "running",
        "activating" => "starting",
        "deactivating" => "stopping",
        "failed" => "failed",
        _ => "stopped",
    }
}

/// A unit as `systemctl list-units` has it.
#[derive(Deserialize)]
struct Unit {
    #[serde(rename = "unit")]
    name: String,
    active: String,
    sub: String,
}

/// The states of all containers' units that the service manager knows.
fn units() -> Result<BTreeMap<String, Unit>> {
    let output = Command::new("systemctl")
        .args(["list-units", "--all", "--output=json", "--", "systemd-nspawn@*.service"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run systemctl")?;
    if !output.status.success() {
        bail!("the service manager does not answer");
    }
    let units: Vec<Unit> = serde_json::from_slice(&output.stdout).context("systemctl says something else")?;
    Ok(units.into_iter().map(|unit| (unit.name.clone(), unit)).collect())
}

/// The control groups of containers, by their units, in any slice.
fn find_groups(directory: &Path, found: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(".slice") {
            find_groups(&entry.path(), found);
        } else if name.starts_with("systemd-nspawn@") {
            found.insert(name, entry.path());
        }
    }
}

fn source(model: &Model, image: &str) -> String {
    model.images.get(image).map_or_else(|| image.to_owned(), |image| image.source.to_string())
}

fn pod(container: &Container) -> Option<&str> {
    match (&container.connection.network, &container.connection.oci_pod) {
        (_, Some(pod)) | (Network::Pod(pod), None) => Some(pod),
        _ => None,
    }
}

/// The exposed ports of each image.
fn exposed(model: &Model) -> BTreeMap<&str, Vec<String>> {
    let store = Store::open(Path::new("/"));
    let images = model.images.keys();
    images.filter_map(|name| Some((name.as_str(), store.lookup(name).ok()??.image.exposed_ports))).collect()
}

/// The first process of a container, from its unit's control group.
fn leader(group: &Path) -> Option<u32> {
    fs::read_to_string(group.join("payload/init.scope/cgroup.procs")).ok()?.lines().next()?.parse().ok()
}

/// How long a process has been running, in seconds: from the 22nd field of `/proc/PID/stat` (`proc_pid_stat(5)`).
fn age(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let started: u64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let ticks = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok().filter(|ticks| *ticks > 0)?;
    let now = u64::try_from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?.tv_sec()).ok()?;
    Some(now.saturating_sub(started / ticks))
}

/// The first ID and the number of IDs of a container's users on the host, unless they are the host's own.
fn users(leader: u32) -> Option<(u32, u32)> {
    let map = fs::read_to_string(format!("/proc/{leader}/uid_map")).ok()?;
    let mut numbers = map.lines().next()?.split_ascii_whitespace().map(str::parse::<u32>);
    let (inside, outside, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    ((inside, outside, count) != (0, 0, u32::MAX)).then_some((outside, count))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_the_host_itself() {
        assert_eq!(users(std::process::id()), None);
        assert_eq!(leader(Path::new("/nowhere")), None);
        assert!(age(std::process::id()).is_some_and(|seconds| seconds < 3600));
        let unit = |active: &str, sub: &str| Unit { name: String::new(), active: active.into(), sub: sub.into() };
        let word = |active: &str, sub: &str, is_job| super::word(&unit(active, sub), is_job);
        assert_eq!((word("failed", "failed", false), word("", "", true)), ("failed", "stopped"));
        assert_eq!((word("activating", "start", false), word("activating", "start", true)), ("starting", "running"));
        assert_eq!((word("activating", "start-pre", true), word("active", "exited", true)), ("starting", "exited"));
        let mut found = BTreeMap::new();
        find_groups(Path::new("/nowhere"), &mut found);
        assert!(found.is_empty());
    }
}
