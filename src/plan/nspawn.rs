// SPDX-License-Identifier: MIT
//! The `.nspawn` file (systemd.nspawn(5)). It is complete: no setting depends on the command line of the unit. Pure.

use crate::model::{Base, Container, Facts, Model, Network, Stack};
use crate::output::tree::{Place, Tree};
use crate::paths::{LIBEXECDIR, hosts};
use crate::plan::network::{names, pod};
use crate::plan::{security, volumes};
use crate::resolve::container::userns::SIZE;
use crate::unit::{UnitFile, nspawn_path};

/// Where the launcher is bound inside.
pub const LAUNCHER: &str = "/oci/sdme-oci-run";

/// Plans the file. `range` is the first of the container's user and group IDs, if it has a user namespace.
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
        // The layers are mapped already.
        file.set("Files", "PrivateUsersOwnership", "no");
    }
    // For a link, systemd-nspawn makes directories below the container's /var/log, and follows symbolic links there out of the
    // container. journalctl --machine needs no link.
    file.set("Exec", "LinkJournal", "no").set("Exec", "Hostname", container.host_name.as_str());
    security::settings(container, &mut file);
    // Neither of the two may leave anything in the upper layer, where it would outlive a changed setting: files are
    // bound over mount points of the configuration layer, and a time zone other than the host's is a link there.
    // In another network than the host's, or with settings of its own, prepare writes the resolver's file.
    let own = container.connection.network != Network::Host
        || container.connection.oci_pod.is_some()
        || !container.resolver.is_empty();
    file.set("Exec", "ResolvConf", if own { "off" } else { "bind-host" });
    file.set("Exec", "Timezone", if container.timezone.as_deref() == Some("local") { "bind" } else { "off" });
    if let Stack::Application(_, base) = stack {
        if *base == Base::Host {
            file.set("Files", "BindReadOnly", if range.is_some() { "/usr:/usr:idmap" } else { "/usr" });
        }
        // Of what the operating system's generators make units, its lean target reaches none. Their sandbox alone takes a
        // tenth of the time to boot. The administrator's own are run.
        file.set("Exec", "Environment", "SYSTEMD_GENERATOR_PATH=/etc/systemd/system-generators");
        // By this mark systemd-journald begins with the journal in /var, which is there. Otherwise it is told to by another
        // process, journalctl --flush, and moves there what it has by then.
        file.set("Files", "BindReadOnly", "/dev/null:/run/systemd/journal/flushed");
        for resource in ["MEMORY", "CPU", "IO"] {
            // Each watch of the service manager's takes the kernel 15 ms to end when the container stops.
            file.set("Exec", "Environment", format!("{resource}_PRESSURE_WATCH=/dev/null"));
        }
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
        // It is written to while the container runs, from the host only.
        file.set("Files", "BindReadOnly", format!("{}:/etc/hosts", hosts(&container.name)));
    }
    tree.file(Place::Settings, format!("{}.nspawn", container.name), &file);
}
