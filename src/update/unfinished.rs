// SPDX-License-Identifier: MIT
//! Undoes what an earlier update that was interrupted has begun. A start does the same for its container (`sdme-gen prepare`).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::rollout;
use crate::admin::images;
use crate::admin::show::ps::units;
use crate::announce::{About, Event, announce};
use crate::image::Store;
use crate::model::{Container, Model};
use crate::runtime::volumes::snapshots;

/// Goes back to the former versions of images whose switch was not finished, and restarts what does not run on these.
///
/// # Errors
/// The store cannot be read or written, or a container does not start.
pub fn undo(store: &Store, model: &Model) -> Result<()> {
    let mut restarts = BTreeSet::new();
    for image in model.images.values() {
        let mut updates = store.updates(&image.name, &image.source.to_string());
        let Some(switch) = updates.switch.take() else { continue };
        if store.version(&image.name, &switch.from).is_ok() {
            store.switch(&image.name, &switch.from)?;
        }
        snapshots::give_back(&switch.volumes)?;
        store.note_updates(&image.name, &updates)?;
        let about = About { image: &image.name, ..About::default() };
        announce(Event::Undone, about, &format!("an update of {} was interrupted; it is undone", image.name));
        let running = images::running(Path::new("/"))?;
        let units = units::read()?;
        for container in model.containers.values() {
            let unit = Container::unit(&container.name);
            let uses = crate::plan::images(container, model).contains(&image.name.as_str());
            let is_new = running.get(container.name.as_str()).is_some_and(|entries| entries.contains(&switch.to));
            let failed = units.get(&unit).is_some_and(units::Unit::has_failed);
            if uses && (is_new || failed) {
                restarts.insert(unit);
            }
        }
    }
    // No update is unfinished now.
    snapshots::sweep();
    // A volume is put back when nothing uses it.
    let stopped = rollout::stop(&restarts);
    // All of them, whatever becomes of one.
    let started: Vec<Result<()>> = restarts.iter().map(|unit| rollout::restart(unit)).collect();
    stopped.and(started.into_iter().collect())
}
