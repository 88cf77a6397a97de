// SPDX-License-Identifier: MIT
//! Protects settings and information of the kernel from the application, as
//! `ProtectKernelTunables=` does (systemd.exec(5)). For each path, the service manager would read
//! the table of mounts again, which took a third of the time in which it starts the application.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use sdme_gen::contract::process::Process;
use sdme_gen::mount_flags::set_mount_flags;

/// The paths that become read-only, with all mounts below them.
const READ_ONLY: [&str; 12] = [
    "/proc/acpi",
    "/proc/apm",
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/latency_stats",
    "/proc/mtrr",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/sys",
];

/// The files that become empty: those of `ProtectKernelTunables=`, and two that systemd-nspawn also
/// hides from the container.
const HIDDEN: [&str; 4] = ["/proc/kallsyms", "/proc/kcore", "/proc/keys", "/proc/timer_list"];

/// Makes the paths that `process` lists inaccessible and, unless the service manager has done it,
/// protects settings and information of the kernel. All paths are those of the application's root,
/// which this process is in. Missing paths stay missing.
///
/// # Errors
/// The kernel refuses a mount.
pub fn protect(process: &Process) -> Result<()> {
    let (read_only, hidden): (&[&str], &[&str]) =
        if process.protect_kernel_tunables { (&READ_ONLY, &HIDDEN) } else { (&[], &[]) };
    for path in read_only {
        make_read_only(path).with_context(|| format!("cannot make {path} read-only"))?;
    }
    for path in hidden.iter().copied().chain(process.masked_paths.iter().map(String::as_str)) {
        mask(Path::new(path)).with_context(|| format!("cannot mask {path}"))?;
    }
    Ok(())
}

fn make_read_only(path: &str) -> nix::Result<()> {
    let set_read_only = || set_mount_flags(path, libc::MOUNT_ATTR_RDONLY, 0);
    match set_read_only() {
        // The path is not a mount point yet.
        Err(Errno::EINVAL) => {
            let none: Option<&str> = None;
            mount(Some(path), path, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
            set_read_only()
        }
        Err(Errno::ENOENT) => Ok(()),
        other => other,
    }
}

/// Makes a path inaccessible, as Docker and podman do: a file becomes empty, a directory becomes an
/// empty file system. A missing path stays missing.
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
