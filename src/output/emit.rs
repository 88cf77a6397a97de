// SPDX-License-Identifier: MIT
//! Writes units into a generator's output directory (systemd.generator(7)). It is empty before and thrown away as a
//! whole, so nothing is synced or renamed.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::tree::{Node, Place, Tree};

/// Writes the units of `tree`. A file that cannot be written does not keep the others from being written.
///
/// # Errors
/// The files that could not be written.
pub fn emit(tree: &Tree, directory: &Path) -> Result<(), Vec<(PathBuf, io::Error)>> {
    let mut made = BTreeSet::new();
    let mut failed = Vec::new();
    for (path, node) in tree.below(&Place::Units) {
        let full = directory.join(path);
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        let result = match parent {
            Some(parent) if made.insert(parent) => fs::create_dir_all(directory.join(parent)),
            _ => Ok(()),
        };
        if let Err(e) = result.and_then(|()| write(&full, node)) {
            failed.push((full, e));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

fn write(path: &Path, node: &Node) -> io::Result<()> {
    match node {
        // create_new: two generators that write one unit would each corrupt the other's.
        Node::File(content) => {
            OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_bytes())
        }
        Node::Link(target) => symlink(target, path),
        Node::Opaque => Ok(()),
    }
}
