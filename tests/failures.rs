// SPDX-License-Identifier: MIT
//! Tier 2: the reason why a container did not start or has ended is reported on the first screen of
//! `systemctl status` of the started unit, in the last line of `sdme-gen logs`, and by the verb
//! that started the container. Each report has the cause and the remedy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::fmt::Write as _;

use support::containers::{Container, NGINX, boot, ready};
use support::host::Host;

/// A container that fails.
struct Failure {
    /// The name of the container.
    name: &'static str,
    /// Shell commands that run before the start.
    before: &'static str,
    /// The lines after `Image=` in its file, or the whole file if the text starts with
    /// `[Container]`.
    file: &'static str,
    /// The expected result of `systemctl start`.
    start: Start,
    /// The expected parts of the report: causes and remedies.
    said: &'static [&'static str],
}

/// The result of `systemctl start`.
#[derive(PartialEq)]
enum Start {
    /// The start fails.
    Fails,
    /// The start succeeds, and the container fails afterwards.
    Succeeds,
    /// The application ends immediately, perhaps before the container has reported that it is up.
    /// In that case the start fails.
    Either,
}

const fn failure(name: &'static str, file: &'static str, said: &'static [&'static str]) -> Failure {
    Failure { name, before: "", file, start: Start::Fails, said }
}

impl Failure {
    const fn after(self, before: &'static str) -> Self {
        Self { before, ..self }
    }

    const fn later(self) -> Self {
        Self { start: Start::Succeeds, ..self }
    }

    const fn at_once(self) -> Self {
        Self { start: Start::Either, ..self }
    }
}

const FAILURES: &[Failure] = &[
    // Failures of images.
    failure("nolayout", "[Container]\nImage=oci:/srv/nowhere\n", &["oci:/srv/nowhere: ", "No such file or directory", "journalctl -u"]),
    failure("down", "[Container]\nImage=down.image\n", &["127.0.0.1:1/a/b:1", "cannot be reached", "check the name of the registry and the network"])
        .after("printf '[Image]\\nImage=127.0.0.1:1/a/b:1\\nRetry=0\\n' >/etc/sdme/down.image"),
    failure("noimage", "[Container]\nImage=127.0.0.1:5000/team/ngnix:1\n", &["127.0.0.1:5000/team/ngnix:1", "the registry has no such image", "correct Image="]),
    failure("notoci", "[Container]\nImage=oci:/etc\n", &["oci:/etc: ", "oci-layout", "journalctl -u"]),
    failure("never", "[Container]\nImage=oci:/srv/never\nPull=never\n", &["has not been imported", "Pull=never", "journalctl -u"]),
    failure("full", "[Container]\nImage=oci:/srv/other\n", &["No space left on device", "/var/lib/sdme/store", "make room there"])
        .after("cp -r /srv/images/nginx /srv/other; mount -t tmpfs -o size=100k tmpfs /var/lib/sdme/store"),
    failure("readonly", "[Container]\nImage=oci:/srv/other\n", &["Read-only file system", "/var/lib/sdme/store", "make it writable"])
        .after("umount /var/lib/sdme/store; mount --bind /var/lib/sdme/store /var/lib/sdme/store; mount -o remount,bind,ro /var/lib/sdme/store"),
    failure("base", "Base=nginx.image\n", &["cannot import the image oci:/srv/images/nginx", "InstallPackages=no"])
        .after("umount /var/lib/sdme/store; printf '[Image]\\nImage=oci:/srv/images/nginx\\n' >/etc/sdme/nginx.image"),
    failure("awaited", "[Container]\nImage=${IMAGE}\n[Service]\nEnvironmentFile=/srv/later.env\n", &["the variable IMAGE is not known", "/srv/later.env", "run systemctl daemon-reload"]),
    // Failures of ports and networks.
    failure("taken", "Network=private\nPublishPort=8090:80\n", &["port 8090 is taken by systemd-socket", "holder.service", "stop that, or change PublishPort="])
        .after("systemd-run -q --unit=holder systemd-socket-activate -l 8090 cat; until ss -ltn | grep -q :8090; do sleep 0.05; done"),
    failure("socket", "Network=private\nPublishPort=127.0.0.1:8091:80\n", &["port 127.0.0.1:8091 is taken by mine.socket", "change PublishPort="])
        .after("systemd-run -q --unit=mine --socket-property=ListenStream=127.0.0.1:8091 cat"),
    failure("member", "Pod=tier.pod\n", &["port 8092 is taken by", "holder2.service", "change PublishPort="])
        .after("printf '[Pod]\\nPublishPort=8092:80\\n' >/etc/sdme/tier.pod; systemd-run -q --unit=holder2 systemd-socket-activate -l 8092 cat; until ss -ltn | grep -q :8092; do sleep 0.05; done"),
    failure("link", "Network=uplink\n", &["the network cannot be made: ", "File exists", "journalctl -u sdme-pod@link"])
        .after("ip link add sdme-link type veth peer name other"),
    failure("nobridge", "Network=bridge:nobr0\n", &["systemd-nspawn cannot start the container", "nobr0", "correct nobridge.container"]),
    // Failures of mounts and files.
    failure("nopath", "Volume=/srv/nothere:/data\n", &["nopath.container:3: there is no /srv/nothere on this host; make it"]),
    failure("nomount", "Volume=broken.volume:/data\n", &["the volume broken cannot be mounted from tmpfs: ", "/var/lib/sdme/volumes/broken", "correct Device=, Type= or Options= in /etc/sdme/broken.volume"])
        .after("printf '[Volume]\\nDevice=tmpfs\\nType=tmpfs\\nOptions=nonsense=1\\n' >/etc/sdme/broken.volume"),
    failure("noblock", "Volume=gone.volume:/data\n", &["the volume gone cannot be mounted from /dev/nothere; correct Device="])
        .after("printf '[Volume]\\nDevice=/dev/nothere\\nType=ext4\\n' >/etc/sdme/gone.volume; mkdir /etc/systemd/system/dev-nothere.device.d; printf '[Unit]\\nJobRunningTimeoutSec=1\\n' >/etc/systemd/system/dev-nothere.device.d/time.conf"),
    failure("nodisk", "Volume=/srv/disk/data:/data\n", &["/srv/disk is not mounted: ", "systemctl status 'srv-disk.mount' shows why"])
        .after("mkdir -p /srv/disk/data; printf '[Mount]\\nWhat=tmpfs\\nWhere=/srv/disk\\nType=tmpfs\\nOptions=nonsense=1\\n' >/etc/systemd/system/srv-disk.mount"),
    failure("nosecret", "Secret=nope\n", &["there is no credential nope; put it into /etc/credstore/nope"]),
    failure("noenv", "EnvironmentFile=/etc/none.env\n", &["noenv.container:3: cannot read /etc/none.env: No such file"]),
    failure("badenv", "EnvironmentFile=/etc/bad.env\n", &["/etc/bad.env:1: the line is not NAME=VALUE"]).after("echo oops >/etc/bad.env"),
    failure("nodevice", "AddDevice=/dev/nothere\n", &["AddDevice=/dev/nothere: No such file or directory"]),
    failure("notdevice", "AddDevice=/etc\n", &["AddDevice=/etc: /etc is not a path below /dev"]),
    failure("nouser", "User=nosuch\n[Service]\nRestart=always\n", &["nosuch", "etc/passwd"]),
    failure("noprofile", "SeccompProfile=/etc/none.json\n", &["/etc/none.json", "there is no such file; create the profile, or write SystemCallFilter="]),
    failure("nocheck", "Notify=healthy\n[Service]\nRestart=always\n", &["Notify=healthy needs a health check", "write HealthCmd="]),
    failure("typo", "Environmnt=A=b\n", &["typo.container:3: unknown key Environmnt=", "did you mean Environment"]),
    failure("before", "[Service]\nExecStartPre=sh -c 'echo no disk; exit 4'\n", &["a command before the start failed: no disk", "correct ExecStartPre= in [Service]"]),
    // Failures of the application.
    failure("config", "Exec=sh -c 'echo cannot read config >&2; exit 3'\n", &["exit status 3: cannot read config", "sdme-gen logs config"]).at_once(),
    failure("command", "Exec=redis-serverr\n", &["exit status 127: cannot start redis-serverr: No such file or directory", "sdme-gen logs command"]).at_once(),
    failure("killed", "Exec=sh -c 'echo going; kill -9 $$$$'\n", &["exit status 137: going", "sdme-gen logs killed"]).at_once(),
    failure("slow", "Exec=sh -c 'echo serving; sleep 3; echo lost the database; exit 7'\n", &["exit status 7: lost the database", "sdme-gen logs slow"]).later(),
    failure("job", "Exec=sh -c 'echo nothing to do; exit 5'\n[Service]\nType=oneshot\n", &["exit status 5: nothing to do", "sdme-gen logs job"]),
    // Failures of health checks, and timeouts.
    failure("sick", "Notify=healthy\nHealthCmd=sh -c 'echo broken; exit 1'\nHealthInterval=1s\nHealthRetries=2\n", &["health check of sdme-oci-app failed", "broken", "correct the application or HealthCmd="]),
    failure("sick2", "HealthCmd=sh -c 'echo broken; exit 1'\nHealthInterval=1s\nHealthRetries=2\nHealthOnFailure=kill\n", &["health check of sdme-oci-app failed", "broken", "correct the application or HealthCmd="]).later(),
    failure("sick3", "Notify=healthy\nHealthTcp=7\nHealthInterval=1s\nHealthRetries=2\n", &["health check of sdme-oci-app failed (HealthTcp=, failure 2 of 2): connection to localhost:7", "correct the application or HealthTcp="]),
    failure("hang", "Notify=healthy\nHealthCmd=sh -c 'exit 1'\nHealthInterval=1s\nHealthRetries=60\nHealthStartPeriod=1min\n[Service]\nTimeoutStartSec=3s\n", &["the start took longer than TimeoutStartSec=3s allows", "sdme-gen logs hang"]),
    failure("loop", "Exec=sh -c 'echo cannot read config; exit 3'\n[Service]\nRestart=on-failure\n", &["exit status 3: cannot read config", "sdme-gen logs loop"]).at_once(),
];

on_every_suite!(causes_are_where_people_look,);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &["python3"]) {
        case(&boot(suite, name.split('_').next().unwrap()));
    }
}

fn causes_are_where_people_look(host: &Host) {
    // The server answers 404 to every request, like a registry without the image.
    let mut server = host
        .spawn_outside("python3", &["-m", "http.server", "5000", "--bind", "127.0.0.1", "--directory", "/var/empty"]);
    host.wait("ss -ltn | grep :5000", 10);
    let mut wrong = String::new();
    for failure in FAILURES {
        check(host, failure, &mut wrong);
    }
    pods_say_why(host, &mut wrong);
    new_says_why(host, &mut wrong);
    connections_do_not_repeat_a_failed_start(host);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(wrong.is_empty(), "{wrong}");
}

/// Records the expected texts that are missing in `text`.
fn expect(place: &str, text: &str, said: &[&str], wrong: &mut String) {
    for expected in said.iter().filter(|expected| !text.contains(**expected)) {
        writeln!(wrong, "== {place}: no {expected:?} in\n{text}").unwrap();
    }
}

/// Returns the first screen of a terminal.
fn status(host: &Host, unit: &str) -> String {
    host.run(&format!("systemctl status -l --no-pager {unit} | head -n 24")).stdout
}

fn check(host: &Host, failure: &Failure, wrong: &mut String) {
    let Failure { name, before, file, start: expected, said } = failure;
    let container = Container::new(host, name);
    host.ok(before);
    let image = if file.starts_with("[Container]") { String::new() } else { format!("[Container]\nImage={NGINX}\n") };
    container.configure(&format!("{image}{file}"));
    let start = host.run(&format!("systemctl start {}", container.unit));
    let right = *expected == Start::Either || start.success() == (*expected == Start::Succeeds);
    if !right || start.stderr.contains("dependency") {
        writeln!(wrong, "== {name}: systemctl start: {start}").unwrap();
    }
    host.wait(&format!("systemctl is-failed {}", container.unit), 30);
    // On a busy machine, the last messages are still on their way to the journal.
    host.ok("journalctl --sync");
    expect(&format!("{name}: status"), &status(host, &container.unit), said, wrong);
    let row = host.run(&format!("sdme-gen ps -a {name} --format '{{{{.Note}}}}'"));
    expect(&format!("{name}: ps"), &row.stdout, said, wrong);
    let logs = host.run(&format!("sdme-gen logs {name} 2>&1 | tail -n 1"));
    expect(&format!("{name}: logs"), &logs.stdout, said, wrong);
    host.ok(&format!("systemctl stop {0}; systemctl reset-failed {0}", container.unit));
}

/// The units of a pod report why there is no network.
fn pods_say_why(host: &Host, wrong: &mut String) {
    host.fails("systemctl start sdme-pod@tier.target");
    for unit in ["sdme-pod@tier.service", "sdme-pod@tier.target"] {
        expect(unit, &status(host, unit), &["port 8092 is taken by", "change PublishPort="], wrong);
    }
}

/// The verb that starts a new container reports the cause.
fn new_says_why(host: &Host, wrong: &mut String) {
    let cases: &[(&str, &[&str])] = &[
        (
            "n1 -i oci:/srv/nowhere",
            &["cannot import the image oci:/srv/nowhere", "No such file or directory", "journalctl -u"],
        ),
        ("n2 -i oci:/srv/images/nginx -p 8094:80", &["port 8094 is taken by", "change PublishPort="]),
        ("n3 -i oci:/srv/images/nginx -v /srv/nothere:/x", &["there is no /srv/nothere on this host; make it"]),
        ("n4 -i oci:/srv/images/nginx --network-bridge nobr0", &["nobr0", "correct n4.container"]),
    ];
    host.ok("systemd-run -q --unit=holder3 systemd-socket-activate -l 8094 cat; until ss -ltn | grep -q :8094; do sleep 0.05; done");
    for (arguments, said) in cases {
        let output = host.fails(&format!("sdme-gen new -d {arguments}"));
        expect(arguments, &output, said, wrong);
    }
}

/// A connection that waits for a start is closed when the start fails. It does not start the
/// container again.
fn connections_do_not_repeat_a_failed_start(host: &Host) {
    let container = Container::new(host, "pending");
    container.configure(&format!(
        "[Container]\nImage={NGINX}\nNetwork=private\nPublishPort=8096:80\n[Service]\nExecStartPre=sh -c 'sleep 2; exit 1'\n"
    ));
    host.ok(&format!(
        "systemctl start --no-block {}; until ss -ltn | grep -q :8096; do sleep 0.05; done",
        container.unit
    ));
    let curl = host.run("curl -sS -m 60 http://127.0.0.1:8096/");
    assert!(!curl.success() && !curl.stderr.contains("timed out"), "{curl}");
    host.wait("! ss -ltn | grep -q :8096", 10);
    host.ok(&format!("systemctl is-failed {}", container.unit));
    let starts =
        host.ok("journalctl --sync && journalctl -u systemd-nspawn@pending -o cat | grep -c 'Failed to start'");
    assert_eq!(starts.trim(), "1");
}
