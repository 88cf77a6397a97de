// SPDX-License-Identifier: MIT
//! The states of the units of containers, images, pods and ports, from the service manager. One
//! call of systemctl(1) reads the states of all units, and a second one reads how the failed ones
//! have ended.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::model::Container;

/// A unit in the output of `systemctl list-units`.
#[derive(Debug, Deserialize)]
pub struct Unit {
    #[serde(rename = "unit")]
    name: String,
    active: String,
    sub: String,
}

impl Unit {
    /// Whether the unit is active, activating, deactivating or reloading.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !["inactive", "failed"].contains(&self.active.as_str())
    }

    /// Whether the unit is activating.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.active == "activating"
    }

    /// Whether the unit has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.active == "failed"
    }

    /// The state of a container. A job is activating as long as it runs, so that state of a job is
    /// `running`.
    #[must_use]
    pub fn word(&self, is_job: bool) -> &'static str {
        match self.active.as_str() {
            "active" if self.sub == "exited" => "exited",
            "activating" if is_job && self.sub == "start" => "running",
            "active" | "reloading" | "refreshing" => "running",
            "activating" if self.sub.starts_with("auto-restart") => "restarting",
            "activating" => "starting",
            "deactivating" => "stopping",
            "failed" => "failed",
            _ => "stopped",
        }
    }
}

/// The end of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// `Result=`: `exit-code`, `timeout`, `start-limit-hit` and others (systemd.exec(5),
    /// `$SERVICE_RESULT`).
    pub result: String,
    /// The exit status of the main process. None if it was killed or never started.
    pub status: Option<u8>,
    /// The number of the signal that killed the main process.
    pub signal: Option<u8>,
}

/// Units, by their names.
pub type Units = BTreeMap<String, Unit>;

/// The states of all units of sdme-gen that the service manager knows.
///
/// # Errors
/// The service manager does not answer.
pub fn read() -> Result<Units> {
    let patterns = ["systemd-nspawn@*.service", "sdme-image@*.service", "sdme-pod@*.service", "sdme-publish-*.socket"];
    let output = Command::new("systemctl")
        .args(["list-units", "--all", "--output=json", "--"])
        .args(patterns)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run systemctl")?;
    if !output.status.success() {
        bail!("the service manager does not answer");
    }
    let units: Vec<Unit> = serde_json::from_slice(&output.stdout).context("systemctl printed no list of units")?;
    Ok(units.into_iter().map(|unit| (unit.name.clone(), unit)).collect())
}

/// The ends of the containers that have failed or wait for their restart, by their units.
#[must_use]
pub fn ended(units: &Units) -> BTreeMap<String, Ended> {
    let failed = |unit: &&Unit| unit.has_failed() || unit.sub.starts_with("auto-restart");
    let prefix = Container::unit("");
    let prefix = prefix.trim_end_matches(".service");
    let names = units.values().filter(failed).map(|unit| unit.name.as_str()).filter(|name| name.starts_with(prefix));
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return BTreeMap::new();
    }
    let output = Command::new("systemctl")
        .args(["show", "-p", "Id,Result,ExecMainCode,ExecMainStatus", "--"])
        .args(names)
        .stdin(Stdio::null())
        .output();
    output.map(|output| parse(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default()
}

/// Parses the output of `systemctl show` for several units: blocks of properties, separated by an
/// empty line.
fn parse(text: &str) -> BTreeMap<String, Ended> {
    let blocks = text
        .split("\n\n")
        .map(|block| block.lines().filter_map(|line| line.split_once('=')).collect::<BTreeMap<_, _>>());
    let one = |block: BTreeMap<&str, &str>| {
        let number = block.get("ExecMainStatus").and_then(|status| status.parse().ok());
        // CLD_EXITED, CLD_KILLED and CLD_DUMPED (sigaction(2)).
        let (status, signal) = match *block.get("ExecMainCode")? {
            "1" => (number, None),
            "2" | "3" => (None, number),
            _ => (None, None),
        };
        let result = (*block.get("Result")?).to_owned();
        Some(((*block.get("Id")?).to_owned(), Ended { result, status, signal }))
    };
    blocks.filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_units_become_states_of_containers() {
        let unit = |active: &str, sub: &str| Unit { name: String::new(), active: active.into(), sub: sub.into() };
        let word = |active: &str, sub: &str, is_job| unit(active, sub).word(is_job);
        assert_eq!((word("failed", "failed", false), word("", "", true)), ("failed", "stopped"));
        assert_eq!((word("activating", "start", false), word("activating", "start", true)), ("starting", "running"));
        assert_eq!((word("activating", "start-pre", true), word("active", "exited", true)), ("starting", "exited"));
        assert_eq!(word("activating", "auto-restart", false), "restarting");
    }

    #[test]
    fn the_end_of_each_service_is_parsed() {
        let text = "Result=exit-code\nExecMainCode=1\nExecMainStatus=3\nId=a\n\nResult=signal\nExecMainCode=2\nExecMainStatus=9\nId=b\n\n\
                    Result=timeout\nExecMainCode=0\nExecMainStatus=0\nId=c\n";
        let all = parse(text);
        let found = |id| all.get(id).map(|ended: &Ended| (ended.result.as_str(), ended.status, ended.signal));
        assert_eq!(found("a"), Some(("exit-code", Some(3), None)));
        assert_eq!(found("b"), Some(("signal", None, Some(9))));
        assert_eq!(found("c"), Some(("timeout", None, None)));
    }
}
