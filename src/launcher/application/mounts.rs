// SPDX-License-Identifier: MIT
//! What the application's mount namespace lacks when the service manager hands it over: `/run` and other file systems in memory as the
//! image has them, and a `/proc` of the application's own processes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, chown, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use sdme_gen::contract::process::{PROGRAM, Process};

/// Where the root file system of the image is below the application's directory.
const ROOT: &str = "root";
const RUN: &str = "/run";
const PROC: &str = "/proc";

/// A place to mount `/proc` at before it takes its own.
const STAGE: &str = "/run/.sdme-proc";

/// Fills `/run`, an empty file system of the service manager's, with what the image has there, from the application's
/// `directory`. What is mounted there keeps its content, and nothing of it outlives the application.
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

/// Fills file systems in memory with what the image has at their paths, as Podman does (podman-run(1), `tmpcopyup`). Those that are
/// mapped to true get the owner and the mode of the image's directory, too.
///
/// # Errors
/// Something cannot be copied, for example because the file system is too small.
pub fn in_memory(directory: &Path, paths: &BTreeMap<String, bool>) -> Result<()> {
    for (path, as_image) in paths {
        copy_up(&directory.join(ROOT), path, *as_image)
            .with_context(|| format!("cannot copy the image's {path} to the file system in memory"))?;
    }
    Ok(())
}

/// The application may have made links in its root directory before: they are followed within that directory only.
fn copy_up(root: &Path, path: &str, as_image: bool) -> io::Result<()> {
    let root = fs::File::open(root)?;
    let how = OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC);
    let how = how.resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let from = loop {
        match openat2(&root, path.trim_start_matches('/'), how) {
            Ok(from) => break from,
            // The image has no directory there.
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ELOOP) => return Ok(()),
            // openat2(2): a rename somewhere on the machine came in between.
            Err(nix::Error::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let to = Path::new(path);
    if statfs(to)?.filesystem_type() != TMPFS_MAGIC {
        return Ok(());
    }
    let from = PathBuf::from(format!("/proc/self/fd/{}", from.as_raw_fd()));
    let metadata = fs::metadata(&from)?;
    copy_entries(&from, to, &metadata, fs::metadata(to)?.dev())?;
    if as_image {
        chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
        fs::set_permissions(to, metadata.permissions())?;
    }
    Ok(())
}

/// Hides this program from the application.
///
/// # Errors
/// It is not where it should be.
pub fn hide_program() -> Result<()> {
    umount2(PROGRAM, MntFlags::MNT_DETACH)
        .map_err(io::Error::from)
        .and_then(|()| fs::remove_file(PROGRAM))
        .with_context(|| format!("cannot hide {PROGRAM}"))
}

/// Copies what is in `from` to the directory `to` of the file system `device`, and the directory's owner and mode. What is there already
/// stays.
fn copy_directory(from: &Path, to: &Path, metadata: &Metadata, device: u64) -> io::Result<()> {
    copy_entries(from, to, metadata, device)?;
    lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(to, metadata.permissions())
}

/// Copies what is in `from`, a directory with this `metadata`.
fn copy_entries(from: &Path, to: &Path, metadata: &Metadata, device: u64) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let (above, metadata) = (metadata, entry.metadata()?);
        // What is mounted there is a volume, and no part of the image. (Files have devices of their own on overlayfs.)
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
            // Not into what is mounted there.
            Some(there) if kind.is_dir() && there.is_dir() && there.dev() == device => {
                copy_directory(&from, &to, &metadata, device)?;
            }
            None if kind.is_file() => {
                let mut file = fs::File::create_new(&to)?;
                io::copy(&mut fs::File::open(&from)?, &mut file)?;
                fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
                file.set_permissions(metadata.permissions())?;
            }
            None if kind.is_symlink() => {
                symlink(fs::read_link(&from)?, &to)?;
                lchown(&to, Some(metadata.uid()), Some(metadata.gid()))?;
            }
            // Sockets of nobody, and devices, have no place in an image's /run.
            _ => {}
        }
    }
    Ok(())
}

/// Mounts a `/proc` for the PID namespace of the caller, who is its first process, and makes what belongs to it.
///
/// # Errors
/// It cannot be mounted, or what is to be changed in it cannot.
pub fn proc(process: &Process) -> Result<()> {
    let none: Option<&str> = None;
    // A mount can only be moved where that is not shown to others; we still see what others mount.
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none).context("cannot separate the mounts")?;
    fs::create_dir(STAGE).with_context(|| format!("cannot make {STAGE}"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mounted = mount(Some("proc"), STAGE, Some("proc"), flags, none);
    match mounted {
        Ok(()) => {
            sysctl(Path::new(STAGE), process)?;
            replace().context("cannot replace /proc")?;
        }
        // In a user namespace, where systemd-nspawn covers parts of /proc: the kernel then gives out no whole one. What
        // is there shows the container's processes; /proc/self is right in it.
        Err(nix::Error::EPERM) => sysctl(Path::new(PROC), process)?,
        Err(error) => return Err(error).context("cannot mount /proc"),
    }
    fs::remove_dir(STAGE).with_context(|| format!("cannot remove {STAGE}"))?;
    if process.read_only_run {
        let flags =
            MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(none, RUN, none, flags, none).context("cannot make /run read-only")?;
    }
    for path in &process.masked_paths {
        mask(Path::new(path)).with_context(|| format!("cannot mask {path}"))?;
    }
    Ok(())
}

/// Puts the staged `/proc` into place, with what systemd-nspawn has put over parts of the old one.
fn replace() -> io::Result<()> {
    let none: Option<&str> = None;
    for covered in covered()? {
        let staged = Path::new(STAGE).join(covered.strip_prefix(PROC).unwrap_or(&covered));
        match mount(Some(&covered), &staged, none, MsFlags::MS_BIND | MsFlags::MS_REC, none) {
            // Processes and files come and go there.
            Ok(()) | Err(nix::Error::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    umount2(PROC, MntFlags::MNT_DETACH)?;
    Ok(mount(Some(STAGE), PROC, none, MsFlags::MS_MOVE, none)?)
}

/// What is mounted on top of `/proc`, a mount in another one not counted.
fn covered() -> io::Result<Vec<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")?;
    let points = table.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    let mut found: Vec<PathBuf> = Vec::new();
    // None of the kernel's names there needs an escape.
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

/// Makes a path unreadable, as Docker and Podman do: a file is empty, a directory is, too. One that is not there stays so.
fn mask(path: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(metadata) if metadata.is_dir() => {
            Ok(mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::MS_RDONLY, Some("size=0k,mode=000"))?)
        }
        Ok(_) => Ok(mount(Some("/dev/null"), path, none, MsFlags::MS_BIND, none)?),
    }
}
