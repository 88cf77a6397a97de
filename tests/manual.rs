// SPDX-License-Identifier: MIT
//! The documentation as its reader would follow it: on a Debian 13 host, every file it shows is written and every command it
//! names is run, in order, page by page. A block `ini` whose first line is a path is that file; blocks `sh` are commands for the
//! host, blocks `bash` are for where the software is built. The registry the pages pull from is on the host itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::containers::{boot, ready};
use support::host::Host;
use support::{image, repo};

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

/// A registry that has the images the pages pull, in place of docker.io.
fn registry(host: &Host) {
    let outside = host.directory().join("upper/srv");
    let file = "/srv/registry.yml";
    host.write(
        file,
        format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}/registry\nhttp:\n  addr: 127.0.0.1:5000\n",
            outside.display()
        ),
    );
    // It ends with the host.
    drop(host.spawn_outside("docker-registry", &["serve", outside.join("registry.yml").to_str().unwrap()]));
    host.wait("bash -c '</dev/tcp/127.0.0.1/5000'", 10);
    let images =
        [("nginx", "latest", "nginx:1.27"), ("base", "latest", "debian:13"), ("databases", "mariadb", "mariadb:11")];
    for (layout, tag, name) in images {
        let mut skopeo = host.outside("skopeo");
        skopeo.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
        skopeo.arg(format!("oci:{}:{tag}", image(layout).display()));
        success(skopeo.arg(format!("docker://127.0.0.1:5000/library/{name}")));
    }
}

const DEFAULTS: &str = "[Defaults]\nMirror=docker.io 127.0.0.1:5000\n";

#[test]
fn every_page_can_be_followed() {
    let needs = ["docker-registry", "skopeo", "image:databases"];
    if !ready("trixie", &needs) {
        return;
    }
    let host = &boot("trixie", "manual");
    registry(host);
    for page in PAGES {
        host.write("/etc/sdme/sdme.conf", DEFAULTS);
        let mut commands = 0;
        for (language, text) in blocks(page) {
            let path = text.lines().next().and_then(|line| line.strip_prefix("# /"));
            match (language.as_str(), path) {
                ("ini" | "yaml", Some(path)) => host.write(&format!("/{path}"), &text),
                ("sh", _) => {
                    host.ok(&format!("set -eu\n{text}"));
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
}
