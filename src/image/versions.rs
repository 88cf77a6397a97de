// SPDX-License-Identifier: MIT
//! The versions of an image in the store, and the notes about its updates: `updates/NAME.json`.
//!
//! Each step is noted before it is taken. After a power cut, a name therefore stands for a complete
//! version, and the next start can undo an unfinished switch by its note. This module must not know
//! about containers.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::store::{Imported, Store, check_name, sync_dir};
use crate::diag::Fault;
use crate::image::store::digest::read_limited;
use crate::image::store::prune;

/// Maximum size of a note in bytes.
const MAX_NOTE: u64 = 1 << 20;

/// The note about the updates of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Updates {
    /// The reference of the image. A note about another reference is ignored, except for its
    /// switch.
    pub reference: String,
    /// The digest that the source named in the last check.
    pub latest: Option<String>,
    /// The time of the last check, in seconds since 1970.
    pub checked: u64,
    /// Digests that `sdme-gen update` does not try: they failed, were rolled back, or are not
    /// accepted. The set is cleared when the source names another digest.
    pub refused: BTreeSet<String>,
    /// The reason why a container did not run on the refused version. None if an administrator went
    /// back from it.
    pub failure: Option<Failure>,
    /// The digest that `sdme-gen download` should fetch.
    pub wanted: Option<String>,
    /// The reason why that digest could not be fetched.
    pub problem: Option<String>,
    /// Whether the digest was not fetched because the signature policy does not accept it.
    pub unaccepted: bool,
    /// The store entry that was downloaded and is not used yet.
    pub pending: Option<String>,
    /// The store entry that the last update replaced.
    pub former: Option<String>,
    /// The switch that is in progress.
    pub switch: Option<Switch>,
}

/// The reason why a version is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The container that did not run on it.
    pub container: String,
    /// The reason, without a remedy.
    pub text: String,
}

/// A switch of an image from one version to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// The store entry before the switch.
    pub from: String,
    /// The store entry after the switch.
    pub to: String,
    /// Volumes that are copied before a container starts on the new version, and restored when the
    /// switch is undone.
    pub volumes: BTreeSet<String>,
}

impl Updates {
    /// Whether updates are held back because a version failed or was rolled back. Starts then use
    /// the present version, regardless of `Policy=` and `Pull=`.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Records the digest that the source names. A digest that was not refused clears the refused
    /// ones.
    pub fn named(&mut self, digest: &str, now: u64) {
        self.latest = Some(digest.to_owned());
        self.checked = now;
        if !self.refused.contains(digest) {
            self.refused.clear();
            self.failure = None;
            self.unaccepted = false;
        }
    }

    /// Returns a word for the state beyond the current version: `available`, `downloaded`, `not
    /// accepted`, `rolled back`, or `None`.
    #[must_use]
    pub fn word(&self, current: &Imported) -> Option<&'static str> {
        let latest = self.latest.as_ref().filter(|latest| **latest != current.image.manifest);
        match latest {
            Some(latest) if self.refused.contains(latest) && self.unaccepted => Some("not accepted"),
            Some(latest) if self.refused.contains(latest) => Some("rolled back"),
            Some(_) if self.pending.is_some() => Some("downloaded"),
            Some(_) => Some("available"),
            None if self.is_held() && !self.refused.contains(&current.image.manifest) => Some("rolled back"),
            None => None,
        }
    }

    /// Returns the digest of the version that was rolled back: the one that the source names, if it
    /// is refused.
    #[must_use]
    pub fn rolled_back(&self) -> Option<&str> {
        let latest = self.latest.as_ref().filter(|latest| self.refused.contains(*latest));
        latest.or_else(|| self.refused.last()).map(String::as_str)
    }

    /// Iterates over the store entries that an update or a rollback still needs.
    pub(super) fn needed(&self) -> impl Iterator<Item = &String> {
        let switch = self.switch.iter().flat_map(|switch| [&switch.from, &switch.to]);
        self.pending.iter().chain(&self.former).chain(switch)
    }
}

/// Returns the short form of a digest, for tables and messages: the algorithm and 12 digits.
#[must_use]
pub fn short(digest: &str) -> String {
    digest.chars().take(19).collect()
}

/// Returns the current time in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_secs()).unwrap_or_default()
}

/// The lock of the only process that may switch versions.
#[derive(Debug)]
pub struct UpdateLock {
    _lock: Flock<File>,
}

impl Imported {
    /// Returns the name of the store entry.
    #[must_use]
    pub fn entry(&self) -> &str {
        self.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Whether the version was never the current one, which is marked by the modification time 0 of
    /// its directory.
    pub(super) fn is_unused(&self) -> bool {
        fs::metadata(&self.dir).and_then(|found| found.modified()).is_ok_and(|time| time == UNIX_EPOCH)
    }

    /// Marks the version as never used, so that it does not count as a former version. Nothing may
    /// be created in its directory afterwards.
    ///
    /// # Errors
    /// Returns an error if the modification time of the directory cannot be set.
    pub fn set_unused(&self) -> Result<()> {
        let set = File::open(&self.dir).and_then(|dir| dir.set_modified(UNIX_EPOCH));
        set.with_context(|| format!("cannot set the time of `{}`", self.dir.display()))
    }

    /// Returns the time of the import in seconds since 1970, which is the creation time of the
    /// tree.
    #[must_use]
    pub fn imported_at(&self) -> Option<u64> {
        let written = fs::metadata(self.dir.join("tree")).and_then(|found| found.created()).ok()?;
        written.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
    }
}

impl Store {
    fn notes(&self) -> PathBuf {
        self.root().join("updates")
    }

    fn note(&self, name: &str) -> PathBuf {
        self.notes().join(format!("{name}.json"))
    }

    /// Returns the note about the updates of the image `name` with this reference. An unreadable
    /// note counts as missing, because this program did not write it.
    #[must_use]
    pub fn updates(&self, name: &str, reference: &str) -> Updates {
        let noted = self.noted(name);
        if noted.reference == reference {
            return noted;
        }
        // An unfinished switch is undone even if the reference in the configuration has changed.
        Updates { reference: reference.to_owned(), switch: noted.switch, ..Updates::default() }
    }

    /// Replaces the note, and waits until it is written to disk.
    ///
    /// # Errors
    /// Returns an error if the note cannot be written.
    pub fn note_updates(&self, name: &str, updates: &Updates) -> Result<()> {
        check_name(name)?;
        self.make_notes()?;
        let (path, new) = (self.note(name), self.notes().join(format!(".{name}.new")));
        let mut text = serde_json::to_vec_pretty(updates).context("rendering a note")?;
        text.push(b'\n');
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        })();
        written.with_context(|| format!("cannot write `{}`", path.display()))?;
        sync_dir(&self.notes())
    }

    fn make_notes(&self) -> Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(self.notes());
        made.with_context(|| format!("cannot make `{}`", self.notes().display()))
    }

    /// Removes the note about an image that is removed.
    pub(super) fn forget_updates(&self, name: &str) {
        // The note has no effect without the image, so an error is ignored.
        let _ = fs::remove_file(self.note(name));
    }

    /// Returns the note about `name` regardless of its reference.
    pub(super) fn noted(&self, name: &str) -> Updates {
        if check_name(name).is_err() {
            return Updates::default();
        }
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(self.note(name));
        let text = file.ok().and_then(|file| read_limited(file, MAX_NOTE, "the note").ok());
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Acquires the lock of updates. While it is held, no other process switches versions.
    ///
    /// # Errors
    /// Returns an error if another process has the lock, or if the file cannot be opened.
    pub fn lock_updates(&self) -> Result<UpdateLock> {
        self.try_lock_updates()?.ok_or_else(|| {
            Fault::new("another sdme-gen update or rollback is running", "try again when it has ended").into()
        })
    }

    fn try_lock_updates(&self) -> Result<Option<UpdateLock>> {
        self.make_notes()?;
        let path = self.notes().join(".lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot open `{}`", path.display()))?;
        Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok().map(|lock| UpdateLock { _lock: lock }))
    }

    /// Returns the version of `name` in a store entry.
    ///
    /// # Errors
    /// Returns an error if the version does not exist or is damaged.
    pub fn version(&self, name: &str, entry: &str) -> Result<Imported> {
        let own = check_name(entry).is_ok() && prune::name_of(entry) == Some(name);
        let found = if own { self.entry(name, entry) } else { None };
        found.ok_or_else(|| anyhow!("the version {} of {name} is not there", entry.escape_debug()))
    }

    /// Returns the former versions of an image that could be used, the one that was replaced last
    /// first.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub fn former_versions(&self, name: &str) -> Result<Vec<Imported>> {
        check_name(name)?;
        let all = prune::former(self, name)?.into_iter().filter_map(|entry| self.entry(name, &entry));
        Ok(all.filter(|found| !found.is_unused()).collect())
    }

    /// Atomically makes `name` stand for another one of its versions.
    ///
    /// # Errors
    /// Returns an error if the version does not exist, or if the link cannot be replaced.
    pub fn switch(&self, name: &str, entry: &str) -> Result<()> {
        let _lock = self.lock_name(name)?;
        self.version(name, entry)?;
        self.link(name, entry)
    }

    /// Undoes an unfinished switch of `name`, unless the process that switches is still running.
    /// Returns the undone switch. `before` is called before the note about the switch is removed;
    /// if it fails, the note stays.
    ///
    /// # Errors
    /// Returns an error if the link or the note cannot be replaced, or if `before` fails.
    pub fn undo_unfinished(&self, name: &str, before: &dyn Fn(&Switch) -> Result<()>) -> Result<Option<Switch>> {
        let mut noted = self.noted(name);
        let Some(switch) = noted.switch.clone() else { return Ok(None) };
        let Some(_updating) = self.try_lock_updates()? else { return Ok(None) };
        let Some(_lock) = self.try_lock_name(name)? else { return Ok(None) };
        if self.version(name, &switch.from).is_ok() {
            self.link(name, &switch.from)?;
        } else if self.version(name, &switch.to).is_err() {
            bail!(Fault::new(
                format!("both versions of {name} of an update that was not finished are gone"),
                "import it again"
            ));
        }
        before(&switch)?;
        noted.switch = None;
        self.note_updates(name, &noted)?;
        Ok(Some(switch))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn switch() -> Switch {
        Switch { from: "x.1.1".into(), to: "x.2.2".into(), volumes: ["data".into()].into() }
    }

    #[test]
    fn notes_belong_to_one_reference() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path());
        assert_eq!(store.updates("x", "a"), Updates { reference: "a".into(), ..Updates::default() });
        let mut updates = store.updates("x", "a");
        updates.named("sha256:1", 7);
        updates.refused.insert("sha256:1".into());
        updates.failure = Some(Failure { container: "web".into(), text: "failed 3".into() });
        assert_eq!(updates.rolled_back(), Some("sha256:1"));
        updates.switch = Some(switch());
        store.note_updates("x", &updates).unwrap();
        assert_eq!(store.updates("x", "a"), updates);
        assert!(updates.is_held());
        let other = store.updates("x", "b");
        assert!(!other.is_held() && other.latest.is_none() && other.switch.is_some());
        // The tag now stands for another digest.
        updates.named("sha256:1", 8);
        assert!(updates.is_held());
        updates.named("sha256:2", 9);
        assert!(!updates.is_held() && updates.checked == 9 && updates.failure.is_none());
        fs::write(store.note("x"), "{").unwrap();
        assert_eq!(store.updates("x", "a").latest, None);
        assert!(store.note_updates("../x", &updates).is_err());
    }

    #[test]
    fn only_one_process_can_switch_versions() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path());
        let lock = store.lock_updates().unwrap();
        assert!(store.lock_updates().unwrap_err().to_string().contains("is running"));
        let switch = Some(switch());
        store.note_updates("x", &Updates { switch, ..Updates::default() }).unwrap();
        assert_eq!(store.undo_unfinished("x", &|_| Ok(())).unwrap(), None);
        drop(lock);
        fs::create_dir_all(store.entries().join(".locks")).unwrap();
        assert!(store.undo_unfinished("x", &|_| Ok(())).unwrap_err().to_string().contains("are gone"));
    }
}
