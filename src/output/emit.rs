// SPDX-License-Identifier: MIT
//! Writes units into a generator's output directory (systemd.generator(7)). The directory is empty
//! before and is discarded as a whole, so nothing is synced or renamed. Files with the same content
//! are hard links to one file: the units of similar containers have equal content, and writing each
//! of them would take most of the time and memory.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::thread::{Builder, scope};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{LinkatFlags, linkat, symlinkat};

use super::tree::{Node, Place, Tree};
use crate::halves::WORTH_A_THREAD;

/// Number of directories that one thread makes before it notifies the other one: waking a thread
/// takes about as long as making a directory.
const AT_ONCE: usize = 32;

/// The files of one directory, and whether the directory could be made.
type Group<'a> = (&'a [(&'a str, &'a Node)], io::Result<()>);

/// Writes the units of `tree`. An error about one file does not stop the others.
///
/// # Errors
/// The files that could not be written, with their errors.
pub fn emit(tree: &Tree, directory: &Path) -> Result<(), Vec<(PathBuf, io::Error)>> {
    let opened = fs::create_dir_all(directory).and_then(|()| File::open(directory));
    let root = opened.map_err(|e| vec![(directory.to_owned(), e)])?;
    let writer = || Writer { root: root.as_fd(), directory, written: HashMap::new(), failed: Vec::new() };
    let (nested, top): (Vec<_>, Vec<_>) = tree.below(&Place::Units).partition(|(path, _)| path.contains('/'));
    // The paths are sorted, so that those of one directory follow each other.
    let groups: Vec<_> = nested.chunk_by(|(a, _), (b, _)| parent(a) == parent(b)).collect();
    // Two threads that make files in the same directory wait for each other. So one thread starts
    // with the files at the top and the other one with those in subdirectories. Links to the same
    // file wait for each other, too, so each thread has its own first file of a content.
    let (made, ready) = mpsc::channel::<Vec<Group<'_>>>();
    let ready = Mutex::new(ready);
    let below = || {
        let mut writer = writer();
        while let Some(some) = ready.lock().ok().and_then(|ready| ready.recv().ok()) {
            for (group, made) in some {
                match (group.first(), made) {
                    (Some((path, _)), Err(e)) => writer.failed.push((directory.join(parent(path)), e)),
                    _ => group.iter().for_each(|(path, node)| writer.write(path, node)),
                }
            }
        }
        writer.failed
    };
    let above = |made: Sender<_>| {
        for some in groups.chunks(AT_ONCE) {
            let some = some.iter().copied();
            // Sending fails only if the other thread has panicked. The files are then written
            // below.
            let _ = made.send(some.map(|group| (group, make_directory(root.as_fd(), group))).collect());
        }
        drop(made);
        let mut writer = writer();
        for (path, node) in &top {
            writer.write(path, node);
        }
        writer.failed.into_iter().chain(below()).collect::<Vec<_>>()
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
        failed.extend(below());
        failed.extend(thread.and_then(|thread| thread.join().ok()).into_iter().flatten());
        failed
    });
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

fn parent(path: &str) -> &str {
    path.split_once('/').map_or("", |(parent, _)| parent)
}

fn make_directory(root: BorrowedFd<'_>, group: &[(&str, &Node)]) -> io::Result<()> {
    let Some((path, _)) = group.first() else { return Ok(()) };
    match mkdirat(root, parent(path), Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Writes the files of one thread.
struct Writer<'a> {
    root: BorrowedFd<'a>,
    /// The path of `root`.
    directory: &'a Path,
    /// The first path of each content, to which further files become hard links.
    written: HashMap<&'a str, &'a str>,
    failed: Vec<(PathBuf, io::Error)>,
}

impl<'a> Writer<'a> {
    fn write(&mut self, path: &'a str, node: &'a Node) {
        let result = match node {
            Node::File(content) | Node::Private(content) => self.file(path, content),
            Node::Link(target) => symlinkat(target.as_str(), self.root, path).map_err(Into::into),
            Node::Opaque => Ok(()),
        };
        self.failed.extend(result.err().map(|e| (self.directory.join(path), e)));
    }

    fn file(&mut self, path: &'a str, content: &'a str) -> io::Result<()> {
        let known = self.written.get(content);
        if known.is_some_and(|first| linkat(self.root, *first, self.root, path, LinkatFlags::empty()).is_ok()) {
            return Ok(());
        }
        // O_EXCL: without it, two generators that write the same unit would corrupt each other's
        // file.
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = openat(self.root, path, flags, Mode::from_bits_truncate(0o644))?;
        File::from(file).write_all(content.as_bytes())?;
        self.written.entry(content).or_insert(path);
        Ok(())
    }
}
