// SPDX-License-Identifier: MIT
//! Ends the container with its last application: called whenever one of them ended.

use std::process::ExitCode;

use anyhow::Result;

use super::manager::{show, systemctl};

/// What systemd-nspawn ends with when a container wants to be started again (systemd-nspawn@.service).
const RESTART: i32 = 133;

/// Ends the container, unless an application of `units` runs or is about to. The container's exit status is the one of
/// the application that ended last.
///
/// # Errors
/// The service manager does not answer.
pub fn ended(units: &[&str]) -> Result<ExitCode> {
    const TIME: &str = "InactiveEnterTimestampMonotonic";
    let all = show(units, &["ActiveState", "Job", "Result", "ExecMainCode", "ExecMainStatus", TIME])?;
    let mut last = (0, 0);
    for properties in &all {
        let property = |name: &str| properties.get(name).map_or("", String::as_str);
        let number = |name: &str| property(name).parse::<u64>().unwrap_or(0);
        if !["inactive", "failed"].contains(&property("ActiveState")) || number("Job") > 0 {
            return Ok(ExitCode::SUCCESS);
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
