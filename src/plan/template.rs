// SPDX-License-Identifier: MIT
//! The settings of a container's service that come from systemd's template
//! `systemd-nspawn@.service`. Pure.
//!
//! The service is a whole unit file with the name of the template's instance, so that it does not
//! have the dependencies of the template. The settings were compared with the templates of systemd
//! 257 and 262.

use crate::cause;
use crate::paths::LIBEXECDIR;
use crate::unit::UnitFile;

/// The comment lines at the beginning of the unit file, for administrators who know the template.
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

/// The settings of `[Unit]`.
const UNIT: [(&str, &str); 4] = [
    ("Documentation", "man:sdme.container(5) man:systemd-nspawn(1)"),
    ("PartOf", "machines.target"),
    ("Before", "machines.target"),
    ("After", "network.target"),
];

/// The command line of systemd-nspawn. Its options agree with every planned `.nspawn` file, which
/// has all other settings.
const COMMAND: &str = "systemd-nspawn --quiet --keep-unit --boot --link-journal=no --settings=override --machine=%i";

/// The settings of `[Service]`.
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

/// Adds the comment lines to the unit file.
pub fn comment(unit: &mut UnitFile) {
    for line in COMMENT {
        unit.comment(line);
    }
}

/// Adds the settings of `[Unit]`.
pub fn dependencies(unit: &mut UnitFile) {
    for (key, value) in UNIT {
        unit.set("Unit", key, value);
    }
}

/// Adds the command that runs the container, in the network namespace `namespace` if there is one.
/// `NetworkNamespacePath=` would also apply to the commands before and after, and a container that
/// gets its network by a restart has none yet when it stops. `--network-namespace-path=` of
/// systemd-nspawn fails with a user namespace, which has no privileges over the network.
pub fn command(namespace: Option<&str>, unit: &mut UnitFile) {
    let enter = namespace.map(|path| ["nsenter --net=", path, " "].concat()).unwrap_or_default();
    unit.set("Service", "ExecStart", format!("{LIBEXECDIR}/sdme-oci-run boot %n {enter}{COMMAND}"))
        // The default would be the name of the first program in the command line.
        .set("Service", "SyslogIdentifier", "systemd-nspawn");
}

/// Adds the settings of the service. `Restart=` does not repeat a start that the files or images
/// forbid. A job has no start timeout, because its start lasts until its end. systemd refuses
/// `RestartForceExitStatus=` for a job; exit status 133 is a restart that was requested in the
/// container.
pub fn service(is_job: bool, unit: &mut UnitFile) {
    if is_job {
        unit.set("Service", "TimeoutStopSec", "2min");
    } else {
        unit.set("Service", "Type", "notify").set("Service", "RestartForceExitStatus", "133");
        unit.set("Service", "TimeoutSec", "2min");
    }
    unit.set("Service", "RestartPreventExitStatus", cause::REFUSED.to_string());
    // Prepare and release also set the status line. The default `main` accepts notifications of
    // systemd-nspawn only.
    unit.set("Service", "NotifyAccess", "exec");
    for (key, value) in SERVICE {
        unit.set("Service", key, value);
    }
}
