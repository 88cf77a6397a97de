// SPDX-License-Identifier: MIT
//! Mounts a container's layers on each other, and unmounts them.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount as mount_at, umount2};

use crate::config::values::mount::Options;
use crate::diag::Fault;
use crate::mount_flags::set_mount_flags;
use crate::paths::{container_runtime, machine_root};
use crate::plan::stack::{Bind, Mount};
use crate::resolve::container::userns::SIZE;
use crate::rootdir::tree::{Tree, proc_path};

/// Makes the mounts, and returns one line of text per overlay. `range` is the first ID of the
/// container's range, if it has a user namespace.
///
/// # Errors
/// A mount cannot be made. The mounts before it stay until [`release`].
pub fn mount(name: &str, mounts: &[Mount], range: Option<u32>) -> Result<Vec<String>> {
    let mut overlays = Vec::new();
    for mount in mounts {
        overlays.extend(one(name, mount, range).with_context(|| format!("cannot mount {}", mount.place()))?);
    }
    Ok(overlays)
}

fn one(name: &str, mount: &Mount, range: Option<u32>) -> Result<Option<String>> {
    match mount {
        Mount::IdMapped { from, to } => {
            // Only the containers of an image may read its files.
            DirBuilder::new().recursive(true).mode(0o700).create(to)?;
            let first = range.context("it has no range of user IDs")?;
            id_mapped(first, from, to).map(|()| None)
        }
        Mount::Bind(Bind { from, part, to, options }) => {
            fs::create_dir_all(Path::new(to).parent().unwrap_or(Path::new(to)))?;
            // The target of an earlier mount may be a file or a directory. Neither call removes a
            // mount point in use or a directory with content.
            let _ = fs::remove_file(to).or_else(|_| fs::remove_dir(to));
            let part = part.as_ref().map(|part| part_of(from, part)).transpose()?;
            let from = part.as_ref().map_or_else(|| PathBuf::from(from), |part| proc_path(part.as_fd()));
            if from.is_dir() {
                fs::create_dir_all(to)?;
            } else {
                fs::File::create(to)?;
            }
            bind(&from, to, *options).map(|()| None)
        }
        Mount::Overlay { to, lower, state, no_suid } => {
            // A container's devices are on separate file systems, so that device nodes of an image
            // need not work.
            let suid = if *no_suid { MsFlags::MS_NOSUID } else { MsFlags::empty() };
            overlay(&machine_root(name), to, lower, state, MsFlags::MS_NODEV | suid).map(Some)
        }
    }
}

/// Opens a subdirectory of a volume, and makes it if it is missing. Symbolic links are resolved
/// within the volume, because a container may have made them.
fn part_of(volume: &str, part: &str) -> Result<OwnedFd> {
    let tree = Tree::open(Path::new(volume))?;
    let opened = match tree.open_at(part.as_bytes(), OFlag::O_PATH | OFlag::O_DIRECTORY) {
        Err(error) if error.kind() == ErrorKind::NotFound => tree.ensure_dir(part.as_bytes(), &mut ()),
        opened => opened,
    };
    opened.with_context(|| format!("cannot open {part} in the volume"))
}

/// Mounts a directory with mapped owners. mount(8) makes the user namespace that this needs.
fn id_mapped(first: u32, from: &str, to: &str) -> Result<()> {
    let options = format!("bind,nodev,X-mount.idmap=b:0:{first}:{SIZE}");
    let output = Command::new("mount").args(["--options", &options, "--", from, to]).output();
    let output = output.context("cannot run mount")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Mounts a path of the host or a volume, and sets the flags on that mount and all mounts below it.
fn bind(from: &Path, to: &str, options: Options) -> Result<()> {
    let recursive = if options.recursive { MsFlags::MS_REC } else { MsFlags::empty() };
    mount_at(Some(from), to, None::<&str>, MsFlags::MS_BIND | recursive, None::<&str>)?;
    let flags = [
        (options.no_devices, libc::MOUNT_ATTR_NODEV),
        (options.no_exec, libc::MOUNT_ATTR_NOEXEC),
        (options.no_suid, libc::MOUNT_ATTR_NOSUID),
    ];
    let set = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag);
    set_mount_flags(to, set, libc::AT_SYMLINK_NOFOLLOW).context("cannot set the flags of the mount")
}

/// Mounts an overlay. Additional applications are mounted below the root of their container, whose
/// files the container can change: a symbolic link on the way is refused.
fn overlay(root: &str, to: &str, lower: &[String], state: &str, flags: MsFlags) -> Result<String> {
    let options = format!("lowerdir={},upperdir={state}/upper,workdir={state}/work", lower.join(":"));
    let inside = to.strip_prefix(root).unwrap_or_default().trim_start_matches('/');
    if inside.is_empty() {
        fs::create_dir_all(to)?;
    }
    let place = Tree::open(Path::new(root))?.open_at(inside.as_bytes(), OFlag::O_DIRECTORY | OFlag::O_PATH)?;
    let path = proc_path(place.as_fd());
    if fs::read_link(&path)? != Path::new(to) {
        bail!("a symbolic link is on the way to it");
    }
    mount_at(Some("overlay"), &path, Some("overlay"), flags, Some(options.as_str()))?;
    Ok(format!("{to} is an overlay: {options}"))
}

/// Unmounts everything that is mounted for a container, even if its configuration has changed.
///
/// # Errors
/// A mount cannot be removed.
pub fn release(name: &str) -> Result<()> {
    // Mounts below the root go with it (MNT_DETACH): their paths are under the control of the
    // container.
    let root = machine_root(name);
    let runtime = container_runtime(name) + "/";
    for place in mounted()?.iter().rev().filter(|place| **place == root || place.starts_with(&runtime)) {
        match umount2(place.as_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // Another process has unmounted it in the meantime.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot unmount {place}")),
        }
    }
    remove_leftovers(name);
    Ok(())
}

/// Removes what a killed systemd-nspawn leaves in `/run`, as `systemd-nspawn --cleanup` of systemd
/// 258 and later does. While a mount for the container's sockets is left, the next systemd-nspawn
/// refuses to start. Its path differs between systemd 257 and 262. Errors are ignored: they mean
/// that there is nothing to remove.
pub fn remove_leftovers(name: &str) {
    let directory = Path::new("/run/systemd/nspawn");
    let own = directory.join(name);
    for export in [directory.join("unix-export").join(name), own.join("unix-export")] {
        // Several mounts can be stacked on this path.
        while umount2(&export, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
        let _ = fs::remove_dir(&export);
    }
    for empty in [directory.join("propagate").join(name), own.join("propagate"), own] {
        let _ = fs::remove_dir(&empty);
    }
}

/// The mount points of this process's mount namespace, in the order of mounting
/// (`proc_pid_mountinfo(5)`).
///
/// # Errors
/// The mount table cannot be read.
pub fn mounted() -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    Ok(mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect())
}

/// Checks that nothing is mounted in `directories` before they are removed. Removing them would
/// otherwise delete the files of mounted images and directories of the host.
///
/// # Errors
/// There is a mount, or the mount table cannot be read.
pub fn unmounted(directories: &[PathBuf]) -> Result<()> {
    let mut points = mounted()?.into_iter();
    match points.find(|point| directories.iter().any(|d| Path::new(point).starts_with(d))) {
        Some(point) => bail!(Fault::new(format!("{point} is still mounted"), "unmount it first")),
        None => Ok(()),
    }
}
