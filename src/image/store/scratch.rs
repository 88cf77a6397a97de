// SPDX-License-Identifier: MIT
//! Scratch directories in the store, in which imports work and which hold entries until they are
//! removed. The owning process locks its directory, so the directory of a killed process can be
//! recognized.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::image::store::{Store, lock};
use crate::rootdir::tree;

/// Prefix of the names of scratch directories.
const SCRATCH: &str = ".import-";

/// A locked scratch directory. It is removed when it is dropped, unless it was published.
#[derive(Debug)]
pub struct Scratch {
    store: PathBuf,
    name: String,
    published: bool,
    lock: Flock<File>,
}

impl Store {
    /// Returns the directories of imports that are no longer running; they are removed when they
    /// are dropped. The caller must hold the guard.
    pub(crate) fn abandoned(&self) -> Result<Vec<Scratch>> {
        let store = self.entries();
        let mut abandoned = Vec::new();
        for entry in fs::read_dir(&store).context("reading the store")? {
            let name = entry.context("reading the store")?.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with(SCRATCH)) else { continue };
            let Ok(dir) = File::open(store.join(name)) else { continue };
            if let Ok(lock) = Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
                abandoned.push(Scratch { store: store.clone(), name: name.to_owned(), published: false, lock });
            }
        }
        Ok(abandoned)
    }

    /// Creates a scratch directory, and removes those of imports that are no longer running.
    pub(crate) fn scratch(&self) -> Result<Scratch> {
        let store = self.entries();
        let guard = self.guard()?;
        let abandoned = self.abandoned()?;
        let mut serial = std::process::id().to_string();
        let name = loop {
            let name = format!("{SCRATCH}{serial}");
            match fs::DirBuilder::new().mode(0o700).create(store.join(&name)) {
                Ok(()) => break name,
                // The directory belongs to another thread, or to an interrupted import and is about
                // to be removed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => serial.push('x'),
                Err(error) => return Err(error).context("creating a directory to import into"),
            }
            if serial.len() > 100 {
                bail!("`{}` is full of abandoned imports", store.display());
            }
        };
        let dir = File::open(store.join(&name)).context("opening the directory to import into")?;
        let scratch = Scratch { lock: lock(dir)?, store, name, published: false };
        drop(guard);
        drop(abandoned);
        Ok(scratch)
    }

    /// Renames an entry or layer that is no longer referred to; it is removed when the result is
    /// dropped. The caller must hold the guard.
    pub(crate) fn retire(&self, path: &Path) -> Result<Scratch> {
        let last = path.file_name().unwrap_or_default().to_string_lossy();
        let (store, name) = (self.entries(), format!("{SCRATCH}{last}"));
        (|| -> Result<Scratch> {
            let lock = lock(File::open(path)?)?;
            fs::rename(path, store.join(&name))?;
            Ok(Scratch { lock, name, published: false, store })
        })()
        .with_context(|| format!("removing `{}`", path.display()))
    }
}

impl Scratch {
    /// Returns the name of the directory.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the content is written to disk.
    pub(crate) fn sync(&self) -> Result<()> {
        nix::unistd::syncfs(&*self.lock).context("syncing the unpacked image")
    }

    /// Returns the directories of the new layers in it.
    pub(crate) fn layers(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.path().join("layers")).context("reading the new layers")?;
        entries.map(|entry| Ok(entry.context("reading the new layers")?.path())).collect()
    }

    /// Keeps the directory when it is dropped.
    pub(crate) fn keep(mut self) {
        self.published = true;
    }

    /// Renames the directory to a store entry, so that it becomes available.
    pub(crate) fn publish(mut self, entry: &str) -> Result<()> {
        fs::rename(self.path(), self.store.join(entry)).context("giving the store entry its name")?;
        self.published = true;
        Ok(())
    }

    /// Returns the path of the directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.store.join(&self.name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.published
            && let Ok(store) = tree::Tree::open(&self.store)
        {
            // The next import removes what cannot be removed now.
            let _ = tree::remove(store.root(), self.name.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn abandoned_directories_are_removed_and_locked_ones_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path());
        store.prepare().unwrap();
        let dead = store.entries().join(".import-1x/deep/er");
        fs::create_dir_all(&dead).unwrap();
        let live = store.scratch().unwrap();
        assert!(!store.entries().join(".import-1x").exists());
        fs::write(live.path().join("file"), "x").unwrap();
        let second = store.scratch().unwrap();
        assert!(live.path().join("file").exists());
        let (first_path, second_path) = (live.path(), second.path());
        drop((live, second));
        assert!(!first_path.exists() && !second_path.exists());
    }
}
