// SPDX-License-Identifier: MIT
//! Ends the container with its last application: called whenever one of them ended.

use std::process::ExitCode;

use anyhow::Result;

use sdme_gen::health::{State, Status};

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
    const TIME: &str = "InactiveEnterTimestampMonotonic";
    let (names, units): (Vec<&str>, Vec<&str>) = applications.iter().filter_map(|a| a.split_once(':')).unzip();
    let all = show(&units, &["ActiveState", "Job", "Result", "ExecMainCode", "ExecMainStatus", TIME])?;
    let mut last = (0, 0);
    let mut running = false;
    for (name, properties) in names.iter().zip(&all) {
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
    if running {
        // Nobody may be listening.
        let _ = host::tell();
        return Ok(ExitCode::SUCCESS);
    }
    // Already on its way down, in another way.
    if !is_stopping() {
        systemctl(&["exit", &last.1.to_string()])?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_stopping() -> bool {
    let output = std::process::Command::new("systemctl").arg("is-system-running").output();
    output.is_ok_and(|output| output.stdout.starts_with(b"stopping"))
}
