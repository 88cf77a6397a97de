// SPDX-License-Identifier: MIT
//! Tier 2: images that are updated automatically: good and bad updates, rollback, the lock file, an
//! update that is killed, templates and pods, and the requests of a check to a registry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::containers::{Container, boot_with, ready};
use support::host::Host;
use support::{layout, registry, run};

on_every_suite!(
    one_container_updates_or_rolls_back,
    several_containers_update_in_turn,
    a_registry_is_asked_once_per_image
);

/// Runs a case. The versions of the image, built by [`versions`], are in `/srv/versions` of the
/// host.
fn on(suite: &str, name: &str, case: fn(&Host, &Path)) {
    if ready(suite, &["umoci", "skopeo", "docker-registry"]) {
        let directory = tempfile::tempdir().unwrap();
        versions(directory.path());
        let host = boot_with(Host::builder(suite, &name.replace('_', "-")).bind(directory.path(), "/srv/versions"));
        case(&host, directory.path());
    }
}

/// Writes layouts of one image in several versions. Some answer with their names; others are
/// broken.
fn versions(directory: &Path) {
    let copy = |name: &str| support::versions::copy("nginx", directory, name, "latest");
    for name in ["one", "two", "three", "four"] {
        support::versions::page(directory, name);
    }
    let broken = copy("broken");
    run(Command::new("umoci").args(["insert", "--image", &broken, "--whiteout", "/usr/share/nginx/html/index.html"]));
    for (name, command) in [("crash", "echo it crashes; exit 3"), ("hang", "exec sleep 1000")] {
        support::versions::command(&copy(name), command);
    }
    let other = copy("other");
    run(Command::new("umoci").args(["config", "--image", &other, "--architecture", "riscv64"]));
    copy("foreign");
    indexed(&directory.join("foreign"), "riscv64");
    support::versions::page(directory, "five");
    indexed(&directory.join("five"), if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
}

/// Puts an index for one architecture between the name of an image in a layout and the image.
fn indexed(layout: &Path, architecture: &str) {
    let mut top: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let mut entry = top["manifests"][0].take();
    let name = entry["annotations"].take();
    entry["platform"] = json!({"os": "linux", "architecture": architecture});
    let media = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media, "manifests": [entry]}).to_string();
    let hex = layout::hex(index.as_bytes());
    std::fs::write(layout.join("blobs/sha256").join(&hex), &index).unwrap();
    let digest = format!("sha256:{hex}");
    top["manifests"] = json!([{"mediaType": media, "digest": digest, "size": index.len(), "annotations": name}]);
    std::fs::write(layout.join("index.json"), top.to_string()).unwrap();
}

/// Replaces the layout `layout`, which is the image source of containers, by a version.
fn put(host: &Host, version: &str, layout: &str) {
    host.ok(&format!("rm -rf {layout} && cp -r /srv/versions/{version} {layout}"));
}

/// Runs `sdme-gen update`. Returns its exit status and its report.
fn update(host: &Host, arguments: &str) -> (i32, Value) {
    let output = host.run_for(&format!("sdme-gen update --json {arguments}"), Duration::from_secs(300));
    let report = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    (output.status, report)
}

/// The states of all images, and the names and states of all containers, in a report.
fn states(report: &Value) -> (Vec<String>, Vec<String>) {
    let all = |what: &str| -> Vec<String> {
        let list = report[what].as_array().unwrap().iter();
        list.map(|one| format!("{} {}", one["name"].as_str().unwrap(), one["status"].as_str().unwrap())).collect()
    };
    (all("images").iter().map(|state| state.rsplit_once(' ').unwrap().1.to_owned()).collect(), all("containers"))
}

fn page(host: &Host, port: u16) -> String {
    host.wait_http(&format!("http://127.0.0.1:{port}/"), 20)
}

/// The number of times the journal has a message.
fn told(host: &Host, id: &str) -> usize {
    host.ok("journalctl --sync");
    host.ok(&format!("journalctl -q -o cat MESSAGE_ID={id}")).lines().count()
}

const UPDATED: &str = "067196f0fc754860bc062a18528579ed";
const FAILED: &str = "13e68fc8e5f54713bfe8e84a08330c5b";
const ROLLED_BACK: &str = "588fdef37ac3415aa9a4653f4ee6581a";
const SWITCHED: &str = "f2a6346fa43d49a2bcf5cbd786713e32";
const UNDONE: &str = "cafd1df7e7b249b68b736c0c5cba3679";

/// A container that is healthy while it answers.
fn file(layout: &str, port: u16, more: &str) -> String {
    format!(
        "[Container]\nImage=oci:{layout}\nAutoUpdate=registry\nUpdateSettle=1s\nNetwork=private\nPublishPort={port}:80\n\
         Notify=healthy\nHealthHttp=:80/\nHealthInterval=500ms\nHealthRetries=3\n{more}[Service]\nTimeoutStartSec=15s\n"
    )
}

fn one_container_updates_or_rolls_back(host: &Host, _: &Path) {
    let web = Container::new(host, "web");
    put(host, "one", "/srv/app");
    web.configure(&file("/srv/app", 8080, "")).systemctl("start");
    assert_eq!(page(host, 8080), "one\n");
    let (status, report) = update(host, "");
    assert_eq!((status, states(&report)), (0, (vec!["current".into()], vec![])), "{report}");

    // A version that was only checked or downloaded is not used, not even by another start.
    put(host, "two", "/srv/app");
    let run = web.property("InvocationID");
    assert_eq!(states(&update(host, "--check").1).0, ["available"]);
    assert_eq!(states(&update(host, "--dry-run").1), (vec!["available".into()], vec!["web would update".into()]));
    assert_eq!(states(&update(host, "--download").1), (vec!["downloaded".into()], vec![]));
    assert_eq!(web.property("InvocationID"), run);
    host.ok("sdme-gen prune");
    web.systemctl("restart");
    assert_eq!(page(host, 8080), "one\n");
    assert!(host.ok("sdme-gen ps").contains("sdme-gen update"), "{}", host.ok("sdme-gen ps"));

    let (status, report) = update(host, "");
    assert_eq!((status, states(&report)), (0, (vec!["updated".into()], vec!["web updated".into()])), "{report}");
    assert_eq!(page(host, 8080), "two\n");
    assert_eq!(told(host, UPDATED), 1);
    assert!(host.ok("journalctl -u systemd-nspawn@web").contains("web was updated"));

    // A rollback works without the source, and the next update does not undo it.
    host.ok("mv /srv/app /srv/away");
    host.ok("sdme-gen rollback web --dry-run");
    assert_eq!(page(host, 8080), "two\n");
    // A rollback during a start ends that start.
    host.ok(&format!(
        "systemctl stop {0}; systemctl start --no-block {0}; until systemctl show -P SubState {0} | grep -qx -e start -e running; do :; done",
        web.unit
    ));
    let begun = Instant::now();
    host.ok("sdme-gen rollback web");
    assert_eq!(page(host, 8080), "one\n");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    host.ok("mv /srv/away /srv/app");
    let (status, report) = update(host, "");
    assert_eq!((status, states(&report)), (0, (vec!["refused".into()], vec![])), "{report}");
    web.systemctl("restart");
    assert_eq!(page(host, 8080), "one\n");
    assert!(host.ok("sdme-gen ps").contains("rolled back"), "{}", host.ok("sdme-gen ps"));
    put(host, "three", "/srv/app");
    assert_eq!(states(&update(host, "web").1).1, ["web updated"]);
    assert_eq!(page(host, 8080), "three\n");

    // A version that crashes, one that fails its check, and one whose start hangs: each is tried
    // once.
    let before = (told(host, FAILED), told(host, ROLLED_BACK));
    for (count, bad) in (1..).zip(["crash", "broken", "hang"]) {
        if bad == "hang" {
            web.configure(&file("/srv/app", 8080, "HealthStartPeriod=1h\n").replace("15s", "5s")).systemctl("restart");
        }
        put(host, bad, "/srv/app");
        let (status, report) = update(host, "");
        assert_eq!(
            (status, states(&report)),
            (1, (vec!["failed".into()], vec!["web rolled back".into()])),
            "{bad}: {report}"
        );
        assert_eq!(page(host, 8080), "three\n", "{bad}");
        let shown = host.ok("sdme-gen ps");
        assert!(shown.contains("it was rolled back from sha256:") && shown.contains(" ("), "{bad}: {shown}");
        assert_eq!((told(host, FAILED), told(host, ROLLED_BACK)), (before.0 + count, before.1 + count), "{bad}");
        let run = web.property("InvocationID");
        assert_eq!(states(&update(host, "").1).0, ["refused"], "{bad}");
        assert_eq!(web.property("InvocationID"), run);
    }
    web.configure(&file("/srv/app", 8080, "")).systemctl("restart");
    // A version for another architecture, an index without this architecture, and a missing source:
    // nothing stops.
    let run = web.property("InvocationID");
    for version in ["other", "foreign"] {
        put(host, version, "/srv/app");
        let (status, report) = update(host, "");
        assert_eq!((status, states(&report).0), (1, vec!["unavailable".to_owned()]), "{report}");
        let reason = report["images"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("riscv64"), "{reason}");
    }
    host.ok("rm -r /srv/app");
    assert_eq!(update(host, "").0, 1);
    assert_eq!(web.property("InvocationID"), run);

    // The next start undoes an update that was killed, and the next update repeats it.
    put(host, "four", "/srv/app");
    web.configure(&file("/srv/app", 8080, "").replace("UpdateSettle=1s", "UpdateSettle=1h"));
    let switched = told(host, SWITCHED);
    host.ok("systemd-run -q --unit=killed sdme-gen update");
    host.wait("curl -fsS --max-time 5 http://127.0.0.1:8080/ | grep four", 30);
    assert_eq!(told(host, SWITCHED), switched + 1);
    assert!(host.fails("sdme-gen update").contains("another sdme-gen update or rollback is running"));
    host.ok("systemctl kill -s KILL killed");
    host.wait("! systemctl is-active killed", 10);
    web.systemctl("restart");
    assert_eq!((page(host, 8080), told(host, UNDONE)), ("three\n".to_owned(), 1));
    web.configure(&file("/srv/app", 8080, ""));
    assert_eq!(states(&update(host, "").1).1, ["web updated"]);
    assert_eq!(page(host, 8080), "four\n");
    locked(host, &web);
}

/// Checks the digests of `sdme-gen lock` on a host whose container runs version four.
fn locked(host: &Host, web: &Container<'_>) {
    let locked = host.ok("sdme-gen lock");
    assert!(
        host.read("/etc/sdme/sdme.lock").contains(" - oci:/srv/app") && locked.contains("oci:/srv/app"),
        "{locked}"
    );
    host.ok("sdme-gen check");
    let lock = host.read("/etc/sdme/sdme.lock");
    // An image with an index is locked to the digest of the index, because machines of other
    // architectures may use the lock, too.
    put(host, "five", "/srv/app");
    assert_eq!(states(&update(host, "").1).1, ["web updated"]);
    let index: Value = serde_json::from_str(&host.read("/srv/app/index.json")).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let moved = host.read("/etc/sdme/sdme.lock");
    assert!(moved != lock && moved.contains(digest), "{moved}");
    host.ok("sdme-gen check && sdme-gen lock");
    assert_eq!(host.read("/etc/sdme/sdme.lock"), moved);
    web.systemctl("restart");
    assert_eq!(page(host, 8080), "five\n");
    // With the lock file of another machine, the next start uses the locked version.
    host.write("/etc/sdme/sdme.lock", &lock);
    let said = host.run("sdme-gen check");
    assert!(said.to_string().contains("locked to"), "{said}");
    host.ok("systemctl daemon-reload");
    web.systemctl("restart");
    assert_eq!(page(host, 8080), "four\n");
    assert_eq!(host.ok("sdme-gen fs ls").lines().filter(|line| line.contains("(former version)")).count(), 1);
}

/// Requests all ports at once, several times a second, and writes a line for each round: the ports
/// that do not answer.
const WATCH: &str = r"
while sleep 0.2; do
    down=$(for port in $PORTS; do
        { curl -fsS -o /dev/null --max-time 3 http://127.0.0.1:$port/ 2>/dev/null || echo $port; } &
    done; wait)
    echo $down >>/tmp/down
done";

/// The largest number of ports that were down in one round since the last call.
fn most_down(host: &Host) -> usize {
    host.wait("test $(wc -l </tmp/down) -gt 2", 20);
    let rounds = host.ok("cat /tmp/down; : >/tmp/down");
    rounds.lines().map(|line| line.split_whitespace().count()).max().unwrap()
}

/// A template with five instances and a pod with three members: they are updated one after the
/// other, while the others answer.
fn several_containers_update_in_turn(host: &Host, _: &Path) {
    put(host, "one", "/srv/app");
    put(host, "one", "/srv/pod");
    host.write(
        "/etc/sdme/web@.container",
        file("/srv/app", 80, "").replace("PublishPort=80:80", "PublishPort=808%i:80").replace("Settle=1s", "Settle=2s"),
    );
    let ports = ["8091:8091", "8092:8092", "8093:8093"].map(|port| format!("PublishPort={port}\n")).concat();
    host.write("/etc/sdme/tier.pod", format!("[Pod]\n{ports}"));
    let server = |port: u16| {
        format!(
            "[Container]\nImage=oci:/srv/pod\nAutoUpdate=registry\nUpdateSettle=2s\nPod=tier.pod\nNotify=healthy\nHealthHttp=:{port}/\n\
             HealthInterval=500ms\nHealthRetries=3\nEntrypoint=sh -c 'echo \"server {{ listen {port}; root /usr/share/nginx/html; }}\" \
             >/etc/nginx/conf.d/site.conf && exec nginx -g \"daemon off;\"'\n[Service]\nTimeoutStartSec=15s\n"
        )
    };
    let members = [("a", 8091), ("b", 8092), ("c", 8093)];
    for (name, port) in members {
        host.write(&format!("/etc/sdme/{name}.container"), server(port));
    }
    host.ok(
        "cd /etc/sdme && for i in 1 2 3 4 5; do ln -s web@.container web@$i.container; done; systemctl daemon-reload",
    );
    host.ok("systemctl start sdme-pod@tier.target systemd-nspawn@a systemd-nspawn@b systemd-nspawn@c systemd-nspawn@web-{1,2,3,4,5}");
    let all = [8081, 8082, 8083, 8084, 8085, 8091, 8092, 8093];
    let pages = |host: &Host| all.map(|port| page(host, port));
    assert!(pages(host).iter().all(|page| page == "one\n"));
    host.write("/usr/local/bin/watch-ports", format!("#!/bin/bash{WATCH}"));
    // A connection to a port of a stopped container would start it again, so the port of web-5 is
    // not watched.
    let list = all.map(|port| port.to_string()).join(" ").replace(" 8085", "");
    host.ok(&format!("chmod +x /usr/local/bin/watch-ports; systemd-run -q --unit=watch -E PORTS='{list}' watch-ports"));
    assert_eq!(most_down(host), 0);

    put(host, "two", "/srv/app");
    put(host, "two", "/srv/pod");
    // A container that is not running gets the new image and is not started.
    host.ok("systemctl stop systemd-nspawn@web-5");
    most_down(host);
    let output = host.run_for("sdme-gen update --json", Duration::from_secs(300));
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let done =
        ["a updated", "b updated", "c updated", "web-1 updated", "web-2 updated", "web-3 updated", "web-4 updated"];
    assert_eq!((output.status, states(&report).1), (0, done.map(str::to_owned).to_vec()), "{output}");
    assert_eq!(most_down(host), 1, "one at a time");
    host.fails("systemctl is-active systemd-nspawn@web-5");
    host.ok("systemctl start systemd-nspawn@web-5");
    assert!(pages(host).iter().all(|page| page == "two\n"));

    // The first failure stops the rollout, and only the failed container was down.
    put(host, "broken", "/srv/app");
    most_down(host);
    let runs =
        |host: &Host| host.ok("systemctl show -P InvocationID systemd-nspawn@web-{2,3,4,5} systemd-nspawn@{a,b,c}");
    let before = runs(host);
    let (status, report) = update(host, "");
    let mut want = vec!["web-1 rolled back".to_owned()];
    want.extend((2..=5).map(|number| format!("web-{number} skipped")));
    assert_eq!((status, states(&report).1), (1, want), "{report}");
    assert_eq!((most_down(host), runs(host)), (1, before));
    assert!(pages(host).iter().all(|page| page == "two\n"));
    host.ok("systemctl stop watch");

    // A pod is rolled back as a whole.
    host.ok("sdme-gen rollback tier");
    assert_eq!(pages(host)[5..], ["one\n"; 3]);
    assert_eq!(pages(host)[..5], ["two\n"; 5]);
}

/// Pushes a version of the image to the registry.
fn push(host: &Host, directory: &Path, version: &str, name: &str) {
    registry::push(host, &directory.join(version), "latest", &format!("team/{name}:1"));
}

/// The number of requests for manifests that the registry has answered.
fn manifests(host: &Host) -> usize {
    let log = std::fs::read_to_string(host.directory().join("docker-registry.log")).unwrap();
    log.lines().filter(|line| line.contains("\"GET /v2/team/") && line.contains("/manifests/")).count()
}

fn a_registry_is_asked_once_per_image(host: &Host, directory: &Path) {
    host.ok("mount -t tmpfs -o size=400m tmpfs /var/lib/sdme");
    let mut registry = registry::serve(host, directory);
    push(host, directory, "one", "n0");
    for number in 1..10 {
        let mut skopeo = host.outside("skopeo");
        skopeo.args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]);
        skopeo.arg("docker://127.0.0.1:5000/team/n0:1");
        run(skopeo.arg(format!("docker://127.0.0.1:5000/team/n{number}:1")));
    }
    host.write("/etc/sdme/sdme.conf", "[Defaults]\nAutoUpdate=check\n");
    for number in 0..50 {
        let text = format!("[Container]\nImage=127.0.0.1:5000/team/n{}:1\n", number % 10);
        host.write(&format!("/etc/sdme/c{number}.container"), text);
    }
    host.ok(
        "systemctl daemon-reload; for i in 0 1 2 3 4 5 6 7 8 9; do sdme-gen fs pull 127.0.0.1:5000-team-n$i:1; done",
    );
    let before = manifests(host);
    let (status, report) = update(host, "");
    assert_eq!((status, states(&report)), (0, (vec!["current".to_owned(); 10], vec![])), "{report}");
    assert_eq!(manifests(host), before + 10);

    // One of the containers runs, and the download of a new version fails in the middle.
    host.ok("rm /etc/sdme/c?*.container /etc/sdme/sdme.conf");
    let web = Container::new(host, "web");
    web.configure(&file("/x", 8080, "").replace("oci:/x", "127.0.0.1:5000/team/n0:1")).systemctl("start");
    assert_eq!(page(host, 8080), "one\n");
    let run = web.property("InvocationID");
    push(host, directory, "two", "n0");
    // The layer of the new page: the registry stops sending in the middle of it.
    let layer = serde_json::from_slice::<Value>(
        &Command::new("skopeo")
            .args(["inspect", "--raw"])
            .arg(format!("oci:{}/two:latest", directory.display()))
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap()["layers"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()["digest"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:")
        .to_owned();
    let data =
        directory.join(format!("registry/docker/registry/v2/blobs/sha256/{}/{layer}/data", layer.get(..2).unwrap()));
    let whole = std::fs::read(&data).unwrap();
    std::fs::write(&data, &whole[..whole.len() / 2]).unwrap();
    let (status, report) = update(host, "");
    assert_eq!((status, states(&report).0), (1, vec!["unavailable".to_owned()]), "{report}");
    std::fs::write(&data, whole).unwrap();

    // The disk is full before the download, and then after it: either nothing stops, or the
    // container is rolled back.
    host.run("dd if=/dev/zero of=/var/lib/sdme/filler bs=1M");
    host.fails("sdme-gen update");
    assert_eq!(web.property("InvocationID"), run);
    assert_eq!(page(host, 8080), "one\n");
    host.ok("rm /var/lib/sdme/filler && sdme-gen update --download");
    host.run("dd if=/dev/zero of=/var/lib/sdme/filler bs=4K");
    host.fails("sdme-gen update");
    assert_eq!(page(host, 8080), "one\n");
    host.ok("rm /var/lib/sdme/filler");

    // With a complete layer and enough space, the update succeeds; then a rollback without the
    // registry.
    assert_eq!(states(&update(host, "").1).1, ["web updated"]);
    assert_eq!(page(host, 8080), "two\n");
    host.ok("pkill -f '[r]egistry.yml'");
    registry.wait().unwrap();
    host.ok("sdme-gen rollback web");
    assert_eq!(page(host, 8080), "one\n");
    let (status, report) = update(host, "");
    assert_eq!((status, states(&report).0), (1, vec!["unavailable".to_owned()]), "{report}");
    assert_eq!(page(host, 8080), "one\n");
    host.ok("systemctl cat sdme-update.timer sdme-update.service && ! systemctl is-enabled sdme-update.timer");
}
