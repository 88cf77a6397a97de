// SPDX-License-Identifier: MIT
//! Resources of running containers: processor, memory and tasks from their control groups (`cgroups(7)`), packets from the kernel's
//! tables, disk space from du(1).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use super::ps::processes;
use crate::admin::leftovers;
use crate::model::Container;
use crate::paths::{container_state, volume};

/// How long du(1) may take for one container, in seconds; a container may have made any number of files.
const PATIENCE: &str = "10";

/// What a container uses. What the kernel does not count here, or only tells root, is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Its name.
    pub name: String,
    /// Share of one processor since the last look, in percent.
    pub cpu_percent: Option<f64>,
    /// Seconds on processors since it was started.
    pub cpu_seconds: Option<f64>,
    /// Bytes of memory, with the cache of its files.
    pub memory: Option<u64>,
    /// The most bytes of memory it may have, if there is a limit.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Bytes received since its network was made, without loopback. The members of a pod share a network; a container in the host's
    /// network has none of its own.
    pub received: Option<u64>,
    /// Bytes sent, as for `received`.
    pub sent: Option<u64>,
    /// Bytes on disk of what it has changed in its root.
    pub upper: Option<u64>,
    /// Bytes on disk of its volumes. Several containers may have the same volume.
    pub volumes: Option<u64>,
}

/// What running containers use. `interval`: the time over which the share of a processor is counted; none for no share. With `names`,
/// only those.
///
/// # Errors
/// A container of one of the names does not run.
pub fn read(names: &[String], interval: Option<Duration>) -> Result<Vec<Usage>> {
    let groups = processes::groups();
    let running = groups.iter().filter_map(|(unit, group)| Some((Container::of_unit(unit)?.to_owned(), group)));
    let mut running: BTreeMap<String, _> = running.collect();
    if let Some(name) = names.iter().find(|name| !running.contains_key(*name)) {
        bail!("{name} does not run; systemctl start {} starts it", Container::unit(name));
    }
    running.retain(|name, _| names.is_empty() || names.contains(name));
    let begun = Instant::now();
    let before: BTreeMap<&String, Option<f64>> = running.iter().map(|(name, group)| (name, seconds(group))).collect();
    if let Some(interval) = interval.filter(|_| !running.is_empty()) {
        std::thread::sleep(interval);
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let volumes = volumes();
    let all = running.iter().map(|(name, group)| {
        let mut usage = of_group(group);
        name.clone_into(&mut usage.name);
        let former = before.get(name).copied().flatten().filter(|_| interval.is_some());
        usage.cpu_percent = usage.cpu_seconds.zip(former).map(|(now, before)| (now - before) / elapsed * 100.0);
        usage.upper = size(&[format!("{}/upper", container_state(name))]);
        let paths: Option<Vec<String>> = volumes.as_ref().map(|all| all.get(name).cloned().unwrap_or_default());
        usage.volumes = paths.and_then(|paths| size(&paths));
        usage
    });
    Ok(all.collect())
}

/// The directories of the volumes of each container. None for users who may not see them.
fn volumes() -> Option<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in leftovers::volumes(Path::new("/")).ok()? {
        for user in one.users {
            found.entry(user).or_default().push(volume(&one.name));
        }
    }
    Some(found)
}

/// Bytes on disk of directories together.
fn size(paths: &[String]) -> Option<u64> {
    if paths.is_empty() {
        return Some(0);
    }
    du(&["--total"], paths.iter())?.lines().last()?.strip_suffix("\ttotal")?.parse().ok()
}

/// Bytes on disk of each directory, by its path, as far as du(1) finds them out in time. Files with several names count once.
#[must_use]
pub fn sizes(paths: &BTreeSet<String>) -> BTreeMap<String, u64> {
    let text = if paths.is_empty() { None } else { du(&[], paths.iter()) }.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.filter_map(|(size, path)| Some((path.to_owned(), size.parse().ok()?))).collect()
}

/// What du(1) prints about directories. It follows no symbolic link and leaves out what is mounted there.
fn du<'a>(options: &[&str], paths: impl Iterator<Item = &'a String>) -> Option<String> {
    let output = Command::new("timeout")
        .args([PATIENCE, "du", "--summarize", "--one-file-system", "--block-size=1"])
        .args(options)
        .arg("--")
        .args(paths)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    // Files that are removed meanwhile give an exit status of 1.
    String::from_utf8(output.stdout).ok()
}

/// What a control group counts.
fn of_group(group: &Path) -> Usage {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
    let application = processes::applications(group).into_values().next();
    let packets = application.or_else(|| processes::leader(group)).and_then(packets);
    Usage {
        cpu_seconds: seconds(group),
        memory: number("memory.current"),
        memory_limit: number("memory.max"),
        tasks: number("pids.current").or_else(|| u64::try_from(processes::all(group).len()).ok()),
        received: packets.map(|(received, _)| received),
        sent: packets.map(|(_, sent)| sent),
        ..Usage::default()
    }
}

/// Seconds on processors, from `cpu.stat`.
fn seconds(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.stat")).ok()?;
    let usage: f64 = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?.parse().ok()?;
    Some(usage / 1e6)
}

/// Bytes received and sent in the network of a process, unless that is the host's.
fn packets(process: u32) -> Option<(u64, u64)> {
    let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    if network(&process.to_string())? == network("self")? {
        return None;
    }
    Some(sums(&fs::read_to_string(format!("/proc/{process}/net/dev")).ok()?))
}

/// The sums of a table of interfaces (`proc_pid_net(5)`): the first field is bytes received, the ninth bytes sent.
fn sums(table: &str) -> (u64, u64) {
    let rows = table.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo");
    rows.fold((0, 0), |(received, sent), (_, fields)| {
        let mut fields = fields.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0));
        (received + fields.next().unwrap_or(0), sent + fields.nth(7).unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn interfaces() {
        let table = "Inter-|   Receive                            |  Transmit\n face |bytes packets|bytes packets\n    \
                     lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 70 3 0 0 0 0 0 0\neth1:1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n";
        assert_eq!(sums(table), (101, 72));
        assert_eq!(packets(std::process::id()), None);
    }

    #[test]
    fn sizes_of_directories() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", directory.path().join("usr")).unwrap();
        let path = directory.path().to_str().unwrap().to_owned();
        assert!((100_000..200_000).contains(&size(&[path]).unwrap()));
        assert_eq!((size(&[]), size(&["/nowhere".to_owned()])), (Some(0), Some(0)));
        let path = directory.path().to_str().unwrap().to_owned();
        let all = sizes(&BTreeSet::from([path.clone(), "/nowhere".to_owned()]));
        assert!(all.len() == 1 && (100_000..200_000).contains(all.get(&path).unwrap()), "{all:?}");
    }
}
