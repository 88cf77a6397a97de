// SPDX-License-Identifier: MIT
//! Tier 2: `sdme-gen ps` shows the state that the service manager and the kernel report; everything
//! that containers leave behind has a name and a command that removes it; old versions of images
//! are removed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::cache;
use support::containers::{DEBIAN, NGINX, boot, ready};
use support::host::Host;
use support::tiers::answers;

on_every_suite!(
    ps_shows_the_state_of_every_container,
    ps_shows_the_progress_of_starts_and_their_failures,
    check_finds_the_problems_of_a_start,
    leftovers_and_old_versions_are_removed
);

fn on(suite: &str, _: &str, case: fn(&Host)) {
    if ready(suite, &["image:base"]) {
        case(&boot(suite, "seen"));
    }
}

/// The expected row of a container in `ps`.
struct Expected {
    /// The state in the table.
    state: &'static str,
    ports: &'static str,
    /// A part of the note; empty for no note.
    note: &'static str,
}

fn row(host: &Host, name: &str) -> Option<Value> {
    let all: Value = serde_json::from_str(&host.ok("sdme-gen ps -a --json")).unwrap();
    all.as_array().unwrap().iter().find(|row| row["name"] == name).cloned()
}

/// Waits until `ps` shows the expected row, and compares the row with the state in the kernel and
/// the service manager at that time.
fn expect(host: &Host, name: &str, state: &'static str, ports: &'static str, note: &'static str) {
    let expected = Expected { state, ports, note };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let found = compare(host, name, &expected);
        match found {
            Ok(()) => return,
            Err(problem) => {
                assert!(std::time::Instant::now() < deadline, "{name}: {problem}\n{}", host.ok("sdme-gen ps -a"));
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn compare(host: &Host, name: &str, expected: &Expected) -> Result<(), String> {
    let filter = format!(
        "sdme-gen ps -a {name} --format '{{{{.Status}}}}|{{{{.Ports}}}}|{{{{.Note}}}}|{{{{.Uptime}}}}|{{{{.State}}}}'"
    );
    let line = host.ok(&filter);
    let fields: Vec<&str> = line.trim_end().split('|').collect();
    let status = fields[0].strip_suffix(fields[3]).unwrap_or(fields[0]).trim_end();
    if status != expected.state {
        return Err(format!("state {status}, not {}", expected.state));
    }
    if fields[1] != expected.ports {
        return Err(format!("ports {}, not {}", fields[1], expected.ports));
    }
    let noted = if expected.note.is_empty() { fields[2].is_empty() } else { fields[2].contains(expected.note) };
    if !noted {
        return Err(format!("note {:?}, not {:?}", fields[2], expected.note));
    }
    // The service manager.
    let active = host.run(&format!("systemctl is-active systemd-nspawn@{name}")).stdout;
    let possible: &[&str] = match fields[4] {
        "running" | "exited" | "restarting" => &["active", "activating"],
        "starting" => &["activating"],
        "stopping" => &["deactivating"],
        "failed" => &["failed"],
        "no image" | "no network" | "port taken" | "rejected" | "importing" => &["inactive", "failed"],
        _ => &["inactive"],
    };
    if !possible.contains(&active.trim()) {
        return Err(format!("state {}, and the unit is {active}", fields[4]));
    }
    // The kernel.
    for port in expected.ports.split(',').filter(|port| port.ends_with("tcp")) {
        let number = port.split([':', '/']).find(|part| part.parse::<u16>().is_ok()).unwrap();
        if !host.run(&format!("ss -Hltn | grep -q ':{number} '")).success() {
            return Err(format!("port {number} is not open"));
        }
    }
    Ok(())
}

fn write(host: &Host, name: &str, more: &str) {
    host.write(&format!("/etc/sdme/{name}.container"), format!("[Container]\nImage=own.image\n{more}"));
}

/// The lines for an application that runs a shell script.
fn shell(script: &str) -> String {
    format!("Entrypoint=/bin/sh -c\nExec=\"{script}\"\n")
}

fn ps_shows_the_state_of_every_container(host: &Host) {
    host.write("/etc/sdme/own.image", format!("[Image]\nImage={NGINX}\n"));
    host.ok("cp -r /srv/images/nginx /srv/own");
    host.write("/etc/sdme/other.image", "[Image]\nImage=oci:/srv/own\nMode=app\nPolicy=newer\n");
    write(host, "plain", &answers(8100, "plain"));
    write(host, "ported", "Network=private\nPublishPort=8101:80\nPublishPort=127.0.0.1:8102:80\n");
    write(host, "member", "Pod=tier.pod\n");
    host.write("/etc/sdme/tier.pod", "[Pod]\nPublishPort=8103:80\nPublishPort=5300:53/udp\n");
    write(host, "ends", &shell("exit 3"));
    write(host, "loop", &(shell("sleep 1; exit 4") + "[App]\nRestart=always\nRestartSec=1h\n[Service]\nRestart=no\n"));
    write(host, "again", &(shell("exit 5") + "[Service]\nRestart=always\nRestartSec=1h\n"));
    write(host, "taken", "Network=private\nPublishPort=8104:80\n");
    write(host, "volume", "Volume=/srv/nothere:/srv\n");
    write(host, "lazy", "Network=private\nPublishPort=8105:80\nStartOnDemand=yes\n");
    write(host, "job", &(shell("exit 0") + "[Service]\nType=oneshot\nRemainAfterExit=yes\n"));
    write(host, "wrong", "Imge=x\n");
    host.write("/etc/sdme/missing.container", "[Container]\nImage=oci:/srv/nowhere\n");
    host.write("/etc/sdme/imaged.container", "[Container]\nImage=other.image\nEntrypoint=sleep\nExec=1000\n");
    host.ok("systemctl daemon-reload");

    // Containers that were never started.
    for name in ["plain", "ported", "member", "ends", "taken", "lazy", "imaged", "missing"] {
        expect(host, name, "stopped", "", "");
    }
    expect(host, "wrong", "rejected", "", "wrong.container:3: unknown key Imge=");

    // Containers that start.
    host.ok("systemctl start systemd-nspawn@plain systemd-nspawn@ported sdme-pod@tier.target systemd-nspawn@imaged");
    expect(host, "plain", "running", "8100/tcp", "");
    expect(host, "ported", "running", "8101:80/tcp,127.0.0.1:8102:80/tcp", "");
    expect(host, "member", "running", "5300:53/udp,8103:80/tcp", "");
    host.ok("systemctl start sdme-publish-lazy-8105.socket");
    expect(host, "lazy", "stopped", "8105:80/tcp", "");
    host.wait("curl -fsS http://127.0.0.1:8105/", 20);
    expect(host, "lazy", "running", "8105:80/tcp", "");
    host.ok("systemctl start systemd-nspawn@job");
    expect(host, "job", "exited", "", "");

    // Containers that end.
    host.run("systemctl start systemd-nspawn@ends systemd-nspawn@loop systemd-nspawn@again");
    expect(host, "ends", "failed 3", "", "exit status 3");
    expect(host, "loop", "restarting", "", "");
    expect(host, "again", "restarting 5", "", "exit status 5");
    host.ok("systemctl stop systemd-nspawn@again systemd-nspawn@loop");
    expect(host, "again", "stopped", "", "");
    host.ok("systemctl kill --kill-whom=main -s KILL systemd-nspawn@imaged");
    expect(host, "imaged", "killed", "", "signal KILL");
    host.ok("systemctl start systemd-nspawn@imaged");

    // Starts that fail.
    host.fails("systemctl start systemd-nspawn@missing");
    expect(host, "missing", "no image", "", "cannot import the image oci:/srv/nowhere");
    host.fails("systemctl start systemd-nspawn@volume");
    let refused = row(host, "volume").unwrap();
    assert_eq!(refused["state"], "failed");
    assert!(!refused["note"].as_str().unwrap().is_empty(), "{refused}");
    host.ok("systemd-run --unit=thief systemd-socket-activate -l 8104 true");
    host.wait("ss -Hltn | grep -q ':8104 '", 10);
    host.fails("systemctl start systemd-nspawn@taken");
    expect(host, "taken", "port taken", "", "port 8104 is taken by systemd-socket");
    host.ok("systemctl stop thief && systemctl start systemd-nspawn@taken");
    expect(host, "taken", "running", "8104:80/tcp", "");
    host.fails("systemctl start systemd-nspawn@wrong");
    expect(host, "wrong", "rejected", "", "unknown key Imge=");

    // Files that change while their container runs, before and after a reload.
    write(host, "plain", &(answers(8100, "plain") + "Environment=A=1\n"));
    write(host, "ported", "Network=private\nPublishPort=8111:80\n");
    host.write("/etc/sdme/tier.pod", "[Pod]\nPublishPort=8113:80\n");
    for reload in ["true", "systemctl daemon-reload"] {
        host.ok(reload);
        expect(host, "plain", "running (changed)", "8100/tcp", "sdme-gen restart --changed plain");
        expect(
            host,
            "ported",
            "running (changed)",
            "8101:80/tcp,127.0.0.1:8102:80/tcp",
            "files changed since its start",
        );
        expect(host, "member", "running", "5300:53/udp,8103:80/tcp", "its pod tier changed");
    }
    host.ok("sdme-gen restart --changed");
    expect(host, "plain", "running", "8100/tcp", "");
    expect(host, "ported", "running", "8111:80/tcp", "");
    expect(host, "member", "running", "8113:80/tcp", "");
    write(host, "ported", "Network=private\nPublishPort=8111:80\nImge=x\n");
    host.ok("rm /etc/sdme/plain.container && systemctl daemon-reload");
    expect(host, "plain", "running (removed)", "8100/tcp", "systemctl stop systemd-nspawn@plain.service");
    assert_rejected_while_running(host, "ported", "8111:80/tcp", "unknown key Imge=");

    // A running container shows its own image and digest after another one was imported.
    let before = row(host, "imaged").unwrap()["digests"][0].clone();
    host.ok("rm -r /srv/own && cp -r /srv/images/base /srv/own && systemctl start sdme-image@other");
    expect(host, "imaged", "running (changed)", "", "image changed");
    assert_eq!(row(host, "imaged").unwrap()["digests"][0], before);
    assert!(before.as_str().unwrap().starts_with("sha256:"), "{before}");
    host.ok("systemctl restart systemd-nspawn@imaged");
    assert_ne!(row(host, "imaged").unwrap()["digests"][0], before);

    // A stopped container without a file is shown only with -a.
    host.ok("systemctl stop systemd-nspawn@plain");
    expect(host, "plain", "leftover", "", "sdme-gen rm plain");
    assert!(!host.ok("sdme-gen ps -q").lines().any(|name| name == "plain"));
    assert!(host.ok("sdme-gen ps -aq").lines().any(|name| name == "plain"));
    assert!(host.ok("sdme-gen prune --dry-run").contains("container plain"));
    host.ok("sdme-gen rm plain");
    assert!(row(host, "plain").is_none());

    // Selected containers, and the output on terminals and for other users.
    assert_eq!(host.ok("sdme-gen ps -q member imaged"), "imaged\nmember\n");
    assert!(host.fails("sdme-gen ps nobody").contains("there is no container nobody"));
    let table = host.ok("COLUMNS=80 sdme-gen ps");
    let rows: Vec<&str> = table.lines().take_while(|line| !line.is_empty()).collect();
    assert!(rows.len() > 10 && rows.iter().all(|row| row.chars().count() <= 80), "{table}");
    let coloured = host.ok("script -qec 'stty cols 80; sdme-gen ps' /dev/null");
    assert!(coloured.contains("\x1b[1;31mfailed 3\x1b[0m"), "{coloured}");
    assert!(host.ok("setpriv --reuid=nobody --clear-groups sdme-gen ps -q 2>/dev/null").contains("member"));
}

/// Checks a running container whose file is rejected for `problem`, and restarts it. The status then
/// shows this problem, and nothing of the run before.
fn assert_rejected_while_running(host: &Host, name: &str, published: &'static str, problem: &'static str) {
    expect(host, name, "running (rejected)", published, problem);
    host.fails(&format!("systemctl restart systemd-nspawn@{name}"));
    expect(host, name, "rejected", "", problem);
    let status = host.fails(&format!("systemctl status --no-pager -l systemd-nspawn@{name}"));
    let line = status.lines().find(|line| line.contains("Status: ")).unwrap_or_default();
    let quoted = format!("Status: \"/etc/sdme/{name}.container:");
    assert!(line.contains(&quoted) && line.contains(problem), "{status}");
}

/// Waits until `ps` shows this health of a container's application.
fn expect_health(host: &Host, name: &str, word: &str) {
    host.wait(&format!("sdme-gen ps --format '{{{{.Health}}}}' {name} | grep -x '{word}'"), 30);
}

fn ps_shows_the_progress_of_starts_and_their_failures(host: &Host) {
    const STAYS: &str = "Entrypoint=sleep\nExec=1000\n";
    host.write("/etc/sdme/own.image", format!("[Image]\nImage={NGINX}\n"));
    host.write("/etc/sdme/paused.image", "[Image]\nImage=127.0.0.1:5001/a/b:1\nRetry=0\n");
    host.write("/etc/sdme/paused.container", "[Container]\nImage=paused.image\n");
    write(host, "patient", &shell("trap 'sleep 6; exit 0' QUIT; while :; do sleep 0.1; done"));
    let checked =
        |command: &str, more: &str| format!("{STAYS}HealthCmd={command}\nHealthInterval=1s\nHealthRetries=2\n{more}");
    write(host, "waits", &checked("false", "HealthRetries=90\nNotify=healthy\n"));
    write(host, "hangs", &checked("false", "HealthRetries=90\nNotify=healthy\n[Service]\nTimeoutStartSec=3s\n"));
    write(host, "well", &checked("true", ""));
    write(host, "sick", &checked("false", ""));
    write(host, "ended", &checked("false", "HealthOnFailure=kill\n"));
    write(host, "before", &format!("{STAYS}[Service]\nExecStartPre=false\n"));
    // The interval is long, so that a slow machine reaches the limit, too.
    write(host, "often", &(shell("exit 6") + "[Service]\nRestart=always\n[Unit]\nStartLimitIntervalSec=1h\n"));
    write(host, "nobody", &format!("{STAYS}User=nosuch\n[Service]\nRestart=always\n"));
    write(host, "works", &(shell("sleep 100") + "[Service]\nType=oneshot\n"));
    write(host, "closed", "Network=private\nPublishPort=8121:80\n");
    write(host, "nolink", &format!("{STAYS}Network=uplink\n"));
    write(host, "lost", &format!("{STAYS}Pod=bad.pod\n"));
    host.write("/etc/sdme/bad.pod", "[Pod]\nPublishPrt=1\n");
    write(host, "joined", &format!("{STAYS}Network=closed.container\n"));
    write(host, "signal", &(shell("kill -SEGV $$$$")));
    host.ok("systemctl daemon-reload && systemctl start sdme-image@own");
    expect(host, "lost", "rejected", "", "bad.pod");

    // A registry that accepts connections and does not answer.
    host.ok("systemd-run -q --unit=silent perl -MIO::Socket::INET -e \
             'my $s = IO::Socket::INET->new(LocalAddr => q(127.0.0.1:5001), Listen => 9) or die; sleep 1000'");
    host.wait("ss -Hltn | grep -q ':5001 '", 10);
    host.ok("systemctl start --no-block systemd-nspawn@paused");
    expect(host, "paused", "importing", "", "");
    host.ok("systemctl stop silent");
    expect(host, "paused", "no image", "", "127.0.0.1:5001/a/b:1");

    // Containers that are starting and stopping, and how these starts and stops end.
    host.ok("systemctl start --no-block systemd-nspawn@waits systemd-nspawn@hangs systemd-nspawn@works systemd-nspawn@patient");
    expect(host, "waits", "starting", "", "");
    expect(host, "works", "running", "", "");
    expect(host, "patient", "running", "", "");
    host.ok("systemctl stop --no-block systemd-nspawn@patient");
    expect(host, "patient", "stopping", "", "");
    expect(host, "patient", "stopped", "", "");
    expect(host, "hangs", "timeout", "", "TimeoutStartSec=3s");
    host.ok("systemctl stop systemd-nspawn@waits systemd-nspawn@works");
    expect(host, "waits", "stopped", "", "");
    expect(host, "works", "stopped", "", "");
    host.fails("systemctl start systemd-nspawn@before");
    expect(host, "before", "refused", "", "a command before the start failed");

    // Starts that are not repeated, and starts that reach the start limit.
    host.fails("systemctl start systemd-nspawn@nobody");
    expect(host, "nobody", "refused", "", "nosuch");
    assert_eq!(host.ok("systemctl show -P NRestarts,ExecMainStatus systemd-nspawn@nobody"), "0\n78\n");
    host.run("systemctl start systemd-nspawn@often");
    expect(
        host,
        "often",
        "failed 6",
        "",
        "; systemctl reset-failed systemd-nspawn@often.service permits another start",
    );
    let status = host.run("systemctl status --no-pager systemd-nspawn@often | head -n 24").stdout;
    assert!(
        status.contains("exit status 6") && status.contains("reset-failed systemd-nspawn@often.service"),
        "{status}"
    );
    host.ok("systemctl reset-failed systemd-nspawn@often.service");
    expect(host, "often", "stopped", "", "");
    host.run("systemctl start systemd-nspawn@signal");
    expect(host, "signal", "failed 139", "", "exit status 139");

    // Health.
    host.ok("systemctl start systemd-nspawn@well systemd-nspawn@sick systemd-nspawn@ended");
    expect_health(host, "well", "healthy");
    expect_health(host, "sick", "unhealthy");
    expect(host, "sick", "running", "", "its health check fails: exit status 1; correct the application or HealthCmd=");
    expect(host, "ended", "unhealthy", "", "health check of sdme-oci-app failed");

    // Networks: a closed socket of a running container, a link with a name that is in use, and the
    // network of another container.
    host.ok("systemctl start systemd-nspawn@joined");
    expect(host, "closed", "running", "8121:80/tcp", "");
    expect(host, "joined", "running", "", "");
    // The socket of a published port and its container stop together.
    host.ok("systemctl stop sdme-publish-closed-8121.socket");
    expect(host, "closed", "stopped", "", "");
    expect(host, "joined", "stopped", "", "");
    host.ok("systemctl start systemd-nspawn@closed");
    expect(host, "closed", "running", "8121:80/tcp", "");
    host.ok("ip link add sdme-nolink type veth peer name other");
    host.fails("systemctl start systemd-nspawn@nolink");
    expect(host, "nolink", "no network", "", "File exists");
    host.ok("ip link del sdme-nolink && systemctl start systemd-nspawn@nolink");
    expect(host, "nolink", "running", "", "");
    // The image of a running container may be removed from the configuration.
    host.ok("rm /etc/sdme/own.image && systemctl daemon-reload");
    expect(host, "nolink", "running (rejected)", "", "own.image");
}

/// Containers whose start fails because of the state of the host, each with the line that is
/// reported and a part of the warning.
const PROBLEMS: [(&str, &str, u32, &str); 21] = [
    ("bound", "Volume=/srv/nothere:/srv", 3, "there is no /srv/nothere on this host"),
    ("relative", "Volume=./nothere:/srv", 3, "there is no /etc/sdme/nothere on this host"),
    ("long", "Mount=type=bind,source=/srv/neither,target=/srv", 3, "there is no /srv/neither on this host"),
    ("second", "Volume=data:/data\nVolume=/srv/nothere:/srv", 4, "there is no /srv/nothere on this host"),
    ("variables", "EnvironmentFile=/srv/none.env", 3, "cannot read /srv/none.env"),
    ("assignment", "EnvironmentFile=/srv/bad.env", 3, "/srv/bad.env:2: the line is not NAME=VALUE"),
    ("directory", "EnvironmentFile=/srv", 3, "cannot read /srv"),
    ("secret", "Secret=nope", 3, "there is no credential nope"),
    ("hidden", "Secret=never,type=env,target=A", 3, "there is no credential never"),
    ("device", "AddDevice=/dev/nothere", 3, "AddDevice=/dev/nothere"),
    ("node", "AddDevice=/dev/shm", 3, "is not a device node"),
    ("profile", "AppArmor=nothere", 3, "the AppArmor profile nothere"),
    ("calls", "SeccompProfile=/srv/none.json", 3, "SeccompProfile=/srv/none.json"),
    ("invalid", "SeccompProfile=/srv/bad.env", 3, "SeccompProfile=/srv/bad.env"),
    ("port", "Network=private\nPublishPort=8204:80", 4, "port 8204 of the host is in use"),
    ("address", "Network=private\nPublishPort=127.0.0.1:8206:80", 4, "port 127.0.0.1:8206 of the host is in use"),
    ("user", "User=nosuch", 3, "user `nosuch`"),
    ("group", "User=root\nGroup=nosuch", 3, "group `nosuch`"),
    ("system", "App=debian.image", 1, "the image debian is a base operating system, not an application"),
    ("healthy", "Notify=healthy", 1, "Notify=healthy needs a health check"),
    ("owner", "Volume=owned.volume:/srv", 1, "there is no user nosuch on this host"),
];

fn check_finds_the_problems_of_a_start(host: &Host) {
    host.write("/etc/sdme/own.image", format!("[Image]\nImage={NGINX}\n"));
    host.write("/etc/sdme/debian.image", format!("[Image]\nImage={DEBIAN}\n"));
    host.write("/srv/bad.env", "A=1\nB\n");
    host.write("/etc/sdme/owned.volume", "[Volume]\nUser=nosuch\n");
    write(host, "good", "Volume=data:/srv\n");
    for (name, text, ..) in PROBLEMS {
        write(host, name, &format!("{text}\n"));
    }
    host.ok("systemctl daemon-reload && systemctl start sdme-image@own sdme-image@debian");
    host.ok("systemd-run --unit=thief systemd-socket-activate -l 8204 -l 127.0.0.1:8206 true");
    host.wait("ss -Hltn | grep -q ':8204 ' && ss -Hltn | grep -q ':8206 '", 10);
    let found = host.run("sdme-gen check");
    for (name, _, line, message) in PROBLEMS {
        let file = if name == "owner" { "owned.volume" } else { &format!("{name}.container") };
        let start = format!("/etc/sdme/{file}:{line}: ");
        let named = found.stderr.lines().any(|found| found.starts_with(&start) && found.contains(message));
        assert!(named, "{name}: {found}");
        host.fails(&format!("systemctl start systemd-nspawn@{name}"));
    }
    assert!(!found.stderr.contains("good.container"), "{found}");
    assert!(host.ok("sdme-gen check good 2>&1").is_empty());
    let one = host.run("sdme-gen check bound secret");
    assert_eq!(one.stderr.lines().count(), 2, "{one}");
    assert!(host.fails("sdme-gen check nobody").contains("there is no file of the name nobody"));
    host.ok("systemctl start systemd-nspawn@good");
    let user = host.run("setpriv --reuid=nobody --clear-groups sdme-gen check good");
    assert!(user.success() && user.stderr.contains("only root can check sources of volumes"), "{user}");
}

/// Writes an image to `/srv/versions` that differs from the others in a label.
fn version(host: &Host, number: usize) {
    let hex =
        |bytes: &[u8]| Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let layout = cache().join("images/nginx");
    let read = |path: &str| -> Value { serde_json::from_slice(&std::fs::read(layout.join(path)).unwrap()).unwrap() };
    let path = |digest: &Value| format!("blobs/sha256/{}", digest.as_str().unwrap().trim_start_matches("sha256:"));
    let mut index = read("index.json");
    let mut manifest = read(&path(&index["manifests"][0]["digest"]));
    let mut config = read(&path(&manifest["config"]["digest"]));
    config["config"]["Labels"] = serde_json::json!({"version": number.to_string()});
    let put = |document: &Value, descriptor: &mut Value| {
        let text = serde_json::to_string(document).unwrap();
        let digest = hex(text.as_bytes());
        host.write(&format!("/srv/versions/blobs/sha256/{digest}"), &text);
        descriptor["digest"] = format!("sha256:{digest}").into();
        descriptor["size"] = text.len().into();
    };
    put(&config, &mut manifest["config"]);
    put(&manifest, &mut index["manifests"][0]);
    host.write("/srv/versions/index.json", serde_json::to_string(&index).unwrap());
}

/// The names in a directory of the host.
fn names(host: &Host, directory: &str) -> Vec<String> {
    host.ok(&format!("ls -A {directory} 2>/dev/null || :")).lines().map(str::to_owned).collect()
}

/// Checks that a command lists everything in the directories of sdme-gen.
fn assert_listed(host: &Host) {
    let containers = host.ok("sdme-gen ps -aq");
    let volumes = host.ok("sdme-gen volume ls -q");
    let images: Value = serde_json::from_str(&host.ok("sdme-gen fs ls --json")).unwrap();
    let pruned = host.ok("sdme-gen prune --dry-run");
    let is_container = |name: &str| containers.lines().any(|known| known == name);
    for directory in ["/var/lib/sdme/containers", "/run/sdme/containers", "/run/sdme/secrets", "/run/sdme/pods"] {
        let unknown: Vec<String> = names(host, directory).into_iter().filter(|name| !is_container(name)).collect();
        assert!(unknown.is_empty(), "{directory}: {unknown:?}\n{containers}");
    }
    for (directory, before, after) in [
        ("/run/systemd/nspawn", "", ".nspawn"),
        ("/run/sdme/started", "systemd-nspawn@", ".service"),
        ("/run/sdme/failed", "systemd-nspawn@", ".service"),
    ] {
        let all = names(host, directory).into_iter();
        let instances = all.filter_map(|name| Some(name.strip_prefix(before)?.strip_suffix(after)?.to_owned()));
        let unknown: Vec<String> = instances.filter(|name| !is_container(name)).collect();
        assert!(unknown.is_empty(), "{directory}: {unknown:?}\n{containers}");
    }
    for volume in names(host, "/var/lib/sdme/volumes").iter().filter(|name| !name.starts_with('.')) {
        assert!(volumes.lines().any(|known| known == volume), "{volume}\n{volumes}");
    }
    let images = images.as_array().unwrap();
    for entry in names(host, "/var/lib/sdme/store").iter().filter(|name| !name.starts_with('.')) {
        let digest = entry.rsplit('.').nth(1).unwrap();
        let digests =
            images.iter().flat_map(|image| image["former"].as_array().unwrap().iter().chain([&image["digest"]]));
        let known = digests.into_iter().any(|known| known.as_str().unwrap().starts_with(&format!("sha256:{digest}")));
        assert!(known || pruned.contains(entry), "{entry}: {images:?}");
    }
    let links = host.ok("find /var/log/journal -maxdepth 1 -type l");
    assert_eq!(links, "");
}

fn leftovers_and_old_versions_are_removed(host: &Host) {
    host.write("/etc/sdme/own.image", format!("[Image]\nImage={NGINX}\n"));
    host.ok("systemctl daemon-reload && systemctl start sdme-image@own");
    let all: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
    for (number, name) in all.iter().enumerate() {
        let port = 8300 + number;
        write(
            host,
            name,
            &format!("Network=private\nPublishPort={port}:80\nVolume=/anonymous\nVolume=shared:/shared\n"),
        );
    }
    let units =
        |names: &[String]| names.iter().map(|name| format!("systemd-nspawn@{name}")).collect::<Vec<_>>().join(" ");
    let start = format!("systemctl daemon-reload && systemctl start {}", units(&all));
    let started = host.run_for(&start, std::time::Duration::from_secs(300));
    assert!(started.success(), "{started}");
    assert_listed(host);
    let kinds: Vec<Vec<String>> =
        (0..5).map(|kind| all.iter().skip(kind).step_by(5).cloned().collect::<Vec<_>>()).collect();
    let files =
        |names: &[String]| names.iter().map(|name| format!("/etc/sdme/{name}.container")).collect::<Vec<_>>().join(" ");
    let long = |command: &str| {
        let output = host.run_for(command, std::time::Duration::from_secs(300));
        assert!(output.success(), "{command}: {output}");
    };
    // The containers are removed by `sdme-gen rm`, by removing files with a stop before or after
    // the reload, after a kill, and after a change.
    long(&format!("sdme-gen rm -f {}", kinds[0].join(" ")));
    long(&format!("rm {} && systemctl daemon-reload && systemctl stop {}", files(&kinds[1]), units(&kinds[1])));
    long(&format!("systemctl stop {} && rm {} && systemctl daemon-reload", units(&kinds[2]), files(&kinds[2])));
    long(&format!(
        "systemctl kill -s KILL {0}; rm {1}; systemctl daemon-reload; systemctl stop {0}",
        units(&kinds[3]),
        files(&kinds[3])
    ));
    for name in &kinds[4] {
        write(host, name, "Volume=other:/other\n");
    }
    long(&format!(
        "systemctl daemon-reload; systemctl stop {0}; rm {1}; systemctl daemon-reload",
        units(&kinds[4]),
        files(&kinds[4])
    ));
    assert_listed(host);
    // A leftover does not keep its image; a running container does and is named.
    write(host, "user", "Entrypoint=sleep\nExec=1000\n");
    host.ok("systemctl daemon-reload && systemctl start systemd-nspawn@user && rm /etc/sdme/user.container /etc/sdme/own.image && systemctl daemon-reload");
    assert!(host.fails("sdme-gen fs rm own").contains("the container user runs on"));
    host.ok("systemctl stop systemd-nspawn@user && mkdir -p /run/sdme/containers/user && ln -s $(readlink -f /var/lib/sdme/fs/own)/tree /run/sdme/containers/user/app");
    assert_listed(host);
    host.ok("sdme-gen fs rm own");
    // `sdme-gen rm` removes every leftover.
    let left = host.ok("sdme-gen ps -aq");
    assert_eq!(left.lines().count(), 41, "{left}");
    long(&format!("sdme-gen rm {}", left.split_whitespace().collect::<Vec<_>>().join(" ")));
    assert_eq!(host.ok("sdme-gen ps -aq"), "");
    let volumes = host.ok("sdme-gen volume ls -q --unused");
    assert!(volumes.lines().any(|name| name == "shared") && volumes.lines().count() == 51, "{volumes}");
    host.ok(&format!(
        "sdme-gen volume rm {}",
        volumes.split_whitespace().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" ")
    ));
    for directory in
        ["/var/lib/sdme/containers", "/var/lib/sdme/store/[!.]*", "/run/sdme/containers", "/run/sdme/started"]
    {
        assert_eq!(names(host, directory), [""; 0], "{directory}");
    }
    assert_eq!(names(host, "/var/lib/sdme/volumes"), [".state"]);

    // Versions of an image: the previous one is kept, and older unused ones are removed after a
    // successful start.
    host.ok("cp -r /srv/images/nginx /srv/versions");
    host.write("/etc/sdme/versions.image", "[Image]\nImage=oci:/srv/versions\nMode=app\nPolicy=newer\n");
    host.write(
        "/etc/sdme/web.container",
        "[Unit]\nStartLimitIntervalSec=0\n[Container]\nImage=versions.image\nEntrypoint=sleep\nExec=1000\n",
    );
    host.ok("systemctl daemon-reload");
    let entries = "ls /var/lib/sdme/store | grep -c '^versions[.]'";
    for number in 1..=20 {
        version(host, number);
        host.ok("systemctl restart systemd-nspawn@web");
        assert!(host.ok("sdme-gen ps --format '{{.State}}|{{.Changed}}' web").starts_with("running|\n"));
    }
    host.wait(&format!("test $({entries}) = 2"), 20);
    assert_listed(host);
    let list = host.ok("sdme-gen fs ls");
    assert_eq!(list.lines().filter(|line| line.starts_with("versions ")).count(), 2, "{list}");
    assert!(list.contains("(former version)"), "{list}");
    // KeepVersions=0 removes the previous version. The timer of `prune` is installed but not
    // enabled.
    host.ok("sdme-gen config set KeepVersions 0 && sdme-gen prune");
    assert_eq!(host.ok(entries), "1\n");
    host.ok("systemctl cat sdme-prune.timer && systemctl start sdme-prune.service && ! systemctl is-enabled sdme-prune.timer");
}
