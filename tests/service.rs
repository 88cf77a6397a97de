// SPDX-License-Identifier: MIT
//! Tier 2: the service of a container on real systemd hosts. It is a whole unit file that works
//! with drop-ins, links and commands of administrators, and it does not wait for unrelated units.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use support::containers::{Container, NGINX, WELCOME, boot, ready};
use support::host::Host;

on_every_suite!(the_service_is_a_whole_unit);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &[]) {
        let host = boot(suite, name.split('_').next().unwrap());
        host.write("/etc/sdme/nginx.image", format!("[Image]\nImage={NGINX}\n"));
        case(&host);
    }
}

fn the_service_is_a_whole_unit(host: &Host) {
    let web = Container::new(host, "web");
    web.configure("[Container]\nImage=nginx.image\n");
    assert_eq!(web.property("FragmentPath"), "/run/systemd/generator/systemd-nspawn@web.service");
    assert_eq!(web.property("DropInPaths"), "");
    a_start_reads_few_units_and_others_can_be_started(&web);
    no_start_waits_for_the_mount_of_all_machines(&web);
    drop_ins_of_administrators_take_effect(&web);
    machinectl_knows_the_container(&web);
    links_of_administrators_start_it(&web);
    a_killed_container_starts_again(&web);
    a_stop_at_any_moment_of_the_boot_takes_effect(&web);
    a_failed_start_names_the_exhausted_kernel_limit(&web);
}

/// Besides mount units and slices, systemd in the container reads the units of applications, the
/// journal and the message bus, and some targets. Other units of the operating system work as
/// usual.
fn a_start_reads_few_units_and_others_can_be_started(web: &Container<'_>) {
    let host = web.host;
    web.systemctl("start");
    // Through the private socket, because the message bus would start.
    let inside = format!("nsenter -a -t $(machinectl show -P Leader {}) systemctl", web.name);
    let read = host.ok(&format!("{inside} list-units --all --plain --no-legend"));
    let read = read.lines().filter_map(|line| line.split_whitespace().next());
    let read: Vec<&str> = read.filter(|unit| !unit.ends_with(".mount") && !unit.ends_with(".slice")).collect();
    assert!(read.contains(&"systemd-journald.service") && read.contains(&"dbus.socket"), "{read:?}");
    assert!(read.len() < 25 && !read.contains(&"sysinit.target"), "{} units: {read:?}", read.len());

    // The first use of the bus makes its user.
    let manager = format!("systemctl -M {}", web.name);
    host.wait(&format!("{manager} is-active dbus.service systemd-journald.service sdme-accounts.service"), 10);
    host.fails(&format!("{manager} is-active sysinit.target"));
    assert!(web.ok("cat /etc/passwd").contains("messagebus:"));
    host.ok(&format!("{manager} start systemd-tmpfiles-clean.service"));
    host.ok(&format!("{manager} is-active sysinit.target local-fs.target"));
    host.ok(&format!("{manager} restart systemd-journald.service"));
    host.wait(&format!("journalctl -M {} -u systemd-tmpfiles-clean --grep Finished", web.name), 10);
    assert_eq!(host.ok(&format!("{manager} --failed --no-legend")), "");
    web.systemctl("stop");
}

/// systemd delays the start of a mount unit by up to a second after several changes of the mount
/// table. Therefore the service must not depend on a mount unit.
fn no_start_waits_for_the_mount_of_all_machines(web: &Container<'_>) {
    // systemd-machined needs var-lib-machines.mount, and systemd-nspawn starts systemd-machined if
    // it is not running.
    web.host.ok("systemctl start systemd-machined");
    let checked = || web.host.ok("systemctl show -P ConditionTimestampMonotonic var-lib-machines.mount");
    let before = checked();
    for verb in ["start", "restart", "restart", "restart"] {
        web.systemctl(verb);
    }
    assert_eq!(checked(), before, "a start of the container has started var-lib-machines.mount");
    for property in ["Requires", "Wants", "After", "RequiresMountsFor", "WantsMountsFor"] {
        let value = web.property(property);
        let all_machines = ["var-lib-machines.mount", "/var/lib/machines", "/var/lib/machines/web"];
        assert!(!value.split(' ').any(|word| all_machines.contains(&word)), "{property}={value}");
    }
    let command = web.property("ExecStart");
    for option in ["--network-veth", "-U"] {
        assert!(!command.split(' ').any(|word| word == option), "{command}");
    }
    assert_eq!(web.host.ok("systemctl --failed --no-legend"), "");
}

fn drop_ins_of_administrators_take_effect(web: &Container<'_>) {
    let host = web.host;
    let directory = "/etc/systemd/system/systemd-nspawn@";
    host.write(&format!("{directory}.service.d/all.conf"), "[Service]\nCPUWeight=50\nTasksMax=4000\n");
    // The drop-in of earlier versions of sdme-gen had this name.
    host.write(&format!("{directory}web.service.d/10-sdme.conf"), "[Service]\nTasksMax=3000\n");
    host.ok(&format!("printf '[Service]\\nIOWeight=70\\n' | systemctl edit --stdin --drop-in=own {}", web.unit));
    web.systemctl("restart");
    for (property, value) in [("CPUWeight", "50"), ("TasksMax", "4000"), ("IOWeight", "70")] {
        assert_eq!(web.property(property), value, "{property}");
    }
    // systemd reads drop-ins in the order of their names.
    host.ok(&format!("mv {directory}.service.d/all.conf {directory}.service.d/05.conf && systemctl daemon-reload"));
    assert_eq!((web.property("CPUWeight"), web.property("TasksMax")), ("50".to_owned(), "3000".to_owned()));
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    host.ok(&format!("rm -r {directory}.service.d && systemctl revert {} && systemctl daemon-reload", web.unit));
    assert_eq!(web.property("TasksMax"), "16384");
}

fn machinectl_knows_the_container(web: &Container<'_>) {
    let host = web.host;
    assert!(host.ok("machinectl list --no-legend").starts_with("web "));
    assert_eq!(host.ok("machinectl show -P State web"), "running\n");
    host.ok("journalctl -q -M web -n 1 --no-pager | grep . && machinectl status web --no-pager");
    host.ok("machinectl poweroff web");
    host.wait(&format!("systemctl is-active {} | grep -qx inactive && ! findmnt /var/lib/machines/web", web.unit), 10);
    host.ok("machinectl start web");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    web.systemctl("stop");
}

/// Links that `systemctl enable` created for earlier versions still start the container. It refuses
/// generated units.
fn links_of_administrators_start_it(web: &Container<'_>) {
    let host = web.host;
    let refused = host.fails(&format!("systemctl enable {} 2>&1", web.unit));
    assert!(refused.contains("transient or generated"), "{refused}");
    let link = format!("/etc/systemd/system/probe.target.wants/{}", web.unit);
    host.write("/etc/systemd/system/probe.target", "[Unit]\n");
    host.ok(&format!("mkdir -p /etc/systemd/system/probe.target.wants && ln -s /usr/lib/systemd/system/systemd-nspawn@.service {link}"));
    host.ok("systemctl daemon-reload && systemctl start probe.target");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    web.systemctl("stop").systemctl("disable");
    host.ok(&format!("test ! -e {link}"));
    // [Install] of the file makes the link.
    web.configure("[Container]\nImage=nginx.image\n[Install]\nWantedBy=probe.target\n");
    host.ok("systemctl stop probe.target && systemctl start probe.target");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
}

/// When a systemd-nspawn was killed, the release after its end removes what it leaves in `/run`.
fn a_killed_container_starts_again(web: &Container<'_>) {
    let host = web.host;
    host.ok(&format!("systemctl kill --kill-whom=main -s KILL {}", web.unit));
    host.wait(&format!("systemctl is-failed {}", web.unit), 10);
    host.fails("findmnt -rn -o TARGET | grep -E '/(machines|nspawn|containers)/.*web'");
    host.fails("find /run/systemd/nspawn -name web | grep .");
    web.systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    web.systemctl("stop");
}

/// The kernel discards a signal to the container's first process until that process handles the
/// signal. The service manager then kills the container after the timeout, and the result of the
/// unit shows that.
fn a_stop_at_any_moment_of_the_boot_takes_effect(web: &Container<'_>) {
    let host = web.host;
    let program = "trap \"echo >/data/ended; exit\" QUIT; echo >/data/started; while sleep 0.1; do :; done";
    host.ok("mkdir -p /srv/moments");
    web.configure(&format!("[Container]\nImage=nginx.image\nVolume=/srv/moments:/data\nExec=sh -c '{program}'\n"));
    let mut seconds = 0.01;
    // Repeat until the stop comes after the start of the application.
    while host.run("test -e /srv/moments/started").status != 0 {
        // reset-failed clears the start limit. A stop before systemd-nspawn runs would end the
        // commands of ExecStartPre=.
        let moment = format!(
            "systemctl reset-failed {unit} 2>/dev/null; systemctl start --no-block {unit}
            while [ $(systemctl show -P MainPID {unit}) = 0 ]; do sleep 0.01; done
            sleep {seconds:.2}; timeout 40 systemctl stop {unit}; systemctl show -P Result {unit}",
            unit = web.unit
        );
        assert_eq!(host.ok(&moment), "success\n", "stopped {seconds:.2} s after the start of systemd-nspawn");
        seconds *= 1.25;
        assert!(seconds < 30.0, "the application does not start");
    }
    // The application received the stop signal and was not killed.
    host.ok("test -e /srv/moments/ended");
}

/// All hosts and containers of a kernel share the limit. The test must not change it, so prepare
/// runs in a user namespace with its own limit.
fn a_failed_start_names_the_exhausted_kernel_limit(web: &Container<'_>) {
    let host = web.host;
    let prepare = "echo 0 >/proc/sys/user/max_inotify_instances && exec sdme-gen prepare web";
    let command = format!("ExecStartPre=\nExecStartPre=+unshare --user --map-root-user sh -c '{prepare}'");
    host.write(&format!("/run/systemd/system/{}.d/limit.conf", web.unit), format!("[Service]\n{command}\n"));
    host.ok("systemctl daemon-reload");
    host.fails(&format!("systemctl start {}", web.unit));
    let status = host.fails(&format!("systemctl status -l --no-pager {}", web.unit));
    let limit = host.read("/proc/sys/fs/inotify/max_user_instances");
    let line = format!("fs.inotify.max_user_instances={} is too low for one more container", limit.trim());
    assert!(status.contains(&line) && status.contains("/usr/lib/sysctl.d/50-sdme.conf"), "{status}");
    host.ok("grep -x 'fs.inotify.max_user_instances = [0-9]*' /usr/lib/sysctl.d/50-sdme.conf");
    host.ok(&format!("rm -r /run/systemd/system/{}.d && systemctl daemon-reload", web.unit));
    web.systemctl("start").systemctl("stop");
}
