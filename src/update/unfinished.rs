// SPDX-License-Identifier: MIT
//! Undoes an update that was interrupted. A start does the same for its own container (`sdme-gen
//! prepare`).

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

/// Switches back the images whose switch was not completed, and restarts the containers that do not
/// run on the former versions.
///
/// # Errors
/// Returns an error if the store cannot be read or written, or if a container does not start.
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
    // All unfinished updates are undone, so their leftovers can be removed.
    snapshots::sweep();
    // A volume can only be restored while no container uses it.
    let stopped = rollout::stop(&restarts);
    // Every container is started, even if another one fails.
    let started: Vec<Result<()>> = restarts.iter().map(|unit| rollout::restart(unit)).collect();
    stopped.and(started.into_iter().collect())
}
