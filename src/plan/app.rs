// SPDX-License-Identifier: MIT
//! One application inside a container: its service, its files, and what it is started as. Pure.

use super::inside::UNITS;
use super::nspawn::LAUNCHER;
use super::pod;
use crate::output::tree::{Node, Place, Tree};
use crate::process::Process;
use crate::resolve::model::{App, Container, ImageFacts};
use crate::unit::{UnitFile, env_assignment};

/// What an application shares with the container around it, as with Docker.
const RESOLVER_FILES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// Plans its part of the configuration layer. `image` is what is known about its image.
pub fn plan(app: &App, container: &Container, image: Option<&ImageFacts>, tree: &mut Tree) {
    let place = Place::Layer(container.name.clone());
    let directory = app.directory();
    let directory = directory.trim_start_matches('/');
    tree.file(place.clone(), format!("{UNITS}/{}.service", app.unit()), &service(app, container, image));
    if app.first && container.apps.len() > 1 {
        // The first one goes by two names.
        tree.add(place.clone(), format!("oci/apps/{}", app.name), Node::Link("..".to_owned()));
        if app.name != App::FIRST {
            let alias = format!("{UNITS}/sdme-oci-{}.service", app.name);
            tree.add(place.clone(), alias, Node::Link(format!("{}.service", app.unit())));
        }
    }
    // Mount points, so that none is made in the upper layer.
    for file in RESOLVER_FILES {
        tree.file(place.clone(), format!("{directory}/root{file}"), &"");
    }
    let environment: String = app.environment.iter().map(|(n, v)| env_assignment(n, v)).collect();
    tree.file(place.clone(), format!("{directory}/container.env"), &environment);
    if let (Some(arguments), Some(image)) = (&app.exec, image) {
        let args = image.entrypoint.iter().chain(arguments).cloned().collect();
        let process = Process { args, ..image.process.clone() };
        if let Ok(json) = serde_json::to_string_pretty(&process) {
            tree.file(place, format!("{directory}/process.json"), &(json + "\n"));
        }
    }
}

fn service(app: &App, container: &Container, image: Option<&ImageFacts>) -> UnitFile {
    let several = container.apps.len() > 1;
    let directory = app.directory();
    let mut unit = UnitFile::generated_from(&container.file);
    let what = if several { format!(" {}", app.name) } else { String::new() };
    unit.set_literal("Unit", "Description", &format!("Application{what} of container {}", container.name));
    // An application depends on nothing of the operating system but its journal.
    unit.set("Unit", "DefaultDependencies", "no")
        .set("Unit", "Requires", "systemd-journald.socket")
        .set("Unit", "After", "systemd-journald.socket")
        .set("Unit", "Conflicts", "shutdown.target")
        .set("Unit", "Before", "shutdown.target");
    unit.set_literal("Service", "SyslogIdentifier", if several { &app.name } else { &container.name });
    unit.set("Service", "Type", "exec")
        // The launcher passes signals on.
        .set("Service", "KillMode", "mixed")
        .set("Service", "RootDirectory", format!("{directory}/root"))
        .set("Service", "MountAPIVFS", "yes")
        .set("Service", "BindReadOnlyPaths", format!("{LAUNCHER}:/run/sdme/launcher"))
        .set("Service", "BindReadOnlyPaths", format!("{directory}/process.json:/run/sdme/process.json"));
    for file in RESOLVER_FILES {
        unit.set("Service", "BindReadOnlyPaths", format!("-{file}"));
    }
    unit.set("Service", "EnvironmentFile", format!("{directory}/env"))
        .set("Service", "EnvironmentFile", format!("{directory}/container.env"))
        // What the service manager adds for its own services.
        .set("Service", "UnsetEnvironment", "INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID")
        .set("Service", "UnsetEnvironment", "MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE")
        .set("Service", "ExecStart", "/run/sdme/launcher /run/sdme/process.json");
    if let Some(signal) = image.and_then(|i| i.stop_signal.as_deref()) {
        unit.set_literal("Service", "KillSignal", signal);
    }
    pod::application(container, &mut unit);
    for (key, value) in &app.service {
        unit.set("Service", key, value.as_str());
    }
    unit
}
