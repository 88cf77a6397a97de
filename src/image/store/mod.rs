// SPDX-License-Identifier: MIT
//! The store of imported images below `ROOT/var/lib/sdme`.
//!
//! `store/ENTRY/{tree,image.json,files}` never changes once it has its name, except for the reference in its record;
//! `layers/LAYER/{tree,files}` are what entries have below their tree, and never change either; `fs/NAME` is a link to the
//! entry in use and is replaced atomically. Must not know how an entry comes about.

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
use crate::image::store::digest::{Digest, read_limited};
use crate::image::store::record::{FORMAT, ImageRecord};
use crate::image::store::scratch::Scratch;
use crate::image::unpack::overlay::merged;
use crate::rootdir::tree::{self, Tree};

/// Larger records were not written by us.
const MAX_RECORD: u64 = 32 << 20;
/// No image's name: the lock of whoever removes layers.
pub(super) const LAYERS: &str = ".layers";
/// The list of the files in the tree.
pub(super) const INVENTORY: &str = "files";

/// An image that is there to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Name of the image: the `NAME` of `NAME.image`.
    pub name: String,
    /// The store entry, links resolved.
    pub dir: PathBuf,
    /// The layer in it, which is the image's own.
    pub tree: PathBuf,
    /// The directories below that one, which other images may have too, the topmost first.
    pub below: Vec<PathBuf>,
    /// What is known of it.
    pub image: ImageRecord,
}

/// A store; cheap to open, creates nothing until something is imported.
#[derive(Debug, Clone)]
pub struct Store {
    base: PathBuf,
}

/// Held for as long as one name is being imported.
#[derive(Debug)]
pub struct NameLock {
    _lock: Flock<File>,
}

/// Refuses image names that are no plain file names.
///
/// # Errors
/// Says what is wrong with it.
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
    /// The directories that are put on each other for its files, the topmost first.
    #[must_use]
    pub fn lower(&self) -> Vec<PathBuf> {
        std::iter::once(&self.tree).chain(&self.below).cloned().collect()
    }

    /// The root file system of an application, to be read.
    ///
    /// # Errors
    /// When a directory is not there, or the kernel cannot put them on each other.
    pub fn root(&self) -> io::Result<Tree> {
        application_root(&self.lower())
    }
}

/// The root file system that is in the directories of an application's image, to be read.
///
/// # Errors
/// As for [`Imported::root`].
pub fn application_root(lower: &[PathBuf]) -> io::Result<Tree> {
    merged(&lower.iter().map(|directory| directory.join("oci/root")).collect::<Vec<_>>())
}

impl Store {
    /// The store of the system whose root directory is `root`.
    #[must_use]
    pub fn open(root: &Path) -> Self {
        Self { base: root.join("var/lib/sdme") }
    }

    /// The directory of the store.
    pub(super) fn root(&self) -> &Path {
        &self.base
    }

    /// The root directory of the system whose store it is.
    #[must_use]
    pub fn host(&self) -> &Path {
        self.base.ancestors().nth(3).unwrap_or(Path::new("/"))
    }

    /// Where verified downloads are kept, by algorithm and digest.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.base.join("blobs/sha256")
    }

    /// Where layers are that images share.
    pub(super) fn layers(&self) -> PathBuf {
        self.base.join("layers")
    }

    pub(super) fn entries(&self) -> PathBuf {
        self.base.join("store")
    }

    pub(super) fn links(&self) -> PathBuf {
        self.base.join("fs")
    }

    /// The image called `name`, if it has been imported.
    ///
    /// # Errors
    /// When something else is in its place, or its record cannot be read.
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
            bail!("the layer {} of the image `{name}` is not there; import it again", missing.escape_debug());
        }
        let below = image.layers.iter().rev().map(|layer| self.layer(layer).join("tree")).collect();
        Ok(Some(Imported { name: name.to_owned(), tree: dir.join("tree"), below, dir, image }))
    }

    /// The directories that are put on each other where `tree` is that of an entry, the topmost first; of another place, only
    /// itself.
    ///
    /// # Errors
    /// When there is an entry and its record cannot be read, or a layer is missing.
    pub fn lower(&self, tree: &Path) -> Result<Vec<PathBuf>> {
        let entry = tree.parent().filter(|entry| entry.parent() == Some(&self.entries())).and_then(Path::file_name);
        let found = entry.and_then(|entry| entry.to_str()).map(|entry| self.imported(entry, entry)).transpose()?;
        Ok(found.flatten().map_or_else(|| vec![tree.to_owned()], |found| found.lower()))
    }

    /// What is known of the image whose own layer is at `tree`; nothing for a directory that is none of the store.
    #[must_use]
    pub fn record(&self, tree: &Path) -> Option<ImageRecord> {
        let entry = tree.parent().filter(|entry| entry.parent() == Some(&self.entries()))?;
        read_record(entry).ok().flatten()
    }

    /// All imported images, by name.
    ///
    /// # Errors
    /// When the directory or one of the records cannot be read.
    pub fn list(&self) -> Result<Vec<Imported>> {
        self.names()?.iter().filter_map(|name| self.lookup(name).transpose()).collect()
    }

    /// The names of all imported images, sorted, those among them that are damaged.
    ///
    /// # Errors
    /// When the directory cannot be read.
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
            // Images hold setuid programs of their own users: nobody else may get at them.
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

    /// Waits until no other import of `name` is going on.
    pub(super) fn lock_name(&self, name: &str) -> Result<NameLock> {
        // Lock files are never removed: another import may be waiting on the very file.
        let file = lock_file(&self.entries().join(".locks").join(name))?;
        Ok(NameLock { _lock: lock(file)? })
    }

    /// As [`Store::lock_name`], but does not wait: nothing if an import of `name` is going on.
    pub(super) fn try_lock_name(&self, name: &str) -> Result<Option<NameLock>> {
        let file = lock_file(&self.entries().join(".locks").join(name))?;
        Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok().map(|lock| NameLock { _lock: lock }))
    }

    /// Held while an import uses layers that no entry names yet. While it is held, the lock of [`LAYERS`] cannot be had.
    pub(super) fn use_layers(&self) -> Result<NameLock> {
        let file = lock_file(&self.entries().join(".locks").join(LAYERS))?;
        let lock = Flock::lock(file, FlockArg::LockShared).map_err(|(_, error)| error).context("waiting for a lock")?;
        Ok(NameLock { _lock: lock })
    }

    /// Held while directories to work in come and go: between its creation and its locking one looks abandoned. Held also
    /// while it is found out what is in use.
    pub(super) fn guard(&self) -> Result<NameLock> {
        Ok(NameLock { _lock: lock(lock_file(&self.entries().join(".locks/.store"))?)? })
    }

    /// For whoever is about to use images: until this is dropped, no version of one is removed. Nothing without a store.
    ///
    /// # Errors
    /// When the lock cannot be had.
    pub fn hold(&self) -> Result<Option<NameLock>> {
        if self.entries().join(".locks").is_dir() { self.guard().map(Some) } else { Ok(None) }
    }

    /// The name of the entry for an image.
    pub(super) fn entry_name(name: &str, manifest: &Digest, mode: ModeSetting, installation: &str) -> String {
        let how = Digest::of(format!("{FORMAT} {mode:?}{installation}").as_bytes());
        let short: String = how.hex().chars().take(8).collect();
        format!("{name}.{}.{short}", manifest.prefix16())
    }

    /// An entry that is complete, whether or not it is in use.
    pub(super) fn entry(&self, name: &str, entry: &str) -> Option<Imported> {
        // An entry gets its name only when it is complete: one without a record, or with a damaged one, was tampered
        // with and is as good as none.
        self.imported(name, entry).ok().flatten().filter(|found| found.image.format == FORMAT && found.tree.is_dir())
    }

    /// Gives what is in `scratch` its place, and removes what is in the way there.
    pub(super) fn publish(&self, scratch: Scratch, entry: &str) -> Result<()> {
        let dir = self.entries();
        let store = Tree::open(&dir).context("opening the store")?;
        tree::remove(store.root(), entry.as_bytes()).context("removing a damaged entry")?;
        scratch.sync()?;
        self.publish_layers(&scratch)?;
        scratch.publish(entry)?;
        sync_dir(&dir)
    }

    /// Writes a new record into an entry.
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

    /// Makes `name` stand for `entry`. The caller holds the lock of the name.
    pub(super) fn link(&self, name: &str, entry: &str) -> Result<()> {
        let target = Path::new("../store").join(entry);
        let link = self.links().join(name);
        if fs::read_link(&link).is_ok_and(|old| old == target) {
            return Ok(());
        }
        // Former versions are removed in the order of the times at which another one replaced them.
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

    /// Makes `name` stand for nothing. The caller holds the lock of the name.
    pub(super) fn unlink(&self, name: &str) -> Result<()> {
        fs::remove_file(self.links().join(name)).with_context(|| format!("removing the link of `{name}`"))?;
        sync_dir(&self.links())
    }

    /// The entry that `name` stands for, whatever state it is in.
    pub(super) fn target(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.links().join(name)).ok()?;
        target.to_str()?.strip_prefix("../store/").map(ToOwned::to_owned)
    }
}

/// The text of a record.
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
    fn names() {
        for good in ["nginx", "web-1.2", "a@b", "é"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "a\0", &"x".repeat(201)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_lead_into_the_store_or_nowhere() {
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
