// SPDX-License-Identifier: MIT
//! The interface to the system manager: calls of `systemctl`, as an administrator uses it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Whether `root` is the running system, with systemd as its system manager.
#[must_use]
pub fn is_live(root: &Path) -> bool {
    root == Path::new("/") && Path::new("/run/systemd/system").is_dir()
}

/// Runs `systemctl` with `arguments`. Its messages go to standard error of this process.
///
/// # Errors
/// systemctl cannot be run, or fails.
pub fn systemctl(arguments: &[&str]) -> Result<()> {
    let status = Command::new("systemctl").args(arguments).stdout(Stdio::null()).status();
    if !status.context("cannot run systemctl")?.success() {
        bail!("systemctl {} failed", arguments.join(" "));
    }
    Ok(())
}

/// Like [`systemctl`], without messages: the caller explains a failure.
///
/// # Errors
/// As for [`systemctl`].
pub fn quietly(arguments: &[&str]) -> Result<()> {
    let status = Command::new("systemctl").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !status.context("cannot run systemctl")?.success() {
        bail!("systemctl {} failed", arguments.join(" "));
    }
    Ok(())
}

/// A property of a unit; empty if the service manager does not answer.
#[must_use]
pub fn property(unit: &str, name: &str) -> String {
    let output = Command::new("systemctl").args(["show", "-P", name, unit]).stdin(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Properties of a unit, by name; `names` is a list separated by commas. The map is empty if the
/// service manager does not answer.
#[must_use]
pub fn properties(unit: &str, names: &str) -> BTreeMap<String, String> {
    properties_of([unit], names).into_iter().next().unwrap_or_default()
}

/// Like [`properties`], for several units, in the order of `units`. systemctl(1) separates units by
/// an empty line.
#[must_use]
pub fn properties_of(units: impl IntoIterator<Item = impl AsRef<OsStr>>, names: &str) -> Vec<BTreeMap<String, String>> {
    let mut show = Command::new("systemctl");
    let output = show.args(["show", "--property", names, "--"]).args(units).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let one = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.split("\n\n").map(|block| block.lines().filter_map(one).collect()).collect()
}

/// Whether this process is a command of the service `unit`: its control group is that of the unit
/// or below it (`cgroups(7)`).
#[must_use]
pub fn is_part_of(unit: &str) -> bool {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().any(|line| line.split('/').any(|part| part == unit))
}

/// Reloads the configuration of systemd, if `root` is the running system.
///
/// # Errors
/// As for [`systemctl`].
pub fn reload(root: &Path) -> Result<()> {
    if is_live(root) { systemctl(&["daemon-reload"]) } else { Ok(()) }
}

/// Whether a unit of the running system is active, activating, deactivating or reloading.
#[must_use]
pub fn is_active(root: &Path, unit: &str) -> bool {
    if !is_live(root) {
        return false;
    }
    !["inactive", "failed", ""].contains(&property(unit, "ActiveState").as_str())
}

/// Whether a unit is active and no job is queued that would change that.
#[must_use]
pub fn stays(unit: &str) -> bool {
    property(unit, "ActiveState") == "active" && ["", "0"].contains(&property(unit, "Job").as_str())
}

/// Resets the failed state of a unit.
pub fn forget_failure(root: &Path, unit: &str) {
    if is_live(root) {
        // An error is ignored: a unit that is not loaded has no failed state.
        let _ = Command::new("systemctl").args(["reset-failed", unit]).stderr(Stdio::null()).status();
    }
}
