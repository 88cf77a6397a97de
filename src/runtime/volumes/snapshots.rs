// SPDX-License-Identifier: MIT
//! Copies of volumes for updates (`UpdateSnapshot=`). Prepare makes them before a container starts
//! on the new version of an image, and restores them if the update fails.
//!
//! Prepare does both, because the container does not run at that time, independent of the reason of
//! the start: a connection to a published port may start a container at any time. Three directories
//! that no container can reach show the state of a copy: `snapshots/.NAME` is incomplete,
//! `snapshots/NAME` is complete, and `restores/NAME` replaces the volume at the next start. Each
//! step is one rename, so that the next start can continue after a power failure between two steps.
//! This module uses only names in the parent directory of the volumes; cp(1) copies the content of
//! a volume while nothing changes it, and copies are removed by descriptors.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{fsync, syncfs};

use crate::announce::{About, Event, record};
use crate::diag::Fault;
use crate::image::Store;
use crate::model::{Container, Facts, Model, What};
use crate::paths::{STATE, machine_root, volume};
use crate::plan;
use crate::rootdir::tree::{self, Tree};
use crate::runtime::prepare::layers::stack;
use crate::runtime::volumes::{lock, private};

const SNAPSHOTS: &str = "snapshots";
const RESTORES: &str = "restores";

/// The message about a file system on which volumes cannot be copied.
#[must_use]
pub fn without_reflinks(error: &dyn Display) -> Fault {
    Fault::new(
        format!("the file system of {STATE}/volumes cannot copy by reflinks ({error:#})"),
        "put that directory on btrfs or xfs, or remove UpdateSnapshot=",
    )
}

/// Tests whether the file system of the volumes supports reflinks, with unnamed files that leave
/// nothing behind.
///
/// # Errors
/// The file system does not support reflinks. If the directory does not exist or unnamed files
/// cannot be made, the test is skipped without an error.
pub fn reflinks() -> io::Result<()> {
    let file = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(nix::libc::O_TMPFILE).open(Path::new(STATE).join("volumes"))
    };
    let (Ok(mut from), Ok(to)) = (file(), file()) else { return Ok(()) };
    from.write_all(&[1; 4096])?;
    // SAFETY: the request takes a descriptor that is open (ioctl_ficlone(2)).
    let copied = unsafe { nix::libc::ioctl(to.as_raw_fd(), nix::libc::FICLONE, from.as_raw_fd()) };
    if copied == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The volumes that a container mounts, as far as `facts` determine them; with `written`, only
/// those that the container can change.
#[must_use]
pub fn volumes(container: &Container, model: &Model, facts: &Facts, written: bool) -> BTreeSet<String> {
    let placed = container.placed(model.stack(container, facts), facts).into_iter().map(|placed| placed.mount);
    let changed = placed.filter(|mount| !written || !mount.options.read_only);
    let names = changed.filter_map(|mount| if let What::Volume(name) = mount.what { Some(name) } else { None });
    names.collect()
}

/// The path of a copy, whether the copy exists or not.
fn place(kind: &str, name: &str) -> PathBuf {
    Path::new(STATE).join("volumes/.state").join(kind).join(name)
}

fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    let synced =
        |path: &Path| path.parent().map_or(Ok(()), |above| -> io::Result<()> { Ok(fsync(File::open(above)?)?) });
    let renamed = fs::rename(from, to).and_then(|()| synced(to)).and_then(|()| synced(from));
    renamed.with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// Removes a copy with its content.
fn remove(kind: &str, name: &str) -> Result<()> {
    let path = place(kind, name);
    if !exists(&path)? {
        return Ok(());
    }
    let removed = Tree::open(&private(kind)?).and_then(|above| tree::remove(above.root(), name.as_bytes()));
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// Before a container starts: restores the copies that a failed update has left, and copies the
/// volumes for which an update asks. Volumes that do not exist yet are skipped.
///
/// # Errors
/// A volume cannot be copied or restored, or another container uses the volume.
pub fn before_start(container: &Container, model: &Model, facts: &Facts, store: &Store) -> Result<()> {
    let asked = asked(container, model, store)?;
    for name in volumes(container, model, facts, false) {
        let due = || -> Result<(bool, bool)> {
            let back = exists(&place(RESTORES, &name))?;
            Ok((back, asked.contains(&name) && !exists(&place(SNAPSHOTS, &name))?))
        };
        if due()? == (false, false) {
            continue;
        }
        let _lock = lock(&name)?;
        // After a power failure, several containers that share a volume start at the same time. One
        // of them may have restored the volume already and use it now.
        let (back, copy) = due()?;
        if !back && !copy {
            continue;
        }
        check_unused(&name, container, model, facts)?;
        if back {
            restore(&name)?;
            let about = About { container: &container.name, ..About::default() };
            record(Event::Restored, about, &format!("the volume {name} is as it was before the update"));
        }
        if copy {
            copy_volume(&name)?;
        }
    }
    Ok(())
}

/// The volumes that a running update wants to have copied before this container starts.
fn asked(container: &Container, model: &Model, store: &Store) -> Result<BTreeSet<String>> {
    let mut asked = BTreeSet::new();
    for image in plan::images(container, model).into_iter().filter_map(|image| model.images.get(image)) {
        let Some(switch) = store.updates(&image.name, &image.source.to_string()).switch else { continue };
        // When an update is rolled back, the former version is linked again.
        if store.lookup(&image.name)?.is_some_and(|linked| linked.entry() == switch.to) {
            asked.extend(switch.volumes);
        }
    }
    Ok(asked)
}

/// Checks that no other running container mounts the volume, because that container could change
/// the volume or keep using the replaced directory.
fn check_unused(name: &str, container: &Container, model: &Model, facts: &Facts) -> Result<()> {
    let mounted = stack::mounted()?;
    let others = model.containers.values().map(|other| &**other).filter(|other| other.name != container.name);
    let runs = |other: &&Container| mounted.contains(&machine_root(&other.name));
    let user = others.filter(runs).find(|other| volumes(other, model, facts, false).contains(name));
    match user {
        Some(Container { name: other, .. }) => bail!(Fault::new(
            format!("the volume {name} cannot be copied or put back for an update while {other} uses it"),
            format!("stop {other} first")
        )),
        None => Ok(()),
    }
}

/// Copies a volume. The volume must be a plain directory, so that a rename can restore it.
fn copy_volume(name: &str) -> Result<()> {
    let from = PathBuf::from(volume(name));
    if !exists(&from)? {
        return Ok(());
    }
    check_replaceable(name)?;
    private(SNAPSHOTS)?;
    let unfinished = format!(".{name}");
    remove(SNAPSHOTS, &unfinished)?;
    let path = place(SNAPSHOTS, &unfinished);
    clone(&from, &path)
        .and_then(|()| Ok(syncfs(File::open(&path)?)?))
        .with_context(|| format!("cannot copy the volume {name} for the update"))?;
    rename(&path, &place(SNAPSHOTS, name))
}

/// Copies a directory tree. cp(1) follows no symbolic link in the tree, and keeps owners, modes,
/// times, attributes and hard links.
fn clone(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("cp")
        .args(["--archive", "--reflink=always", "--no-target-directory", "--"])
        .args([from, to])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("cannot run cp")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().next().unwrap_or("cp failed"));
    }
    Ok(())
}

/// Replaces a volume by its copy. If an earlier attempt was interrupted, the volume may be missing.
fn restore(name: &str) -> Result<()> {
    let (path, replaced) = (PathBuf::from(volume(name)), format!(".{name}"));
    remove(RESTORES, &replaced)?;
    if exists(&path)? {
        check_replaceable(name)?;
        rename(&path, &place(RESTORES, &replaced))?;
    }
    rename(&place(RESTORES, name), &path)?;
    remove(RESTORES, &replaced)
}

/// Checks that a volume is a directory that a rename can replace.
fn check_replaceable(name: &str) -> Result<()> {
    let path = volume(name);
    let found = fs::symlink_metadata(&path).with_context(|| format!("cannot look at {path}"))?;
    if !found.is_dir() {
        bail!(Fault::new(
            format!("{path} is not a directory but a symbolic link or a file"),
            "replace it by the directory itself"
        ));
    }
    if stack::mounted()?.contains(&path) {
        bail!(Fault::new(
            format!("{path} is a mount of its own, which cannot be replaced"),
            format!("mount the file system on {STATE}/volumes")
        ));
    }
    Ok(())
}

/// Checks that volumes can be copied and restored, before anything is stopped for an update.
///
/// # Errors
/// The reason why they cannot, with a remedy.
pub fn check(names: &BTreeSet<String>) -> Result<()> {
    let directory = private(SNAPSHOTS)?;
    // These names are free, because the name of a volume begins with a letter or a digit.
    let [probe, copy] = ["..probe", "..copy"].map(|file| directory.join(file));
    let shared = fs::write(&probe, "x").map_err(Into::into).and_then(|()| clone(&probe, &copy));
    for file in [&probe, &copy] {
        // Errors are ignored, because the next check replaces the files.
        let _ = fs::remove_file(file);
    }
    if let Err(error) = shared {
        bail!(without_reflinks(&error));
    }
    for name in names {
        if exists(Path::new(&volume(name)))? {
            check_replaceable(name)?;
        }
    }
    Ok(())
}

/// Marks the copies of these volumes to be restored by the next start of a container.
///
/// # Errors
/// A copy cannot be renamed.
pub fn give_back(names: &BTreeSet<String>) -> Result<()> {
    for name in names {
        let copy = place(SNAPSHOTS, name);
        if exists(&copy)? {
            private(RESTORES)?;
            remove(RESTORES, name)?;
            rename(&copy, &place(RESTORES, name))?;
        }
    }
    Ok(())
}

/// Removes the copies of these volumes. An error is only printed.
pub fn forget(names: &BTreeSet<String>) {
    for name in names {
        for file in [name.clone(), format!(".{name}")] {
            if let Err(error) = remove(SNAPSHOTS, &file) {
                eprintln!("sdme-gen: {error:#}");
            }
        }
    }
}

/// Whether a copy of one of these volumes exists.
#[must_use]
pub fn any(names: &BTreeSet<String>) -> bool {
    names.iter().any(|name| place(SNAPSHOTS, name).exists())
}

/// Removes all copies. Call this only when no update is unfinished.
pub fn sweep() {
    let entries = fs::read_dir(place(SNAPSHOTS, "")).into_iter().flatten().flatten();
    forget(&entries.filter_map(|entry| entry.file_name().into_string().ok()).collect());
}
