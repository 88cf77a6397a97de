// SPDX-License-Identifier: MIT
//! Completes the application's mount namespace, which the service manager has made: fills `/run`
//! and other file systems in memory with the image's content, and mounts a `/proc` that shows only
//! the application's processes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use sdme_gen::contract::process::{PROGRAM, Process};

/// The image's root file system, below the application's directory.
const ROOT: &str = "root";
const RUN: &str = "/run";
const PROC: &str = "/proc";

/// The temporary mount point of the new `/proc`, before the mount is moved to its final place.
const STAGE: &str = "/run/.sdme-proc";

/// Fills `/run`, a tmpfs of the service manager, with the image's content, from the application's
/// `directory`. Mounts below `/run` keep their content. The copies are gone when the application
/// has ended.
///
/// # Errors
/// The image's `/run` cannot be copied.
pub fn run_directory(directory: &Path) -> Result<()> {
    let from = directory.join(ROOT).join("run");
    match fs::symlink_metadata(&from) {
        Ok(metadata) if metadata.is_dir() => {
            let device = fs::metadata(RUN).context("there is no /run")?.dev();
            copy_directory(&from, Path::new(RUN), &metadata, device).context("cannot copy the image's /run")?;
        }
        _ => {}
    }
    Ok(())
}

/// Fills file systems in memory with the content that the image has at their paths, as podman does
/// (podman-run(1), `tmpcopyup`). Paths that are mapped to true also get the owner and the mode of
/// the image's directory.
///
/// # Errors
/// A file cannot be copied, for example because the file system is too small.
pub fn in_memory(directory: &Path, paths: &BTreeMap<String, bool>) -> Result<()> {
    for (path, as_image) in paths {
        copy_up(&directory.join(ROOT), path, *as_image)
            .with_context(|| format!("cannot copy the image's {path} to the file system in memory"))?;
    }
    Ok(())
}

fn copy_up(root: &Path, path: &str, as_image: bool) -> io::Result<()> {
    let Some(from) = open_within(fs::File::open(root)?, path)? else { return Ok(()) };
    let to = Path::new(path);
    if statfs(to)?.filesystem_type() != TMPFS_MAGIC {
        return Ok(());
    }
    let metadata = from.metadata()?;
    let from = PathBuf::from(format!("/proc/self/fd/{}", from.as_raw_fd()));
    copy_entries(&from, to, &metadata, fs::metadata(to)?.dev())?;
    if as_image {
        chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
        permit(&metadata, |permissions| fs::set_permissions(to, permissions))?;
    }
    Ok(())
}

/// Opens the directory of the image at `path`, if it exists. The application may have made symbolic
/// links in its root directory in earlier runs: they are resolved within that directory only.
/// openat2(2) does the same, but `RestrictSUIDSGID=` forbids that system call (systemd.exec(5)).
fn open_within(root: fs::File, path: &str) -> io::Result<Option<fs::File>> {
    const MOST_LINKS: usize = 40;
    let parts = |path: &OsStr| -> Vec<Vec<u8>> {
        let parts = path.as_bytes().split(|byte| *byte == b'/');
        parts.rev().filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec).collect()
    };
    let mut opened = vec![root];
    let (mut left, mut links) = (parts(OsStr::new(path)), 0);
    while let Some(part) = left.pop() {
        if part == b".." {
            // The parent of the root directory is the root directory.
            opened.truncate(opened.len().saturating_sub(1).max(1));
            continue;
        }
        let Some(above) = opened.last() else { return Ok(None) };
        let name = OsStr::from_bytes(&part);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(above, name, flags, Mode::empty()) {
            Ok(directory) => opened.push(fs::File::from(directory)),
            Err(nix::Error::ENOTDIR | nix::Error::ELOOP) if links < MOST_LINKS => {
                // The entry is a symbolic link, or is not a directory.
                let Ok(target) = readlinkat(above, name) else { return Ok(None) };
                links += 1;
                if target.as_bytes().starts_with(b"/") {
                    opened.truncate(1);
                }
                left.extend(parts(&target));
            }
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ELOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(opened.pop())
}

/// Sets permissions. Omits setuid and setgid if the kernel refuses them (systemd.exec(5),
/// `RestrictSUIDSGID=`); these bits have no effect on a file system in memory that is mounted with
/// `nosuid`.
fn permit(metadata: &Metadata, set: impl Fn(Permissions) -> io::Result<()>) -> io::Result<()> {
    match set(metadata.permissions()) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            set(Permissions::from_mode(metadata.permissions().mode() & 0o1777))
        }
        other => other,
    }
}

/// Hides the launcher's program from the application.
///
/// # Errors
/// The program is not at its path, or cannot be removed.
pub fn hide_program() -> Result<()> {
    umount2(PROGRAM, MntFlags::MNT_DETACH)
        .map_err(io::Error::from)
        .and_then(|()| fs::remove_file(PROGRAM))
        .with_context(|| format!("cannot hide {PROGRAM}"))
}

/// Copies the content of `from` to the directory `to` of the file system `device`, and the
/// directory's owner and mode. Existing files stay as they are.
fn copy_directory(from: &Path, to: &Path, metadata: &Metadata, device: u64) -> io::Result<()> {
    copy_entries(from, to, metadata, device)?;
    lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    permit(metadata, |permissions| fs::set_permissions(to, permissions))
}

/// Copies the content of `from`, a directory with this `metadata`, to the directory `to`.
fn copy_entries(from: &Path, to: &Path, metadata: &Metadata, device: u64) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let (above, metadata) = (metadata, entry.metadata()?);
        // A directory on another device is a mounted volume, which is not part of the image. (Files
        // have their own device numbers on overlayfs.)
        if metadata.is_dir() && metadata.dev() != above.dev() {
            continue;
        }
        let there = match fs::symlink_metadata(&to) {
            Ok(there) => Some(there),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let kind = metadata.file_type();
        match there {
            None if kind.is_dir() => {
                fs::create_dir(&to)?;
                copy_directory(&from, &to, &metadata, device)?;
            }
            // A directory on another device is a mount point, whose content must not change.
            Some(there) if kind.is_dir() && there.is_dir() && there.dev() == device => {
                copy_directory(&from, &to, &metadata, device)?;
            }
            None if kind.is_file() => {
                let mut file = fs::File::create_new(&to)?;
                io::copy(&mut fs::File::open(&from)?, &mut file)?;
                fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
                permit(&metadata, |permissions| file.set_permissions(permissions))?;
            }
            None if kind.is_symlink() => {
                symlink(fs::read_link(&from)?, &to)?;
                lchown(&to, Some(metadata.uid()), Some(metadata.gid()))?;
            }
            // An image's /run needs neither sockets, which have no listener, nor devices.
            _ => {}
        }
    }
    Ok(())
}

/// Mounts a `/proc` for the PID namespace of the caller, which is its first process, and sets the
/// sysctls that `process` lists.
///
/// # Errors
/// The kernel refuses a mount, or a sysctl cannot be changed.
pub fn proc(process: &Process) -> Result<()> {
    let none: Option<&str> = None;
    // A mount can only be moved if its parent mount is not shared. A slave mount still receives the
    // mounts of the host.
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none).context("cannot separate the mounts")?;
    fs::create_dir(STAGE).with_context(|| format!("cannot make {STAGE}"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mounted = mount(Some("proc"), STAGE, Some("proc"), flags, none);
    match mounted {
        Ok(()) => {
            sysctl(Path::new(STAGE), process)?;
            replace().context("cannot replace /proc")?;
        }
        // The kernel refuses this in a user namespace in which systemd-nspawn covers parts of
        // /proc, because a new mount would uncover them. The existing /proc also shows the
        // container's other processes; /proc/self is correct in it.
        Err(nix::Error::EPERM) => sysctl(Path::new(PROC), process)?,
        Err(error) => return Err(error).context("cannot mount /proc"),
    }
    fs::remove_dir(STAGE).with_context(|| format!("cannot remove {STAGE}"))?;
    if process.read_only_run {
        let flags =
            MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(none, RUN, none, flags, none).context("cannot make /run read-only")?;
    }
    Ok(())
}

/// Moves the staged `/proc` to its place and keeps the mounts that systemd-nspawn has made over
/// parts of the old one.
fn replace() -> io::Result<()> {
    let none: Option<&str> = None;
    for covered in covered()? {
        let staged = Path::new(STAGE).join(covered.strip_prefix(PROC).unwrap_or(&covered));
        match mount(Some(&covered), &staged, none, MsFlags::MS_BIND | MsFlags::MS_REC, none) {
            // The path may be gone, because processes and their files come and go in /proc.
            Ok(()) | Err(nix::Error::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    umount2(PROC, MntFlags::MNT_DETACH)?;
    Ok(mount(Some(STAGE), PROC, none, MsFlags::MS_MOVE, none)?)
}

/// The mount points below `/proc`, without those that lie below another one of them.
fn covered() -> io::Result<Vec<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")?;
    let points = table.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    let mut found: Vec<PathBuf> = Vec::new();
    // The table escapes special characters, but the kernel's names below /proc contain none.
    for point in points.map(|point| PathBuf::from(OsStr::from_bytes(point))) {
        if point.starts_with(PROC) && point != Path::new(PROC) && !found.iter().any(|f| point.starts_with(f)) {
            found.push(point);
        }
    }
    Ok(found)
}

fn sysctl(proc: &Path, process: &Process) -> Result<()> {
    for (name, value) in &process.sysctl {
        let path = proc.join("sys").join(name.replace('.', "/"));
        fs::write(&path, value).with_context(|| format!("cannot set {name}={value}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn links_lead_nowhere_else() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(top.path().join("outside")).unwrap();
        for (link, target) in
            [("up", "../../../outside"), ("absolute", "/a/b"), ("relative", "a/./b"), ("loop", "loop"), ("out", "..")]
        {
            symlink(target, root.join(link)).unwrap();
        }
        fs::write(root.join("file"), "").unwrap();
        let open = |path: &str| open_within(fs::File::open(&root).unwrap(), path).unwrap();
        let inode = |path: &str| fs::metadata(root.join(path)).unwrap().ino();
        let found = |path: &str| open(path).map(|file| file.metadata().unwrap().ino());
        for path in ["/a/b", "absolute", "/relative/", "a/../../a//b", "out/out/absolute"] {
            assert_eq!(found(path), Some(inode("a/b")), "{path}");
        }
        assert_eq!(found("/out"), Some(inode("")));
        for path in ["up", "loop", "file", "nowhere", "a/up", "file/x"] {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
