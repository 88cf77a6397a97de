// SPDX-License-Identifier: MIT
//! The store of imported images below `ROOT/var/lib/sdme`.
//!
//! `store/ENTRY/{tree,image.json,files}` never changes once it is published, except for the record.
//! `layers/LAYER/{tree,files}` are the shared lower layers of entries and never change, either.
//! `fs/NAME` is a symbolic link to the current entry and is replaced atomically. This module must
//! not know how an entry is created.

pub mod digest;
pub mod local;
pub mod mark;
pub mod prune;
pub mod record;
pub mod scratch;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::fsync;

use crate::config::values::source::ModeSetting;
use crate::diag::Fault;
use crate::image::store::digest::{Digest, read_limited};
use crate::image::store::record::{FORMAT, ImageRecord};
use crate::image::store::scratch::Scratch;
use crate::image::unpack::overlay::merged;
use crate::rootdir::tree::{self, Tree};

/// Maximum size of a record in bytes.
const MAX_RECORD: u64 = 32 << 20;
/// The name of the lock for removing layers. It cannot be the name of an image.
pub(super) const LAYERS: &str = ".layers";
/// The name of the inventory, the list of the files in a tree.
pub(super) const INVENTORY: &str = "files";

/// An imported image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Name of the image: the `NAME` of `NAME.image`.
    pub name: String,
    /// The directory of the store entry, with links resolved.
    pub dir: PathBuf,
    /// The top layer, which belongs to this image alone.
    pub tree: PathBuf,
    /// The lower layers, which other images may share, the topmost first.
    pub below: Vec<PathBuf>,
    /// The record of the image.
    pub image: ImageRecord,
}

/// A store. Opening it is cheap and creates nothing; an import creates the directories.
#[derive(Debug, Clone)]
pub struct Store {
    base: PathBuf,
}

/// A lock that is held until it is dropped, such as that of a name during an import.
#[derive(Debug)]
pub struct NameLock {
    _lock: Flock<File>,
}

/// Refuses image names that are not plain file names.
///
/// # Errors
/// Returns an error that quotes the invalid name.
pub fn check_name(name: &str) -> Result<()> {
    let harmless = name.bytes().all(|b| b > b' ' && b != 0x7f && b != b'/');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !harmless {
        bail!("`{}` cannot be the name of an image", name.escape_debug());
    }
    Ok(())
}

pub(super) fn sync_dir(path: &Path) -> Result<()> {
    let dir = File::open(path).with_context(|| format!("opening `{}`", path.display()))?;
    fsync(dir.as_fd()).with_context(|| format!("syncing `{}`", path.display()))
}

fn lock_file(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("opening `{}`", path.display()))
}

pub(super) fn lock(file: File) -> Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| anyhow!(error)).context("waiting for a lock")
}

pub(super) fn read_record(dir: &Path) -> Result<Option<ImageRecord>> {
    let path = dir.join("image.json");
    let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("opening `{}`", path.display())),
    };
    let bytes = read_limited(file, MAX_RECORD, "the image record")?;
    let record = serde_json::from_slice(&bytes).with_context(|| format!("`{}` is damaged", path.display()))?;
    Ok(Some(record))
}

impl Imported {
    /// Returns all layers of the image for an overlay mount, the topmost first.
    #[must_use]
    pub fn lower(&self) -> Vec<PathBuf> {
        std::iter::once(&self.tree).chain(&self.below).cloned().collect()
    }

    /// Returns the root file system of an application, for reading.
    ///
    /// # Errors
    /// Returns an error if a layer is missing, or if the kernel cannot mount the layers.
    pub fn root(&self) -> io::Result<Tree> {
        application_root(&self.lower())
    }
}

/// Returns the root file system in the layers of an application's image, for reading.
///
/// # Errors
/// The same errors as those of [`Imported::root`].
pub fn application_root(lower: &[PathBuf]) -> io::Result<Tree> {
    merged(&lower.iter().map(|directory| directory.join("oci/root")).collect::<Vec<_>>())
}

impl Store {
    /// Returns the store of the system whose root directory is `root`.
    #[must_use]
    pub fn open(root: &Path) -> Self {
        Self { base: root.join("var/lib/sdme") }
    }

    /// The directory of the store.
    pub(super) fn root(&self) -> &Path {
        &self.base
    }

    /// Returns the root directory of the system to which the store belongs.
    #[must_use]
    pub fn host(&self) -> &Path {
        self.base.ancestors().nth(3).unwrap_or(Path::new("/"))
    }

    /// Returns the directory of verified downloads, which are named by digest.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.base.join("blobs/sha256")
    }

    /// Returns the directory of shared layers.
    pub(super) fn layers(&self) -> PathBuf {
        self.base.join("layers")
    }

    pub(super) fn entries(&self) -> PathBuf {
        self.base.join("store")
    }

    pub(super) fn links(&self) -> PathBuf {
        self.base.join("fs")
    }

    /// Returns the image called `name`, or `None` if it is not imported.
    ///
    /// # Errors
    /// Returns an error if the path is not a link into the store, or if the record cannot be read.
    pub fn lookup(&self, name: &str) -> Result<Option<Imported>> {
        check_name(name)?;
        let link = self.links().join(name);
        let target = match fs::read_link(&link) {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                bail!("`{}` is not a link to an imported image", link.display())
            }
            Err(error) => return Err(error).with_context(|| format!("reading the link `{}`", link.display())),
        };
        let entry = target.to_str().and_then(|target| target.strip_prefix("../store/"));
        let Some(entry) = entry.filter(|entry| check_name(entry).is_ok()) else {
            bail!("`{}` does not lead into the store of images", link.display());
        };
        self.imported(name, entry)
    }

    fn imported(&self, name: &str, entry: &str) -> Result<Option<Imported>> {
        let dir = self.entries().join(entry);
        let Some(image) = read_record(&dir)? else { return Ok(None) };
        if let Some(missing) = image.layers.iter().find(|layer| check_name(layer).is_err() || !self.has_layer(layer)) {
            let cause = format!("the layer {} of the image `{name}` is not there", missing.escape_debug());
            bail!(Fault::new(cause, "import it again"));
        }
        let below = image.layers.iter().rev().map(|layer| self.layer(layer).join("tree")).collect();
        Ok(Some(Imported { name: name.to_owned(), tree: dir.join("tree"), below, dir, image }))
    }

    /// Returns the layers of the entry whose top layer is `tree`, the topmost first. For any other
    /// directory, returns only that directory.
    ///
    /// # Errors
    /// Returns an error if the record of the entry cannot be read, or if a layer is missing.
    pub fn lower(&self, tree: &Path) -> Result<Vec<PathBuf>> {
        let entry = tree.parent().filter(|entry| entry.parent() == Some(&self.entries())).and_then(Path::file_name);
        let found = entry.and_then(|entry| entry.to_str()).map(|entry| self.imported(entry, entry)).transpose()?;
        Ok(found.flatten().map_or_else(|| vec![tree.to_owned()], |found| found.lower()))
    }

    /// Returns the record of the image whose top layer is `tree`, or `None` if the directory is not
    /// in the store.
    #[must_use]
    pub fn record(&self, tree: &Path) -> Option<ImageRecord> {
        let entry = tree.parent().filter(|entry| entry.parent() == Some(&self.entries()))?;
        read_record(entry).ok().flatten()
    }

    /// Returns all imported images, sorted by name.
    ///
    /// # Errors
    /// Returns an error if the directory or one of the records cannot be read.
    pub fn list(&self) -> Result<Vec<Imported>> {
        self.names()?.iter().filter_map(|name| self.lookup(name).transpose()).collect()
    }

    /// Returns the names of all imported images, including damaged ones, sorted.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(self.links()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("reading `{}`", self.links().display())),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.context("reading the directory of images")?.file_name();
            names.extend(name.into_string().ok().filter(|name| check_name(name).is_ok()));
        }
        names.sort();
        Ok(names)
    }

    /// Creates the directories of the store.
    pub(super) fn prepare(&self) -> Result<()> {
        for (path, mode) in [
            // Images contain setuid programs of their own users, which no other user of the host
            // may reach.
            (self.base.clone(), 0o700),
            (self.links(), 0o755),
            (self.entries(), 0o700),
            (self.entries().join(".locks"), 0o700),
            (self.layers(), 0o700),
            (self.base.join("blobs"), 0o700),
            (self.blobs(), 0o700),
        ] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(&path)
                .with_context(|| format!("creating `{}`", path.display()))?;
        }
        Ok(())
    }

    /// Waits until no other import of `name` is running, and locks the name.
    pub(super) fn lock_name(&self, name: &str) -> Result<NameLock> {
        // Lock files are never removed, because another import may be waiting for the same file.
        let file = lock_file(&self.entries().join(".locks").join(name))?;
        Ok(NameLock { _lock: lock(file)? })
    }

    /// The same as [`Store::lock_name`], but returns `None` instead of waiting.
    pub(super) fn try_lock_name(&self, name: &str) -> Result<Option<NameLock>> {
        let file = lock_file(&self.entries().join(".locks").join(name))?;
        Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok().map(|lock| NameLock { _lock: lock }))
    }

    /// Returns a shared lock for an import that uses layers before an entry refers to them. It
    /// excludes the exclusive lock of [`LAYERS`].
    pub(super) fn use_layers(&self) -> Result<NameLock> {
        let file = lock_file(&self.entries().join(".locks").join(LAYERS))?;
        let lock = Flock::lock(file, FlockArg::LockShared).map_err(|(_, error)| error).context("waiting for a lock")?;
        Ok(NameLock { _lock: lock })
    }

    /// Returns the lock for creating and removing scratch directories, because a new one looks
    /// abandoned until it is locked. The lock is also held while the images in use are determined.
    pub(super) fn guard(&self) -> Result<NameLock> {
        Ok(NameLock { _lock: lock(lock_file(&self.entries().join(".locks/.store"))?)? })
    }

    /// Returns a lock that keeps all versions of images from being removed, or `None` if there is
    /// no store.
    ///
    /// # Errors
    /// Returns an error if the lock cannot be acquired.
    pub fn hold(&self) -> Result<Option<NameLock>> {
        if self.entries().join(".locks").is_dir() { self.guard().map(Some) } else { Ok(None) }
    }

    /// Returns the name of the entry for an image.
    pub(super) fn entry_name(name: &str, manifest: &Digest, mode: ModeSetting, installation: &str) -> String {
        let how = Digest::of(format!("{FORMAT} {mode:?}{installation}").as_bytes());
        let short: String = how.hex().chars().take(8).collect();
        format!("{name}.{}.{short}", manifest.prefix16())
    }

    /// Returns a complete entry, whether or not it is in use.
    pub(super) fn entry(&self, name: &str, entry: &str) -> Option<Imported> {
        // An entry is published only when it is complete, so an entry without a valid record was
        // tampered with and counts as missing.
        self.imported(name, entry).ok().flatten().filter(|found| found.image.format == FORMAT && found.tree.is_dir())
    }

    /// Publishes the content of `scratch` as an entry. An existing entry of that name is removed
    /// first.
    pub(super) fn publish(&self, scratch: Scratch, entry: &str) -> Result<()> {
        let dir = self.entries();
        let store = Tree::open(&dir).context("opening the store")?;
        tree::remove(store.root(), entry.as_bytes()).context("removing a damaged entry")?;
        scratch.sync()?;
        self.publish_layers(&scratch)?;
        scratch.publish(entry)?;
        sync_dir(&dir)
    }

    /// Replaces the record of an entry.
    pub(super) fn rewrite(imported: &Imported) -> Result<()> {
        let temporary = imported.dir.join(".image.json.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&temporary)
            .context("writing the record")?;
        file.write_all(&render(&imported.image)?).context("writing the record")?;
        file.sync_all().context("syncing the record")?;
        fs::rename(&temporary, imported.dir.join("image.json")).context("replacing the record")?;
        sync_dir(&imported.dir)
    }

    /// Makes `name` stand for `entry`. The caller must hold the lock of the name.
    pub(super) fn link(&self, name: &str, entry: &str) -> Result<()> {
        let target = Path::new("../store").join(entry);
        let link = self.links().join(name);
        if fs::read_link(&link).is_ok_and(|old| old == target) {
            return Ok(());
        }
        // The modification time of an entry records when it was replaced. Former versions are
        // removed in this order.
        if let Some(former) = self.target(name).and_then(|former| File::open(self.entries().join(former)).ok()) {
            former.set_modified(SystemTime::now()).context("noting the time at which a version was replaced")?;
        }
        let temporary = self.links().join(format!(".{name}.new"));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("removing an old link"),
            _ => {}
        }
        symlink(&target, &temporary).context("creating the link")?;
        fs::rename(&temporary, &link).with_context(|| format!("replacing the link `{}`", link.display()))?;
        sync_dir(&self.links())
    }

    /// Removes the link of `name`. The caller must hold the lock of the name.
    pub(super) fn unlink(&self, name: &str) -> Result<()> {
        fs::remove_file(self.links().join(name)).with_context(|| format!("removing the link of `{name}`"))?;
        sync_dir(&self.links())
    }

    /// Returns the name of the entry in the store that the link `name` refers to, even if the entry
    /// is missing or damaged. Returns `None` without such a link.
    pub(super) fn target(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.links().join(name)).ok()?;
        target.to_str()?.strip_prefix("../store/").map(ToOwned::to_owned)
    }
}

/// Renders a record as JSON.
pub(super) fn render(record: &ImageRecord) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(record).context("rendering the record")?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_that_are_no_plain_file_names_are_refused() {
        for good in ["nginx", "web-1.2", "a@b", "é"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "a\0", &"x".repeat(201)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_that_leave_the_store_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path());
        assert!(store.lookup("x").unwrap().is_none());
        assert!(store.list().unwrap().is_empty());
        store.prepare().unwrap();
        symlink("/etc", store.links().join("evil")).unwrap();
        symlink("../store/../../x", store.links().join("up")).unwrap();
        symlink("../store/gone", store.links().join("gone")).unwrap();
        fs::create_dir(store.links().join("dir")).unwrap();
        assert!(store.lookup("evil").is_err());
        assert!(store.lookup("up").is_err());
        assert!(store.lookup("gone").unwrap().is_none());
        assert!(store.lookup("dir").is_err());
    }
}
