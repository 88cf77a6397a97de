// SPDX-License-Identifier: MIT
//! The end of a run of a container, as reported in the status line of its unit: the last output of
//! the application, and its exit status. The unit calls this when its service stops; the service
//! manager passes the result (systemd.exec(5), `$SERVICE_RESULT`).

use std::fs;
use std::os::fd::IntoRawFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::time::{ClockId, clock_gettime};
use serde::Deserialize;

use super::{failure, limits, systemd};
use crate::cause::{self, Cause};
use crate::config::values::time;
use crate::contract::health::{key_of_failed_check, known_key, says_unhealthy};
use crate::model::Container;
use crate::paths::{container_runtime, container_state};
use crate::rootdir::tree::Tree;

/// Timeout of journalctl(1) in seconds. The container may have damaged its journal.
const TIMEOUT: &str = "10";

/// Reports how the container `name` has ended.
pub fn tell(name: &str) {
    let unit = Container::unit(name);
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (result, code, status) = (variable("SERVICE_RESULT"), variable("EXIT_CODE"), variable("EXIT_STATUS"));
    if result.is_empty() {
        return;
    }
    if result == "success" {
        // Errors are ignored: the file is left from an earlier run, and the next start removes it,
        // too.
        let _ = cause::forget(&unit);
        cause::tell(&if code == "exited" { format!("exit status {status}") } else { String::new() });
        return;
    }
    // A command before systemd-nspawn may have recorded the cause already.
    let known = cause::of_this_run(&unit);
    let is_new = known.is_none();
    let mut cause = known.unwrap_or_else(|| failure_cause(name, &result, (&code, &status)));
    if is_new {
        eprintln!("<3>{cause}");
    }
    let is_last = meets_start_limit(&unit);
    if is_last {
        let another = format!("systemctl reset-failed {unit} permits another start");
        let known = std::mem::take(&mut cause.remedy);
        cause.remedy = if known.is_empty() { another } else { format!("{known}; {another}") };
    }
    if is_new || is_last {
        failure::record(&unit, &cause);
    }
}

/// Whether systemd will probably refuse the next start, because the number of starts reaches
/// `StartLimitBurst=` within `StartLimitIntervalSec=` (systemd.unit(5)). This assumes that the
/// earlier runs took as long as this one.
fn meets_start_limit(unit: &str) -> bool {
    let shown = systemd::properties(
        unit,
        "NRestarts,StartLimitBurst,StartLimitIntervalUSec,RestartUSec,InactiveExitTimestampMonotonic",
    );
    let number = |name| shown.get(name).and_then(|text: &String| text.parse::<u64>().ok()).unwrap_or_default();
    let span = |name| shown.get(name).and_then(|text: &String| time::milliseconds(text)).unwrap_or_default();
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    let run = now.saturating_sub(Duration::from_micros(number("InactiveExitTimestampMonotonic")));
    let turn = run + Duration::from_millis(span("RestartUSec"));
    let burst = number("StartLimitBurst");
    let before = u32::try_from(burst.saturating_sub(1)).unwrap_or(u32::MAX);
    let all = turn.checked_mul(before).unwrap_or(Duration::MAX);
    burst > 0 && number("NRestarts") >= before.into() && all < Duration::from_millis(span("StartLimitIntervalUSec"))
}

/// The argument of journalctl(1) for the journal in a container's upper layer: the path of a
/// descriptor, which journalctl inherits. A path would not do, because the container may have
/// replaced any directory on the way by a symbolic link.
///
/// # Errors
/// The container has kept no journal.
pub fn kept_journal(container: &str) -> Result<String> {
    let upper = Path::new(&container_state(container)).join("upper");
    let journal = Tree::open(&upper).and_then(|tree| tree.open_dir(b"var/log/journal"))?;
    fcntl(&journal, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(format!("--directory=/proc/self/fd/{}", journal.into_raw_fd()))
}

/// The cause of a failed run.
fn failure_cause(name: &str, result: &str, (code, status): (&str, &str)) -> Cause {
    let unit = Container::unit(name);
    let said = summary(name);
    let all = format!("sdme-gen logs {name} shows all messages");
    let last = said.application.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    // A service manager that exceeds a limit of the kernel exits before it can log the cause.
    if let Some(fault) = limits::shortage().filter(|_| result == "exit-code" && said.application.is_none()) {
        return Cause::of_fault("no resources", &fault);
    }
    match result {
        "timeout" => {
            let (what, limit) = limit(&unit);
            let health = said.check.as_ref().map(|text| format!("; {text}")).unwrap_or_default();
            let reason = format!("the {what} took longer than {limit} allows{last}{health}");
            Cause::new("timeout", &reason, &format!("raise it in [Service], {all}"))
        }
        "oom-kill" => Cause::new("out of memory", &format!("the container ran out of memory{last}"), "raise Memory="),
        _ if code.is_empty() => {
            let text = failure::message(&unit, "1", &[]).map(|text| format!(": {text}")).unwrap_or_default();
            let reason = format!("a command before the start failed{text}");
            Cause::new("refused", &reason, "correct ExecStartPre= in [Service]")
        }
        _ if said.is_unhealthy => {
            let check = said.check.unwrap_or_else(|| "the application is unhealthy".to_owned());
            let key = key_of_failed_check(&check).unwrap_or_else(|| known_key(""));
            Cause::new("unhealthy", &check, &format!("correct the application or {key}=, {all}"))
        }
        _ if code == "exited" => {
            // Errors after the first one are consequences of it.
            let own = ["PRIORITY=3".to_owned()];
            if said.application.is_none()
                && let Some(text) = failure::message(&unit, "+1", &own)
            {
                let reason = format!("systemd-nspawn cannot start the container: {text}");
                return Cause::new(&format!("failed {status}"), &reason, &format!("correct {name}.container"));
            }
            Cause::new(&format!("failed {status}"), &format!("exit status {status}{last}"), &all)
        }
        "watchdog" => Cause::new("failed", &format!("systemd-nspawn did not answer for three minutes{last}"), &all),
        _ => Cause::new("killed", &format!("systemd-nspawn was ended by the signal {status}{last}"), &all),
    }
}

/// The phase that exceeded its timeout, and the setting of that timeout.
fn limit(unit: &str) -> (&'static str, String) {
    const UP: &str = "ActiveEnterTimestampMonotonic";
    const BEGUN: &str = "InactiveExitTimestampMonotonic";
    let all = systemd::properties(unit, &[UP, BEGUN, "TimeoutStartUSec", "TimeoutStopUSec"].join(","));
    let time = |name| all.get(name).and_then(|time| time.parse::<u64>().ok()).unwrap_or_default();
    let value = |name| all.get(name).map(String::as_str).unwrap_or_default();
    if time(UP) < time(BEGUN) {
        ("start", format!("TimeoutStartSec={}", value("TimeoutStartUSec")))
    } else {
        ("stop", format!("TimeoutStopSec={}", value("TimeoutStopUSec")))
    }
}

/// The messages about the run in the container's journal.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    /// The last message of an application, or of the launcher about that application.
    application: Option<String>,
    /// The last failure of a health check.
    check: Option<String>,
    /// Whether the last reported status of an application was unhealthy.
    is_unhealthy: bool,
}

/// A message in the journal's JSON format (systemd.journal-fields(7)).
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "MESSAGE")]
    text: Option<serde_json::Value>,
    #[serde(rename = "_SYSTEMD_UNIT")]
    unit: Option<String>,
}

/// Reads the messages of this run in the journal in the container's upper layer.
fn summary(name: &str) -> Summary {
    let mut said = Summary::default();
    // Prepare makes this directory at every start, so its time is that of the start. Without it, the
    // start has ended before any message in the container.
    let begun = fs::metadata(Path::new(&container_runtime(name)).join("config")).and_then(|data| data.modified());
    let Some(begun) = begun.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()) else { return said };
    let Ok(journal) = kept_journal(name) else { return said };
    let output = Command::new("timeout")
        .args([TIMEOUT, "journalctl", "--quiet", "--output=json", "--output-fields=MESSAGE,_SYSTEMD_UNIT"])
        // The application's last message is followed by messages of the service manager, so that
        // one line is not enough.
        .args(["--lines=200".to_owned(), format!("--since=@{}.{:06}", begun.as_secs(), begun.subsec_micros())])
        .arg(journal)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    for line in output.map(|output| output.stdout).unwrap_or_default().split(|byte| *byte == b'\n') {
        if let Ok(message) = serde_json::from_slice::<Message>(line) {
            said.take(message);
        }
    }
    said
}

impl Summary {
    fn take(&mut self, message: Message) {
        let (Some(serde_json::Value::String(text)), Some(unit)) = (message.text, message.unit) else { return };
        let Some(app) = unit.strip_prefix("sdme-oci-").and_then(|unit| unit.strip_suffix(".service")) else { return };
        if app.ends_with("-health-gate") {
            return;
        }
        if app.ends_with("-health") {
            if key_of_failed_check(&text).is_some() {
                self.check = Some(text);
            } else {
                self.is_unhealthy = says_unhealthy(&text);
            }
        } else if !text.trim().is_empty() && !text.starts_with(crate::contract::process::ENDED) {
            self.application = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_count() {
        let mut said = Summary::default();
        let mut take = |unit: &str, text: &str| {
            let unit = Some(format!("{unit}.service"));
            said.take(Message { text: Some(text.into()), unit });
        };
        take("sdme-oci-app", "cannot read config");
        take("sdme-oci-app", "  ");
        take("sdme-oci-app", &format!("{} 3", crate::contract::process::ENDED));
        take("dbus-broker", "something else");
        take("sdme-oci-app-health", "health check of sdme-oci-app failed (failure 3 of 3): exit status 1");
        take("sdme-oci-app-health", "sdme-oci-app is unhealthy");
        take("sdme-oci-app-health-gate", "the application is unhealthy");
        assert_eq!(said.application.as_deref(), Some("cannot read config"));
        assert!(said.is_unhealthy && said.check.is_some_and(|text| text.ends_with("exit status 1")));
    }
}
