// SPDX-License-Identifier: MIT
//! Follows the documentation as its reader would. On a Debian 13 host on which apt has installed
//! the sdme-gen package and nothing else of the project, every file that the pages show is written,
//! and every command that they name is run, in order, page by page. A block `ini` or `yaml` whose
//! first line is `# PATH` is that file; blocks `sh` are commands for the host; blocks `bash` are
//! commands for the machine that builds the software and are not run. The registry that the pages
//! pull from runs on the host itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::containers::ready;
use support::host::Host;
use support::packages::{install, package, with_packages};
use support::{cache, image, registry, repo};

/// Pages with commands for a host, in the order in which the test follows them.
const PAGES: [&str; 17] = [
    "README.md",
    "docs/base-os.md",
    "docs/nginx.md",
    "docs/mysql.md",
    "docs/containers.md",
    "docs/pods.md",
    "docs/commands.md",
    "docs/quadlet.md",
    "docs/compose.md",
    "docs/kubernetes.md",
    "docs/not-starting.md",
    "docs/units.md",
    "docs/backup.md",
    "docs/upgrading.md",
    "docs/many.md",
    "docs/image-builders.md",
    "docs/security.md",
];

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(repo(page)).unwrap();
    let mut out: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => {
                out.push((language.to_owned(), String::new()));
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = &mut out.last_mut().unwrap().1;
                block.push_str(line);
                block.push('\n');
            }
            (None, false) => {
                assert!(!line.starts_with("    "), "{page}: a block that is not fenced, and so not run: {line}");
            }
        }
    }
    assert!(!open, "{page}: a block that does not end");
    out
}

fn pages() -> Vec<String> {
    let names = |directory: &str| {
        let entries = fs::read_dir(repo(directory)).unwrap().map(|e| e.unwrap().path());
        entries.filter(|p| p.extension().is_some_and(|e| e == "md")).collect::<Vec<PathBuf>>()
    };
    let name = |path: PathBuf| path.strip_prefix(repo("")).unwrap().display().to_string();
    names("docs").into_iter().map(name).chain(["README.md".to_owned()]).collect()
}

#[test]
fn every_page_with_commands_is_followed() {
    let makefile = fs::read_to_string(repo("Makefile")).unwrap();
    for page in pages() {
        for (language, text) in blocks(&page) {
            match language.as_str() {
                "sh" => assert!(PAGES.contains(&page.as_str()), "{page} has commands and is not followed"),
                "bash" => {
                    let make = text.lines().filter_map(|line| line.trim_start_matches("sudo ").strip_prefix("make "));
                    for target in make.filter_map(|words| words.split(' ').next()) {
                        let rule = makefile.lines().any(|line| {
                            line.split(':').next().is_some_and(|names| names.split(' ').any(|name| name == target))
                        });
                        assert!(rule, "{page}: make {target}");
                    }
                }
                "" | "ini" | "yaml" => {}
                other => panic!("{page}: a block of {other:?}, which is none of sh, bash, ini and yaml"),
            }
        }
    }
}

/// Starts a registry with these images (layout, tag in the layout, name) in place of docker.io. Its
/// files are in `outside`.
fn registry_with(host: &Host, outside: &Path, images: &[(&str, &str, &str)]) {
    drop(registry::serve(host, outside));
    for (layout, tag, name) in images {
        registry::push(host, &image(layout), tag, &format!("library/{name}"));
    }
}

/// The images that the pages pull.
const IMAGES: [(&str, &str, &str); 5] = [
    ("nginx", "latest", "nginx:1.27"),
    ("nginx", "latest", "nginx:1.28"),
    ("base", "latest", "debian:13"),
    ("databases", "mariadb", "mariadb:11"),
    ("databases", "redis", "redis:7"),
];

/// A page, the beginning of a line in one of its blocks, and a command that must succeed after that
/// block, because the page says so in words. The checks cover base operating systems, nginx, a
/// database, pods, applications in pods, groups, presets, user namespaces, and defaults.
const ENDS: [(&str, &str, &str); 17] = [
    (
        "docs/base-os.md",
        "sdme-gen fs import",
        "sdme-gen fs ls | grep ^debian && systemctl is-active systemd-nspawn@box",
    ),
    (
        "docs/base-os.md",
        "machinectl list",
        "systemd-run -M box --wait --pipe -q cat /etc/os-release | grep 'VERSION_ID=\"13\"'",
    ),
    (
        "docs/base-os.md",
        "systemd-run -M box --wait --quiet touch",
        "sdme-gen diff box | grep -x 'A /srv/mine' && ! machinectl show debian | grep -q State=no",
    ),
    (
        "docs/base-os.md",
        "sdme-gen rm",
        "! machinectl show box && ! sdme-gen fs ls | grep ^debian && test ! -e /etc/sdme/debian.image",
    ),
    ("docs/nginx.md", "sed -i 's/MemoryMax", "systemctl show -P MemoryMax systemd-nspawn@web | grep -x 268435456"),
    ("docs/nginx.md", "sed -i 's/8080", "! curl -fsS http://localhost:8080/ && curl -fsS http://localhost:8081/"),
    ("docs/mysql.md", "systemctl restart", "test -d /var/lib/sdme/volumes/shop/mysql"),
    ("docs/pods.md", "sdme-gen pod new tier", "sdme-gen ps --format '{{.State}}' | grep -cx running | grep -x 5"),
    ("docs/pods.md", "systemctl stop sdme-pod@tier.service", "! test -e /etc/sdme/tier.pod && ! machinectl show front"),
    (
        "docs/security.md",
        "sdme-gen new --detach web",
        "sdme-gen exec web -- cat /proc/self/uid_map | awk '{exit !($2 >= 524288 && $3 == 65536)}'",
    ),
    (
        "docs/security.md",
        "sdme-gen new --detach web",
        "sdme-gen exec web -- cat /proc/self/status | grep -P '^NoNewPrivs:\\t1$'",
    ),
    // CAP_NET_RAW is bit 13, CAP_MKNOD bit 27: a strict container has neither of these two of
    // Docker's 14 capabilities.
    (
        "docs/security.md",
        "sdme-gen new --detach vault",
        "sdme-gen exec vault -- cat /proc/self/status | grep -P '^CapBnd:\\t00000000a00401fb$'",
    ),
    (
        "docs/security.md",
        "sdme-gen new --detach vault",
        "sdme-gen exec vault -- cat /proc/self/status | grep -P '^Seccomp:\\t2$'",
    ),
    (
        "docs/security.md",
        "sdme-gen fs import",
        "systemd-run -M box --wait --pipe -q grep -P '^NoNewPrivs:\\t1$' /proc/self/status",
    ),
    (
        "docs/security.md",
        "sdme-gen fs import",
        "a=$(cut -d: -f1 <(grep -h ^PrivateUsers= /run/systemd/nspawn/{box,apart}.nspawn) | sort -u | wc -l) && test $a = 2",
    ),
    ("docs/commands.md", "sdme-gen config set CacheSize 5G", "! grep CacheSize /etc/sdme/sdme.conf"),
    ("docs/commands.md", "sdme-gen fs import", "! sdme-gen config get BaseFs && ! machinectl show based"),
];

/// Runs a block, and then the checks of [`ENDS`] for it.
fn follow(host: &Host, page: &str, text: &str, seen: &mut Vec<usize>) {
    host.ok(&format!("set -eu\n{text}"));
    for (index, (_, line, check)) in ENDS.iter().enumerate().filter(|(_, (of, ..))| *of == page) {
        if text.lines().any(|command| command.starts_with(line)) {
            host.ok(check);
            seen.push(index);
        }
    }
}

const DEFAULTS: &str = "[Defaults]\nMirror=docker.io 127.0.0.1:5000\n";

#[test]
fn every_page_can_be_followed() {
    let needs = ["docker-registry", "skopeo", "dpkg-buildpackage", "image:databases"];
    if !ready("trixie", &needs) {
        return;
    }
    let package = package("deb", env!("CARGO_PKG_VERSION"));
    // The kernel cannot map owners on an overlay, so the host is a copy of the tree.
    let host =
        &with_packages(Host::builder("trixie", "manual").copy()).bind(&cache().join("images"), "/srv/images").boot();
    let outside = tempfile::tempdir().unwrap();
    registry_with(host, outside.path(), &IMAGES);
    host.fails("ls /usr/bin/sdme-gen /etc/sdme");
    install(host, &package);
    let mut seen = Vec::new();
    for page in PAGES {
        host.write("/etc/sdme/sdme.conf", DEFAULTS);
        let mut commands = 0;
        for (language, text) in blocks(page) {
            let path = text.lines().next().and_then(|line| line.strip_prefix("# /"));
            match (language.as_str(), path) {
                ("ini" | "yaml", Some(path)) => host.write(&format!("/{path}"), &text),
                ("sh", _) => {
                    follow(host, page, &text, &mut seen);
                    commands += text.lines().count();
                }
                _ => {}
            }
        }
        assert!(commands > 0, "{page}");
        // Each page begins on a host without configuration, but with the images.
        host.ok("systemctl stop 'systemd-nspawn@*' 'sdme-pod@*' 'sdme-publish-*'
            rm -rf /etc/sdme/*.container /etc/sdme/*.pod /etc/sdme/*.d /var/lib/sdme/containers/* && systemctl daemon-reload");
    }
    let missing: Vec<_> = ENDS.iter().enumerate().filter(|(index, _)| !seen.contains(index)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

on_every_suite!(the_manual_of_sdme_holds_word_for_word);

fn on(suite: &str, _: &str, case: fn(&Host)) {
    if !ready(suite, &["docker-registry", "skopeo", "dpkg-buildpackage", "image:databases"]) {
        return;
    }
    let package = package("deb", env!("CARGO_PKG_VERSION"));
    let host = &with_packages(Host::builder(suite, "words")).bind(&cache().join("images"), "/srv/images").boot();
    let outside = tempfile::tempdir().unwrap();
    let images = [
        ("base", "latest", "ubuntu:24.04"),
        ("nginx", "latest", "nginx:latest"),
        ("databases", "mariadb", "mysql:latest"),
        ("databases", "redis", "redis:latest"),
    ];
    registry_with(host, outside.path(), &images);
    install(host, &package);
    host.write("/etc/sdme/sdme.conf", DEFAULTS);
    case(host);
}

/// Runs the commands of the manual of sdme, with `sdme-gen` in place of `sdme` and nothing else
/// changed, and checks the results that the manual promises.
fn the_manual_of_sdme_holds_word_for_word(host: &Host) {
    let inside = |name: &str, command: &str| host.ok(&format!("systemd-run -M {name} --wait --pipe -q {command}"));
    let open = |port: u16| host.wait(&format!("bash -c '</dev/tcp/127.0.0.1/{port}'"), 60);

    // Base operating systems.
    host.ok("sdme-gen fs import ubuntu docker.io/ubuntu:24.04 -v");
    host.ok("sdme-gen new -r ubuntu builder");
    assert!(inside("builder", "cat /etc/os-release").contains("VERSION_ID"));

    // nginx on ubuntu.
    host.ok("sdme-gen fs import nginx docker.io/nginx --base-fs=ubuntu -v");
    assert!(host.read("/etc/sdme/nginx.image").contains("Base=ubuntu.image\n"));
    host.ok("sdme-gen new -r nginx");
    inside("nginx", "systemctl status sdme-oci-app.service");
    assert!(inside("nginx", "cat /etc/os-release /oci/env").contains("PATH="));
    assert_eq!(inside("nginx", "cat /oci/ports"), "80/tcp\n");
    inside("nginx", "test -d /oci/root/etc/nginx");
    assert_eq!(host.wait("curl -s http://localhost", 20), support::containers::WELCOME);
    host.ok("sdme-gen rm -f nginx");

    // MySQL, with a variable added to those of the image.
    host.ok("sdme-gen config set default_base_fs ubuntu");
    assert_eq!(host.ok("sdme-gen config get default_base_fs"), "ubuntu\n");
    host.ok("sdme-gen fs import mysql docker.io/mysql --base-fs=ubuntu -v");
    host.ok("echo 'MARIADB_ROOT_PASSWORD=secret' | tee -a /var/lib/sdme/fs/mysql/oci/env");
    assert_eq!(host.read("/var/lib/sdme/fs/mysql/oci/volumes"), "/var/lib/mysql\n");
    assert_eq!(host.read("/var/lib/sdme/fs/mysql/oci/ports"), "3306/tcp\n");
    host.ok("sdme-gen new -r mysql");
    inside("mysql", "systemctl status sdme-oci-app.service");
    inside("mysql", "grep -x MARIADB_ROOT_PASSWORD=secret /oci/env");
    open(3306);
    assert!(host.ok("sdme-gen exec mysql -- env").contains("MARIADB_ROOT_PASSWORD=secret"));
    host.ok("systemctl stop systemd-nspawn@mysql");

    // A directory of the host instead of the volume.
    host.ok("mkdir /srv/mysql-data && sdme-gen create -r mysql --bind /srv/mysql-data:/oci/root/var/lib/mysql");
    assert!(host.read("/etc/sdme/mysql-2.container").contains("Volume=/srv/mysql-data:/var/lib/mysql\n"));
    host.ok("systemctl start systemd-nspawn@mysql-2");
    open(3306);
    host.wait("test -e /srv/mysql-data/ibdata1", 30);
    host.ok("sdme-gen exec mysql-2 -- test -e /var/lib/mysql/ibdata1 && ! ls -d /var/lib/sdme/volumes/mysql-2@*");
    host.ok("sdme-gen rm -f mysql mysql-2");

    // The kind of an image. The last one is an operating system only because of --oci-mode=base.
    host.ok("sdme-gen fs import cache docker.io/redis --oci-mode=auto -v && sdme-gen fs ls | grep '^cache *app'");
    host.ok("sdme-gen fs import cache2 docker.io/redis --oci-mode=app --base-fs=ubuntu && sdme-gen fs ls | grep '^cache2 *app'");
    host.ok("sdme-gen fs import os docker.io/ubuntu:24.04 --oci-mode=base && sdme-gen fs ls | grep '^os *base'");
    host.fails("sdme-gen fs import other docker.io/ubuntu:24.04 --oci-mode=base --base-fs=ubuntu");

    // Pods: whole containers, applications, and groups.
    host.ok("sdme-gen pod new my-pod
        sdme-gen new --pod=my-pod -r ubuntu db
        sdme-gen new --pod=my-pod -r ubuntu app");
    inside("db", "readlink /proc/self/ns/net");
    assert_eq!(inside("db", "readlink /proc/self/ns/net"), inside("app", "readlink /proc/self/ns/net"));
    host.ok("sdme-gen pod new web-pod && sdme-gen new --oci-pod=web-pod --hardened -r nginx web");
    let page = "nsenter --net=/run/sdme/pods/web-pod/netns curl -s http://localhost";
    assert_eq!(host.wait(page, 20), support::containers::WELCOME);
    host.ok("sdme-gen pod new shared-pod
        sdme-gen new --pod=shared-pod --oci-pod=shared-pod --hardened -r nginx both");
    let list = host.ok("sdme-gen pod ls");
    assert!(["my-pod", "web-pod", "shared-pod"].iter().all(|pod| list.contains(pod)), "{list}");
    assert!(host.fails("sdme-gen pod rm my-pod").contains("db.container"));
    host.ok("sdme-gen rm -f db app && sdme-gen pod rm -f my-pod");

    // Ports, in the syntax of systemd-nspawn.
    host.ok("sdme-gen create -r nginx --private-network --network-veth --port tcp:8080:80");
    let text = host.read("/etc/sdme/nginx.container");
    assert!(text.contains("Network=veth\n") && text.contains("PublishPort=8080:80/tcp\n"), "{text}");
    host.ok("systemctl start systemd-nspawn@nginx && systemctl stop systemd-nspawn@nginx");
    host.ok("sdme-gen config set default_base_fs \"\"");
    host.fails("sdme-gen config get default_base_fs");
}
