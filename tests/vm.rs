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

/// The page, from a container and from a pod's published port, none of which anybody started by hand.
fn assert_served(vm: &Vm) {
    assert_eq!(vm.wait("curl -fsS --max-time 10 http://localhost/", 60), WELCOME);
    assert_eq!(vm.wait("curl -fsS --max-time 10 http://localhost:8080/", 120), WELCOME);
    assert_eq!(vm.ok("loginctl list-sessions --no-legend"), "");
    assert_eq!(vm.ok("systemctl is-system-running --wait"), "running\n");
    assert_eq!(vm.ok("systemctl is-active sdme-pod@tier.target systemd-nspawn@member"), "active\nactive\n");
    // Another member of the same pod, and an application whose container is elsewhere, in a pod of its own.
    assert_eq!(
        vm.wait("systemd-run -M neighbour --wait --pipe -q curl -fsS --max-time 10 http://127.0.0.1/", 60),
        WELCOME
    );
    let inside = "nsenter --net=/run/sdme/pods/web-pod/netns curl -fsS --max-time 10 http://127.0.0.1/";
    assert_eq!(vm.wait(inside, 60), WELCOME);
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
    write("etc/sdme/tier.pod", "[Pod]\nPublishPort=8080:80\n[Install]\nWantedBy=multi-user.target\n");
    write("etc/sdme/member.container", "[Container]\nImage=oci:/srv/nginx\nPod=tier.pod\n");
    write("etc/sdme/neighbour.container", "[Container]\nPod=tier.pod\n");
    write("etc/sdme/web-pod.pod", "[Pod]\n");
    let joins = "[Container]\nImage=oci:/srv/nginx\nOciPod=web-pod.pod\n[Install]\nWantedBy=machines.target\n";
    write("etc/sdme/joins.container", joins);
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

    assert_confined_by_apparmor(&vm);

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

/// Containers under the profile that comes with the program, which the boot has loaded, and under one that does not exist.
fn assert_confined_by_apparmor(vm: &Vm) {
    vm.ok("grep -x 'sdme-default (enforce)' /sys/kernel/security/apparmor/profiles");
    let configure = |name: &str, text: &str| {
        vm.write(&format!("/etc/sdme/{name}.container"), format!("[Container]\nImage=oci:/srv/nginx\n{text}"));
        vm.ok("sdme-gen check && systemctl daemon-reload");
    };
    configure("strict", "Strict=yes\n");
    vm.ok("systemctl start systemd-nspawn@strict");
    assert_eq!(vm.wait("nsenter --net=/run/sdme/pods/strict/netns curl -fsS http://127.0.0.1/", 60), WELCOME);
    assert_eq!(vm.wait("systemctl -M strict is-system-running --wait", 60), "running\n");
    let profiles =
        "for p in $(cat $(find /sys/fs/cgroup/machine.slice/systemd-nspawn@NAME.service -name cgroup.procs)); do
        cat /proc/$p/attr/current; done | sort -u";
    assert_eq!(vm.ok(&profiles.replace("NAME", "strict")), "sdme-default (enforce)\n");

    // What nothing else denies, this does.
    configure("plain", "Network=private\nAppArmor=sdme-default\n");
    vm.ok("systemctl start systemd-nspawn@plain");
    assert_eq!(vm.ok(&profiles.replace("NAME", "plain")), "sdme-default (enforce)\n");
    let tamper = "mount -o remount,rw /proc/sys; echo x >/proc/sys/kernel/core_pattern";
    let output = vm.run(&format!("systemd-run -M plain -q --wait --pipe sh -c '{tamper}'"));
    assert!(!output.success() && output.stderr.contains("Permission denied"), "{output}");
    configure("plain", "Network=private\nAppArmor=unconfined\n");
    vm.ok("core=$(cat /proc/sys/kernel/core_pattern); systemctl restart systemd-nspawn@plain &&
        systemd-run -M plain -q --wait --pipe sh -c 'mount -o remount,rw /proc/sys; echo x >/proc/sys/kernel/core_pattern' &&
        test \"$(cat /proc/sys/kernel/core_pattern)\" = x && echo \"$core\" >/proc/sys/kernel/core_pattern");

    configure("plain", "Network=private\nAppArmor=none-such\n");
    assert!(!vm.run("systemctl restart systemd-nspawn@plain").success());
    let status = vm.run("systemctl status --no-pager -l sdme-prepare@plain").stdout;
    let message = "/etc/sdme/plain.container:4: the AppArmor profile none-such is not loaded; put it into";
    assert!(status.contains(message), "{status}");
    assert_eq!(vm.run("systemctl is-active systemd-nspawn@plain").stdout, "inactive\n");
    vm.ok("systemctl stop systemd-nspawn@strict; rm /etc/sdme/strict.container /etc/sdme/plain.container
        systemctl daemon-reload; systemctl reset-failed");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}
