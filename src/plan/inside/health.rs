// SPDX-License-Identifier: MIT
//! The units in the container that monitor an application: its health check with its timers, the
//! gate that a start waits for, and the unit that ends the container with its last application.
//! Pure.

use crate::config::values::time::span;
use crate::contract::health::Health;
use crate::model::{App, Container, ImageFacts, Notify};
use crate::output::tree::{Node, Place, Tree};
use crate::plan::inside::UNITS;
use crate::plan::nspawn::LAUNCHER;
use crate::unit::UnitFile;

/// The unit that checks whether the container has to end, started whenever an application has
/// ended. Each application has its own instance, so that no event is lost if two applications end
/// at the same time.
const ENDED: &str = "sdme-ended";
/// The unit that reports the health to the host after the boot, because systemd sets its own status
/// line at the end of the boot.
const STATUS: &str = "sdme-status.service";

/// The health check of an application, if it has one.
pub(crate) fn check(app: &App, image: Option<&ImageFacts>) -> Option<Health> {
    app.health.on(image.and_then(|image| image.health.as_ref()))
}

/// Adds to an application's service the units that monitor it.
pub(crate) fn watched(app: &App, health: Option<&Health>, unit: &mut UnitFile) {
    let ended = format!("{ENDED}@{}.service", app.name);
    unit.set("Unit", "OnSuccess", &ended).set("Unit", "OnFailure", ended);
    if let Some(timer) = health.and_then(|health| first_timer(app, health)) {
        unit.set("Unit", "Wants", timer);
    }
}

/// The name of the timer that is started first, if there is one.
fn first_timer(app: &App, health: &Health) -> Option<String> {
    let usual = health.interval.map(|_| format!("{}-health.timer", app.unit()));
    health.first_interval().map(|_| format!("{}-health-startup.timer", app.unit())).or(usual)
}

/// Plans the units of an application's health check, and the file that describes the check.
pub(crate) fn plan(app: &App, container: &Container, health: &Health, tree: &mut Tree) {
    let place = Place::Layer(container.name.to_string());
    let name = app.unit();
    let directory = app.directory();
    if let Ok(json) = serde_json::to_string_pretty(health) {
        let path = format!("{}/health.json", directory.trim_start_matches('/'));
        // The command can have a password among its arguments.
        tree.add(place.clone(), path, Node::Private(json + "\n"));
    }
    let title = title(app, container);
    let mut service = stopping(container, &format!("Health check of {title}"));
    service.set("Unit", "After", format!("{name}.service")).set("Unit", "StartLimitIntervalSec", "0");
    service.set_literal("Service", "SyslogIdentifier", &container.name);
    // With Type=exec, the boot does not wait for the end of the check. The start of the container
    // waits for the boot.
    service
        .set("Service", "Type", "exec")
        // With this level, a passed check leaves nothing in the journal.
        .set("Service", "LogLevelMax", "notice")
        // This ends processes that are left of a check after its timeout.
        .set("Service", "KillSignal", "SIGKILL")
        .set("Service", "ExecStart", format!("{LAUNCHER} health {name} {} {directory}", app.name));
    tree.file(place.clone(), format!("{UNITS}/{name}-health.service"), &service);
    for (suffix, interval) in [("health-startup", health.first_interval()), ("health", health.interval)] {
        let Some(interval) = interval else { continue };
        let mut timer = stopping(container, &format!("Time of the health check of {title}"));
        timer
            .set("Unit", "BindsTo", format!("{name}.service"))
            .set("Unit", "After", format!("{name}.service"))
            // The application's own start limit is sufficient.
            .set("Unit", "StartLimitIntervalSec", "0")
            .set("Timer", "OnActiveSec", "0")
            .set("Timer", "OnUnitInactiveSec", span(interval))
            .set("Timer", "AccuracySec", "100ms")
            .set("Timer", "Unit", format!("{name}-health.service"));
        tree.file(place.clone(), format!("{UNITS}/{name}-{suffix}.timer"), &timer);
    }
    if app.notify == Notify::Healthy {
        let mut gate = stopping(container, &format!("Wait until {title} is healthy"));
        gate.set("Unit", "After", format!("{name}.service"))
            .set("Unit", "Before", "sdme-oci.target")
            // If the gate fails, the start of the container has failed.
            .set("Unit", "FailureAction", "exit")
            .set("Unit", "FailureActionExitStatus", "1");
        gate.set_literal("Service", "SyslogIdentifier", &container.name);
        gate.set("Service", "Type", "oneshot").set("Service", "RemainAfterExit", "yes").set(
            "Service",
            "ExecStart",
            format!("{LAUNCHER} await-health {}", app.name),
        );
        tree.file(place, format!("{UNITS}/{name}-health-gate.service"), &gate);
    }
}

/// Plans the units that monitor all applications. Returns the units that the container's target
/// starts.
pub(crate) fn whole(container: &Container, checked: &[&App], tree: &mut Tree) -> Vec<String> {
    let place = Place::Layer(container.name.to_string());
    let all: Vec<String> = container.apps.iter().map(|a| format!("{}:{}.service", a.name, a.unit())).collect();
    let mut ended = unit(container, &format!("End of container {} with its last application", container.name));
    ended.set("Unit", "StartLimitIntervalSec", "0");
    // With Type=exec, the boot does not wait for this unit, which can itself wait for the end of
    // the boot.
    ended.set("Service", "Type", "exec").set("Service", "ExecStart", format!("{LAUNCHER} ended {}", all.join(" ")));
    tree.file(place.clone(), format!("{UNITS}/{ENDED}@.service"), &ended);
    let waiting = checked.iter().filter(|app| app.notify == Notify::Healthy);
    let mut wanted: Vec<String> = waiting.map(|app| format!("{}-health-gate.service", app.unit())).collect();
    if !checked.is_empty() {
        let mut status = unit(container, "Tell the host about health once the boot is over");
        status.set("Service", "Type", "exec").set("Service", "ExecStart", format!("{LAUNCHER} status"));
        tree.file(place, format!("{UNITS}/{STATUS}"), &status);
        wanted.push(STATUS.to_owned());
    }
    wanted
}

fn title(app: &App, container: &Container) -> String {
    if container.apps.len() > 1 { format!("application {}", app.name) } else { "the application".to_owned() }
}

/// A unit that stops with the container.
fn stopping(container: &Container, description: &str) -> UnitFile {
    let mut unit = unit(container, description);
    unit.set("Unit", "Conflicts", "shutdown.target").set("Unit", "Before", "shutdown.target");
    unit
}

/// A unit without dependencies on the operating system.
fn unit(container: &Container, description: &str) -> UnitFile {
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "Description", description);
    unit.set("Unit", "Documentation", "man:sdme.container(5)");
    unit.set("Unit", "DefaultDependencies", "no");
    unit
}
