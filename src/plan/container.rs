// SPDX-License-Identifier: MIT
//! The host side of a container: its service and the dependencies of the service. Pure.

use crate::config::values::source::ModeSetting;
use crate::config::values::time::span;
use crate::model::{App, Base, Container, Image, Model, Reload};
use crate::output::tree::{Place, Tree};
use crate::paths::{BINDIR, STATE};
use crate::plan::network::pod;
use crate::plan::{job, security, template, volumes};
use crate::unit::{UnitFile, exec_word, unit_value};

/// Plans the container's service.
pub fn plan(container: &Container, model: &Model, tree: &mut Tree) {
    tree.file(Place::Units, Container::unit(&container.name), &service(container, model));
}

/// The head of the unit file. It uses `%i` instead of the container's name, so that similar
/// containers have equal unit files, which are written as one file (see `output::emit`).
fn head(container: &Container) -> UnitFile {
    let directory = container.file.strip_suffix(".container").and_then(|f| f.strip_suffix(container.name.as_str()));
    match directory.filter(|d| d.ends_with('/')) {
        Some(directory) => UnitFile::with_source(&(unit_value(directory) + "%i.container")),
        None => UnitFile::with_source(&unit_value(&container.file)),
    }
}

/// The unit file. The container's own settings follow those of systemd's template, and so override
/// them. The settings of systemd-nspawn are in the `.nspawn` file.
fn service(container: &Container, model: &Model) -> UnitFile {
    let sources = container.apps.iter().filter_map(|a| model.images.get(&a.image)).map(|i| i.source.to_string());
    let sources: Vec<String> = sources.collect();
    let what = if sources.is_empty() { "clone of the host".to_owned() } else { sources.join(", ") };
    let mut unit = head(container);
    template::comment(&mut unit);
    unit.set("Unit", "Description", format!("Container %i ({})", unit_value(&what)));
    template::dependencies(&mut unit);
    dependencies(container, model, &mut unit);
    commands(container, &mut unit);
    template::service(container.is_job(), &mut unit);
    pod::member(container, model, &mut unit);
    security::host(container, &mut unit);
    // Lines that the container writes to /dev/console are logged here. The container must not
    // choose their severity: a line that begins with <0> would be an emergency message of the host,
    // shown on every terminal. The commands of sdme-gen open their own log stream.
    unit.set("Service", "SyslogLevelPrefix", "no");
    limits(container, &mut unit);
    volumes::secrets(container, &mut unit);
    job::rest(container, &mut unit);
    unit
}

/// Adds the units and mounts that the container needs, and the assignments of `[Unit]` in its file.
fn dependencies(container: &Container, model: &Model, unit: &mut UnitFile) {
    // In a restart, everything is stopped before an image is checked. This is not `Requires=`,
    // because the failure of an image would then cancel the start before a command of the container
    // could report the cause. Instead, prepare fails with the cause from the image's service.
    for image in images(container, model) {
        let needed = Image::service(image);
        unit.set("Unit", "Wants", needed.as_str()).set("Unit", "After", needed);
    }
    unit.set("Unit", "RequiresMountsFor", [STATE, "/containers ", STATE, "/volumes"].concat());
    volumes::needs(container, unit);
    for (key, value) in &container.unit {
        unit.set("Unit", key, value.as_str());
    }
}

/// Adds the commands in the order in which systemd runs them. Every start begins without mounts,
/// however the last run ended. Prepare mounts the layers in the host's mount namespace, with
/// privileges that the container may lack (`+`).
fn commands(container: &Container, unit: &mut UnitFile) {
    job::before(container, unit);
    unit.set("Service", "ExecStartPre", ["+", BINDIR, "/sdme-gen prepare %i"].concat());
    template::command(pod::namespace(container).as_deref(), unit);
    for app in &container.apps {
        if let Some(reload) = &app.reload {
            unit.set("Service", "ExecReload", reload_line(container, app, reload));
        }
    }
    unit.set("Service", "ExecStopPost", ["+", BINDIR, "/sdme-gen release %i"].concat());
}

/// The command that `systemctl reload` runs for an application.
fn reload_line(container: &Container, app: &App, reload: &Reload) -> String {
    let name = &container.name;
    match reload {
        Reload::Command(words) => {
            let words: Vec<String> = words.iter().map(|word| exec_word(word)).collect();
            format!("{BINDIR}/sdme-gen exec {name} --app {} -- {}", app.name, words.join(" "))
        }
        // The main process is the launcher, which passes the signal on.
        Reload::Signal(signal) => {
            format!("systemctl --machine={name} kill --kill-whom=main --signal={signal} {}.service", app.unit())
        }
    }
}

/// Adds the settings of the container's service that come from keys of the file. `[Service]` is
/// added later and overrides them.
fn limits(container: &Container, unit: &mut UnitFile) {
    // Additional time in milliseconds for the service manager in the container, on top of the stop
    // timeouts of its applications.
    const MORE: u64 = 30_000;
    if let Some(bytes) = container.memory {
        unit.set("Service", "MemoryMax", bytes.to_string());
    }
    if let Some(tasks) = &container.tasks {
        unit.set("Service", "TasksMax", tasks);
    }
    if let Some(time) = container.apps.iter().filter_map(|app| app.startup.stop_timeout).max() {
        unit.set("Service", "TimeoutStopSec", span(time.saturating_add(MORE)));
    }
    for device in container.devices.iter().map(|device| &device.value) {
        for allowed in device.allowed() {
            unit.set("Service", "DeviceAllow", format!("{allowed} {}", device.access));
        }
    }
}

/// The images that a start needs, with that of the first application first.
#[must_use]
pub fn images<'a>(container: &'a Container, model: &Model) -> Vec<&'a str> {
    let mut out: Vec<&str> = Vec::new();
    for app in &container.apps {
        if !out.contains(&app.image.as_str()) {
            out.push(&app.image);
        }
    }
    let is_base = out.iter().any(|image| model.images.get(*image).is_some_and(|i| i.mode == ModeSetting::Base));
    if let Base::Image(base) = &container.base
        && !out.is_empty()
        && !out.contains(&base.as_str())
        && !is_base
    {
        out.push(base);
    }
    out
}
