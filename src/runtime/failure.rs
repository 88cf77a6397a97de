// SPDX-License-Identifier: MIT
//! Why starts fail, written where an administrator looks first: in the status of the unit that was started.
//!
//! A container depends on its images, its network and its mounts by `Wants=`, so that its own commands run when one of these has
//! failed, and say why. A dependency by `Requires=` would end the start before any command of the container, without a cause.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Error, Result};

use super::volumes::mounted;
use crate::cause::{self, Cause};
use crate::image::{Store, local, mark};
use crate::journal;
use crate::model::{Container, Image, Model, Named, Pod};
use crate::paths::{RUNTIME, STATE};
use crate::plan;
use crate::resolve;
use crate::runtime::systemd;
use crate::started;

/// A start that fails because of another unit.
#[derive(Debug)]
pub struct Unmet(Cause);

impl Unmet {
    pub(super) const fn new(cause: Cause) -> Self {
        Self(cause)
    }
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl std::error::Error for Unmet {}

/// A start that the container's files or images forbid, so that another try would end in the same way.
#[derive(Debug)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Leaves it to the program of `unit` to end the start that has failed with `error`, if it is to end without another try. That program
/// is `sdme-oci-run boot`, and ends with the status of [`cause::REFUSED`] when it finds the cause of this run.
///
/// # Errors
/// Any other error: the command has to fail.
pub fn leave_to_program(unit: &str, error: Error) -> Result<()> {
    if error.is::<Refused>() && systemd::is_part_of(unit) && cause::of_this_run(unit).is_some() {
        eprintln!("<3>{error}");
        return Ok(());
    }
    Err(error)
}

/// The word for a start that fails because volumes cannot be copied for an update, or put back.
pub const NO_SNAPSHOT: &str = "no snapshot";

/// A start that fails because of that.
#[must_use]
pub fn no_snapshot(error: &Error) -> Unmet {
    Unmet(Cause::new(NO_SNAPSHOT, &format!("{error:#}")))
}

/// Runs a command of `unit`. If the command fails, writes down why.
///
/// # Errors
/// Those of the command.
pub fn of_command<T>(unit: &str, cause: impl Fn(&Error) -> Cause, command: impl FnOnce() -> Result<T>) -> Result<T> {
    command().inspect_err(|error| record(unit, &cause(error)))
}

/// Writes down why `unit` has failed, if this process belongs to a unit.
pub(crate) fn record(unit: &str, cause: &Cause) {
    if std::env::var_os("INVOCATION_ID").is_some()
        && let Err(error) = cause::record(unit, cause)
    {
        eprintln!("<4>the cause of the failure cannot be written down: {error}");
    }
}

/// Why the start of a container fails.
#[must_use]
pub fn of_start(error: &Error) -> Cause {
    error.downcast_ref::<Unmet>().map_or_else(|| Cause::new("refused", &format!("{error:#}")), |unmet| unmet.0.clone())
}

/// Why an image cannot be imported.
#[must_use]
pub fn of_image(image: &str, source: &str, error: &Error) -> Cause {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    // The outermost message of an import names the image, as this text does.
    let reasons = chain.get(1..).filter(|_| chain.first().is_some_and(|text| text.starts_with("importing image ")));
    let reason = reasons.unwrap_or(&chain).join(": ");
    let unit = Image::service(image);
    let remedy = if let Some(remedy) = local::remedy(error, &Path::new(STATE).join("store")) {
        remedy
    } else if reason.contains("no such image") {
        "correct Image=".to_owned()
    } else if reason.contains("cannot be reached") {
        "check the name of the registry and the network".to_owned()
    } else if reason.contains("denies") || reason.contains("credentials") {
        "correct Image=, or log in to the registry".to_owned()
    } else if reason.contains(';') {
        // The message has its own.
        String::new()
    } else {
        format!("journalctl -u '{unit}' shows all messages")
    };
    let remedy = if remedy.is_empty() { remedy } else { format!("; {remedy}") };
    Cause::new("no image", &format!("cannot import the image {source}: {reason}{remedy}"))
}

/// Looks whether the network of a container is there. A pod that cannot be started has said why.
///
/// # Errors
/// The network is not there.
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
            let text = format!("the network {pod} is not there; run systemctl status {unit} to see why");
            return Err(Unmet(Cause::new("no network", &text)));
        }
    }
    Ok(())
}

/// Looks whether the networks with names are there that a pod needs which is being started.
///
/// # Errors
/// One is not there.
pub fn networks(pod: &str) -> Result<(), Unmet> {
    for unit in started::networks_of(pod) {
        if let Some(cause) = cause::of(&unit) {
            return Err(Unmet(cause));
        }
        let there = Named::of_service(&unit).is_none_or(|name| Path::new(RUNTIME).join("networks").join(name).exists());
        if !there {
            let text = format!("{unit} is not started; run systemctl status {unit} to see why");
            return Err(Unmet(Cause::new("no network", &text)));
        }
    }
    Ok(())
}

/// Begins a start of a container: forgets why an earlier one has failed, and looks whether the units that the container depends on are
/// as they have to be.
///
/// # Errors
/// One of them has failed.
pub fn dependencies(container: &Container, model: &Model, store: &Store) -> Result<()> {
    cause::forget(&Container::unit(&container.name)).context("cannot remove the cause of an earlier failure")?;
    network(container)?;
    mounted::check(container, model)?;
    Ok(images(container, model, store)?)
}

/// Looks whether the images of a container could be imported, as far as they had to be.
///
/// # Errors
/// An import that this start needed has failed.
fn images(container: &Container, model: &Model, store: &Store) -> Result<(), Unmet> {
    for image in plan::images(container, model) {
        // The mark says that no import was needed; an earlier one may have failed.
        let is_marked = model
            .images
            .get(image)
            .and_then(|image| resolve::image::mark(image, &model.installers))
            .is_some_and(|wanted| mark::is_set(store, image, &wanted));
        if !is_marked && let Some(cause) = cause::of(&Image::service(image)) {
            return Err(Unmet(cause));
        }
    }
    Ok(())
}

/// Writes down why a unit of a pod has failed, called when it stops (`$SERVICE_RESULT`, systemd.exec(5)).
pub fn stopped(unit: &str) {
    let result = std::env::var("SERVICE_RESULT").unwrap_or_default();
    if result == "success" || result.is_empty() {
        return;
    }
    let cause = cause::of_this_run(unit).unwrap_or_else(|| {
        let said = message(unit, "1", &[]).unwrap_or_else(|| format!("the result is {result}"));
        Cause::new(
            "no network",
            &format!("the network cannot be made: {said}; journalctl -u {unit} shows all messages"),
        )
    });
    record(unit, &cause);
    if let Some(pod) = Pod::of_service(unit) {
        // The target of a pod runs no command that could say why the pod is not there.
        journal::about(&format!("sdme-pod@{pod}.target"), &cause.text);
    }
}

/// A message of the programs that the present run of `unit` has started, among those that match: the last one with `1` as `lines`, the
/// first one with `+1` (journalctl(1)).
pub(crate) fn message(unit: &str, lines: &str, matches: &[String]) -> Option<String> {
    message_of(unit, &std::env::var("INVOCATION_ID").ok()?, lines, matches)
}

/// The same of a certain run of `unit`, by its invocation (systemd.exec(5), `$INVOCATION_ID`).
pub(super) fn message_of(unit: &str, run: &str, lines: &str, matches: &[String]) -> Option<String> {
    // A message may be on its way.
    let _ = Command::new("journalctl").arg("--sync").stdin(Stdio::null()).stderr(Stdio::null()).status();
    read(lines, &[format!("_SYSTEMD_UNIT={unit}"), format!("_SYSTEMD_INVOCATION_ID={run}")], matches)
}

/// The last message of a program of `unit` within the last minute. On a busy machine, journald looks at a program that ends at once when
/// its unit has failed already, and does not know the run any more.
pub(super) fn recent_message(unit: &str) -> Option<String> {
    read("1", &["--since=-1min".to_owned(), format!("_SYSTEMD_UNIT={unit}")], &[])
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
