// SPDX-License-Identifier: MIT
//! Causes of failed starts, recorded where an administrator looks first: in the status of the unit
//! that was started.
//!
//! A container depends on its images, its network and its mounts by `Wants=`, so that its own
//! commands run and report the cause when one of these has failed. A dependency by `Requires=`
//! would cancel the start before any command of the container, without a cause.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Error, Result};

use crate::cause::{self, Cause};
use crate::diag::Fault;
use crate::image::trust::is_refusal;
use crate::image::{local, registry_remedy};
use crate::journal;
use crate::model::{Container, Image, Named, Pod};
use crate::paths::{RUNTIME, STATE};
use crate::runtime::systemd;
use crate::started;

/// The error of a start that fails because of another unit.
#[derive(Debug)]
pub struct Unmet(Cause);

impl Unmet {
    pub(super) const fn new(cause: Cause) -> Self {
        Self(cause)
    }
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unmet {}

/// The error of a start that the container's files or images forbid, so that another attempt would
/// fail in the same way.
#[derive(Debug)]
pub struct Refused(pub Fault);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

/// Returns without an error if the start that has failed with `error` must end without another
/// attempt. The program of `unit`, `sdme-oci-run boot`, then finds the cause of this run and exits
/// with the status [`cause::REFUSED`].
///
/// # Errors
/// Any other `error` is returned, so that the command fails.
pub fn leave_to_program(unit: &str, error: Error) -> Result<()> {
    if error.is::<Refused>() && systemd::is_part_of(unit) && cause::of_this_run(unit).is_some() {
        eprintln!("<3>{error}");
        return Ok(());
    }
    Err(error)
}

/// The keyword of a start that fails because volumes cannot be copied before an update, or
/// restored.
pub const NO_SNAPSHOT: &str = "no snapshot";

/// The error of a start that fails because of volume snapshots.
#[must_use]
pub fn no_snapshot(error: &Error) -> Unmet {
    Unmet(Cause::of_error(NO_SNAPSHOT, error))
}

/// Runs a command of `unit`, and records the cause if the command fails.
///
/// # Errors
/// The errors of the command.
pub fn of_command<T>(unit: &str, cause: impl Fn(&Error) -> Cause, command: impl FnOnce() -> Result<T>) -> Result<T> {
    command().inspect_err(|error| record(unit, &cause(error)))
}

/// Records the cause of the failure of `unit`, if this process belongs to a unit.
pub(crate) fn record(unit: &str, cause: &Cause) {
    if std::env::var_os("INVOCATION_ID").is_some()
        && let Err(error) = cause::record(unit, cause)
    {
        eprintln!("<4>the cause of the failure cannot be written down: {error}");
    }
}

/// The cause of a failed start of a container.
#[must_use]
pub fn of_start(error: &Error) -> Cause {
    if let Some(Unmet(cause)) = error.downcast_ref() {
        return cause.clone();
    }
    match error.downcast_ref() {
        Some(Refused(fault)) => Cause::of_fault("refused", fault),
        None => Cause::of_error("refused", error),
    }
}

/// The cause of a failed import of an image.
#[must_use]
pub fn of_image(image: &str, source: &str, error: &Error) -> Cause {
    let unit = Image::service(image);
    let (reason, own) = cause::parts(error);
    // The outermost message of an import names the image, as this text does.
    let outermost = error.to_string();
    let reason = match reason.strip_prefix(&outermost).and_then(|rest| rest.strip_prefix(": ")) {
        Some(rest) if outermost.starts_with("importing image ") => rest,
        _ => &reason,
    };
    let remedy = if let Some(remedy) = local::remedy(error, &Path::new(STATE).join("store")) {
        remedy
    } else if let Some(remedy) = registry_remedy(error) {
        remedy.to_owned()
    } else if own.is_empty() && is_refusal(error) {
        // The reason of a refusal contains the remedy.
        String::new()
    } else if own.is_empty() {
        format!("journalctl -u '{unit}' shows all messages")
    } else {
        own
    };
    Cause::new("no image", &format!("cannot import the image {source}: {reason}"), &remedy)
}

/// Checks that the network of a container exists. For a pod that has failed, the error is the
/// recorded cause of the pod.
///
/// # Errors
/// The network does not exist.
pub fn network(container: &Container) -> Result<(), Unmet> {
    if let Some(cause) = container.connection.joined.as_deref().and_then(|other| cause::of(&Container::unit(other))) {
        return Err(Unmet(cause));
    }
    for pod in container.pods() {
        let unit = Pod::service(pod);
        if let Some(cause) = cause::of(&unit) {
            return Err(Unmet(cause));
        }
        if !Path::new(&Pod::path(pod)).exists() {
            let reason = format!("the network {pod} is not there");
            let remedy = format!("run systemctl status {unit} to see why");
            return Err(Unmet(Cause::new("no network", &reason, &remedy)));
        }
    }
    Ok(())
}

/// Checks that the named networks exist that a starting pod needs.
///
/// # Errors
/// A network does not exist.
pub fn networks(pod: &str) -> Result<(), Unmet> {
    for unit in started::networks_of(pod) {
        if let Some(cause) = cause::of(&unit) {
            return Err(Unmet(cause));
        }
        let there = Named::of_service(&unit).is_none_or(|name| Path::new(RUNTIME).join("networks").join(name).exists());
        if !there {
            let remedy = format!("run systemctl status {unit} to see why");
            return Err(Unmet(Cause::new("no network", &format!("{unit} is not started"), &remedy)));
        }
    }
    Ok(())
}

/// Records why a unit of a pod has failed. The unit calls this when it stops (`$SERVICE_RESULT`,
/// systemd.exec(5)).
pub fn stopped(unit: &str) {
    let result = std::env::var("SERVICE_RESULT").unwrap_or_default();
    if result == "success" || result.is_empty() {
        return;
    }
    let cause = cause::of_this_run(unit).unwrap_or_else(|| {
        let said = message(unit, "1", &[]).unwrap_or_else(|| format!("the result is {result}"));
        Cause::new(
            "no network",
            &format!("the network cannot be made: {said}"),
            &format!("journalctl -u {unit} shows all messages"),
        )
    });
    record(unit, &cause);
    if let Some(pod) = Pod::of_service(unit) {
        // The target of a pod runs no command that could report why the pod is missing.
        journal::about(&format!("sdme-pod@{pod}.target"), &cause.to_string());
    }
}

/// Records that a start of `unit` has failed because its file is rejected for `problems`.
pub fn rejected(unit: &str, problems: &[String]) {
    let first = problems.first().map_or("the file is rejected", String::as_str);
    let remedy = match problems.len() {
        0 | 1 => String::new(),
        count => format!("sdme-gen check lists all {count} problems"),
    };
    record(unit, &Cause::new("rejected", first, &remedy));
}

/// A message of the programs that the present run of `unit` has started, among those that match
/// `matches`: the last message if `lines` is `1`, the first one if it is `+1` (journalctl(1)).
pub(crate) fn message(unit: &str, lines: &str, matches: &[String]) -> Option<String> {
    message_of(unit, &std::env::var("INVOCATION_ID").ok()?, lines, matches)
}

/// Like [`message`], for the run of `unit` with this invocation ID (systemd.exec(5),
/// `$INVOCATION_ID`).
pub(super) fn message_of(unit: &str, run: &str, lines: &str, matches: &[String]) -> Option<String> {
    // A message may not have reached the journal's files yet. Errors are ignored.
    let _ = Command::new("journalctl").arg("--sync").stdin(Stdio::null()).stderr(Stdio::null()).status();
    read(lines, &[format!("_SYSTEMD_UNIT={unit}"), format!("_SYSTEMD_INVOCATION_ID={run}")], matches)
}

/// The last message of a program of `unit` within the last minute. On a busy machine, a program may
/// end before journald looks up its unit. If the unit has failed by then, journald records no
/// invocation ID.
pub(super) fn recent_message(unit: &str) -> Option<String> {
    let text = read("10", &["--since=-1min".to_owned(), format!("_SYSTEMD_UNIT={unit}")], &[])?;
    last_message(&text).map(str::to_owned)
}

/// The first line of the last message in `text`. A line that begins with a blank continues a
/// message, as the hint of mount(8) to dmesg(1) does.
fn last_message(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| !line.starts_with(char::is_whitespace))
}

fn read(lines: &str, unit: &[String], matches: &[String]) -> Option<String> {
    let output = Command::new("journalctl")
        .args(["--quiet", "--boot", "--output=cat", "--lines", lines])
        .args(unit)
        .args(matches)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_begins_with_its_first_line() {
        let text = "mount: /a: special device x does not exist.\nmount: /b: wrong fs type, bad option.\n       \
                    dmesg(1) may have more information after failed mount system call.";
        assert_eq!(last_message(text), Some("mount: /b: wrong fs type, bad option."));
        assert_eq!(last_message("one\ntwo"), Some("two"));
        assert_eq!(last_message(""), None);
    }
}
