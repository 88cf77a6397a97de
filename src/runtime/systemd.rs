// SPDX-License-Identifier: MIT
//! The system manager, spoken to as an administrator does: by `systemctl` and `machinectl`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Whether `root` is the system that runs here.
#[must_use]
pub fn is_live(root: &Path) -> bool {
    root == Path::new("/") && Path::new("/run/systemd/system").is_dir()
}

/// Runs `systemctl` with `arguments`; what it has to say goes to our standard error.
///
/// # Errors
/// It cannot be run, or fails.
pub fn systemctl(arguments: &[&str]) -> Result<()> {
    let status = Command::new("systemctl").args(arguments).stdout(Stdio::null()).status();
    if !status.context("cannot run systemctl")?.success() {
        bail!("systemctl {} failed", arguments.join(" "));
    }
    Ok(())
}

/// As [`systemctl`], without what it has to say: the caller tells why something failed.
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

/// Properties of a unit, by name; `names` are separated by commas. None if the service manager does not answer.
#[must_use]
pub fn properties(unit: &str, names: &str) -> BTreeMap<String, String> {
    properties_of([unit], names).into_iter().next().unwrap_or_default()
}

/// As [`properties`], of several units, each with its own; systemctl(1) writes an empty line between them.
#[must_use]
pub fn properties_of(units: impl IntoIterator<Item = impl AsRef<OsStr>>, names: &str) -> Vec<BTreeMap<String, String>> {
    let mut show = Command::new("systemctl");
    let output = show.args(["show", "--property", names, "--"]).args(units).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let one = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.split("\n\n").map(|block| block.lines().filter_map(one).collect()).collect()
}

/// Whether this process is a command of the service `unit`: its control group is the unit's or below it (`cgroups(7)`).
#[must_use]
pub fn is_part_of(unit: &str) -> bool {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().any(|line| line.split('/').any(|part| part == unit))
}

/// Has systemd read what was changed below `root`, if that is the system that runs here.
///
/// # Errors
/// As for [`systemctl`].
pub fn reload(root: &Path) -> Result<()> {
    if is_live(root) { systemctl(&["daemon-reload"]) } else { Ok(()) }
}

/// Whether a unit is active, or on its way there or back, on the system that runs here.
#[must_use]
pub fn is_active(root: &Path, unit: &str) -> bool {
    if !is_live(root) {
        return false;
    }
    !["inactive", "failed", ""].contains(&property(unit, "ActiveState").as_str())
}

/// Whether a unit is active and no job waits to change that.
#[must_use]
pub fn stays(unit: &str) -> bool {
    property(unit, "ActiveState") == "active" && ["", "0"].contains(&property(unit, "Job").as_str())
}

/// Makes the service manager forget that a unit has failed.
pub fn forget_failure(root: &Path, unit: &str) {
    if is_live(root) {
        // It fails for a unit that is not loaded, which has nothing to be forgotten.
        let _ = Command::new("systemctl").args(["reset-failed", unit]).stderr(Stdio::null()).status();
    }
}
