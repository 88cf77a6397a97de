// SPDX-License-Identifier: MIT
//! The `.nspawn` file (systemd.nspawn(5)). The file is complete: no setting depends on the command
//! line of the unit. Pure.

use crate::model::{Base, Container, Facts, Model, Network, Stack};
use crate::output::tree::{Place, Tree};
use crate::paths::{LIBEXECDIR, hosts};
use crate::plan::network::{names, pod};
use crate::plan::{security, volumes};
use crate::resolve::container::userns::SIZE;
use crate::unit::{UnitFile, nspawn_path};

/// The path of the launcher in the container, on which it is mounted.
pub const LAUNCHER: &str = "/oci/sdme-oci-run";

/// Plans the file. `range` is the first ID of the container's range, if it has a user namespace.
pub fn plan(
    container: &Container,
    model: &Model,
    stack: Stack<'_>,
    range: Option<u32>,
    facts: &Facts,
    tree: &mut Tree,
) {
    let mut file = UnitFile::generated_from(&container.file);
    file.set("Exec", "Boot", "yes").set("Exec", "NotifyReady", "yes").set(
        "Exec",
        "PrivateUsers",
        range.map_or("no".to_owned(), |first| format!("{first}:{SIZE}")),
    );
    if range.is_some() {
        // prepare has already mapped the owners of the layers.
        file.set("Files", "PrivateUsersOwnership", "no");
    }
    // For a journal link, systemd-nspawn would make directories below the container's /var/log, and
    // would follow symbolic links there out of the container. journalctl --machine needs no link.
    file.set("Exec", "LinkJournal", "no").set("Exec", "Hostname", container.host_name.as_str());
    security::settings(container, &mut file);
    // Neither setting may leave a file in the upper layer, where it would outlive a change of the
    // setting: files are bound over mount points in the configuration layer, and a time zone other
    // than the host's is a link in that layer. For another network than the host's or with settings
    // of the container's own, prepare writes the resolver's file.
    let own = container.connection.network != Network::Host
        || container.connection.oci_pod.is_some()
        || !container.resolver.is_empty();
    file.set("Exec", "ResolvConf", if own { "off" } else { "bind-host" });
    file.set("Exec", "Timezone", if container.timezone.as_deref() == Some("local") { "bind" } else { "off" });
    if let Stack::Application(_, base) = stack {
        if *base == Base::Host {
            file.set("Files", "BindReadOnly", if range.is_some() { "/usr:/usr:idmap" } else { "/usr" });
        }
        // The target of an application's container reaches none of the units that the operating
        // system's generators make. Their sandbox alone takes a tenth of the boot time. Generators
        // of the administrator are run.
        file.set("Exec", "Environment", "SYSTEMD_GENERATOR_PATH=/etc/systemd/system-generators");
        // With this flag file, systemd-journald uses the journal in /var from the beginning.
        // Otherwise journalctl --flush would tell it to do so later, and journald would move its
        // messages there.
        file.set("Files", "BindReadOnly", "/dev/null:/run/systemd/journal/flushed");
        for resource in ["MEMORY", "CPU", "IO"] {
            // The kernel takes 15 ms to end each pressure watch of the service manager when the
            // container stops.
            file.set("Exec", "Environment", format!("{resource}_PRESSURE_WATCH=/dev/null"));
        }
        // systemd reads all units that the units to start name. These units name fewer others than
        // those of the operating system.
        let units = format!("{}:/run/systemd/system.attached", nspawn_path(&format!("{LIBEXECDIR}/container")));
        file.set("Files", "BindReadOnly", units);
        let launcher = format!("{}:{LAUNCHER}", nspawn_path(&format!("{LIBEXECDIR}/sdme-oci-run")));
        file.set("Files", "BindReadOnly", launcher);
    }
    let there = container.devices.iter().filter(|device| !facts.missing.contains(&device.value.source));
    for device in there.map(|device| &device.value) {
        file.set("Files", "Bind", format!("{}:{}", nspawn_path(&device.source), nspawn_path(&device.target)));
    }
    volumes::settings(container, stack, facts, &mut file);
    pod::settings(container, &mut file);
    if names::is_shared(container, model) {
        // The file is updated while the container runs, but only from the host.
        file.set("Files", "BindReadOnly", format!("{}:/etc/hosts", hosts(&container.name)));
    }
    tree.file(Place::Settings, format!("{}.nspawn", container.name), &file);
}
