// SPDX-License-Identifier: MIT
//! Privileges and restrictions of a container and its applications, as settings of units and of the
//! `.nspawn` file. Pure.

use crate::contract::capability::Capabilities;
use crate::model::{App, Container, Facts, Mount, Network, Preset, What};
use crate::unit::UnitFile;

/// The capabilities that the launcher needs before it executes the application.
const LAUNCHER: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID"];

/// The system calls that are denied to the applications of strict containers.
const STRICT: &str = "~@clock @cpu-emulation @debug @keyring @module @obsolete @raw-io @reboot @swap";

/// The system calls of `io_uring`, which has had many vulnerabilities; Docker's default profile
/// denies them, too (moby/profiles, `seccomp/default.json`). A program that gets `EPERM` uses other
/// system calls instead.
const IO_URING: &str = "~io_uring_setup:EPERM io_uring_enter:EPERM io_uring_register:EPERM";

/// The words that allow the system calls of [`IO_URING`] in a list of allowed system calls.
const ALLOWS_IO_URING: [&str; 4] = ["io_uring_setup", "io_uring_enter", "io_uring_register", "@aio"];

/// Sockets of this family connect to the hypervisor and its virtual machines. They belong to no
/// network namespace.
const FAMILIES: &str = "~AF_VSOCK";

/// The setting that makes the kernel's settings read-only. The control groups are among them, unless
/// [`CONTROL_GROUPS`] says otherwise.
const TUNABLES: &str = "ProtectKernelTunables";

/// The setting that makes the control groups read-only.
const CONTROL_GROUPS: &str = "ProtectControlGroups";

/// The restrictions of every application. It could undo none of them without `CAP_SYS_ADMIN`.
const ALWAYS: [(&str, &str); 6] = [
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    (CONTROL_GROUPS, "yes"),
    ("ProtectClock", "yes"),
    ("LockPersonality", "yes"),
    ("KeyringMode", "private"),
];

/// The additional restrictions of applications in strict containers.
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

/// Adds the security settings to a container's `.nspawn` file.
pub fn settings(container: &Container, file: &mut UnitFile) {
    let (security, connection) = (&container.security, &container.connection);
    let (mut added, mut dropped) = (security.added, security.dropped);
    if matches!(connection.network, Network::Pod(_)) && connection.oci_pod.is_some() {
        // The container needs this capability to put its application into another network. Without
        // a private network, systemd-nspawn removes the capability. Its effect is limited to the
        // pod that the container is in.
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

/// Adds the security settings to the container's service on the host.
pub fn host(container: &Container, unit: &mut UnitFile) {
    if let Some(profile) = &container.security.app_armor {
        unit.set("Service", "AppArmorProfile", profile.value.as_str());
    }
}

/// Whether the service manager makes the application's PID namespace instead of the launcher. The
/// launcher would need more privileges for that than a strict container has, and system calls that
/// no profile allows. This requires that the launcher has nothing else to mount.
#[must_use]
pub fn private_pids(app: &App, container: &Container) -> bool {
    let wanted = container.security.preset == Preset::Strict || container.security.seccomp_profile.is_some();
    wanted && !app.startup.mounts()
}

/// Whether the launcher protects settings of the kernel instead of `ProtectKernelTunables=`, which
/// takes longer. The launcher does that in the `/proc` that it makes. An administrator's settings of
/// these names are left to the service manager.
#[must_use]
pub fn launcher_protects_kernel(app: &App, container: &Container) -> bool {
    let is_unset = |key| written(app, key).is_empty();
    !private_pids(app, container) && is_unset(TUNABLES) && is_unset(CONTROL_GROUPS)
}

/// Whether setuid programs that the application makes would be a danger to the host. On a path of
/// the host, the root of a container with a user namespace owns files as root of the host, and
/// users of the host could run these files: no mount option of the container prevents that.
fn may_leave_setuid(app: &App, container: &Container) -> bool {
    let open = |mount: &Mount| matches!(mount.what, What::Host(_)) && !mount.options.read_only && mount.options.no_suid;
    container.security.user_ns && app.mounts.iter().any(open)
}

/// Adds the security settings to an application's service in the container.
pub fn application(app: &App, container: &Container, facts: &Facts, unit: &mut UnitFile) {
    let (security, private_pids) = (&container.security, private_pids(app, container));
    let admin = Capabilities::of(&["SYS_ADMIN"]);
    let launcher = Capabilities::of(&LAUNCHER).with(if private_pids { Capabilities::NONE } else { admin });
    unit.set("Service", "CapabilityBoundingSet", security.application.with(launcher).to_string());
    if security.app_no_new_privileges {
        unit.set("Service", "NoNewPrivileges", "yes");
    }
    let strictly = if security.preset == Preset::Strict { STRICTLY.as_slice() } else { &[] };
    if !launcher_protects_kernel(app, container) {
        unit.set("Service", TUNABLES, "yes");
    }
    for (key, value) in ALWAYS.iter().chain(strictly) {
        unit.set("Service", key, value);
    }
    // In a new user namespace, a process could get around the bounding set and reach additional
    // parts of the kernel.
    if security.application.common(admin).is_empty() {
        unit.set("Service", "RestrictNamespaces", if private_pids { "yes" } else { "pid" });
    }
    if security.preset != Preset::Strict && may_leave_setuid(app, container) {
        unit.set("Service", "RestrictSUIDSGID", "yes");
    }
    if private_pids {
        unit.set("Service", "PrivatePIDs", "yes");
    }
    let families = written(app, "RestrictAddressFamilies");
    if security.preset != Preset::Strict && families.first().is_none_or(|first| first.starts_with('~')) {
        unit.set("Service", "RestrictAddressFamilies", FAMILIES);
    }
    for (key, value) in profile(container, facts).filter(|(key, _)| *key != FILTER) {
        unit.set("Service", key, value.as_str());
    }
    for line in filter(app, container, facts) {
        unit.set("Service", FILTER, line);
    }
}

/// The setting whose lines [`filter`] returns.
pub const FILTER: &str = "SystemCallFilter";

/// The lines of an application's `SystemCallFilter=`: those of the profile and of `[App]`, and
/// those that the preset adds.
fn filter(app: &App, container: &Container, facts: &Facts) -> Vec<String> {
    let security = &container.security;
    let of_profile = profile(container, facts).filter(|(key, _)| *key == FILTER).map(|(_, value)| value.as_str());
    let lines: Vec<&str> = of_profile.chain(written(app, FILTER)).collect();
    let strict = match (security.preset == Preset::Strict, private_pids(app, container)) {
        (true, true) => [STRICT, "~@mount"].as_slice(),
        (true, false) => &[STRICT],
        (false, _) => &[],
    };
    combine(&lines, strict, &security.filter)
}

/// Adds to an administrator's lines the system calls that strict containers deny. Also adds
/// `io_uring`, unless a list of allowed system calls of the application or of the whole container
/// names it. The first line decides whether the setting is a list of allowed or of denied calls,
/// and later lines of the other kind remove calls from that list (systemd.exec(5)). So an
/// administrator's list of allowed calls comes first.
fn combine(lines: &[&str], strict: &[&str], of_container: &[String]) -> Vec<String> {
    let own = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
    // An empty line discards all lines before it.
    if let Some(index) = lines.iter().rposition(|line| line.is_empty()) {
        return own(lines.get(index..).unwrap_or_default());
    }
    let is_list_of_allowed = lines.first().is_some_and(|first| !first.starts_with('~'));
    let words = lines.iter().filter(|line| !line.starts_with('~')).flat_map(|line| line.split_ascii_whitespace());
    let named = words.chain(of_container.iter().map(String::as_str)).any(|word| ALLOWS_IO_URING.contains(&word));
    let mut denied = strict.to_vec();
    // Outside of strict containers, a call that is removed from a list of allowed calls may end the
    // process instead of failing. Such a list is therefore used as it is.
    if !named && (!is_list_of_allowed || !strict.is_empty()) {
        denied.push(IO_URING);
    }
    if is_list_of_allowed { own(&[lines, &denied].concat()) } else { own(&[&denied, lines].concat()) }
}

/// The settings from a seccomp profile.
fn profile<'a>(container: &'a Container, facts: &'a Facts) -> impl Iterator<Item = &'a (&'static str, String)> {
    let written = container.security.seccomp_profile.as_ref();
    written.and_then(|written| facts.profiles.get(&written.value)?.as_ref().ok()).into_iter().flatten()
}

/// The values of a setting in `[App]`.
fn written<'a>(app: &'a App, key: &str) -> Vec<&'a str> {
    app.service.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_administrators_keep_their_kind() {
        let none: &[String] = &[];
        assert_eq!(combine(&[], &[], none), [IO_URING]);
        assert_eq!(combine(&["~@swap"], &[], none), [IO_URING, "~@swap"]);
        assert_eq!(combine(&["@system-service"], &[], none), ["@system-service"]);
        assert_eq!(combine(&["@system-service"], &[STRICT], none), ["@system-service", STRICT, IO_URING]);
        assert_eq!(combine(&["@basic-io @aio"], &[STRICT], none), ["@basic-io @aio", STRICT]);
        assert_eq!(combine(&["~@swap", "@aio"], &[], none), ["~@swap", "@aio"]);
        assert_eq!(combine(&["@io-event", "", "~@swap"], &[STRICT], none), ["", "~@swap"]);
        assert_eq!(combine(&[], &[], &["io_uring_setup".to_owned()]), Vec::<String>::new());
        assert_eq!(combine(&[], &[], &["~io_uring_setup".to_owned()]), [IO_URING]);
    }
}
