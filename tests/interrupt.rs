// SPDX-License-Identifier: MIT
//! Imports that are killed, that run at the same time, and that run out of disk space: the previous
//! version stays and starts, and nothing is left over. Also a prune while a container is being
//! prepared.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use sdme_gen::image::Store;
use sdme_gen::rootdir::tree::proc_path;
use support::containers::{boot, ready};
use support::host::Host;
use support::require;

const FILES: usize = 100;
const SIZE: usize = 20_000;

/// A program that writes the version of its image to `/seen/version`, and then waits.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
  char line[16];
  FILE *from = fopen("/dir-0/file-0", "r"), *to = fopen("/seen/new", "w");
  if (!from || !to || !fgets(line, sizeof line, from) || fputs(line, to) < 0 || fclose(to)) return 1;
  if (rename("/seen/new", "/seen/version")) return 2;
  return pause();
}
"#;

/// A host whose image `x` is an application with that program. The test imports it from an archive
/// with `--root`.
struct Application {
    dir: tempfile::TempDir,
    host: Host,
}

impl Application {
    fn boot(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("program.c"), PROGRAM).unwrap();
        let gcc = Command::new("gcc").current_dir(dir.path()).args(["-static", "-o", "program", "program.c"]).output();
        succeeds(&gcc.unwrap());
        let host = boot("trixie", name);
        let image = format!("[Image]\nImage=oci-archive:{}\nMode=app\n", dir.path().join("x.tar").display());
        host.write("/etc/sdme/x.image", image);
        let container = "[Unit]\nStartLimitIntervalSec=0\n[Container]\nImage=x.image\nExec=/program\n\
                         Volume=/srv/seen:/seen\n";
        host.write("/etc/sdme/x.container", container);
        host.ok("mkdir /srv/seen && systemctl daemon-reload");
        Self { dir, host }
    }

    /// The value of `--root`: the host's own `/var` is below it.
    fn root(&self) -> &Path {
        self.host.directory()
    }

    /// The command that imports this version.
    fn import(&self, version: usize) -> Command {
        let path = self.dir.path().join("x.tar");
        archive(&path, version, FILES, Some(&self.dir.path().join("program")));
        command(self.root(), &path)
    }

    /// The version that runs after `systemctl VERB`.
    fn version_after(&self, verb: &str) -> usize {
        let seen = "until [ -s /srv/seen/version ]; do sleep 0.01; done; cat /srv/seen/version";
        let output = self.host.ok(&format!("rm -f /srv/seen/version; systemctl {verb} systemd-nspawn@x; {seen}"));
        output.trim().parse().unwrap()
    }
}

/// Writes an archive of an image whose files all contain the number of the version. It has three
/// layers: a file that is the same in each version, half of the files, and the other half with a
/// whiteout for a file of the second layer.
fn archive(path: &Path, version: usize, files: usize, program: Option<&Path>) {
    let content = format!("{version:09}\n").repeat(SIZE / 10);
    let add = |builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    };
    let mut layers = [(); 3].map(|()| tar::Builder::new(Vec::new()));
    let [same, first, second] = &mut layers;
    add(same, "same", &"same\n".repeat(SIZE));
    if let Some(program) = program {
        same.append_path_with_name(program, "program").unwrap();
    }
    for number in 0..files {
        let layer = if number % 2 == 0 { &mut *first } else { &mut *second };
        add(layer, &format!("dir-{}/file-{number}", number % 10), &content);
    }
    add(first, "dir-0/gone", "");
    add(second, "dir-0/.wh.gone", "");
    let layers = layers.map(|builder| builder.into_inner().unwrap());
    let directory = tempfile::tempdir().unwrap();
    support::layout::layout(directory.path(), &layers);
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    builder.append_dir_all(".", directory.path()).unwrap();
    builder.into_inner().unwrap();
}

fn command(root: &Path, archive: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sdme-gen"));
    command.args(["fs", "import", "x", &format!("oci-archive:{}", archive.display()), "--app", "--force", "--root"]);
    command.arg(root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The version of the imported image. All of its files must be complete and of the same version.
fn version(root: &Path) -> usize {
    let found = Store::open(root).lookup("x").unwrap().unwrap();
    assert_eq!(found.below.len(), 2);
    let tree = found.root().unwrap();
    let at = |path: &str| proc_path(tree.root()).join(path);
    assert!(!at("dir-0/gone").exists() && fs::read_to_string(at("same")).unwrap().len() == 5 * SIZE);
    let mut versions = Vec::new();
    for number in 0..FILES {
        let path = at(&format!("dir-{}/file-{number}", number % 10));
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content.len(), SIZE, "{}", path.display());
        versions.push(content.lines().next().unwrap().parse().unwrap());
    }
    versions.dedup();
    assert_eq!(versions.len(), 1);
    versions.pop().unwrap()
}

/// Checks that the store, the links and the configuration have no temporary or unknown files.
fn clean(root: &Path) {
    let names = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    let base = root.join("var/lib/sdme");
    for name in names(base.join("store")).chain(names(base.join("fs"))).chain(names(root.join("etc/sdme"))) {
        let name = name.to_str().unwrap();
        assert!([".locks", "x"].contains(&name) || name.starts_with("x."), "{name}");
        assert!(!name.ends_with(".new"), "{name}");
    }
    for name in names(base.join("layers")) {
        assert!(name.len() == 32, "{}", name.display());
    }
}

#[test]
fn imports_killed_at_a_hundred_moments_leave_a_whole_version() {
    if !ready("trixie", &["gcc"]) {
        return;
    }
    let x = Application::boot("killed");
    let begun = Instant::now();
    succeeds(&x.import(0).output().unwrap());
    let whole = begun.elapsed();
    assert_eq!(x.version_after("start"), 0);
    let (mut current, mut changed) = (0, 0);
    for round in 1..=100 {
        let mut child = x.import(round).spawn().unwrap();
        // The import is killed after a random time.
        let random = RandomState::new().build_hasher().finish();
        std::thread::sleep(whole.mul_f64(f64::from(u32::try_from(random % 1000).unwrap()) / 900.0));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = version(x.root());
        assert!(found == current || found == round, "{found} after {current} and {round}");
        assert_eq!(x.version_after("restart"), found);
        changed += usize::from(found != current);
        current = found;
        if round % 10 == 0 {
            succeeds(&x.import(round).output().unwrap());
            assert_eq!(version(x.root()), round);
            current = round;
            clean(x.root());
            // `prune` removes the unused versions, but not the one that runs.
            x.host.ok("sdme-gen prune");
            assert_eq!(version(x.root()), round);
        }
    }
    eprintln!("{changed} of 100 imports were done before they were killed; one takes {} ms", whole.as_millis());
}

/// Replaces the link of the image, as the last step of an import does.
fn link(root: &Path, entry: &Path) {
    let fs = root.join("var/lib/sdme/fs");
    symlink(entry, fs.join(".x.new")).unwrap();
    fs::rename(fs.join(".x.new"), fs.join("x")).unwrap();
}

/// Prepare first reads which version an image has, then the record of that version, and then makes
/// the link that protects the version from `prune`. Here the record is a named pipe, so prepare
/// waits in between; at that moment the image gets another version, and `prune` runs.
#[test]
fn a_version_being_prepared_is_not_pruned() {
    if !ready("trixie", &["gcc"]) {
        return;
    }
    let x = Application::boot("pruned");
    let (host, root) = (&x.host, x.root());
    let entries = [1, 2].map(|version| {
        succeeds(&x.import(version).output().unwrap());
        fs::read_link(root.join("var/lib/sdme/fs/x")).unwrap()
    });
    let [old, new] = entries.each_ref().map(|entry| root.join("var/lib/sdme/fs").join(entry));
    link(root, &entries[0]);
    let (record, kept, pipe) = (old.join("image.json"), old.join("kept"), old.join("pipe"));
    let text = fs::read(&record).unwrap();
    fs::rename(&record, &kept).unwrap();
    mkfifo(&record, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let guard = root.join("var/lib/sdme/store/.locks/.store");
    let free = || Flock::lock(fs::File::open(&guard).unwrap(), FlockArg::LockExclusiveNonblock).is_ok();
    let deadline = Instant::now() + Duration::from_secs(30);
    let in_time = || assert!(Instant::now() < deadline, "{}", host.run("journalctl -b -n 30").stdout);

    host.ok("systemctl start --no-block systemd-nspawn@x");
    let mut writer = loop {
        in_time();
        // Opening succeeds as soon as another process reads; that process then waits for the test
        // to write.
        let opened = fs::OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&record);
        let Ok(mut writer) = opened else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        if !free() {
            break writer;
        }
        // This reader is the pull or the configuration loader, not prepare. The next reader gets
        // another pipe.
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        fs::rename(&pipe, &record).unwrap();
        writer.write_all(&text).unwrap();
    };
    fs::rename(&kept, &record).unwrap();
    link(root, &entries[1]);
    host.ok("systemd-run -q --unit=prune sdme-gen prune");
    let inode = format!(":{} 0 EOF", fs::metadata(&guard).unwrap().ino());
    let waits = |line: &str| line.contains("-> FLOCK") && line.ends_with(&inode);
    while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
        assert!(old.exists(), "pruned while it is prepared");
        in_time();
    }
    writer.write_all(&text).unwrap();
    drop(writer);
    assert_eq!(x.version_after("start"), 1);
    host.wait("! systemctl is-active -q prune", 10);
    assert!(old.join("tree/oci/root/dir-1").exists() && new.exists());
    host.ok("systemctl is-active systemd-nspawn@x && test -d /run/sdme/containers/x/app/oci/root/dir-1");

    assert_eq!(x.version_after("restart"), 2);
    host.ok("sdme-gen config set KeepVersions 0 && sdme-gen prune");
    assert!(!old.exists() && new.exists());
}

#[test]
fn four_imports_of_one_image_at_once_succeed() {
    if !require(&["root"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let paths: Vec<PathBuf> = (0..2).map(|number| dir.path().join(format!("{number}.tar"))).collect();
    for (number, path) in paths.iter().enumerate() {
        archive(path, number, FILES, None);
    }
    // The first import writes the configuration file. Therefore all later ones import the same
    // image, with two versions one after the other.
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

/// A small file system that is unmounted when this value is dropped.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_the_previous_version() {
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
    archive(&path, 1, FILES, None);
    succeeds(&command(&root, &path).output().unwrap());
    for round in 2..5 {
        archive(&path, round, FILES * 20, None);
        let output = command(&root, &path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("No space left on device"), "{text}");
        assert_eq!(version(&root), 1);
        clean(&root);
    }
    // A smaller image fits again.
    archive(&path, 5, FILES, None);
    succeeds(&command(&root, &path).output().unwrap());
    assert_eq!(version(&root), 5);
    let deadline = Instant::now() + Duration::from_secs(5);
    drop(mount);
    while fs::read_to_string("/proc/mounts").unwrap().contains(root.to_str().unwrap()) {
        assert!(Instant::now() < deadline, "{} is still mounted", root.display());
    }
}
