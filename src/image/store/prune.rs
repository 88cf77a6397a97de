// SPDX-License-Identifier: MIT
//! Removes content from the store: superseded versions, leftovers of interrupted imports, downloads
//! beyond the limit, and whole images. Also verifies the content of the store.
//!
//! The caller determines what is in use. This module must not remove anything while its name is
//! being imported.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

use super::digest::Digest;
use super::record::FORMAT;
use super::scratch::Scratch;
use crate::image::source::Blob;
use crate::image::store::{INVENTORY, Imported, LAYERS, NameLock, Store, check_name};
use crate::image::unpack::{applayer, inventory};
use crate::rootdir::tree::Tree;

/// Returns the store entries that containers run on, each with the name of one of these containers.
pub type Pinned<'a> = &'a dyn Fn() -> Result<BTreeMap<String, String>>;

/// The limits for versions and downloads that are kept although no container uses them.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Number of former versions of each image; those that were replaced last are kept.
    pub versions: usize,
    /// Maximum total size of downloads in bytes.
    pub cache: u64,
}

/// Maximum number of changed files of an image that are reported.
const MAX_CHANGES: usize = 10;

/// Something that was removed, or that a dry run would remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A store entry that no name stands for.
    Entry(String),
    /// A layer that no image uses.
    Layer(String),
    /// The directory of an interrupted import.
    Leftover(String),
    /// A download, with its size in bytes.
    Download(String, u64),
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(name) => write!(f, "version {name}"),
            Self::Layer(name) => write!(f, "layer {name}"),
            Self::Leftover(name) => write!(f, "leftover {name}"),
            Self::Download(name, size) => write!(f, "download {name} ({} MiB)", size >> 20),
        }
    }
}

/// Returns the name of the image that a store entry belongs to. Entries are called
/// `NAME.DIGEST.HOW`.
pub fn name_of(entry: &str) -> Option<&str> {
    let (rest, _) = entry.rsplit_once('.')?;
    let (name, _) = rest.rsplit_once('.')?;
    check_name(name).ok().map(|()| name)
}

fn names(dir: &std::path::Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading `{}`", dir.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading `{}`", dir.display()))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Returns the former entries of `name`, the one that was replaced last first. Versions that the
/// name has never stood for come last; see [`crate::image::versions`].
pub fn former(store: &Store, name: &str) -> Result<Vec<String>> {
    let current = store.target(name);
    let all = names(&store.entries())?.into_iter();
    let mut former: Vec<(SystemTime, String)> = all
        .filter(|entry| name_of(entry) == Some(name) && Some(entry) != current.as_ref())
        .map(|entry| {
            let replaced = fs::metadata(store.entries().join(&entry)).and_then(|found| found.modified());
            (replaced.unwrap_or(SystemTime::UNIX_EPOCH), entry)
        })
        .collect();
    former.sort();
    Ok(former.into_iter().rev().map(|(_, entry)| entry).collect())
}

/// Returns the entries of an image that are kept although no container runs on them: the current
/// one, `keep` former ones without those that failed or were never used, and those that an update
/// or a rollback needs.
fn kept(store: &Store, name: &str, keep: usize) -> Result<BTreeSet<String>> {
    let updates = store.noted(name);
    let refused = |entry: &String| {
        let found = store.entry(name, entry);
        found.is_none_or(|found| updates.refused.contains(&found.image.manifest) || found.is_unused())
    };
    let former = former(store, name)?.into_iter().filter(|entry| !refused(entry)).take(keep);
    Ok(former.chain(store.target(name)).chain(updates.needed().cloned()).collect())
}

/// Whether an image has more former versions than are kept.
///
/// # Errors
/// Returns an error if the store cannot be read.
pub fn has_superseded(store: &Store, name: &str, keep: usize) -> Result<bool> {
    let kept = kept(store, name, keep)?;
    Ok(former(store, name)?.iter().any(|entry| !kept.contains(entry)))
}

/// Removes the former versions of one image beyond the kept ones, and the layers that only they
/// use. Does nothing unless a container runs on a kept version, because only then it is known that
/// one of them works.
///
/// # Errors
/// The same errors as those of [`prune`].
pub fn retire(store: &Store, name: &str, pinned: Pinned<'_>, keep: usize) -> Result<Vec<Removed>> {
    let Some(_lock) = store.try_lock_name(name)? else { return Ok(Vec::new()) };
    let guard = store.guard()?;
    let pinned = pinned()?;
    let former = former(store, name)?;
    let kept = kept(store, name, keep)?;
    if !kept.iter().any(|entry| pinned.contains_key(entry)) {
        return Ok(Vec::new());
    }
    let mut removed = Vec::new();
    let mut retired = Vec::new();
    for entry in former.into_iter().filter(|entry| !kept.contains(entry) && !pinned.contains_key(entry)) {
        retired.push(store.retire(&store.entries().join(&entry))?);
        removed.push(Removed::Entry(entry));
    }
    let unused = unused(store, &removed)?;
    unused.retire(store, &mut retired)?;
    removed.extend(unused.names.iter().cloned().map(Removed::Layer));
    drop((guard, unused));
    drop(retired);
    Ok(removed)
}

/// Removes what is not needed; with `dry_run`, only returns what would be removed. `pinned` returns
/// the store entries that containers run on; while it runs, no container can start to use another
/// entry.
///
/// # Errors
/// Returns an error if the store cannot be read, or if something cannot be removed.
pub fn prune(store: &Store, pinned: Pinned<'_>, retention: Retention, dry_run: bool) -> Result<Vec<Removed>> {
    let mut removed = Vec::new();
    let Some(guard) = store.hold()? else { return Ok(removed) };
    let mut leftovers = Vec::new();
    for scratch in store.abandoned()? {
        leftovers.push(Removed::Leftover(scratch.name().to_owned()));
        if dry_run {
            scratch.keep();
        }
    }
    let pinned = pinned()?;
    let mut retired = Vec::new();
    let mut all_kept: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in names(&store.entries())? {
        let Some(name) = name_of(&entry).filter(|_| !entry.starts_with('.') && !pinned.contains_key(&entry)) else {
            continue;
        };
        // A new entry looks like an old one between its publication and the creation of its link.
        let Some(_lock) = store.try_lock_name(name)? else { continue };
        // If the name of an image is gone, none of its versions is kept.
        if store.target(name).is_none() {
            if !dry_run {
                retired.push(store.retire(&store.entries().join(&entry))?);
            }
            removed.push(Removed::Entry(entry));
            continue;
        }
        if !all_kept.contains_key(name) {
            all_kept.insert(name.to_owned(), kept(store, name, retention.versions)?);
        }
        if all_kept.get(name).is_some_and(|kept| kept.contains(&entry)) {
            continue;
        }
        if !dry_run {
            retired.push(store.retire(&store.entries().join(&entry))?);
        }
        removed.push(Removed::Entry(entry));
    }
    let unused = unused(store, &removed)?;
    if !dry_run {
        unused.retire(store, &mut retired)?;
    }
    removed.extend(unused.names.iter().cloned().map(Removed::Layer));
    // Removing takes time, and the retired directories have no names that others could use, so the
    // locks are released first.
    drop((guard, unused));
    drop(retired);
    removed.extend(leftovers);
    removed.extend(limit_cache(store, retention.cache, dry_run)?);
    Ok(removed)
}

/// Layers that no entry uses.
#[derive(Default)]
struct Unused {
    names: Vec<String>,
    /// The lock that keeps imports from starting to use one of the layers.
    _lock: Option<NameLock>,
}

impl Unused {
    fn retire(&self, store: &Store, retired: &mut Vec<Scratch>) -> Result<()> {
        for layer in &self.names {
            retired.push(store.retire(&store.layer(layer))?);
        }
        Ok(())
    }
}

/// Determines the unused layers, as if the entries in `removed` were gone. There are none while an
/// import may use any layer.
fn unused(store: &Store, removed: &[Removed]) -> Result<Unused> {
    let Some(lock) = store.try_lock_name(LAYERS)? else { return Ok(Unused::default()) };
    let mut layers = names(&store.layers())?;
    let gone = |entry: &str| removed.iter().any(|removed| matches!(removed, Removed::Entry(name) if name == entry));
    for entry in names(&store.entries())?.iter().filter(|entry| name_of(entry).is_some() && !gone(entry)) {
        // The layers of an entry with a damaged record are unknown, so no layer counts as unused.
        let Ok(needed) = store.layers_of(entry) else { return Ok(Unused::default()) };
        layers.retain(|layer| !needed.contains(layer));
    }
    Ok(Unused { names: layers, _lock: Some(lock) })
}

/// Removes downloads until the limit is met, those with the oldest last use first. An import that
/// has a removed download open can still read it.
pub(crate) fn limit_cache(store: &Store, limit: u64, dry_run: bool) -> Result<Vec<Removed>> {
    let mut blobs = Vec::new();
    for name in names(&store.blobs())? {
        let Ok(found) = fs::symlink_metadata(store.blobs().join(&name)) else { continue };
        blobs.push((found.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, found.len()));
    }
    blobs.sort();
    let mut total: u64 = blobs.iter().map(|(_, _, size)| size).sum();
    let mut removed = Vec::new();
    for (_, name, size) in blobs {
        if total <= limit {
            break;
        }
        total -= size;
        if !dry_run {
            match fs::remove_file(store.blobs().join(&name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("removing a download"),
                _ => {}
            }
        }
        removed.push(Removed::Download(name, size));
    }
    Ok(removed)
}

/// Removes an image with all its versions; with `dry_run`, only checks whether it can be removed.
/// Returns the store entries of the versions.
/// The caller must ensure that no configuration uses it.
///
/// # Errors
/// Returns an error if the image does not exist, is being imported, is in use by a running
/// container, or cannot be removed.
pub fn remove(store: &Store, name: &str, pinned: Pinned<'_>, dry_run: bool) -> Result<Vec<String>> {
    check_name(name)?;
    if store.target(name).is_none() {
        bail!("there is no image `{name}`");
    }
    let Some(_lock) = store.try_lock_name(name)? else { bail!("`{name}` is being imported") };
    let guard = store.guard()?;
    let entries: Vec<String> =
        names(&store.entries())?.into_iter().filter(|entry| name_of(entry) == Some(name)).collect();
    let pinned = pinned()?;
    if let Some((entry, container)) = entries.iter().find_map(|entry| pinned.get_key_value(entry)) {
        bail!(
            "the container {container} runs on `{name}` (version {entry}); run systemctl stop systemd-nspawn@{container}.service first"
        );
    }
    if dry_run {
        return Ok(entries);
    }
    store.unlink(name)?;
    store.forget_updates(name);
    let places = entries.iter().map(|entry| store.entries().join(entry));
    let mut retired = places.map(|entry| store.retire(&entry)).collect::<Result<Vec<_>>>()?;
    let unused = unused(store, &[])?;
    unused.retire(store, &mut retired)?;
    drop((guard, unused));
    drop(retired);
    Ok(entries)
}

/// Returns the changed files of an image, in its own tree and in the lower layers that are not in
/// `seen` yet.
fn changes(image: &Imported, seen: &mut BTreeSet<PathBuf>) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for tree in image.lower().iter().filter(|tree| seen.insert((*tree).clone())) {
        let list = tree.with_file_name(INVENTORY);
        let tree = Tree::open(tree).context("opening its files")?;
        let list = File::open(list).context("opening the list of its files")?;
        problems.extend(inventory::compare(&tree, applayer::EDITABLE, BufReader::new(list))?);
    }
    Ok(problems)
}

/// Verifies one image, or all images and downloads. Returns the problems; none if everything is
/// intact.
///
/// # Errors
/// Returns an error if the store cannot be read.
pub fn verify(store: &Store, name: Option<&str>) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let all = match name {
        Some(name) => vec![name.to_owned()],
        None => store.names()?,
    };
    for name in all {
        match store.lookup(&name) {
            Ok(Some(found)) if found.image.format != FORMAT => {
                problems.push(format!("{name}: was imported by another version of this program; import it again"));
            }
            Ok(Some(found)) => match changes(&found, &mut seen) {
                Ok(found) => {
                    let more = found.len().saturating_sub(MAX_CHANGES);
                    problems.extend(found.into_iter().take(MAX_CHANGES).map(|change| format!("{name}: {change}")));
                    if more > 0 {
                        problems.push(format!("{name}: and {more} more"));
                    }
                }
                Err(error) => problems.push(format!("{name}: {error:#}")),
            },
            Ok(None) => problems.push(format!("{name}: is not there")),
            Err(error) => problems.push(format!("{name}: {error:#}")),
        }
    }
    if name.is_none() {
        for blob in names(&store.blobs())? {
            let found = File::open(store.blobs().join(&blob)).map_err(Into::into).and_then(Blob::whole);
            let sound = found.and_then(|mut blob| blob.digest());
            if !sound.is_ok_and(|digest: Digest| digest.hex() == blob) {
                problems.push(format!("download {blob}: is damaged; it will be fetched again when it is needed"));
            }
        }
    }
    Ok(problems)
}
