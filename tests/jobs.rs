// SPDX-License-Identifier: MIT
//! Tier 2: containers that end by themselves on real systemd hosts: immediately, as jobs whose
//! start waits for their end, and started by a timer; and the order in which the commands of
//! `[Service]` run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use support::containers::{Container, NGINX, WELCOME, boot, quoted, ready};
use support::host::Host;

on_every_suite!(jobs_end_as_their_applications_do, commands_run_in_order);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &[]) {
        let host = boot(suite, name.split('_').next().unwrap());
        host.write("/etc/sdme/nginx.image", format!("[Image]\nImage={NGINX}\n"));
        case(&host);
    }
}

/// A container whose application is a shell script, with `/srv/NAME` of the host mounted at
/// `/data`.
fn script<'a>(host: &'a Host, name: &str, script: &str, more: &str) -> Container<'a> {
    host.ok(&format!("mkdir -p /srv/{name}"));
    let container = Container::new(host, name);
    let fixed = format!("[Container]\nImage=nginx.image\nVolume=/srv/{name}:/data\nEntrypoint=/bin/sh -c\n");
    container.configure(&format!("{fixed}Exec={}\n{more}", quoted(script)));
    container
}

/// A container whose start waits for the end of its application.
fn job<'a>(host: &'a Host, name: &str, text: &str, service: &str) -> Container<'a> {
    script(host, name, text, &format!("[Service]\nType=oneshot\n{service}"))
}

/// Waits until the service of a container has this state, result and exit status, and none of the
/// container's file systems is mounted any more.
fn wait_for(container: &Container<'_>, state: &str) {
    let show = |name| format!("$(systemctl show -P {name} {})", container.unit);
    let now = ["ActiveState", "Result", "ExecMainStatus"].map(show).join(" ");
    let unmounted = unmounted(container);
    container.host.wait(&format!("s=\"{now}\"; echo $s; [ \"$s\" = '{state}' ] && {unmounted}"), 20);
}

/// The state of a container in `sdme-gen ps`.
fn listed(container: &Container<'_>) -> String {
    let all: serde_json::Value = serde_json::from_str(&container.host.ok("sdme-gen ps --json")).unwrap();
    let one = all.as_array().unwrap().iter().find(|one| one["name"] == container.name.as_str()).unwrap();
    one["state"].as_str().unwrap().to_owned()
}

/// A command that fails while a file system of the container is mounted.
fn unmounted(container: &Container<'_>) -> String {
    format!("! findmnt -rn /var/lib/machines/{}", container.name)
}

fn jobs_end_as_their_applications_do(host: &Host) {
    ends_at_once(host);
    start_waits_for_the_end(host);
    remains_after_its_end(host);
    is_tried_again(host);
    is_stopped(host);

    // The published port is served while the job runs.
    let serves = Container::new(host, "serves");
    let text = "[Container]\nImage=nginx.image\nNetwork=private\nPublishPort=8080:80\n[Service]\nType=oneshot\n";
    serves.configure(text);
    host.ok(&format!("systemctl start --no-block {}", serves.unit));
    assert_eq!(host.wait_http("http://localhost:8080/", 20), WELCOME);
    serves.systemctl("stop");
    host.wait("! ss -Hltn | grep :8080", 10);
}

/// Starts containers whose application ends before or just after the container has reported that it
/// is up. If the application fails before that, the start fails too; a later failure is only a
/// failure of the service.
fn ends_at_once(host: &Host) {
    let table = [
        ("at-once", "exit 0", "", Some(true), "inactive success 0"),
        ("program", "", "Network=private\nEntrypoint=/bin/true\n", Some(true), "inactive success 0"),
        ("with-three", "exit 3", "", None, "failed exit-code 3"),
        ("with-signal", "kill -KILL $$", "", None, "failed exit-code 137"),
        ("unhealthy", "exit 0", "Notify=healthy\nHealthCmd=true\nHealthInterval=60s\n", Some(false), ""),
    ];
    for (name, text, more, succeeds, state) in table {
        let container = script(host, name, text, more);
        for _ in 0..2 {
            let output = host.run(&format!("timeout 30 systemctl start {}", container.unit));
            assert!(succeeds.is_none_or(|succeeds| output.success() == succeeds), "{name}: {output}");
            assert_ne!(output.status, 124, "{name} hangs");
            if state.is_empty() {
                host.wait(&unmounted(&container), 5);
            } else {
                wait_for(&container, state);
            }
        }
    }
    // Two applications that both end immediately.
    host.write("/etc/sdme/other.image", format!("[Image]\nImage={NGINX}\n"));
    let two = Container::new(host, "two");
    let each = |name: &str, status: i32| format!("[Container {name}]\nEntrypoint=/bin/sh -c\nExec=\"exit {status}\"\n");
    let both = "[Container]\nImage=nginx.image\nApp=other.image\n";
    two.configure(&format!("{both}{}{}", each("nginx", 0), each("other", 0))).systemctl("start");
    wait_for(&two, "inactive success 0");
    two.configure(&format!("{both}{}{}", each("nginx", 5), each("other", 5)));
    host.run(&format!("systemctl start {}", two.unit));
    wait_for(&two, "failed exit-code 5");
}

fn start_waits_for_the_end(host: &Host) {
    let good = job(host, "good", "sleep 1; echo done >/data/out", "");
    assert_eq!(good.property("TimeoutStartUSec"), "infinity", "a job may take as long as it takes");
    good.systemctl("start");
    assert_eq!(host.read("/srv/good/out"), "done\n");
    wait_for(&good, "inactive success 0");

    let table = [("bad", "sleep 1; exit 7", 7), ("quick", "exit 3", 3), ("killed", "kill -KILL $$", 137)];
    for (name, text, status) in table {
        let bad = job(host, name, text, "");
        host.fails(&format!("systemctl start {}", bad.unit));
        wait_for(&bad, &format!("failed exit-code {status}"));
    }
    let late = job(host, "late", "exec sleep 1000", "TimeoutStartSec=3\n");
    host.fails(&format!("systemctl start {}", late.unit));
    assert_eq!(late.property("Result"), "timeout");
    host.ok(&unmounted(&late));

    // A timer of the administrator starts the job again and again.
    let tick = job(host, "tick", "echo tick >>/data/out", "");
    let timer = format!("[Timer]\nOnActiveSec=100ms\nOnUnitInactiveSec=100ms\nAccuracySec=10ms\nUnit={}\n", tick.unit);
    host.write("/etc/systemd/system/tick.timer", timer);
    host.ok("systemctl daemon-reload && systemctl start tick.timer");
    host.wait("[ $(wc -l </srv/tick/out) -ge 3 ]", 30);
    host.ok("systemctl stop tick.timer");
    wait_for(&tick, "inactive success 0");
}

fn remains_after_its_end(host: &Host) {
    let remains = job(host, "remains", "echo run >>/data/out", "RemainAfterExit=yes\n");
    remains.systemctl("start").systemctl("start");
    assert_eq!((remains.property("ActiveState"), remains.property("SubState")), ("active".into(), "exited".into()));
    assert_eq!(listed(&remains), "exited");
    assert!(host.fails("sdme-gen exec remains -- true").contains("is not running"));
    assert_eq!(host.read("/srv/remains/out"), "run\n");
    remains.systemctl("stop");
    wait_for(&remains, "inactive success 0");
    remains.systemctl("start");
    assert_eq!(host.read("/srv/remains/out"), "run\nrun\n");
    remains.systemctl("stop");

    let fails = job(host, "remains-not", "exit 4", "RemainAfterExit=yes\n");
    host.fails(&format!("systemctl start {}", fails.unit));
    wait_for(&fails, "failed exit-code 4");
}

fn is_tried_again(host: &Host) {
    let again = "echo run >>/data/out; [ $(wc -l </data/out) -ge 3 ]";
    let again = job(host, "again", again, "Restart=on-failure\nRestartSec=100ms\n");
    host.run(&format!("systemctl start {}", again.unit));
    host.wait("[ $(wc -l </srv/again/out) -ge 3 ]", 20);
    wait_for(&again, "inactive success 0");
    assert_eq!(host.read("/srv/again/out"), "run\nrun\nrun\n");
}

fn is_stopped(host: &Host) {
    let table = [
        ("orderly", "trap 'echo end >>/data/out; exit 0' TERM; echo up >>/data/out; sleep 1000 & wait", "up\nend\n"),
        ("stubborn", "trap '' TERM; echo up >>/data/out; while :; do sleep 1; done", "up\n"),
    ];
    for (name, text, written) in table {
        let more = "StopSignal=SIGTERM\nStopTimeout=2\n[Service]\nType=oneshot\n";
        let container = script(host, name, text, more);
        host.ok(&format!("systemctl start --no-block {}", container.unit));
        host.wait(&format!("grep up /srv/{name}/out"), 20);
        assert_eq!(listed(&container), "running");
        assert_eq!(host.ok(&format!("sdme-gen exec {name} -- cat /data/out")), "up\n");
        assert_eq!(host.ok(&format!("sdme-gen logs {name} >/dev/null && echo read")), "read\n");
        let began = Instant::now();
        container.systemctl("stop");
        assert!(began.elapsed() < Duration::from_secs(20), "{name}: {:?}", began.elapsed());
        host.wait(&format!("! systemctl is-active {}", container.unit), 5);
        assert_eq!(host.read(&format!("/srv/{name}/out")), written);
        host.ok(&unmounted(&container));
    }
}

/// Each command of `[Service]` writes its name to the log, and whether the container's root is
/// mounted.
const LOG: &str = "#!/bin/sh\nmounted=$(findmnt -rn /var/lib/machines/order >/dev/null && echo mounted || echo unmounted)\n\
                   echo \"$1 $mounted\" >>/srv/log\n";
/// Creates the files that the container needs.
const MAKE: &str = "#!/bin/sh -e\nmkdir -p /srv/order /etc/credstore\necho MADE=variable >/srv/order/env\n\
                    printf secret >/etc/credstore/order-secret\n";

fn commands_run_in_order(host: &Host) {
    sections_of_other_files(host);
    host.write("/srv/log.sh", LOG);
    host.write("/srv/make.sh", MAKE);
    host.ok("chmod +x /srv/*.sh");
    let app = "echo \"application $MADE $(cat /run/secrets/order-secret)\" >>/log/log\n\
               trap 'echo application ends >>/log/log; exit 0' TERM\nsleep 1000 & wait";
    let container = Container::new(host, "order");
    container.configure(&format!(
        "[Container]\nImage=nginx.image\nNetwork=private\nStopSignal=SIGTERM\nEntrypoint=/bin/sh -c\nExec={}\n\
         Volume=/srv/order:/data\nVolume=/srv:/log\nEnvironmentFile=/srv/order/env\nSecret=order-secret\n\
         [Service]\nExecStopPost=/bin/false\nExecStopPost=\nExecStopPost=/srv/log.sh stop-post\n\
         ExecStop=/srv/log.sh stop\nExecStartPost=/srv/log.sh start-post\nExecStartPre=/srv/make.sh\n\
         ExecStartPre=/srv/log.sh start-pre\nExecCondition=/srv/log.sh condition\n",
        quoted(app)
    ));
    for verb in ["start", "restart"] {
        host.ok("rm -rf /srv/order /srv/log /etc/credstore/order-secret");
        container.systemctl(verb);
        host.wait("grep -q start-post /srv/log && grep -q application /srv/log", 10);
    }
    host.ok("rm /srv/log");
    container.systemctl("restart").systemctl("stop");
    let log = host.read("/srv/log");
    // The application and the ExecStartPost= command run at the same time.
    let mut lines: Vec<&str> = log.lines().collect();
    lines[5..7].sort_unstable();
    let expected = [
        "stop mounted",
        "application ends",
        "stop-post unmounted",
        "condition unmounted",
        "start-pre unmounted",
        "application variable secret",
        "start-post mounted",
        "stop mounted",
        "application ends",
        "stop-post unmounted",
    ];
    assert_eq!(lines, expected);

    // Nothing stays mounted when a command of `[Service]` fails.
    let name = "order-fails";
    let fails = script(host, name, "exec sleep 1000", "[Service]\nExecStopPost=/bin/false\n");
    fails.systemctl("start").systemctl("stop");
    host.ok(&unmounted(&fails));
    let fails = script(host, name, "exec sleep 1000", "[Service]\nExecStartPre=/bin/false\n");
    host.fails(&format!("systemctl start {}", fails.unit));
    host.ok(&unmounted(&fails));
}

/// Checks `[Service]` and `[Install]` in the files of pods, images and volumes.
fn sections_of_other_files(host: &Host) {
    let install = "[Service]\nType=oneshot\nRestart=on-failure\n[Install]\nWantedBy=multi-user.target\n";
    host.write("/etc/sdme/nginx.image", format!("[Image]\nImage={NGINX}\n{install}"));
    host.write("/etc/sdme/shop.pod", "[Pod]\n[Service]\nType=oneshot\nRestart=always\n");
    host.write("/etc/sdme/own.volume", "[Volume]\n[Service]\nType=oneshot\nRemainAfterExit=yes\n");
    let member = Container::new(host, "member");
    let text = "[Container]\nImage=nginx.image\nPod=shop.pod\nVolume=own.volume:/own\nEntrypoint=/bin/true\n[Service]\nType=oneshot\n";
    member.configure(text).systemctl("start");
    wait_for(&member, "inactive success 0");
    let wants = host.ok("systemctl show -P Wants multi-user.target");
    assert!(wants.contains("sdme-image@nginx.service"), "{wants}");
}
