// SPDX-License-Identifier: MIT
//! The settings that a container's service takes over from systemd's template `systemd-nspawn@.service`. Pure.
//!
//! The service is a whole unit file of that name, so that it does not have the dependencies of the template. The settings were
//! compared with the templates of systemd 257 and 262.

use crate::cause;
use crate::paths::LIBEXECDIR;
use crate::unit::UnitFile;

/// The lines at the head of the unit file, for an administrator who knows the template.
const COMMENT: [&str; 10] = [
    "This file replaces systemd-nspawn@.service for this container. It has the settings of that template (systemd 257 to 262)",
    "and those of the container, with these differences from the template:",
    "- There is no RequiresMountsFor= of /var/lib/machines: prepare mounts the root directory there, and systemd would delay",
    "  the start by up to a second, for var-lib-machines.mount.",
    "- ExecStart= has no --network-veth and no -U: the .nspawn file has the network and the user namespace.",
    "- sdme-oci-run boot becomes systemd-nspawn. A child of it watches the first moments of the boot, in which the container",
    "  would lose the signal of a stop, and sends that signal again.",
    "  sdme-oci-run ends with status 78 if prepare has refused the start, and Restart= does not try again then.",
    "- There are no loop devices, encrypted disks and kernel modules for them: systemd-nspawn gets a directory, not a disk image.",
    "- There is no systemd-nspawn --cleanup: release removes what a killed systemd-nspawn leaves behind.",
];

/// Settings of `[Unit]`.
const UNIT: [(&str, &str); 4] = [
    ("Documentation", "man:sdme.container(5) man:systemd-nspawn(1)"),
    ("PartOf", "machines.target"),
    ("Before", "machines.target"),
    ("After", "network.target"),
];

/// The command line. Its options agree with every `.nspawn` file of ours, which has all other settings.
const COMMAND: &str = "systemd-nspawn --quiet --keep-unit --boot --link-journal=no --settings=override --machine=%i";

/// Settings of `[Service]`.
const SERVICE: [(&str, &str); 12] = [
    ("KillMode", "mixed"),
    ("SuccessExitStatus", "133"),
    ("Slice", "machine.slice"),
    ("Delegate", "yes"),
    ("DelegateSubgroup", "supervisor"),
    ("CoredumpReceive", "yes"),
    ("TasksMax", "16384"),
    ("WatchdogSec", "3min"),
    ("DevicePolicy", "closed"),
    ("DeviceAllow", "/dev/net/tun rwm"),
    ("DeviceAllow", "char-pts rw"),
    ("DeviceAllow", "/dev/fuse rwm"),
];

/// Explains the unit file to its reader.
pub fn comment(unit: &mut UnitFile) {
    for line in COMMENT {
        unit.comment(line);
    }
}

/// Adds the dependencies.
pub fn dependencies(unit: &mut UnitFile) {
    for (key, value) in UNIT {
        unit.set("Unit", key, value);
    }
}

/// Adds the command that runs the container, in this network namespace if there is one. `NetworkNamespacePath=` would also be that of
/// the commands before and after, and a container that gets a network by a restart has none yet when it stops.
/// `--network-namespace-path=` of systemd-nspawn fails with a user namespace, which has no privileges over the network.
pub fn command(namespace: Option<&str>, unit: &mut UnitFile) {
    let enter = namespace.map(|path| ["nsenter --net=", path, " "].concat()).unwrap_or_default();
    unit.set("Service", "ExecStart", format!("{LIBEXECDIR}/sdme-oci-run boot %n {enter}{COMMAND}"))
        // The default would be the name of the first program.
        .set("Service", "SyslogIdentifier", "systemd-nspawn");
}

/// Adds the settings of the service. `Restart=` does not repeat a start that its files or images forbid. A job has no limit for its start, which lasts until its end, and systemd refuses
/// `RestartForceExitStatus=` for a job: exit status 133 is a restart that was requested inside the container.
pub fn service(is_job: bool, unit: &mut UnitFile) {
    if is_job {
        unit.set("Service", "TimeoutStopSec", "2min");
    } else {
        unit.set("Service", "Type", "notify").set("Service", "RestartForceExitStatus", "133");
        unit.set("Service", "TimeoutSec", "2min");
    }
    unit.set("Service", "RestartPreventExitStatus", cause::REFUSED.to_string());
    // Prepare and release set the status line, too; `main`, the default, hears systemd-nspawn only.
    unit.set("Service", "NotifyAccess", "exec");
    for (key, value) in SERVICE {
        unit.set("Service", key, value);
    }
}
