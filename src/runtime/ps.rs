// SPDX-License-Identifier: MIT
//! `sdme-gen ps`: how the containers are. One call asks the service manager about all of them; what it does not know is read
//! from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::Compiled;
use crate::config::keys::FileType;
use crate::health::State;
use crate::image::Store;
use crate::image::tree::Tree;
use crate::resolve::model::{App, Container, Facts, Model, Network};

/// A container and how it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// `running`, `starting`, `stopping`, `stopped`, `failed` or, for a file that cannot be used, `rejected`.
    pub state: String,
    /// Seconds since it is running.
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
    let Compiled { model, facts, .. } = super::compile(Path::new("/"));
    let units = units()?;
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("there is no clock")?;
    let now = u64::try_from(now.tv_sec()).unwrap_or(0);
    let exposed = exposed(&model);
    let nothing = BTreeMap::new();
    let all = model.containers.values().map(|container| {
        let unit = units.get(&format!("systemd-nspawn@{}.service", container.name)).unwrap_or(&nothing);
        let property = |name: &str| unit.get(name).map_or("", String::as_str);
        let state = word(property("ActiveState"));
        let since = property("ActiveEnterTimestampMonotonic").parse::<u64>().unwrap_or(0) / 1_000_000;
        let apps = model.applications(container, &facts);
        let leader = Some(property("ControlGroup")).filter(|group| !group.is_empty()).and_then(leader);
        let images = container.apps.iter().map(|app| app.image.as_str());
        let pod = pod(container);
        let published = pod.and_then(|name| model.pods.get(name)).map(|pod| pod.wanted.ports.as_slice());
        Listed {
            name: container.name.clone(),
            state: state.to_owned(),
            uptime: (state == "running").then(|| now.saturating_sub(since)),
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

/// A word for a unit's state.
fn word(active: &str) -> &'static str {
    match active {
        "active" | "reloading" | "refreshing" => "running",
        "activating" => "starting",
        "deactivating" => "stopping",
        "failed" => "failed",
        _ => "stopped",
    }
}

fn units() -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let output = Command::new("systemctl")
        .args(["show", "--property=Id,ActiveState,ActiveEnterTimestampMonotonic,ControlGroup"])
        .args(["--", "systemd-nspawn@*.service"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run systemctl")?;
    if !output.status.success() {
        bail!("the service manager does not answer");
    }
    Ok(blocks(&String::from_utf8_lossy(&output.stdout)))
}

/// What `systemctl show` prints, by `Id`.
fn blocks(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let blocks = text.split("\n\n").map(|block| {
        let pairs = block.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    });
    blocks.filter_map(|block| Some((block.get("Id")?.clone(), block))).collect()
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
fn leader(group: &str) -> Option<u32> {
    let path = format!("/sys/fs/cgroup{group}/payload/init.scope/cgroup.procs");
    fs::read_to_string(path).ok()?.lines().next()?.parse().ok()
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
    let tree = Tree::open(Path::new(&format!("/proc/{leader}/root/."))).ok();
    let checked = apps.iter().filter(|app| {
        let image = facts.images.get(&app.image).and_then(|image| image.health.as_ref());
        app.health.on(image).is_some()
    });
    let state = |app: &App| {
        let path = format!("run/sdme/health/{}", app.name);
        let text = tree.as_ref()?.read_file(path.as_bytes(), 1 << 16).ok()??;
        serde_json::from_slice::<State>(&text).ok()
    };
    checked.map(|app| (app.name.clone(), state(app).unwrap_or_default().status.word().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_the_service_manager_says() {
        let text = "Id=a.service\nActiveState=active\nControlGroup=\n\nActiveState=failed\nId=b.service\n";
        let all = blocks(text);
        assert_eq!(all.len(), 2);
        assert_eq!(all.get("a.service").unwrap().get("ControlGroup").unwrap(), "");
        assert_eq!(word(all.get("b.service").unwrap().get("ActiveState").unwrap()), "failed");
        assert_eq!(word(""), "stopped");
        assert!(blocks("").is_empty());
    }

    #[test]
    fn users_of_the_host_itself() {
        assert_eq!(users(std::process::id()), None);
        assert_eq!(leader("/nowhere"), None);
    }
}
