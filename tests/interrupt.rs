// SPDX-License-Identifier: MIT
//! Imports that are killed, that meet, and that run out of disk: what was there before stays, and nothing is left over.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sdme_gen::image::Store;
use support::require;

const FILES: usize = 100;
const SIZE: usize = 20_000;

/// An archive of files that all say which version it is.
fn archive(path: &Path, version: usize, files: usize) {
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    let content = format!("{version:09}\n").repeat(SIZE / 10);
    for number in 0..files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, format!("dir-{}/file-{number}", number % 10), content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap();
}

fn command(root: &Path, archive: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sdme-gen"));
    command.args(["fs", "import", "x", &format!("rootfs:{}", archive.display()), "--app", "--force", "--root"]);
    command.arg(root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The version of what is there, which must be whole.
fn version(root: &Path) -> usize {
    let found = Store::open(root).lookup("x").unwrap().unwrap();
    let mut versions = Vec::new();
    for number in 0..FILES {
        let path = found.tree.join(format!("oci/root/dir-{}/file-{number}", number % 10));
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content.len(), SIZE, "{}", path.display());
        versions.push(content.lines().next().unwrap().parse().unwrap());
    }
    versions.dedup();
    assert_eq!(versions.len(), 1);
    versions.pop().unwrap()
}

/// Nothing but what belongs there.
fn clean(root: &Path) {
    let names = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    let base = root.join("var/lib/sdme");
    for name in names(base.join("store")).chain(names(base.join("fs"))).chain(names(root.join("etc/sdme"))) {
        let name = name.to_str().unwrap();
        assert!([".locks", "x"].contains(&name) || name.starts_with("x."), "{name}");
        assert!(!name.ends_with(".new"), "{name}");
    }
}

#[test]
fn killed_at_a_hundred_moments() {
    if !require(&["root"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let path = dir.path().join("x.tar");
    archive(&path, 0, FILES);
    let begun = Instant::now();
    succeeds(&command(&root, &path).output().unwrap());
    let whole = begun.elapsed();
    let (mut current, mut changed) = (0, 0);
    for round in 1..=100 {
        archive(&path, round, FILES);
        let mut child = command(&root, &path).spawn().unwrap();
        // A number that is another one each time.
        let random = RandomState::new().build_hasher().finish();
        std::thread::sleep(whole.mul_f64(f64::from(u32::try_from(random % 1000).unwrap()) / 900.0));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = version(&root);
        assert!(found == current || found == round, "{found} after {current} and {round}");
        changed += usize::from(found != current);
        current = found;
        if round % 10 == 0 {
            succeeds(&command(&root, &path).output().unwrap());
            assert_eq!(version(&root), round);
            current = round;
            clean(&root);
            let prune = Command::new(env!("CARGO_BIN_EXE_sdme-gen")).args(["prune", "--root"]).arg(&root).output();
            succeeds(&prune.unwrap());
            assert_eq!(version(&root), round);
        }
    }
    eprintln!("{changed} of 100 imports were done before they were killed; one takes {} ms", whole.as_millis());
}

#[test]
fn several_processes_at_once() {
    if !require(&["root"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let paths: Vec<PathBuf> = (0..2).map(|number| dir.path().join(format!("{number}.tar"))).collect();
    for (number, path) in paths.iter().enumerate() {
        archive(path, number, FILES);
    }
    // The file is written first, so that all are about the same image, one after the other of two versions.
    succeeds(&command(&root, paths.first().unwrap()).output().unwrap());
    fs::copy(paths.last().unwrap(), dir.path().join("new.tar")).unwrap();
    fs::rename(dir.path().join("new.tar"), paths.first().unwrap()).unwrap();
    let children: Vec<_> = (0..4).map(|_| command(&root, paths.first().unwrap()).spawn().unwrap()).collect();
    for child in children {
        succeeds(&child.wait_with_output().unwrap());
    }
    assert_eq!(version(&root), 1);
    clean(&root);
    assert_eq!(fs::read_dir(root.join("var/lib/sdme/store")).unwrap().count(), 3, "two versions and the locks");
}

/// A small file system, unmounted with the value.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk() {
    if !require(&["root", "mkfs.ext4", "mount"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (image, root) = (dir.path().join("disk"), dir.path().join("root"));
    fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    fs::create_dir(&root).unwrap();
    succeeds(&Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal"]).arg(&image).output().unwrap());
    let output = Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&root).output().unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        assert!(std::env::var_os("SDME_TEST_REQUIRE").is_none(), "a_full_disk: {why}");
        eprintln!("SKIP a_full_disk: {why}");
        return;
    }
    let mount = Mount(root.clone());
    let path = dir.path().join("x.tar");
    archive(&path, 1, FILES);
    succeeds(&command(&root, &path).output().unwrap());
    for round in 2..5 {
        archive(&path, round, FILES * 20);
        let output = command(&root, &path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("No space left on device"), "{text}");
        assert_eq!(version(&root), 1);
        clean(&root);
    }
    // There is room again.
    archive(&path, 5, FILES);
    succeeds(&command(&root, &path).output().unwrap());
    assert_eq!(version(&root), 5);
    let deadline = Instant::now() + Duration::from_secs(5);
    drop(mount);
    while fs::read_to_string("/proc/mounts").unwrap().contains(root.to_str().unwrap()) {
        assert!(Instant::now() < deadline, "{} is still mounted", root.display());
    }
}
