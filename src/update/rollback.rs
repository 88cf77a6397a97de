// SPDX-License-Identifier: MIT
//! Implements `sdme-gen rollback`, which switches images back to a version in the store. No source
//! is asked, neither now nor at the restart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::plan::{Member, named};
use super::rollout::{Change, Host, Outcome, Purpose};
use crate::admin::images;
use crate::image::{Imported, Store, short};
use crate::model::{Image, Model};
use crate::runtime::pull;

/// Minimum number of digits by which a digest can be given.
const SHORTEST: usize = 6;

/// Switches the images of a container, pod or template, or one image, back to the version before
/// the last update, or to the version with the digest `to`. Restarts the containers that run on
/// another version. Returns the changes and their outcome; with `dry_run` nothing is changed.
///
/// # Errors
/// Returns an error if the name or the version is unknown, or if another update is running.
pub fn rollback(name: &str, to: Option<&str>, dry_run: bool) -> Result<(Vec<Change>, Outcome)> {
    let root = Path::new("/");
    let (model, facts) = crate::runtime::known(root);
    let store = Store::open(root);
    let containers = named(&model, name);
    let of_containers = containers.iter().flat_map(|container| crate::plan::images(container, &model));
    let images: BTreeSet<&str> =
        if model.images.contains_key(name) { BTreeSet::from([name]) } else { of_containers.collect() };
    if images.is_empty() {
        bail!("there is no container, pod, template or image {name}");
    }
    let _lock = store.lock_updates()?;
    let mut changes = Vec::new();
    for image in images.iter().filter_map(|image| model.images.get(*image)) {
        changes.extend(change(&store, image, to, images.len() == 1)?);
    }
    if changes.is_empty() {
        if let Some(to) = to {
            bail!("no image of {name} has a former version with the digest {to}; sdme-gen fs ls lists those there are");
        }
        let images = images.iter().filter_map(|image| model.images.get(*image));
        let refused = images.map(|image| refused(&store, image)).collect::<Result<Vec<_>>>()?.concat();
        if let Some(digest) = refused.first() {
            bail!(
                "the former version {digest} of {name} failed, or was rolled back; to use it nevertheless, run \
                 sdme-gen rollback {name} --to {digest}"
            );
        }
        bail!("no image of {name} has a former version that the configuration asks for; sdme-gen fs ls lists all");
    }
    let running = images::running(root)?;
    let left = |name: &str| {
        let runs_on = running.get(name);
        changes.iter().any(|change| runs_on.is_some_and(|entries| !entries.contains(change.to.entry())))
    };
    let members: Vec<String> =
        containers.iter().map(|container| container.name.to_string()).filter(|name| left(name)).collect();
    if dry_run {
        return Ok((changes, Outcome { updated: members, ..Outcome::default() }));
    }
    for change in &changes {
        pull::set_mark(&model, &change.image, &change.to);
    }
    // The user watches the result of a manual rollback, so nothing is awaited after the start, and
    // no volumes are restored.
    let settings: BTreeMap<String, Member> = BTreeMap::new();
    let host = Host { store: &store, model: &model, facts: &facts, members: &settings };
    let outcome = host.run(&changes, &members, Purpose::Rollback)?;
    tell_others(&model, &changes, &members)?;
    Ok((changes, outcome))
}

/// Whether the version fits the source, mode and platform that the configuration requests.
fn satisfies(version: &Imported, image: &Image) -> bool {
    let (record, reference) = (&version.image, image.source.to_string());
    record.reference == reference && record.satisfies(&reference, image.mode, &image.platform)
}

/// The digests, in short form, of the former versions of an image that the configuration requests,
/// but that a rollback uses only if the user names them.
fn refused(store: &Store, image: &Image) -> Result<Vec<String>> {
    let updates = store.updates(&image.name, &image.source.to_string());
    let versions = store.former_versions(&image.name)?.into_iter().filter(|version| satisfies(version, image));
    let digests = versions.map(|version| version.image.manifest).filter(|digest| updates.refused.contains(digest));
    Ok(digests.map(|digest| short(&digest)).collect())
}

/// Determines the version of an image to switch back to.
fn change(store: &Store, image: &Image, to: Option<&str>, is_only: bool) -> Result<Option<Change>> {
    let Some(current) = store.lookup(&image.name)? else { return Ok(None) };
    let reference = image.source.to_string();
    let updates = store.updates(&image.name, &reference);
    let satisfies = |version: &Imported| satisfies(version, image);
    let versions = store.former_versions(&image.name)?;
    let found = if let Some(digest) = to {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        if hex.len() < SHORTEST {
            bail!("{digest} is too short; write at least {SHORTEST} digits of the digest");
        }
        let prefix = format!("sha256:{hex}");
        let mut fits = versions.into_iter().filter(|version| version.image.manifest.starts_with(&prefix));
        let found = fits.next();
        if let Some(found) = found.as_ref().filter(|found| !satisfies(found)) {
            bail!(
                "{digest} was imported as {}, and the configuration asks for {reference}; change Image= first",
                found.image.reference
            );
        }
        found
    } else {
        // Of several images, only those are switched back that the last update has changed.
        let last = updates.former.as_ref().and_then(|entry| store.version(&image.name, entry).ok());
        let former = || versions.into_iter().find(|v| satisfies(v) && !updates.refused.contains(&v.image.manifest));
        last.filter(satisfies).or_else(|| if is_only { former() } else { None })
    };
    let found = found.filter(|found| found.entry() != current.entry());
    Ok(found.map(|to| Change { image: image.clone(), from: current, to }))
}

/// Prints which other containers get the version at their next start.
fn tell_others(model: &Model, changes: &[Change], members: &[String]) -> Result<()> {
    let running = images::running(Path::new("/")).context("cannot tell what else runs")?;
    for (name, entries) in running.iter().filter(|(name, _)| !members.contains(name)) {
        let Some(container) = model.containers.get(name.as_str()) else { continue };
        let images = crate::plan::images(container, model);
        let other = changes
            .iter()
            .find(|change| images.contains(&change.image.name.as_str()) && entries.contains(change.from.entry()));
        if let Some(change) = other {
            eprintln!(
                "sdme-gen: {name} also runs on {}, until its next start; run sdme-gen restart --changed {name}",
                change.image.name
            );
        }
    }
    Ok(())
}
