// SPDX-License-Identifier: MIT
//! The configuration layer: the topmost lower layer of a container, which is made again at every
//! start. Pure.

pub mod app;
pub mod health;

use super::nspawn::LAUNCHER;
use crate::model::{Container, Facts, Model, Stack};
use crate::output::tree::{Node, Place, Tree};
use crate::plan::network::names;
use crate::unit::UnitFile;

/// The directory of the administrator's units. The units of the image are in other directories and
/// stay unchanged.
pub(crate) const UNITS: &str = "etc/systemd/system";

/// Plans the layer.
pub fn plan(container: &Container, model: &Model, stack: Stack<'_>, facts: &Facts, tree: &mut Tree) {
    let place = Place::Layer(container.name.to_string());
    // If the container finds others by name, an updated file is mounted over this one; see the
    // .nspawn file.
    let hosts = names::hosts(&names::entry(container, model), &[]);
    tree.file(place.clone(), "etc/hosts", &hosts);
    tree.file(place.clone(), "etc/hostname", &format!("{}\n", container.host_name));
    // Without name servers, prepare fills this file, or it is a mount point; see the .nspawn file.
    let resolver = &container.resolver;
    let resolver = if resolver.servers.is_empty() { String::new() } else { resolver.text() };
    tree.file(place.clone(), "etc/resolv.conf", &resolver);
    match container.timezone.as_deref() {
        Some("local") => tree.file(place.clone(), "etc/localtime", &""),
        Some(zone) => tree.add(place.clone(), "etc/localtime", Node::Link(format!("../usr/share/zoneinfo/{zone}"))),
        None => {}
    }
    tree.file(place.clone(), "etc/systemd/journald.conf.d/10-sdme.conf", &journal(container));
    match stack {
        Stack::Clone => clone(&place, tree),
        Stack::System(_) => {}
        Stack::Application(..) => applications(container, facts, &place, tree),
    }
    // A container in the host's network or in a pod's network needs neither a resolver nor a
    // network manager.
    let mut masked = vec!["systemd-resolved.service"];
    if container.connection.network.configures_itself() {
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

/// The sizes of the journal's files. systemd allocates each file at its maximum size, up to 8 MiB,
/// and journald maps the used part into memory. journald's defaults are up to 128 MiB per file and
/// a hundred files.
fn journal(container: &Container) -> UnitFile {
    let mut file = UnitFile::generated_from(&container.file);
    for (setting, value) in [("SystemMaxFileSize", "1M"), ("SystemMaxFiles", "1000"), ("RuntimeMaxFileSize", "1M")] {
        file.set("Journal", setting, value);
    }
    file
}

/// A clone has the host's programs and settings, but not the host's enabled units, logs and
/// containers.
fn clone(place: &Place, tree: &mut Tree) {
    for hidden in [UNITS, "etc/sdme", "var/log", "var/lib/machines", "var/lib/sdme"] {
        tree.add(place.clone(), hidden, Node::Opaque);
    }
    tree.file(place.clone(), "etc/fstab", &"# The host's file systems are not the container's.\n");
}

fn applications(container: &Container, facts: &Facts, place: &Place, tree: &mut Tree) {
    let mut checked = Vec::new();
    for application in &container.apps {
        if app::plan(application, container, facts, tree) {
            checked.push(application);
        }
    }
    let watching = health::whole(container, &checked, tree);
    tree.file(place.clone(), format!("{UNITS}/sdme-oci.target"), &target(container, &watching));
    tree.add(place.clone(), format!("{UNITS}/default.target"), Node::Link("sdme-oci.target".to_owned()));
    // The same setting for the service manager itself is in the .nspawn file.
    let mut manager = UnitFile::generated_from(&container.file);
    // The host logs the console as output of the container. Status messages would fill the status
    // of its unit.
    manager.set("Manager", "DefaultMemoryPressureWatch", "no").set("Manager", "ShowStatus", "no");
    tree.file(place.clone(), "etc/systemd/system.conf.d/10-sdme.conf", &manager);
    // This is a mount point, so that none is made in the upper layer.
    tree.file(place.clone(), LAUNCHER.trim_start_matches('/'), &"");
}

/// The default target of an application's container. The operating system's own default target
/// would start services that only a machine needs.
fn target(container: &Container, watching: &[String]) -> UnitFile {
    let services: Vec<String> = container.apps.iter().map(|a| format!("{}.service", a.unit())).collect();
    let services = services.join(" ");
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "Description", &format!("Container {}", container.name));
    unit.set("Unit", "Documentation", "man:sdme.container(5)");
    unit.set("Unit", "Wants", format!("{services} systemd-journald.service"))
        // systemctl -M and machinectl shell use the message bus. Their first connection starts it.
        .set("Unit", "Wants", "dbus.socket")
        .set("Unit", "After", format!("{services} systemd-journald.service dbus.socket"))
        .set("Unit", "AllowIsolate", "yes");
    for watch in watching {
        unit.set("Unit", "Wants", watch);
    }
    unit
}
