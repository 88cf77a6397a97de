// SPDX-License-Identifier: MIT
//! Ends the container after its last application has ended. The service manager calls this whenever
//! an application has ended.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;

use sdme_gen::contract::health::{State, Status};

use super::manager::{show, systemctl};
use super::{health, host};

/// The exit status of systemd-nspawn that makes systemd restart the container
/// (systemd-nspawn@.service).
const RESTART: i32 = 133;

/// Ends the container, unless one of its applications runs or is about to start. Each application
/// is given as `NAME:UNIT`. The container's exit status is that of the application that ended last.
///
/// # Errors
/// The service manager does not answer.
pub fn ended(applications: &[&str]) -> Result<ExitCode> {
    let all: Vec<(&str, &str)> = applications.iter().filter_map(|a| a.split_once(':')).collect();
    let mut status = exit_status(&all)?;
    if status == Some(0) && !awaits_health(&all)? {
        // The host learns that the container is up at the end of its boot. Before that, an exit of
        // the container is a failed start.
        let _ = systemctl(&["--quiet", "--wait", "is-system-running"]);
        // An application may have been started in the meantime.
        status = exit_status(&all)?;
    }
    match status {
        None => {
            // An error is ignored, because the host may not be listening.
            let _ = host::report();
        }
        // A shutdown that is already running in another way is left alone.
        Some(status) if !is_stopping() => systemctl(&["exit", &status.to_string()])?,
        Some(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The container's exit status. None if one of its applications runs or is about to start. Records
/// the status of the applications that have ended.
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
            // The code is CLD_EXITED of waitid(2). Every other code stands for a signal.
            _ if number("ExecMainCode") == 1 => status,
            _ => 128 + status,
        };
        let failed = property("Result") != "success";
        // A unit can also fail after exit status 0, by a timeout or by too many starts. Status 133
        // must not make systemd restart the container.
        let code = if failed && [0, RESTART].contains(&code) { 1 } else { code };
        last = last.max((number(TIME), code));
        // The timer of the check has stopped, so the final status is recorded here.
        if let Some(state) = health::read_state(name) {
            let status = if failed { Status::Failed } else { Status::Stopped };
            health::write_state(name, &State { status, ..state })?;
        }
    }
    Ok((!running).then_some(last.1))
}

/// Whether the boot waits until an application is healthy. An application that has ended never
/// becomes healthy.
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
