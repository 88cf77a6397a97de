// SPDX-License-Identifier: MIT
//! The configuration layer: the topmost lower layer of a container, made anew at every start. Pure.

use super::nspawn::LAUNCHER;
use super::pod;
use crate::output::tree::{Node, Place, Tree};
use crate::process::Process;
use crate::resolve::model::{Container, Facts, ImageFacts, Stack};
use crate::unit::{UnitFile, env_assignment};

const UNITS: &str = "etc/systemd/system";

/// Plans the layer.
pub fn plan(container: &Container, stack: Stack<'_>, facts: &Facts, tree: &mut Tree) {
    let place = Place::Layer(container.name.clone());
    let hosts = format!("127.0.0.1 localhost {0}\n::1 localhost {0}\n", container.host_name);
    tree.file(place.clone(), "etc/hosts", &hosts);
    tree.file(place.clone(), "etc/hostname", &format!("{}\n", container.host_name));
    // A mount point; see the .nspawn file.
    tree.file(place.clone(), "etc/resolv.conf", &"");
    match container.timezone.as_deref() {
        Some("local") => tree.file(place.clone(), "etc/localtime", &""),
        Some(zone) => tree.add(place.clone(), "etc/localtime", Node::Link(format!("../usr/share/zoneinfo/{zone}"))),
        None => {}
    }
    match stack {
        Stack::Clone => clone(&place, tree),
        Stack::System(_) => {}
        Stack::Application(image, _) => application(container, facts.images.get(image), &place, tree),
    }
    // A second resolver and a second network manager have no place in the host's network, nor in a pod's.
    let mut masked = vec!["systemd-resolved.service"];
    if pod::configures_itself(container) {
        for target in ["multi-user.target", "sdme-oci.target"] {
            let link = Node::Link("/usr/lib/systemd/system/systemd-networkd.service".to_owned());
            tree.add(place.clone(), format!("{UNITS}/{target}.wants/systemd-networkd.service"), link);
        }
    } else {
        masked.extend(["systemd-networkd.service", "systemd-networkd.socket"]);
    }
    for unit in masked {
        tree.add(place.clone(), format!("{UNITS}/{unit}"), Node::Link("/dev/null".to_owned()));
    }
}

/// A clone has the host's programs and settings, but not what is enabled, logged or contained there.
fn clone(place: &Place, tree: &mut Tree) {
    for hidden in [UNITS, "etc/sdme", "var/log", "var/lib/machines", "var/lib/sdme"] {
        tree.add(place.clone(), hidden, Node::Opaque);
    }
    tree.file(place.clone(), "etc/fstab", &"# The host's file systems are not the container's.\n");
}

fn application(container: &Container, image: Option<&ImageFacts>, place: &Place, tree: &mut Tree) {
    tree.file(place.clone(), format!("{UNITS}/sdme-oci-app.service"), &service(container, image));
    tree.file(place.clone(), format!("{UNITS}/sdme-oci.target"), &target(container));
    tree.add(place.clone(), format!("{UNITS}/default.target"), Node::Link("sdme-oci.target".to_owned()));
    let mut socket = UnitFile::generated_from(&container.file);
    socket.set("Unit", "DefaultDependencies", "no");
    tree.file(place.clone(), format!("{UNITS}/dbus.socket.d/10-sdme.conf"), &socket);
    // Mount points, so that none is made in the upper layer.
    tree.file(place.clone(), LAUNCHER.trim_start_matches('/'), &"");
    for file in RESOLVER_FILES {
        tree.file(place.clone(), format!("oci/root{file}"), &"");
    }
    let environment: String = container.environment.iter().map(|(n, v)| env_assignment(n, v)).collect();
    tree.file(place.clone(), "oci/container.env", &environment);
    if let (Some(arguments), Some(image)) = (&container.exec, image) {
        let args = image.entrypoint.iter().chain(arguments).cloned().collect();
        let process = Process { args, ..image.process.clone() };
        if let Ok(json) = serde_json::to_string_pretty(&process) {
            tree.file(place.clone(), "oci/process.json", &(json + "\n"));
        }
    }
}

/// What an application shares with the container around it, as with Docker.
const RESOLVER_FILES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

fn service(container: &Container, image: Option<&ImageFacts>) -> UnitFile {
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "Description", &format!("Application of container {}", container.name));
    // An application depends on nothing of the operating system but its journal.
    unit.set("Unit", "DefaultDependencies", "no")
        .set("Unit", "Requires", "systemd-journald.socket")
        .set("Unit", "After", "systemd-journald.socket")
        .set("Unit", "Conflicts", "shutdown.target")
        .set("Unit", "Before", "shutdown.target");
    unit.set_literal("Service", "SyslogIdentifier", &container.name);
    unit.set("Service", "Type", "exec")
        // The launcher passes signals on.
        .set("Service", "KillMode", "mixed")
        .set("Service", "RootDirectory", "/oci/root")
        .set("Service", "MountAPIVFS", "yes")
        .set("Service", "BindReadOnlyPaths", format!("{LAUNCHER}:/run/sdme/launcher"))
        .set("Service", "BindReadOnlyPaths", "/oci/process.json:/run/sdme/process.json");
    for file in RESOLVER_FILES {
        unit.set("Service", "BindReadOnlyPaths", format!("-{file}"));
    }
    unit.set("Service", "EnvironmentFile", "/oci/env")
        .set("Service", "EnvironmentFile", "/oci/container.env")
        // What the service manager adds for its own services.
        .set("Service", "UnsetEnvironment", "INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID")
        .set("Service", "UnsetEnvironment", "MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE")
        .set("Service", "ExecStart", "/run/sdme/launcher /run/sdme/process.json");
    if let Some(signal) = image.and_then(|i| i.stop_signal.as_deref()) {
        unit.set_literal("Service", "KillSignal", signal);
    }
    pod::application(container, &mut unit);
    for (key, value) in &container.app {
        unit.set("Service", key, value.as_str());
    }
    unit
}

/// What an application container boots to. The operating system's own default would start what only a machine needs.
fn target(container: &Container) -> UnitFile {
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "Description", &format!("Container {}", container.name));
    unit.set("Unit", "Wants", "sdme-oci-app.service systemd-journald.service systemd-journal-flush.service")
        // systemctl -M and machinectl shell talk to the bus, which is started by the first of them.
        .set("Unit", "Wants", "dbus.socket")
        .set("Unit", "After", "sdme-oci-app.service systemd-journald.service dbus.socket")
        .set("Unit", "AllowIsolate", "yes");
    unit
}
