// SPDX-License-Identifier: MIT
//! Tier 1: `systemd-analyze verify` and the parser of systemd-nspawn report nothing about the
//! output of any fixture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fixtures;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use fixtures::{Fixture, fixtures};
use sdme_gen::output::tree::{Node, Place};

/// Runs a script in the tree of Debian 13, which has the oldest supported systemd. An overlay adds
/// the installed files. The script has its own namespaces.
fn on_debian(stage: &Path, script: &str) -> (bool, String) {
    let tree = support::cache().join("trixie");
    let mounts = format!(
        "mount -t overlay overlay -o lowerdir={}:{} /mnt && mount --bind /tmp /mnt/tmp && mount -t proc proc /mnt/proc && \
         mount -t tmpfs tmpfs /mnt/run && exec chroot /mnt sh -c \"$0\"",
        stage.display(),
        tree.display()
    );
    let arguments = ["--mount", "--pid", "--fork", "sh", "-c", &mounts, script];
    let out = Command::new("unshare").args(arguments).output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
}

/// Runs a script with an overlay that adds the installed files to `/usr`. The script has its own
/// namespaces.
fn installed(stage: &Path, script: &str) -> (bool, String) {
    let overlay = format!("mount -t overlay overlay -o lowerdir={}/usr:/usr /usr && {script}", stage.display());
    let out = Command::new("unshare").args(["--map-root-user", "--mount", "sh", "-c", &overlay]).output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
}

/// Installs the files of the package below `stage`.
fn install(stage: &Path) {
    let programs = Path::new(env!("CARGO_BIN_EXE_sdme-gen")).parent().unwrap();
    let out = Command::new("make")
        .arg("install")
        .arg(format!("DESTDIR={}", stage.display()))
        .arg(format!("PROGRAM={}", env!("CARGO_BIN_EXE_sdme-gen")))
        .arg(format!("STATIC={}", programs.display()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn write(tree: &sdme_gen::output::tree::Tree, place: &Place, directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for (path, node) in tree.below(place) {
        // systemd-analyze takes the text after a colon for another name of the unit; it gets the
        // name without the colon.
        let plain = path.replace(':', "_");
        for path in BTreeSet::from([path, &plain]) {
            let full = directory.join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            match node {
                Node::File(content) | Node::Private(content) => fs::write(full, content).unwrap(),
                Node::Link(target) => std::os::unix::fs::symlink(target, full).unwrap(),
                Node::Opaque => {}
            }
        }
        files.push(plain);
    }
    files
}

/// The units that the drop-ins and unit files of a fixture belong to.
fn units(files: &[String]) -> Vec<String> {
    let mut names: Vec<String> = files
        .iter()
        .filter_map(|f| match f.split_once(".d/") {
            Some((unit, _)) => Some(unit.to_owned()),
            None if f.contains('/') => None,
            None => Some(f.clone()),
        })
        .collect();
    names.dedup();
    names
}

#[test]
fn systemd_analyze_reports_nothing_about_any_fixture() {
    if !support::require(&["root", "tree:trixie"]) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let stage = work.path().join("stage");
    install(&stage);
    for fixture in fixtures() {
        let directory = work.path().join(&fixture.name);
        let compiled = sdme_gen::compile(&fixture.sources(), &fixture.facts());
        let names = units(&write(&compiled.tree, &Place::Units, &directory));
        assert!(!names.is_empty(), "{}", fixture.name);
        // Without this option, systemd-analyze also checks dependencies such as db.service, which
        // are not installed here.
        let quoted = names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(" ");
        for recursive in ["", "--recursive-errors=no"] {
            let verify = format!(
                "SYSTEMD_UNIT_PATH='{}:' systemd-analyze verify --man=no {recursive} {quoted}",
                directory.display()
            );
            let (success, output) = on_debian(&stage, &verify);
            assert!(success && output.is_empty(), "{} {recursive}: {output}", fixture.name);
        }
    }
}

/// systemd runs the generator with three directories and the variables of systemd.generator(7).
#[test]
fn the_generator_runs_under_systemd() {
    if !support::require(&["root", "systemd-nspawn", "systemd-analyze"]) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let stage = work.path().join("stage");
    install(&stage);
    let fixture = fixtures().into_iter().find(|f| f.name.starts_with("02-")).unwrap();
    let script = format!(
        "mkdir -p /dev/shm/sdme-empty; SDME_UNIT_DIRS='{}' SYSTEMD_GENERATOR_PATH={}/usr/lib/systemd/system-generators \
         systemd-analyze verify --man=no --generators=yes --recursive-errors=no systemd-nspawn@web.service; \
         rmdir /dev/shm/sdme-empty",
        fixture.unit_dirs(),
        stage.display()
    );
    let (success, output) = installed(&stage, &script);
    // The test machine may have a systemd before version 255, which does not know these keys.
    let newer = ["DelegateSubgroup", "CoredumpReceive"].map(|key| format!("Unknown key '{key}'"));
    let wrong: Vec<&str> = output.lines().filter(|line| !newer.iter().any(|key| line.contains(key))).collect();
    assert!(success && wrong.is_empty(), "{output}");
}

/// systemd-nspawn parses its settings before it looks at the root, which is no operating system
/// here.
#[test]
fn systemd_nspawn_accepts_every_setting() {
    if !support::require(&["root", "systemd-nspawn"]) {
        return;
    }
    let parse = |name: &str, text: &str| {
        let work = tempfile::tempdir().unwrap();
        let root = work.path().join(name);
        fs::create_dir(&root).unwrap();
        fs::write(work.path().join(format!("{name}.nspawn")), text).unwrap();
        let out = Command::new("systemd-nspawn")
            .args(["--settings=trusted", "--quiet", "--directory"])
            .arg(&root)
            .env("SYSTEMD_LOG_LEVEL", "info")
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let complains = |message: &str| message.contains(".nspawn:");
    assert!(complains(&parse("wrong", "[Exec]\nBoot=yes\nNoSuchKey=1\n")), "the check itself does not work");
    let mut seen = 0;
    for Fixture { name, .. } in &fixtures() {
        let fixture = fixtures().into_iter().find(|f| f.name == *name).unwrap();
        let tree = sdme_gen::compile(&fixture.sources(), &fixture.facts()).tree;
        for (path, node) in tree.below(&Place::Settings) {
            let Node::File(content) = node else { panic!("{path}") };
            let message = parse(path.strip_suffix(".nspawn").unwrap(), content);
            assert!(!complains(&message), "{name}: {path}: {message}");
            assert!(message.contains("doesn't look like"), "{name}: nspawn did not get as far: {message}");
            seen += 1;
        }
    }
    assert!(seen > 10);
}
