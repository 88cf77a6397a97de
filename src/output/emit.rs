// SPDX-License-Identifier: MIT
//! Writes units into a generator's output directory (systemd.generator(7)). The directory is empty
//! before and is discarded as a whole, so nothing is synced or renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::symlinkat;

use super::tree::{Node, Place, Tree};
use crate::halves::halves;

/// Writes the units of `tree`. If a file cannot be written, the others are written nevertheless.
///
/// # Errors
/// The files and directories that could not be written.
pub fn emit(tree: &Tree, directory: &Path) -> Result<(), Vec<(PathBuf, io::Error)>> {
    let opened = fs::create_dir_all(directory).and_then(|()| File::open(directory));
    let root = opened.map_err(|e| vec![(directory.to_owned(), e)])?;
    let files: Vec<(&str, &Node)> = tree.below(&Place::Units).collect();
    let failed = halves(&files, |files| write_all(root.as_fd(), directory, files));
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

/// Writes sorted files, and returns the failures. `root` is the open `directory`.
fn write_all(root: BorrowedFd<'_>, directory: &Path, files: &[(&str, &Node)]) -> Vec<(PathBuf, io::Error)> {
    let mut failed = Vec::new();
    // The paths are sorted, so the files of a directory follow each other.
    let (mut current, mut is_made) = ("", true);
    for (path, node) in files {
        let parent = path.split_once('/').map_or("", |(parent, _)| parent);
        if parent != current {
            let made = make_directory(root, parent);
            (current, is_made) = (parent, made.is_ok());
            failed.extend(made.err().map(|e| (directory.join(parent), e)));
        }
        if is_made {
            failed.extend(write(root, path, node).err().map(|e| (directory.join(path), e)));
        }
    }
    failed
}

/// Makes a directory of drop-ins or links. Does nothing if the name is empty, because the file is
/// then in `root` itself.
fn make_directory(root: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    match mkdirat(root, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn write(root: BorrowedFd<'_>, path: &str, node: &Node) -> io::Result<()> {
    match node {
        Node::File(content) | Node::Private(content) => {
            // O_EXCL: two generators that write the same unit would each corrupt it for the other.
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let file = openat(root, path, flags, Mode::from_bits_truncate(0o644))?;
            File::from(file).write_all(content.as_bytes())
        }
        Node::Link(target) => Ok(symlinkat(target.as_str(), root, path)?),
        Node::Opaque => Ok(()),
    }
}
