// SPDX-License-Identifier: MIT
//! Tier 2: ten folders of typical Quadlet files (`tests/folders`) are copied to a host and started.
//! Each image is replaced by a small server that listens on the ports of the real one, and every
//! published port answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::containers::{boot_with, ready};
use support::host::Host;
use support::servers::{answer, published, serve};
use support::{lan, repo};

on_every_suite!(folders_of_quadlet_files_run_as_they_are);

/// The images that the folders name, and the ports on which each of them listens.
const IMAGES: [(&str, &str); 19] = [
    ("agent:latest", "18789/tcp"),
    ("cache:7", "6379/tcp"),
    ("dashboard:10.2", "3000/tcp"),
    ("files:latest", "8080/tcp"),
    ("gateway:latest", "80/tcp 443/tcp 8080/tcp"),
    ("media:latest", "6800/tcp 6888/tcp 6888/udp"),
    ("metrics:2.48", "9090/tcp"),
    ("node-metrics:1.7", "19100/tcp"),
    ("notes:latest", "22300/tcp"),
    ("packages:latest", "3141/tcp"),
    ("papers:2.1", "8000/tcp"),
    ("registry:latest", "18500/tcp"),
    ("registry-db:15", "18501/tcp"),
    ("shop:latest", "8080/tcp"),
    ("store:16", "5432/tcp"),
    ("store:17-small", "5432/tcp"),
    ("sync:latest", "8025/tcp"),
    ("transfer:latest", "18240/tcp 18240/udp 9000/tcp"),
    ("whoami:latest", "80/tcp"),
];

fn on(suite: &str, name: &str, case: fn(&Host, &Path)) {
    if ready(suite, &["gcc", "ldd", "docker-registry", "skopeo"]) {
        let outside = tempfile::tempdir().unwrap();
        let name = name.split('_').next().unwrap();
        case(&boot_with(Host::builder(suite, name).bind(&repo("tests/folders"), "/srv/folders")), outside.path());
    }
}

/// Returns the files of all folders with this extension.
fn quadlets(extension: &str) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(repo("tests/folders")).sort_by_file_name();
    let all = all.into_iter().map(|entry| entry.unwrap().into_path());
    all.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Returns the name of the container that a file describes.
fn container(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let named = text.lines().find_map(|line| line.strip_prefix("ContainerName="));
    named.map_or_else(|| stem(path), str::to_owned)
}

fn folders_of_quadlet_files_run_as_they_are(host: &Host, outside: &Path) {
    serve(host, outside, &IMAGES, &["wget", "store_ready", "cache-server", "node"]);
    lan::tools(host);
    host.ok("cd /srv/folders && for folder in *; do cp -r $folder/. /; done");
    let report = host.ok("sdme-gen check 2>&1");
    // ExecStartPre= creates the missing files; the output of all containers goes to the journal.
    let expected = ["there is no /", "cannot read /root/files/.env", "has no effect here"];
    let is_expected = |line: &str| line.contains(": warning: ") && expected.iter().any(|text| line.contains(text));
    assert!(report.lines().all(is_expected), "{report}");
    let (pods, containers) = (quadlets("pod"), quadlets("container"));
    let text = |path: &PathBuf| fs::read_to_string(path).unwrap();
    let mut units: Vec<String> = pods.iter().map(|pod| format!("sdme-pod@{}.target", stem(pod))).collect();
    let alone = containers.iter().filter(|file| !text(file).lines().any(|line| line.starts_with("Pod=")));
    units.extend(alone.map(|file| format!("systemd-nspawn@{}.service", container(file))));
    host.ok("systemctl daemon-reload");
    let started = host.run_for(&format!("systemctl start {}", units.join(" ")), std::time::Duration::from_secs(300));
    let journal = || host.ok("journalctl -b --no-pager -o short-monotonic | tail -n 150");
    assert!(
        started.success(),
        "{started}\n{}\n{}",
        host.run("systemctl status --failed --no-pager --lines=30").stdout,
        journal()
    );

    let mut count = 0;
    for file in pods.iter().chain(&containers) {
        for port in published(&text(file)) {
            let (name, inner) = answer(host, &port);
            assert_eq!(inner, port.2, "{}: {name}", file.display());
            count += 1;
        }
    }
    assert_eq!(count, 18);
    // Services in the network of the host publish no ports.
    for port in [18500, 18501] {
        assert!(host.wait_http(&format!("http://127.0.0.1:{port}/"), 10).contains("registry"));
    }
    // Containers reach each other by the names that the folders use.
    let reached = [
        ("shop", "localhost:5432", "store"),
        ("notes-server", "notes-db:5432", "store"),
        ("papers", "papers-db:5432", "store"),
        ("papers", "papers-cache:6379", "cache"),
        ("gateway", "whoami:80", "whoami"),
        ("gateway", "packages:3141", "packages"),
        ("sync", "systemd-sync-db:5432", "store"),
    ];
    for (container, at, name) in reached {
        let asked = host.ok(&format!("sdme-gen exec {container} -- wget http://{at}/ </dev/null"));
        assert!(asked.lines().last().unwrap_or_default().starts_with(name), "{container} {at}: {asked}");
    }
    // Variables of files, of [Service] and of systemd.
    let environment = |container: &str| host.ok(&format!("sdme-gen exec {container} -- sh -c 'export' </dev/null"));
    assert!(environment("notes-db").contains("STORE_PASSWORD='secret'"));
    assert!(environment("notes-server").contains("APP_BASE_URL='http://notes.example.org'"));
    // As in podman, quotes are part of a value.
    assert!(environment("papers-db").contains("STORE_PASSWORD='\"secret words\"'"));
    assert!(environment("media").contains("PUID='0'"));
    assert!(environment("sync").contains("DATABASE_PASSWORD='secret'"));
    // Nothing has failed or was restarted in the meantime.
    let all = containers.iter().map(|file| container(file)).filter(|name| name != "sync-migrate");
    for name in all {
        let state =
            host.ok(&format!("for p in ActiveState NRestarts; do systemctl show -P $p systemd-nspawn@{name}; done"));
        assert_eq!(state.split_whitespace().collect::<Vec<_>>(), ["active", "0"], "{name}\n{}", journal());
    }
    assert_eq!(host.ok("systemctl list-units --failed --no-legend --plain 'systemd-nspawn@*' 'sdme-*'"), "");
    host.ok(&format!("systemctl stop {}", units.join(" ")));
    host.wait("! systemctl --no-legend --plain list-units --state=active 'systemd-nspawn@*' 'sdme-pod@*' | grep .", 30);
}
