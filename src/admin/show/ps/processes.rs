// SPDX-License-Identifier: MIT
//! Facts from the kernel about the processes of containers: control groups, times, user namespaces.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

/// The control groups of all containers, by the names of their units.
#[must_use]
pub fn groups() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    find(Path::new("/sys/fs/cgroup"), "systemd-nspawn@", &mut found);
    found
}

/// Adds the control groups whose names begin with `prefix`, in any slice.
fn find(directory: &Path, prefix: &str, found: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(".slice") {
            find(&entry.path(), prefix, found);
        } else if name.starts_with(prefix) {
            found.insert(name, entry.path());
        }
    }
}

/// The first process of each application of a running container, by the applications' units in the
/// container.
#[must_use]
pub fn applications(group: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    find(&group.join("payload"), "sdme-oci-", &mut found);
    found.into_iter().filter_map(|(unit, group)| Some((unit, first(&group)?))).collect()
}

/// The first process of a container, from its unit's control group.
#[must_use]
pub fn leader(group: &Path) -> Option<u32> {
    first(&group.join("payload/init.scope"))
}

fn first(group: &Path) -> Option<u32> {
    fs::read_to_string(group.join("cgroup.procs")).ok()?.lines().next()?.parse().ok()
}

/// All processes in a control group and in the groups below it.
#[must_use]
pub fn all(group: &Path) -> Vec<u32> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    found.extend(below.flat_map(|entry| all(&entry.path())));
    found
}

/// The age of a process in seconds, from the 22nd field of `/proc/PID/stat` (`proc_pid_stat(5)`).
#[must_use]
pub fn age(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let started: u64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let ticks = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok().filter(|ticks| *ticks > 0)?;
    let now = u64::try_from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?.tv_sec()).ok()?;
    Some(now.saturating_sub(started / ticks))
}

/// The first ID on the host and the number of IDs of a container's user namespace. None if the
/// container has the host's IDs.
#[must_use]
pub fn users(leader: u32) -> Option<(u32, u32)> {
    let map = fs::read_to_string(format!("/proc/{leader}/uid_map")).ok()?;
    let mut numbers = map.lines().next()?.split_ascii_whitespace().map(str::parse::<u32>);
    let (inside, outside, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    ((inside, outside, count) != (0, 0, u32::MAX)).then_some((outside, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_the_host_has_no_user_namespace() {
        assert_eq!(users(std::process::id()), None);
        assert_eq!(leader(Path::new("/nowhere")), None);
        assert!(age(std::process::id()).is_some_and(|seconds| seconds < 3600));
        assert!(all(Path::new("/nowhere")).is_empty() && applications(Path::new("/nowhere")).is_empty());
    }
}
