// SPDX-License-Identifier: MIT
//! Tier 3: a virtual machine whose containers start by themselves after boots, reboots and power
//! cuts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::containers::{NGINX, WELCOME, installed};
use support::random::Random;
use support::tiers::{self, assert_tiers, nginx};
use support::vm::Vm;
use support::{image, matrix, require};

/// Checks containers, pods and their published port. All of them started at boot.
fn assert_served(vm: &Vm) {
    assert_eq!(vm.wait("curl -fsS --max-time 10 http://localhost/", 60), WELCOME);
    assert_eq!(vm.wait("curl -fsS --max-time 10 http://localhost:8080/", 120), WELCOME);
    assert_eq!(vm.ok("loginctl list-sessions --no-legend"), "");
    assert_eq!(vm.ok("systemctl is-system-running --wait"), "running\n");
    assert_eq!(vm.ok("systemctl is-active sdme-pod@{web,data}-tier.target"), "active\n".repeat(2));
    assert_tiers(vm, 300);
}

/// Runs a client of redis and one of `MariaDB` in the containers of the databases.
fn ask(vm: &Vm, redis: &str, sql: &str) -> String {
    let mariadb = format!("sdme-gen exec mariadb -- mariadb -uroot -psecret -NBe '{sql}'");
    vm.ok(&format!("sdme-gen exec redis -- redis-cli {redis}")) + &vm.ok(&mariadb)
}

#[test]
fn a_machine_and_its_container_boot_reboot_and_survive_a_power_cut() {
    if !require(&["root", "cpio", "make", "build", "umoci", "image:nginx", "image:databases", "tree:qemu", "vm"]) {
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
    let web = "Network=host\n[Service]\nMemoryMax=256M\n[Install]\nWantedBy=machines.target\n";
    write("etc/sdme/web.container", &nginx(web));
    for (name, text) in tiers::files() {
        write(&format!("etc/sdme/{name}"), &text);
    }
    let boots = "[Install]\nWantedBy=multi-user.target\n";
    write("etc/sdme/web-tier.pod.d/boot.conf", &format!("[Pod]\nPublishPort=8080:80\n{boots}"));
    write("etc/sdme/data-tier.pod.d/boot.conf", boots);
    write("etc/sdme/joins.container.d/boot.conf", "[Install]\nWantedBy=machines.target\n");
    // Containers start at the same time, and the machine is emulated.
    write("etc/systemd/system.conf.d/slow.conf", "[Manager]\nDefaultTimeoutStartSec=5min\n");
    write("etc/systemd/system/systemd-nspawn@.service.d/slow.conf", "[Service]\nTimeoutStartSec=5min\n");
    write("etc/sdme/twin.container", "[Container]\n");
    copy(&image("nginx"), &staged.path().join("srv/images/nginx"));
    let databases = staged.path().join("srv/images/databases");
    copy(&image("databases"), &databases);
    // The emulated machine reads and writes each byte of the layout, so unused images are removed.
    run("umoci", &["remove", "--image", &format!("{}:postgres", databases.display())]);
    run("umoci", &["gc", "--layout", &databases.display().to_string()]);

    let mut vm = Vm::boot_with("machine", &[staged.path().to_owned()]);
    assert_served(&vm);
    assert!(vm.ok("systemctl --version").starts_with("systemd 257 "));
    assert_eq!(vm.read("/run/generated"), "x\n");
    vm.ok("test -L /lib && grep -qw memory /sys/fs/cgroup/cgroup.controllers && aa-enabled");
    let output = vm.run("echo \"it's out\"; echo err >&2; exit 7");
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (7, "it's out\n", "err\n"));
    let limit = "/sys/fs/cgroup/machine.slice/systemd-nspawn@web.service/memory.max";
    assert_eq!(vm.read(limit), format!("{}\n", 256 << 20));
    // Here, unlike on the hosts in namespaces, the upper layer of the clone is on the same file
    // system as the cloned tree.
    vm.ok("systemctl start systemd-nspawn@twin");
    vm.wait("systemctl -M twin is-system-running", 60);
    vm.ok("systemctl stop systemd-nspawn@twin");

    assert_confined_by_apparmor(&vm);

    let sql = "create database kept; create table kept.kept as select 1 as it";
    assert_eq!(ask(&vm, "set kept redis", sql), "OK\n");
    vm.write("/var/lib/a directory/file", "rebooted\n");
    vm.ok("sed -i 's/echo x/echo y/' /usr/lib/systemd/system-generators/test-generator");
    vm.reboot();
    assert_served(&vm);
    assert_eq!(ask(&vm, "get kept", "select it from kept.kept"), "redis\n1\n");
    assert_eq!(vm.read("/var/lib/a directory/file"), "rebooted\n");
    // Staged files are copied only once.
    assert_eq!(vm.read("/run/generated"), "y\n");

    let writer = "n=0; while n=$((n + 1)); do echo $n >>/srv/log && sync /srv/log
        : >/srv/file$n && rm -f /srv/file$((n - 3)); done";
    vm.ok(&format!("systemd-run -M web -q sh -c '{writer}'"));
    let log = "/var/lib/sdme/containers/web/upper/srv/log";
    vm.wait(&format!("test $(wc -l <{log}) -gt 20"), 60);
    vm.ok("echo synced >/var/lib/synced && sync");
    // The database confirms that it has stored the row.
    ask(&vm, "ping", "insert into kept.kept values (2)");
    vm.ok("echo lost >/var/lib/lost");
    let written = vm.read(log).lines().count();
    vm.power_cut();
    vm.power_on();
    assert_eq!(vm.read("/var/lib/synced"), "synced\n");
    assert!(!vm.run("test -s /var/lib/lost").success(), "the cut lost nothing: it was none");
    assert_served(&vm);
    assert_eq!(ask(&vm, "get kept", "select it from kept.kept order by it"), "redis\n1\n2\n");
    let found = vm.read(log);
    let mut numbers = (1..).zip(found.lines());
    // The last line may not have been flushed before the power cut.
    assert!(found.lines().count() + 1 >= written && numbers.all(|(n, line)| line == n.to_string()), "{found}");
    vm.ok("systemd-run -M web -q --wait sh -c 'rm /srv/* && echo usable >/srv/file'");
    assert_eq!(vm.read("/var/lib/sdme/containers/web/upper/srv/file"), "usable\n");
}

/// Names and addresses in networks, and which containers reach each other, are the same after a
/// reboot.
#[test]
fn networks_are_the_same_after_a_reboot() {
    if !require(&["root", "cpio", "make", "build", "image:nginx", "tree:qemu", "vm"]) {
        return;
    }
    let staged = installed();
    let write = |path: &str, content: &str| {
        let path = staged.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for (name, text) in matrix::files() {
        let starts = if name.ends_with(".container") { "[Install]\nWantedBy=multi-user.target\n" } else { "" };
        write(&format!("etc/sdme/{name}"), &(text + starts));
    }
    write("etc/systemd/system/systemd-nspawn@.service.d/slow.conf", "[Service]\nTimeoutStartSec=5min\n");
    copy(&image("nginx"), &staged.path().join("srv/images/nginx"));
    let mut vm = Vm::boot_with("matrix", &[staged.path().to_owned()]);
    let addresses = |vm: &Vm| matrix::CONTAINERS.map(|(_, pod, ..)| matrix::addresses(vm, pod));
    matrix::assert_up(&vm, 120);
    matrix::assert_matrix(&vm);
    let before = addresses(&vm);
    vm.reboot();
    matrix::assert_up(&vm, 120);
    matrix::assert_matrix(&vm);
    assert_eq!(addresses(&vm), before);
}

/// Checks containers under the `AppArmor` profile that sdme-gen installs and the boot has loaded,
/// and under a profile that does not exist.
fn assert_confined_by_apparmor(vm: &Vm) {
    vm.ok("grep -x 'sdme-default (enforce)' /sys/kernel/security/apparmor/profiles");
    let configure = |name: &str, text: &str| {
        vm.write(&format!("/etc/sdme/{name}.container"), format!("[Container]\nImage={NGINX}\n{text}"));
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

    // The profile denies an access that nothing else denies.
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
    let status = vm.run("systemctl status --no-pager -l systemd-nspawn@plain").stdout;
    let message = "/etc/sdme/plain.container:4: the AppArmor profile none-such is not loaded; put it into";
    assert!(status.contains(message), "{status}");
    assert_eq!(vm.run("systemctl is-active systemd-nspawn@plain").stdout, "failed\n");
    vm.ok("systemctl stop systemd-nspawn@strict; rm /etc/sdme/strict.container /etc/sdme/plain.container
        systemctl daemon-reload; systemctl reset-failed");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    run("cp", &["-r", &from.display().to_string(), &to.display().to_string()]);
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}

/// The number of power cuts unless `SDME_TEST_MOMENTS` is set. Each takes a boot of the emulated
/// machine.
const MOMENTS: u64 = 2;

/// The image of a service alternates between two versions, and the machine loses its power at
/// random moments of updates. `SDME_TEST_SEED=SEED SDME_TEST_MOMENTS=COUNT` selects the moments.
#[test]
fn a_power_cut_during_an_update_leaves_one_of_the_versions() {
    if !require(&["root", "cpio", "make", "build", "umoci", "image:nginx", "tree:qemu", "vm"]) {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let seed = number("SDME_TEST_SEED").unwrap_or(1);
    let staged = installed();
    let path = |path: &str| staged.path().join(path);
    for directory in ["etc/sdme", "srv/versions", "etc/systemd/system.conf.d"] {
        fs::create_dir_all(path(directory)).unwrap();
    }
    for version in ["one", "two"] {
        support::versions::page(&path("srv/versions"), version);
    }
    copy(&path("srv/versions/one"), &path("srv/app"));
    let container = "[Container]\nImage=oci:/srv/app\nAutoUpdate=registry\nUpdateSettle=1s\nNotify=healthy\nHealthHttp=:80/\n\
        HealthInterval=500ms\nHealthRetries=100\n[Service]\nTimeoutStartSec=5min\n[Install]\nWantedBy=machines.target\n";
    fs::write(path("etc/sdme/web.container"), container).unwrap();
    // Without kept versions, every update imports its version.
    fs::write(path("etc/sdme/sdme.conf"), "[Defaults]\nKeepVersions=0\n").unwrap();
    fs::write(path("etc/systemd/system.conf.d/slow.conf"), "[Manager]\nDefaultTimeoutStartSec=5min\n").unwrap();

    let mut vm = Vm::boot_with("update", &[staged.path().to_owned()]);
    let page = |vm: &Vm| vm.wait("curl -fsS --max-time 10 http://localhost/", 120).trim().to_owned();
    let put =
        |vm: &Vm, version: &str| vm.ok(&format!("rm -rf /srv/app && cp -r /srv/versions/{version} /srv/app && sync"));
    let other = |version: &str| if version == "one" { "two" } else { "one" };
    assert_eq!(page(&vm), "one");
    put(&vm, "two");
    let begin = Instant::now();
    vm.ok("sdme-gen update");
    let whole = u64::try_from(begin.elapsed().as_millis()).unwrap();
    assert_eq!(page(&vm), "two");

    let mut random = Random::new(seed);
    let mut story = format!("SDME_TEST_SEED={seed}, an update takes {whole} ms\n");
    eprint!("{story}");
    let mut before = "two".to_owned();
    for _ in 0..number("SDME_TEST_MOMENTS").unwrap_or(MOMENTS) {
        let after = other(&before);
        put(&vm, after);
        // The last eighth of the moments comes after the end of the update.
        let moment = random.below(whole + whole / 8);
        vm.ok("systemd-run --quiet sdme-gen update");
        std::thread::sleep(Duration::from_millis(moment));
        vm.power_cut();
        vm.power_on();
        let found = page(&vm);
        let undone = vm.ok("journalctl -q -b -o cat MESSAGE_ID=cafd1df7e7b249b68b736c0c5cba3679 | wc -l");
        let line = format!("{before} -> {after}, cut after {moment} ms: {found}; undone: {undone}");
        eprint!("{line}");
        story += &line;
        assert!(found == before || found == after, "{story}");
        assert_eq!(vm.ok("systemctl is-system-running --wait"), "running\n", "{story}");
        before = found;
    }
    // A further update succeeds after the power cuts.
    put(&vm, other(&before));
    vm.ok("sdme-gen update");
    assert_eq!(page(&vm), other(&before), "{story}");
}
