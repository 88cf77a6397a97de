// SPDX-License-Identifier: MIT
//! Replaces a file of a root directory atomically, and syncs it to the disk before the call
//! returns.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::symlink;

use nix::unistd::fsync;

use crate::rootdir::tree::{Tree, proc_path};

/// The new content of a file.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A regular file.
    File(&'a [u8]),
    /// A symbolic link with this target.
    Link(&'a str),
}

/// Replaces the file at `path`, relative to `root`. Missing parent directories are made. Symbolic
/// links on the way are resolved below `root`.
///
/// # Errors
/// The file cannot be written. The old file is unchanged then.
pub fn replace(root: &Tree, path: &str, content: Content<'_>) -> io::Result<()> {
    let (parent, name) = split(path);
    let parent = root.ensure_dir(parent.as_bytes(), &mut ())?;
    let directory = proc_path(parent.as_fd());
    // Two processes may write the same file at the same time. The last rename determines the whole
    // content.
    let temporary = directory.join(format!(".{name}.sdme-new-{}", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    match content {
        Content::File(content) => {
            let mut file = fs::File::create_new(&temporary)?;
            file.write_all(content)?;
            file.sync_all()?;
        }
        Content::Link(target) => symlink(target, &temporary)?,
    }
    fs::rename(&temporary, directory.join(name))?;
    sync(&parent)
}

/// Removes the file at `path`, relative to `root`.
///
/// # Errors
/// The file does not exist, or cannot be removed.
pub fn remove(root: &Tree, path: &str) -> io::Result<()> {
    let (parent, name) = split(path);
    let directory = root.open_dir(parent.as_bytes())?;
    fs::remove_file(proc_path(directory.as_fd()).join(name))?;
    sync(&directory)
}

/// Splits a path into its directory and its last component.
#[must_use]
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn sync(directory: &OwnedFd) -> io::Result<()> {
    Ok(fsync(directory)?)
}
