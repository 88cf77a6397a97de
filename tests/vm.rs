// SPDX-License-Identifier: MIT
//! The virtual machine that the slowest tests stand on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use support::require;
use support::vm::Vm;

#[test]
fn a_machine_boots_reboots_and_survives_a_power_cut() {
    if !require(&["root", "qemu-system-x86_64", "qemu-img", "cpio", "vm"]) {
        return;
    }
    let staged = tempfile::tempdir().unwrap();
    let generators = staged.path().join("lib/systemd/system-generators");
    std::fs::create_dir_all(&generators).unwrap();
    let generator = generators.join("test-generator");
    std::fs::write(&generator, "#!/bin/sh\necho x >>/run/generated\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&generator, executable).unwrap();

    let mut vm = Vm::boot_with("smoke", &[staged.path().to_owned()]);
    assert_eq!(vm.ok("systemctl is-system-running").trim(), "running");
    assert!(vm.ok("systemctl --version").starts_with("systemd 257 "));
    assert_eq!(vm.read("/run/generated"), "x\n");
    vm.ok("test -L /lib && grep -qw memory /sys/fs/cgroup/cgroup.controllers && aa-enabled");
    let output = vm.run("echo \"it's out\"; echo err >&2; exit 7");
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (7, "it's out\n", "err\n"));

    vm.write("/var/lib/a directory/file", "rebooted\n");
    vm.ok("sed -i 's/echo x/echo y/' /usr/lib/systemd/system-generators/test-generator");
    vm.reboot();
    assert_eq!(vm.read("/var/lib/a directory/file"), "rebooted\n");
    // Staged files are copied once.
    assert_eq!(vm.read("/run/generated"), "y\n");

    vm.ok("echo synced >/var/lib/synced && sync");
    vm.ok("echo lost >/var/lib/lost");
    vm.power_cut();
    vm.power_on();
    assert_eq!(vm.read("/var/lib/synced"), "synced\n");
    assert!(!vm.run("test -s /var/lib/lost").success(), "the cut lost nothing: it was none");
    assert_eq!(vm.ok("systemctl is-system-running").trim(), "running");
}
