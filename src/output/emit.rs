// SPDX-License-Identifier: MIT
//! Writes units into a generator's output directory (systemd.generator(7)). It is empty before and thrown away as a
//! whole, so nothing is synced or renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::symlinkat;

use super::tree::{Node, Place, Tree};

/// Writes the units of `tree`. A file that cannot be written does not keep the others from being written.
///
/// # Errors
/// The files that could not be written.
pub fn emit(tree: &Tree, directory: &Path) -> Result<(), Vec<(PathBuf, io::Error)>> {
    let opened = fs::create_dir_all(directory).and_then(|()| File::open(directory));
    let root = opened.map_err(|e| vec![(directory.to_owned(), e)])?;
    let mut made = "";
    let mut failed = Vec::new();
    for (path, node) in tree.below(&Place::Units) {
        // Sorted, so that what is in one directory comes in a row.
        let parent = path.split_once('/').map_or("", |(parent, _)| parent);
        let known = parent.is_empty() || parent == made;
        let result = if known { Ok(()) } else { make_directory(root.as_fd(), parent) };
        made = parent;
        if let Err(e) = result.and_then(|()| write(root.as_fd(), path, node)) {
            failed.push((directory.join(path), e));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

fn make_directory(root: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match mkdirat(root, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn write(root: BorrowedFd<'_>, path: &str, node: &Node) -> io::Result<()> {
    match node {
        Node::File(content) => {
            // O_EXCL: two generators that write one unit would each corrupt the other's.
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let file = openat(root, path, flags, Mode::from_bits_truncate(0o644))?;
            File::from(file).write_all(content.as_bytes())
        }
        Node::Link(target) => Ok(symlinkat(target.as_str(), root, path)?),
        Node::Opaque => Ok(()),
    }
}
