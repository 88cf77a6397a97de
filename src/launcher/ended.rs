// SPDX-License-Identifier: MIT
//! Ends the container with its last application: called whenever one of them ended.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;

use sdme_gen::contract::health::{State, Status};

use super::manager::{show, systemctl};
use super::{health, host};

/// What systemd-nspawn ends with when a container wants to be started again (systemd-nspawn@.service).
const RESTART: i32 = 133;

/// Ends the container, unless one of its applications runs or is about to; each is given as `NAME:UNIT`. The container's exit
/// status is the one of the application that ended last.
///
/// # Errors
/// The service manager does not answer.
pub fn ended(applications: &[&str]) -> Result<ExitCode> {
    let all: Vec<(&str, &str)> = applications.iter().filter_map(|a| a.split_once(':')).collect();
    let mut status = exit_status(&all)?;
    if status == Some(0) && !awaits_health(&all)? {
        // The host is told that the container is up when its boot is over. Before that, an end is a start that has failed.
        let _ = systemctl(&["--quiet", "--wait", "is-system-running"]);
        // One of them may have been started in the meantime.
        status = exit_status(&all)?;
    }
    match status {
        None => {
            // Nobody may be listening.
            let _ = host::tell();
        }
        // Unless it is already on its way down, in another way.
        Some(status) if !is_stopping() => systemctl(&["exit", &status.to_string()])?,
        Some(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The container's exit status, unless one of its applications runs or is about to. Notes which of them have ended.
fn exit_status(applications: &[(&str, &str)]) -> Result<Option<i32>> {
    const TIME: &str = "InactiveEnterTimestampMonotonic";
    let units: Vec<&str> = applications.iter().map(|(_, unit)| *unit).collect();
    let all = show(&units, &["ActiveState", "Job", "Result", "ExecMainCode", "ExecMainStatus", TIME])?;
    let mut last = (0, 0);
    let mut running = false;
    for ((name, _), properties) in applications.iter().zip(&all) {
        let property = |name: &str| properties.get(name).map_or("", String::as_str);
        let number = |name: &str| property(name).parse::<u64>().unwrap_or(0);
        if !["inactive", "failed"].contains(&property("ActiveState")) || number("Job") > 0 {
            running = true;
            continue;
        }
        let status = i32::try_from(number("ExecMainStatus")).unwrap_or(1);
        let code = match property("Result") {
            "success" => 0,
            // CLD_EXITED of waitid(2); the others are signals.
            _ if number("ExecMainCode") == 1 => status,
            _ => 128 + status,
        };
        let failed = property("Result") != "success";
        // Also what has exited well, but too late or too often; and nothing of that means to start again.
        let code = if failed && [0, RESTART].contains(&code) { 1 } else { code };
        last = last.max((number(TIME), code));
        // Nobody checks it any more.
        if let Some(state) = health::read_state(name) {
            let status = if failed { Status::Failed } else { Status::Stopped };
            health::write_state(name, &State { status, ..state })?;
        }
    }
    Ok((!running).then_some(last.1))
}

/// Whether the boot waits until an application is healthy. One that has ended never will be.
fn awaits_health(applications: &[(&str, &str)]) -> Result<bool> {
    let gate = |(_, unit): &(&str, &str)| format!("{}-health-gate.service", unit.trim_end_matches(".service"));
    let gates: Vec<String> = applications.iter().map(gate).collect();
    let gates: Vec<&str> = gates.iter().map(String::as_str).collect();
    let all = show(&gates, &["ActiveState", "Job"])?;
    let waits = |gate: &BTreeMap<String, String>| {
        gate.get("ActiveState").is_some_and(|state| state == "activating")
            || gate.get("Job").is_some_and(|job| !job.is_empty() && job != "0")
    };
    Ok(all.iter().any(waits))
}

fn is_stopping() -> bool {
    let output = std::process::Command::new("systemctl").arg("is-system-running").output();
    output.is_ok_and(|output| output.stdout.starts_with(b"stopping"))
}
