// SPDX-License-Identifier: MIT
//! The resources that running containers use: processor, memory and tasks from their control groups
//! (`cgroups(7)`), network traffic from the kernel's tables, disk space from du(1).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use super::ps::processes;
use crate::admin::leftovers;
use crate::model::Container;
use crate::paths::{app_part, container_state, volume};

/// Timeout of du(1) for one container, in seconds, because a container may have made any number of
/// files.
const TIMEOUT: &str = "10";

/// The resources of a container. A value is none if the kernel does not count it for the container,
/// or reports it to root only.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Usage {
    /// The name of the container.
    pub name: String,
    /// Processor time during the interval, in percent of one processor.
    pub cpu_percent: Option<f64>,
    /// Processor time since the start of the container, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory in use in bytes, including the page cache of its files.
    pub memory: Option<u64>,
    /// The memory limit in bytes, if there is one.
    pub memory_limit: Option<u64>,
    /// Number of processes and threads.
    pub tasks: Option<u64>,
    /// Bytes received since the network namespace was made, without loopback. The members of a pod
    /// share a network. None for a container in the host's network.
    pub received: Option<u64>,
    /// Bytes sent, counted like `received`.
    pub sent: Option<u64>,
    /// Disk space of the container's upper layer, in bytes.
    pub upper: Option<u64>,
    /// Disk space of the container's volumes, in bytes. Several containers may share a volume.
    pub volumes: Option<u64>,
}

/// The resources of the running containers. `interval` is the time over which `cpu_percent` is
/// measured; without an interval, that value is none. With `names`, only these containers are read.
///
/// # Errors
/// One of these containers does not run.
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
        usage.upper = size(&uppers(&container_state(name)));
        let paths: Option<Vec<String>> = volumes.as_ref().map(|all| all.get(name).cloned().unwrap_or_default());
        usage.volumes = paths.and_then(|paths| size(&paths));
        usage
    });
    Ok(all.collect())
}

/// The directories of the volumes of each container. None if this user may not read them.
fn volumes() -> Option<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in leftovers::volumes(Path::new("/")).ok()? {
        for user in one.users {
            found.entry(user).or_default().push(volume(&one.name));
        }
    }
    Some(found)
}

/// The upper layers of a container and of its additional applications. `state` is the directory
/// with the state of the container.
fn uppers(state: &str) -> Vec<String> {
    let apps = fs::read_dir(format!("{state}/apps")).into_iter().flatten().flatten();
    let apps = apps.filter_map(|app| Some(app_part(state, app.file_name().to_str()?)));
    iter::once(state.to_owned()).chain(apps).map(|directory| format!("{directory}/upper")).collect()
}

/// The disk space of all directories together, in bytes.
fn size(paths: &[String]) -> Option<u64> {
    if paths.is_empty() {
        return Some(0);
    }
    du(&["--total"], paths.iter())?.lines().last()?.strip_suffix("\ttotal")?.parse().ok()
}

/// The disk space of each directory in bytes, by its path. Directories that du(1) does not finish
/// before its timeout are missing. A file with several hard links counts once.
#[must_use]
pub fn sizes(paths: &BTreeSet<String>) -> BTreeMap<String, u64> {
    let text = if paths.is_empty() { None } else { du(&[], paths.iter()) }.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.filter_map(|(size, path)| Some((path.to_owned(), size.parse().ok()?))).collect()
}

/// The output of du(1) for directories. du(1) follows no symbolic links here, and other file
/// systems mounted below the directories are not counted.
fn du<'a>(options: &[&str], paths: impl Iterator<Item = &'a String>) -> Option<String> {
    let output = Command::new("timeout")
        .args([TIMEOUT, "du", "--summarize", "--one-file-system", "--block-size=1"])
        .args(options)
        .arg("--")
        .args(paths)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    // The exit status is ignored, because it is 1 if a file was removed in the meantime.
    String::from_utf8(output.stdout).ok()
}

/// The resources that a control group counts.
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

/// Processor time of a control group in seconds, from `cpu.stat`.
fn seconds(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.stat")).ok()?;
    let usage: f64 = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?.parse().ok()?;
    Some(usage / 1e6)
}

/// Bytes received and sent in the network namespace of a process, unless that is the host's.
fn packets(process: u32) -> Option<(u64, u64)> {
    let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    if network(&process.to_string())? == network("self")? {
        return None;
    }
    Some(sums(&fs::read_to_string(format!("/proc/{process}/net/dev")).ok()?))
}

/// The sums over all interfaces of a table (`proc_pid_net(5)`): the first field is the number of
/// bytes received, the ninth one that of bytes sent.
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
    fn traffic_is_the_sum_of_all_interfaces_except_loopback() {
        let table = "Inter-|   Receive                            |  Transmit\n face |bytes packets|bytes packets\n    \
                     lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 70 3 0 0 0 0 0 0\neth1:1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n";
        assert_eq!(sums(table), (101, 72));
        assert_eq!(packets(std::process::id()), None);
    }

    #[test]
    fn sizes_do_not_include_targets_of_links() {
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
