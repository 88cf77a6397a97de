// SPDX-License-Identifier: MIT
//! What the container's service manager is asked, and told, by way of its own program.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The service of an application as it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its main process, the launcher.
    pub main: i32,
    /// When that was started, in microseconds of `CLOCK_MONOTONIC`.
    pub since: u64,
}

impl Run {
    /// How `unit` runs, if it does.
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
/// It fails.
pub fn systemctl(arguments: &[&str]) -> Result<()> {
    let status = Command::new("systemctl").args(arguments).status().context("cannot run systemctl")?;
    if !status.success() {
        bail!("systemctl {} has failed", arguments.join(" "));
    }
    Ok(())
}
