// SPDX-License-Identifier: MIT
//! What a container and its applications may do, in units and settings. Pure.

use crate::capability::Capabilities;
use crate::resolve::model::{App, Container, Facts, Network};
use crate::resolve::mounts::{Mount, What};
use crate::resolve::security::Preset;
use crate::unit::UnitFile;

/// What the launcher needs before it becomes the application.
const LAUNCHER: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID"];

/// System calls that no application of a strict container has a use for.
const STRICT: &str = "~@clock @cpu-emulation @debug @keyring @module @obsolete @raw-io @reboot @swap";

/// What is kept from every application. It could undo none of it without `CAP_SYS_ADMIN`.
const ALWAYS: [(&str, &str); 7] = [
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectClock", "yes"),
    ("LockPersonality", "yes"),
    ("KeyringMode", "private"),
];

/// What else is kept from those of strict containers.
const STRICTLY: [(&str, &str); 9] = [
    ("PrivateDevices", "yes"),
    ("PrivateMounts", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectProc", "invisible"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallErrorNumber", "EPERM"),
];

/// What a container's `.nspawn` file says about it.
pub fn settings(container: &Container, file: &mut UnitFile) {
    let (security, connection) = (&container.security, &container.connection);
    let (mut added, mut dropped) = (security.added, security.dropped);
    if matches!(connection.network, Network::Pod(_)) && connection.oci_pod.is_some() {
        // To put its application into another network than its own. Without a private network, nspawn takes it away; it
        // reaches no further than the pod the container is in.
        let admin = Capabilities::of(&["NET_ADMIN"]);
        (added, dropped) = (added.with(admin), dropped.without(admin));
    }
    if !added.is_empty() {
        file.set("Exec", "Capability", added.to_string());
    }
    if !dropped.is_empty() {
        file.set("Exec", "DropCapability", dropped.to_string());
    }
    if security.no_new_privileges {
        file.set("Exec", "NoNewPrivileges", "yes");
    }
    let (denied, allowed): (Vec<&String>, Vec<&String>) =
        security.filter.iter().partition(|word| word.starts_with('~'));
    let words = |all: &[&String]| all.iter().map(|word| word.trim_start_matches('~')).collect::<Vec<_>>().join(" ");
    if !allowed.is_empty() {
        file.set("Exec", "SystemCallFilter", words(&allowed));
    }
    if !denied.is_empty() {
        file.set("Exec", "SystemCallFilter", format!("~{}", words(&denied)));
    }
}

/// What its service on the host says.
pub fn host(container: &Container, unit: &mut UnitFile) {
    if let Some(profile) = &container.security.app_armor {
        unit.set("Service", "AppArmorProfile", profile.value.as_str());
    }
}

/// Whether the service manager makes the application's PID namespace, and not the launcher, which needs more privileges for it
/// than a strict container has to give, and system calls that no profile allows. Nothing else must be left for it to mount.
#[must_use]
pub fn private_pids(app: &App, container: &Container) -> bool {
    let wanted = container.security.preset == Preset::Strict || container.security.seccomp_profile.is_some();
    wanted && !app.startup.mounts()
}

/// Whether setuid programs of the application would be a danger on the host. On a path of the host, root of a container with a
/// user namespace owns files as root of the host does, and users of the host can run them: no mount option of the container's
/// prevents that.
fn may_leave_setuid(app: &App, container: &Container) -> bool {
    let open =
        |mount: &Mount| matches!(mount.what, What::Host(_)) && !mount.options.read_only && !mount.options.allow_setuid;
    container.security.user_ns && app.mounts.iter().any(open)
}

/// What an application's service inside says.
pub fn application(app: &App, container: &Container, facts: &Facts, unit: &mut UnitFile) {
    let (security, private_pids) = (&container.security, private_pids(app, container));
    let admin = Capabilities::of(&["SYS_ADMIN"]);
    let launcher = Capabilities::of(&LAUNCHER).with(if private_pids { Capabilities::NONE } else { admin });
    unit.set("Service", "CapabilityBoundingSet", security.application.with(launcher).to_string());
    if security.app_no_new_privileges {
        unit.set("Service", "NoNewPrivileges", "yes");
    }
    let strictly = if security.preset == Preset::Strict { STRICTLY.as_slice() } else { &[] };
    for (key, value) in ALWAYS.iter().chain(strictly) {
        unit.set("Service", key, value);
    }
    // A user namespace would be a way around the bounding set, into parts of the kernel that are otherwise out of reach.
    if security.application.common(admin).is_empty() {
        unit.set("Service", "RestrictNamespaces", if private_pids { "yes" } else { "pid" });
    }
    if security.preset != Preset::Strict && may_leave_setuid(app, container) {
        unit.set("Service", "RestrictSUIDSGID", "yes");
    }
    if security.preset == Preset::Strict {
        unit.set("Service", "SystemCallFilter", STRICT);
    }
    if private_pids {
        unit.set("Service", "PrivatePIDs", "yes");
    }
    if private_pids && security.preset == Preset::Strict {
        unit.set("Service", "SystemCallFilter", "~@mount");
    }
    let profile =
        security.seccomp_profile.as_ref().and_then(|written| facts.profiles.get(&written.value)?.as_ref().ok());
    for (key, value) in profile.into_iter().flatten() {
        unit.set("Service", key, value.as_str());
    }
}
