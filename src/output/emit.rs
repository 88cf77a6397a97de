// SPDX-License-Identifier: MIT
//! Writes units into a generator's output directory (systemd.generator(7)). It is empty before and thrown away as a
//! whole, so nothing is synced or renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread::{Builder, scope};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::symlinkat;

use super::tree::{Node, Place, Tree};
use crate::halves::WORTH_A_THREAD;

/// Writes the units of `tree`. A file that cannot be written does not keep the others from being written.
///
/// # Errors
/// The files that could not be written.
pub fn emit(tree: &Tree, directory: &Path) -> Result<(), Vec<(PathBuf, io::Error)>> {
    let opened = fs::create_dir_all(directory).and_then(|()| File::open(directory));
    let root = opened.map_err(|e| vec![(directory.to_owned(), e)])?;
    let (nested, top): (Vec<_>, Vec<_>) = tree.below(&Place::Units).partition(|(path, _)| path.contains('/'));
    let write_all = |nodes: &[(&str, &Node)]| -> Vec<(PathBuf, io::Error)> {
        let failed =
            |(path, node): &(&str, &Node)| Some((directory.join(path), write(root.as_fd(), path, node).err()?));
        nodes.iter().filter_map(failed).collect()
    };
    // Two threads that make files in one directory wait for each other, so one works at the top and the other below.
    let (made, ready) = mpsc::channel();
    let above = |made: Sender<_>| {
        // Sorted, so that what is in one directory comes in a row.
        for group in nested.chunk_by(|(a, _), (b, _)| parent(a) == parent(b)) {
            let result = group.first().map_or(Ok(()), |(path, _)| make_directory(root.as_fd(), parent(path)));
            // Fails if the other thread has panicked, which is said below.
            let _ = made.send((group, result));
        }
        drop(made);
        write_all(&top)
    };
    let below = |(group, result): (&[(&str, &Node)], io::Result<()>)| match result {
        Ok(()) => write_all(group),
        Err(e) => group.first().map(|(path, _)| (directory.join(parent(path)), e)).into_iter().collect(),
    };
    let failed: Vec<_> = scope(|scope| {
        let worth_it = nested.len() + top.len() > WORTH_A_THREAD;
        let sender = made.clone();
        let thread = worth_it.then(|| Builder::new().spawn_scoped(scope, || above(sender)).ok()).flatten();
        let mut failed = Vec::new();
        match thread {
            None => failed.extend(above(made)),
            Some(_) => drop(made),
        }
        failed.extend(ready.iter().flat_map(below));
        failed.extend(thread.and_then(|thread| thread.join().ok()).into_iter().flatten());
        failed
    });
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

fn parent(path: &str) -> &str {
    path.split_once('/').map_or("", |(parent, _)| parent)
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
