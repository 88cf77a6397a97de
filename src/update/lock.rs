// SPDX-License-Identifier: MIT
//! Implements `sdme-gen lock`, which writes `/etc/sdme/sdme.lock`, and moves the digests in that
//! file with updates.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::admin::write::files;
use crate::config::lock::{FILE, Lock, Locked};
use crate::diag::{Code, Diagnostic, Location};
use crate::image::{Imported, Store, now};
use crate::model::{Image, Model};
use crate::runtime::{pull, systemd};

fn key(image: &Image) -> (String, String) {
    (image.source.to_string(), image.platform.to_string())
}

/// Locks every image of the configuration to its imported version, and returns the lock. `dry_run`
/// leaves the file unchanged.
///
/// # Errors
/// Returns an error if an image is not imported, because its digest is not known then, if two
/// versions of one image are imported, or if the file cannot be written.
pub fn lock(root: &Path, model: &Model, dry_run: bool) -> Result<Lock> {
    let store = Store::open(root);
    let mut lock = Lock::default();
    for image in model.images.values() {
        let found = store.lookup(&image.name)?;
        let found = found.filter(|found| found.image.reference == image.source.to_string());
        let Some(found) = found else {
            bail!(
                "the image {} is not imported; run systemctl start 'sdme-image@{}.service' first",
                image.source,
                image.name
            );
        };
        let locked = Locked { digest: found.image.shared().to_owned(), time: now() };
        if let Some(other) =
            lock.images.insert(key(image), locked.clone()).filter(|other| !found.image.is(&other.digest))
        {
            bail!(
                "{} is imported as {} and as {}; run sdme-gen update, so that both are one",
                image.source,
                other.digest,
                locked.digest
            );
        }
    }
    let known = model.lock.as_ref().and_then(|lock| lock.as_ref().ok());
    for (key, locked) in &mut lock.images {
        // An entry whose digest does not change keeps its time.
        if let Some(known) = known.and_then(|known| known.images.get(key)).filter(|known| known.digest == locked.digest)
        {
            locked.clone_from(known);
        }
    }
    if !dry_run {
        files::write(root, FILE, &lock.render())?;
        mark_all(root, &store)?;
    }
    Ok(lock)
}

/// Updates the pull stamps of all locked images. The stamps cover the lock, so starts would import
/// the images again otherwise.
fn mark_all(root: &Path, store: &Store) -> Result<()> {
    let model = crate::runtime::model(root);
    for image in model.images.values() {
        if let Some(found) = store
            .lookup(&image.name)?
            .filter(|found| image.locked.as_ref().is_some_and(|locked| found.image.is(locked)))
        {
            pull::set_mark(&model, image, &found);
        }
    }
    systemd::reload(root)
}

/// Moves the digests of images that are in the lock to these versions.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn follow<'a>(model: &Model, versions: impl Iterator<Item = (&'a Image, &'a Imported)>) -> Result<()> {
    let root = Path::new("/");
    let Some(Ok(mut lock)) = crate::runtime::model(root).lock.filter(|_| model.lock.is_some()) else { return Ok(()) };
    let before = lock.clone();
    let versions: Vec<_> = versions.collect();
    for (image, version) in &versions {
        if let Some(locked) = lock.images.get_mut(&key(image)).filter(|locked| !version.image.is(&locked.digest)) {
            *locked = Locked { digest: version.image.shared().to_owned(), time: now() };
        }
    }
    if lock == before {
        return Ok(());
    }
    files::write(root, FILE, &lock.render())?;
    let model = crate::runtime::model(root);
    for (image, version) in versions {
        if let Some(image) = model.images.get(&image.name) {
            pull::set_mark(&model, image, version);
        }
    }
    systemd::reload(root)
}

/// Returns a warning for each image that is not locked, or whose imported version differs from the
/// lock.
#[must_use]
pub fn deviations(store: &Store, model: &Model) -> Vec<Diagnostic> {
    if !matches!(model.lock, Some(Ok(_))) {
        return Vec::new();
    }
    let at = Location::new(&Arc::from(format!("{}/{FILE}", files::DIRECTORY)), 1);
    let one = |image: &Image| {
        let Some(locked) = &image.locked else {
            let cause = format!("the image {} is not locked", image.source);
            return Some(Code::Conflict.problem(cause, "run sdme-gen lock"));
        };
        let found = store.lookup(&image.name).ok().flatten()?.image;
        let cause = format!("the image {} is imported as {} and locked to {locked}", image.source, found.shared());
        (!found.is(locked)).then(|| Code::Conflict.problem(cause, "restart its containers, or run sdme-gen lock"))
    };
    model.images.values().filter_map(one).map(|problem| Diagnostic::warning(&at, problem)).collect()
}
