// SPDX-License-Identifier: MIT
//! The documentation as its reader would follow it: on a Debian 13 host on which apt has installed our package and nothing else
//! of ours is, every file it shows is written and every command it
//! names is run, in order, page by page. A block `ini` whose first line is a path is that file; blocks `sh` are commands for the
//! host, blocks `bash` are for where the software is built. The registry the pages pull from is on the host itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::containers::ready;
use support::host::Host;
use support::packages::{install, package, with_packages};
use support::{cache, image, repo};

/// Pages with commands for a host, in the order they are followed.
const PAGES: [&str; 10] = [
    "README.md",
    "docs/base-os.md",
    "docs/nginx.md",
    "docs/mysql.md",
    "docs/containers.md",
    "docs/pods.md",
    "docs/commands.md",
    "docs/quadlet.md",
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
fn no_command_is_left_out() {
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

fn success(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A registry that has the images the pages pull, in place of docker.io; its files are in `outside`.
fn registry(host: &Host, outside: &Path) {
    let file = outside.join("registry.yml");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}/registry\nhttp:\n  addr: 127.0.0.1:5000\n",
        outside.display()
    );
    fs::write(&file, text).unwrap();
    // It ends with the host.
    drop(host.spawn_outside("docker-registry", &["serve", file.to_str().unwrap()]));
    host.wait("bash -c '</dev/tcp/127.0.0.1/5000'", 10);
    let images = [
        ("nginx", "latest", "nginx:1.27"),
        ("base", "latest", "debian:13"),
        ("databases", "mariadb", "mariadb:11"),
        ("databases", "redis", "redis:7"),
    ];
    for (layout, tag, name) in images {
        let mut skopeo = host.outside("skopeo");
        skopeo.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
        skopeo.arg(format!("oci:{}:{tag}", image(layout).display()));
        success(skopeo.arg(format!("docker://127.0.0.1:5000/library/{name}")));
    }
}

/// What is true after the block of a page with a line that begins like this; the page says so in words. Sections of the manual
/// that this is about: base operating systems, nginx, a database, pods, applications in pods, groups, presets, user namespaces,
/// defaults.
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
    ("docs/pods.md", "sdme-gen pod new tier", "sdme-gen ps --json | grep -c running | grep -x 5"),
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
    // CAP_NET_RAW is bit 13, CAP_MKNOD 27: neither is left of Docker's 14 in a strict container.
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

/// Runs a block, and looks at what its page says about the end.
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
    let package = package("deb", "0.1.0");
    // Owners cannot be mapped on an overlay.
    let host =
        &with_packages(Host::builder("trixie", "manual").copy()).bind(&cache().join("images"), "/srv/images").boot();
    let outside = tempfile::tempdir().unwrap();
    registry(host, outside.path());
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
        // Each page begins with an empty machine, but for images.
        host.ok("systemctl stop 'systemd-nspawn@*' 'sdme-pod@*' 'sdme-publish-*'
            rm -rf /etc/sdme/*.container /etc/sdme/*.pod /etc/sdme/*.d /var/lib/sdme/containers/* && systemctl daemon-reload");
    }
    let missing: Vec<_> = ENDS.iter().enumerate().filter(|(index, _)| !seen.contains(index)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
