// SPDX-License-Identifier: MIT
//! Tier 2: the health of applications, how containers end with their applications, several
//! applications in one container, and the everyday commands, on real systemd hosts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use sdme_gen::image::digest::Digest;
use support::containers::{Container, NGINX, boot, ready};
use support::host::Host;

on_every_suite!(
    commands_run_beside_the_application,
    an_unhealthy_application_is_reported_restarted_or_stopped,
    a_start_waits_until_the_application_is_healthy,
    one_of_three_applications_fails_and_the_others_run_on,
    an_image_brings_its_health_check_along,
);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &[]) {
        case(&boot(suite, name.split('_').next().unwrap()));
    }
}

/// The file of a container whose application is a shell script in the nginx image.
fn script(script: &str, more: &str) -> String {
    format!("[Container]\nImage={NGINX}\nExec=sh -c '{script}'\n{more}")
}

const FOREVER: &str = "while :; do sleep 100; done";

/// The value at the JSON pointer `what` in the object of a container in `sdme-gen ps --json`; a
/// string comes without its quotes.
fn listed(host: &Host, container: &str, what: &str) -> String {
    let all: serde_json::Value = serde_json::from_str(&host.ok("sdme-gen ps --json")).unwrap();
    let one = all.as_array().unwrap().iter().find(|one| one["name"] == container).expect("it is listed");
    one.pointer(what).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).unwrap_or_default()
}

fn commands_run_beside_the_application(host: &Host) {
    let web = Container::new(host, "web");
    let more = "Environment=\"GREETING=a b\" OTHER=x\n[App]\nLimitNOFILE=4000\n";
    web.configure(&script(&format!("echo only >/tmp/mine; {FOREVER}"), more));
    host.fails("sdme-gen exec web -- true");
    web.systemctl("start");
    // The command has the application's root, environment and limits.
    let seen = host.ok("sdme-gen exec web -- sh -c 'cat /tmp/mine; echo $GREETING,$OTHER,$HOME; ulimit -n; pwd'");
    assert_eq!(seen, "only\na b,x,/root\n4000\n/\n");
    // Arguments arrive unchanged, both streams stay separate, and the input and the exit status are
    // passed on.
    let odd = r#"sdme-gen exec web -- printf '%s|' '$HOME' '%n' 'a b' '' '"' '\'"#;
    assert_eq!(host.ok(odd), "$HOME|%n|a b||\"|\\|");
    assert_eq!(host.ok("printf 'some input' | sdme-gen exec web -- cat"), "some input");
    let output = host.run("sdme-gen exec web -- sh -c 'echo out; echo err >/dev/stderr; exit 7'");
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(host.run("sdme-gen exec web -- sh -c 'kill -KILL $$'").status, 137);
    let missing = host.run("sdme-gen exec web -- no-such-program");
    assert_eq!(missing.status, 127, "{missing}");
    // The command has a terminal if its caller has one.
    let tty = host.ok("script -qec 'sdme-gen exec web -- sh -c \"test -t 0 && test -t 1 && echo terminal\"' /dev/null");
    assert!(tty.contains("terminal"), "{tty}");
    // The command runs in the namespaces of the application and has no more capabilities than the
    // application.
    let process = web.process("sh");
    let look = |of: &str| {
        let bounding = format!("while read -r n v; do case $n in CapBnd:) echo $v; esac; done <{of}/status");
        format!("readlink {of}/ns/pid {of}/ns/net {of}/ns/mnt; {bounding}")
    };
    let beside = host.ok(&format!("sdme-gen exec web -- sh -c '{}'", look("/proc/self")));
    assert_eq!(beside, host.ok(&look(&format!("/proc/{process}"))));
    let problem = host.fails("sdme-gen exec web --app other -- true");
    assert!(problem.contains("there is no application other; there are app"), "{problem}");
    assert!(host.fails("sdme-gen exec nothing -- true").contains("there is no container nothing"));

    // The other everyday commands.
    assert_eq!(listed(host, "web", "/state"), "running");
    assert_eq!(listed(host, "web", "/exposed/0"), "80/tcp");
    let table = host.ok("sdme-gen ps");
    assert!(table.lines().any(|line| line.starts_with("web ") && line.contains(" running ")), "{table}");
    let typed = "until systemctl -M web list-units 'container-shell@*' 2>/dev/null | grep -q running; do sleep 0.1; done; \
                 echo 'cat /etc/hostname; exit'; exec sleep 99 2>/dev/null";
    let shell = host.ok(&format!("timeout 30 script -qec 'sdme-gen join web' /dev/null < <({typed})"));
    assert!(shell.lines().any(|line| line.trim() == "web"), "{shell}");
    web.configure(&script("echo a line; echo another >&2; exit 3", ""));
    // The container ends with its only application; the start may have succeeded before that or
    // not.
    host.run("systemctl restart systemd-nspawn@web");
    host.wait("systemctl is-failed systemd-nspawn@web", 10);
    assert_eq!(web.property("ExecMainStatus"), "3");
    assert_eq!(listed(host, "web", "/state"), "failed");
    let log = host.ok("sdme-gen logs -n 50 web");
    assert!(log.contains("a line") && log.contains("another"), "{log}");
}

fn an_unhealthy_application_is_reported_restarted_or_stopped(host: &Host) {
    let web = Container::new(host, "web");
    // The application is healthy while a file exists. The check sees the files and variables of the
    // application and runs as its user.
    let health = "HealthCmd=test -e /tmp/good && test \"$WORD\" = fine\nHealthInterval=1s\nHealthRetries=3\n\
                  Environment=WORD=fine\n";
    let run = format!("touch /tmp/good; {FOREVER}");
    web.configure(&script(&run, health)).systemctl("start");
    let status = |word: &str| format!("systemctl status --no-pager systemd-nspawn@web | grep 'Status:.*: {word}\"'");
    host.wait(&status("healthy"), 10);
    assert_eq!(listed(host, "web", "/health/app"), "healthy");
    let process = web.process("sh");

    // The application is unhealthy after three failures in a row, one second apart.
    host.ok("sdme-gen exec web -- rm /tmp/good");
    let began = Instant::now();
    host.wait(&status("unhealthy"), 15);
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1900), "{took:?}");
    assert_eq!(listed(host, "web", "/health/app"), "unhealthy");
    let shown = host.ok("sdme-gen ps");
    assert!(
        shown.contains("web: its health check fails: exit status 1; correct the application or HealthCmd="),
        "{shown}"
    );
    host.ok("systemctl -M web is-failed sdme-oci-app-health || systemctl -M web status sdme-oci-app-health | grep code=exited");
    let log = host.ok("journalctl -M web -u sdme-oci-app-health -o cat");
    assert!(log.contains("failed (failure 3 of 3): exit status 1") && log.contains("is unhealthy"), "{log}");
    assert!(!log.contains("Started") && !log.contains("Deactivated"), "a passed check leaves nothing: {log}");
    // By default, an unhealthy application is only reported.
    assert_eq!(web.process("sh"), process);
    host.ok("sdme-gen exec web -- touch /tmp/good");
    host.wait(&status("healthy"), 10);

    // With HealthOnFailure=restart the application is restarted, and the failures of the old run do
    // not count.
    web.configure(&script(&run, &format!("{health}HealthOnFailure=restart\n"))).systemctl("restart");
    host.wait(&status("healthy"), 10);
    let process = web.process("sh");
    host.ok("sdme-gen exec web -- rm /tmp/good");
    host.wait(&format!("! test -e /proc/{process}"), 15);
    host.wait(&status("healthy"), 15);
    assert_ne!(web.process("sh"), process);
    assert_eq!(web.property("NRestarts"), "0");

    // With HealthOnFailure=kill the container fails with its only application, and `[Service]`
    // restarts the container.
    let restart = "HealthOnFailure=kill\n[Service]\nRestart=on-failure\nRestartSec=100ms\n";
    web.configure(&script(&run, &format!("{health}{restart}"))).systemctl("restart");
    host.wait(&status("healthy"), 10);
    host.ok("sdme-gen exec web -- rm /tmp/good");
    host.wait("systemctl show -P NRestarts systemd-nspawn@web | grep -x 1", 20);
    host.wait(&status("healthy"), 15);

    // A check that exceeds its timeout has failed, and its process is killed.
    let slow =
        "HealthCmd=sleep 333\nHealthTimeout=500ms\nHealthInterval=200ms\nHealthRetries=1\nHealthOnFailure=stop\n";
    web.configure(&script(&run, slow)).systemctl("restart");
    host.wait("systemctl show -P ActiveState systemd-nspawn@web | grep -xE 'inactive|failed'", 15);
    host.ok("! pgrep -f '[s]leep 333'");
    // The stop signal of the image is SIGQUIT, and the shell dies of the signal: status 128 + 3.
    assert_eq!(web.property("ExecMainStatus"), "131");
    let log = host.ok("sdme-gen logs web");
    assert!(log.contains("no answer within 0.5 s"), "{log}");
}

fn a_start_waits_until_the_application_is_healthy(host: &Host) {
    let web = Container::new(host, "web");
    // The application is healthy when a file exists, which happens some seconds after the start.
    let check = "HealthCmd=test -e /tmp/good\nHealthInterval=300ms\nNotify=healthy\n";
    let after = |seconds: u32| format!("rm -f /tmp/good; sleep {seconds}; touch /tmp/good; {FOREVER}");
    web.configure(&script(&after(3), &format!("{check}HealthStartPeriod=1min\n")));
    host.ok("systemctl start sdme-image@oci:-srv-images-nginx");
    let began = Instant::now();
    web.systemctl("start");
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    host.wait("systemctl status --no-pager systemd-nspawn@web | grep 'Status:.*: healthy\"'", 10);
    web.systemctl("stop");
    assert_eq!(web.property("Result"), "success");

    // Without HealthStartPeriod=, three failures make the start fail, and the journal has the
    // reason.
    web.configure(&script(&after(60), check));
    let began = Instant::now();
    host.fails("systemctl start systemd-nspawn@web");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(web.property("Result"), "exit-code");
    let log = host.ok("journalctl -D /var/lib/sdme/containers/web/upper/var/log/journal -o cat");
    assert!(log.contains("the application is unhealthy; the container is not started"), "{log}");

    // The start fails after TimeoutStartSec=, however long HealthStartPeriod= is.
    let file = script(&after(60), &format!("{check}HealthStartPeriod=1min\n[Service]\nTimeoutStartSec=2s\n"));
    web.configure(&file);
    host.fails("systemctl start systemd-nspawn@web");
    assert_eq!(web.property("Result"), "timeout");

    // Notify=healthy without a health check is an error.
    web.configure(&script(FOREVER, "Notify=healthy\n"));
    host.fails("systemctl start systemd-nspawn@web");
    let status = host.fails("systemctl status --no-pager systemd-nspawn@web");
    assert!(status.contains("Notify=healthy needs a health check") && status.contains("has none"), "{status}");

    // The startup check has its own interval; the normal check replaces it after its first success.
    let startup =
        "HealthStartupCmd=test -e /tmp/good\nHealthStartupInterval=200ms\nHealthCmd=true\nHealthInterval=10min\n";
    web.configure(&script(&after(2), &format!("{startup}Notify=healthy\n")));
    let began = Instant::now();
    web.systemctl("start");
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    host.ok("systemctl -M web is-active sdme-oci-app-health.timer && ! systemctl -M web is-active sdme-oci-app-health-startup.timer");

    // The application reports by itself that it is ready. The image has no program for that, so
    // systemd-notify of the base runs in the application's control group and writes to the socket
    // that the application sees.
    let asks = "test -S $NOTIFY_SOCKET && echo $NOTIFY_SOCKET >/tmp/asked";
    web.configure(&script(&format!("rm -f /tmp/asked; {asks}; {FOREVER}"), "Notify=yes\n"));
    host.ok("systemctl restart --no-block systemd-nspawn@web");
    let asked = host.wait(&format!("grep . {}/oci/root/tmp/asked", web.upper()), 10);
    assert_eq!(web.property("ActiveState"), "activating");
    let group = "/sys/fs/cgroup/system.slice/sdme-oci-app.service/cgroup.procs";
    let socket = format!("NOTIFY_SOCKET=/proc/$p/root{}", asked.trim());
    // systemd-run replaces two dollar signs by one.
    web.ok(&format!("read -r p <{group}; echo $$$$ >{group} && {socket} systemd-notify --ready"));
    host.wait("systemctl is-active systemd-nspawn@web", 10);
}

/// Probes need no program in the image. They run in the network namespace of the application: on
/// the host, nothing listens at this port.
fn probes_run_in_the_network_of_the_application(host: &Host) {
    let web = Container::new(host, "web");
    let nginx = |more: &str| format!("[Container]\nImage={NGINX}\nNetwork=private\nHealthRetries=1\n{more}");
    let status = |word: &str| format!("systemctl status --no-pager systemd-nspawn@web | grep 'Status:.*: {word}\"'");
    let probes = |port: u16| {
        format!(
            "HealthHttp=/\nHealthInterval=500ms\nHealthTimeout=1s\nHealthStartupTcp={port}\nHealthStartupInterval=200ms\n\
             Notify=healthy\n"
        )
    };
    web.configure(&nginx(&probes(81)));
    host.ok("systemctl start --no-block systemd-nspawn@web");
    let journal = format!("journalctl -D {}/var/log/journal -o cat", web.upper());
    host.wait(&format!("{journal} | grep 'connection to localhost:81: .*refused'"), 40);
    assert_eq!(web.property("ActiveState"), "activating");
    web.configure(&nginx(&probes(80))).systemctl("restart");
    assert_eq!(listed(host, "web", "/health/app"), "healthy");
    host.fails("curl -fsS --max-time 5 http://127.0.0.1/");
    let log = |what: &str| host.wait(&format!("sdme-gen logs web | grep '{what}'"), 20);

    // The server answers with an error, then not at all.
    let page = "/usr/share/nginx/html/index.html";
    host.ok(&format!("sdme-gen exec web -- mv {page} {page}.away"));
    host.wait(&status("unhealthy"), 20);
    log("GET http://localhost/: status 403");
    host.ok(&format!("sdme-gen exec web -- mv {page}.away {page}"));
    host.wait(&status("healthy"), 20);
    host.ok("pkill -STOP -x nginx");
    host.wait(&status("unhealthy"), 20);
    log("no answer within 1 s");
    host.ok("pkill -CONT -x nginx");
    host.wait(&status("healthy"), 20);
    web.systemctl("stop");
}

/// Makes a copy of the nginx image with a health check at `/srv/checked`. No image builder on the
/// test machine can write a health check.
fn image_with_health_check(host: &Host, check: &serde_json::Value) {
    host.ok("cp -r /srv/images/nginx /srv/checked");
    let layout = support::image("nginx");
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(layout.join(path)).unwrap()).unwrap()
    };
    let blob = |of: &serde_json::Value| format!("blobs/{}", of["digest"].as_str().unwrap().replace(':', "/"));
    let write = |descriptor: &mut serde_json::Value, content: &serde_json::Value| {
        let text = content.to_string();
        descriptor["digest"] = Digest::of(text.as_bytes()).to_string().into();
        descriptor["size"] = text.len().into();
        host.write(&format!("/srv/checked/{}", blob(descriptor)), text);
    };
    let mut index = read("index.json");
    let mut manifest = read(&blob(&index["manifests"][0]));
    let mut config = read(&blob(&manifest["config"]));
    config["config"]["Healthcheck"] = check.clone();
    write(&mut manifest["config"], &config);
    write(&mut index["manifests"][0], &manifest);
    host.write("/srv/checked/index.json", index.to_string());
}

fn an_image_brings_its_health_check_along(host: &Host) {
    probes_run_in_the_network_of_the_application(host);
    let second = 1_000_000_000_u64;
    let check = serde_json::json!({
        "Test": ["CMD-SHELL", "test -e /tmp/good"], "Interval": second / 2, "Retries": 2, "StartPeriod": 60 * second,
        "StartInterval": second / 5
    });
    image_with_health_check(host, &check);
    let web = Container::new(host, "web");
    let file = |more: &str| {
        format!("[Container]\nImage=oci:/srv/checked\nExec=sh -c 'sleep 2; touch /tmp/good; {FOREVER}'\n{more}")
    };
    web.configure(&file("Notify=healthy\nReloadCmd=touch /tmp/reloaded\n")).systemctl("start");
    assert_eq!(listed(host, "web", "/health/app"), "healthy");
    let timers = host.ok("systemctl -M web list-timers --no-legend");
    assert!(timers.contains("sdme-oci-app-health.timer") && !timers.contains("startup"), "{timers}");
    web.systemctl("reload");
    host.ok("sdme-gen exec web -- rm /tmp/reloaded /tmp/good");
    host.wait("sdme-gen ps | grep unhealthy", 10);
    let log = host.ok("sdme-gen logs web");
    assert!(log.contains("failed (failure 2 of 2)"), "{log}");

    web.configure(&file("HealthCmd=none\n")).systemctl("restart");
    assert_eq!(listed(host, "web", "/health"), "{}");
    host.fails("systemctl -M web cat sdme-oci-app-health.timer");
}

fn one_of_three_applications_fails_and_the_others_run_on(host: &Host) {
    host.write("/etc/sdme/one.image", format!("[Image]\nImage={NGINX}\n"));
    host.write("/etc/sdme/two.image", format!("[Image]\nImage={NGINX}\n"));
    host.write("/etc/sdme/three.image", format!("[Image]\nImage={NGINX}\n"));
    let shop = Container::new(host, "shop");
    let quiet = format!("echo here I am; {FOREVER}");
    shop.configure(&format!(
        "[Container]\nImage=one.image\nApp=two.image three.image\n\
         [Container one]\nExec=sh -c '{quiet}'\nHealthCmd=true\nHealthInterval=1s\n\
         [Container two]\nExec=sh -c 'echo and gone; exit 5'\n\
         [Container three]\nExec=sh -c '{quiet}'\nHealthCmd=false\nHealthInterval=500ms\nHealthRetries=1\n\
         [App one]\nMemoryMax=100M\n\
         [App two]\nRestart=always\nRestartSec=200ms\nStartLimitIntervalSec=1min\nStartLimitBurst=4\nTasksMax=20\n\
         [App three]\nMemoryMax=200M\n"
    ));
    shop.systemctl("start");
    let property = |unit: &str, what: &str| host.ok(&format!("systemctl -M shop show -P {what} sdme-oci-{unit}"));
    let processes = || [property("app", "MainPID"), property("three", "MainPID")];
    let before = processes();
    // The application is restarted until the start limit, and is then shown as failed.
    host.wait("systemctl -M shop is-failed sdme-oci-two", 20);
    assert!(["exit-code\n", "start-limit-hit\n"].contains(&property("two", "Result").as_str()));
    assert_eq!(property("two", "NRestarts"), "4\n");
    assert!(host.ok("systemctl -M shop --failed --no-legend").contains("sdme-oci-two.service"));
    assert_eq!(processes(), before, "the others run on");
    assert_eq!(shop.property("ActiveState"), "active");
    let status = "systemctl status --no-pager systemd-nspawn@shop | grep 'Status:.*: one healthy, three unhealthy'";
    host.wait(status, 10);
    assert_eq!(listed(host, "shop", "/health/one"), "healthy");
    assert_eq!(listed(host, "shop", "/health/three"), "unhealthy");
    // Each application has its own logs and limits.
    for (app, here, not) in [("one", "here I am", "and gone"), ("two", "and gone", "here I am")] {
        let log = host.ok(&format!("sdme-gen logs shop --app {app}"));
        assert!(log.contains(here) && !log.contains(not), "{app}: {log}");
    }
    assert_eq!(property("one", "MemoryMax"), format!("{}\n", 100 << 20));
    assert_eq!(property("three", "MemoryMax"), format!("{}\n", 200 << 20));
    assert_eq!(property("two", "TasksMax"), "20\n");
    assert_eq!(host.ok("sdme-gen exec shop --app three -- sh -c 'echo $HOME'"), "/root\n");
    assert!(host.fails("sdme-gen exec shop -- true").contains("--app: one, two, three"));
    host.ok("systemctl -M shop restart sdme-oci-three");
    assert_eq!(shop.property("ActiveState"), "active");

    // The container ends with its last application, and fails if that application failed.
    host.ok("systemctl -M shop stop sdme-oci-three");
    // The stop signal of the image is SIGQUIT, and the shell dies of the signal.
    host.wait("systemctl status --no-pager systemd-nspawn@shop | grep 'Status:.*: one healthy, three failed'", 10);
    assert_eq!(listed(host, "shop", "/health/three"), "failed");
    host.ok("systemctl -M shop kill -s KILL sdme-oci-app");
    host.wait("systemctl is-failed systemd-nspawn@shop", 10);
    assert_eq!(shop.property("ExecMainStatus"), "137");
}
