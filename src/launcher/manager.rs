// SPDX-License-Identifier: MIT
//! Queries and commands to the container's service manager, by means of systemctl(1).

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A run of an application's service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The process ID of the main process, which is the launcher.
    pub main: i32,
    /// When the main process was started, in microseconds of `CLOCK_MONOTONIC`.
    pub since: u64,
}

impl Run {
    /// The present run of `unit`. None if the unit does not run.
    ///
    /// # Errors
    /// The service manager does not answer.
    pub fn of(unit: &str) -> Result<Option<Self>> {
        let properties = show(&[unit], &["MainPID", "ExecMainStartTimestampMonotonic"])?;
        let number = |name| properties.first()?.get(name)?.parse().ok();
        let main = number("MainPID").and_then(|n: u64| i32::try_from(n).ok()).filter(|main| *main > 0);
        Ok(main.zip(number("ExecMainStartTimestampMonotonic")).map(|(main, since)| Self { main, since }))
    }
}

/// The properties of each unit, in the order of the units (systemctl(1), `show`).
///
/// # Errors
/// The service manager does not answer.
pub fn show(units: &[&str], properties: &[&str]) -> Result<Vec<BTreeMap<String, String>>> {
    let mut command = Command::new("systemctl");
    command.arg("show").arg(format!("--property={}", properties.join(","))).arg("--").args(units);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run systemctl")?;
    if !output.status.success() {
        bail!("the service manager does not tell about {}", units.join(", "));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let block =
        |block: &str| block.lines().filter_map(|l| l.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect();
    Ok(text.split("\n\n").map(block).collect())
}

/// Runs `systemctl` with these arguments.
///
/// # Errors
/// systemctl cannot be run, or fails.
pub fn systemctl(arguments: &[&str]) -> Result<()> {
    let status = Command::new("systemctl").args(arguments).status().context("cannot run systemctl")?;
    if !status.success() {
        bail!("systemctl {} has failed", arguments.join(" "));
    }
    Ok(())
}
