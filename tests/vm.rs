// SPDX-License-Identifier: MIT
//! Tier 3: a virtual machine, and a container in it that comes up by itself, whatever happened before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use support::containers::{WELCOME, installed};
use support::vm::Vm;
use support::{image, require};

/// The page, from a container that nobody started by hand.
fn assert_served(vm: &Vm) {
    assert_eq!(vm.wait("curl -fsS --max-time 10 http://localhost/", 60), WELCOME);
    assert_eq!(vm.ok("loginctl list-sessions --no-legend"), "");
    assert_eq!(vm.ok("systemctl is-system-running"), "running\n");
}

#[test]
fn a_machine_and_its_container_boot_reboot_and_survive_a_power_cut() {
    if !require(&["root", "cpio", "make", "build", "image:nginx", "tree:qemu", "vm"]) {
        return;
    }
    let staged = installed();
    let write = |path: &str, content: &str| {
        let path = staged.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let generator = "lib/systemd/system-generators/test-generator";
    write(generator, "#!/bin/sh\necho x >>/run/generated\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(staged.path().join(generator), executable).unwrap();
    write(
        "etc/sdme/web.container",
        "[Container]\nImage=oci:/srv/nginx\n[Service]\nMemoryMax=256M\n[Install]\nWantedBy=machines.target\n",
    );
    write("etc/sdme/twin.container", "[Container]\n");
    copy(&image("nginx"), &staged.path().join("srv/nginx"));

    let mut vm = Vm::boot_with("machine", &[staged.path().to_owned()]);
    assert_served(&vm);
    assert!(vm.ok("systemctl --version").starts_with("systemd 257 "));
    assert_eq!(vm.read("/run/generated"), "x\n");
    vm.ok("test -L /lib && grep -qw memory /sys/fs/cgroup/cgroup.controllers && aa-enabled");
    let output = vm.run("echo \"it's out\"; echo err >&2; exit 7");
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (7, "it's out\n", "err\n"));
    let limit = "/sys/fs/cgroup/machine.slice/systemd-nspawn@web.service/memory.max";
    assert_eq!(vm.read(limit), format!("{}\n", 256 << 20));
    // Here, unlike on the hosts in namespaces, the clone's own layer is on the file system it is a clone of.
    vm.ok("systemctl start systemd-nspawn@twin");
    vm.wait("systemctl -M twin is-system-running", 60);
    vm.ok("systemctl stop systemd-nspawn@twin");

    vm.write("/var/lib/a directory/file", "rebooted\n");
    vm.ok("sed -i 's/echo x/echo y/' /usr/lib/systemd/system-generators/test-generator");
    vm.reboot();
    assert_served(&vm);
    assert_eq!(vm.read("/var/lib/a directory/file"), "rebooted\n");
    // Staged files are copied once.
    assert_eq!(vm.read("/run/generated"), "y\n");

    let writer = "n=0; while n=$((n + 1)); do echo $n >>/srv/log && sync /srv/log
        : >/srv/file$n && rm -f /srv/file$((n - 3)); done";
    vm.ok(&format!("systemd-run -M web -q sh -c '{writer}'"));
    let log = "/var/lib/sdme/containers/web/upper/srv/log";
    vm.wait(&format!("test $(wc -l <{log}) -gt 20"), 60);
    vm.ok("echo synced >/var/lib/synced && sync");
    vm.ok("echo lost >/var/lib/lost");
    let written = vm.read(log).lines().count();
    vm.power_cut();
    vm.power_on();
    assert_eq!(vm.read("/var/lib/synced"), "synced\n");
    assert!(!vm.run("test -s /var/lib/lost").success(), "the cut lost nothing: it was none");
    assert_served(&vm);
    let found = vm.read(log);
    let mut numbers = (1..).zip(found.lines());
    // The last line read may not have been flushed yet.
    assert!(found.lines().count() + 1 >= written && numbers.all(|(n, line)| line == n.to_string()), "{found}");
    vm.ok("systemd-run -M web -q --wait sh -c 'rm /srv/* && echo usable >/srv/file'");
    assert_eq!(vm.read("/var/lib/sdme/containers/web/upper/srv/file"), "usable\n");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}
