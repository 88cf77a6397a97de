// SPDX-License-Identifier: MIT
//! Determines which volumes are copied before an update (`UpdateSnapshot=`), and whether that is
//! possible. Prepare makes the copies ([`crate::runtime::volumes::snapshots`]).

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Member;
use crate::admin::show::ps::units::{Unit, Units};
use crate::model::{Container, Facts, Model};
use crate::runtime::volumes::snapshots;

/// Returns the volumes of a container that are copied before it starts on a new version. Only
/// volumes that the container can change are copied.
#[must_use]
pub fn copied(name: &str, members: &BTreeMap<String, Member>, (model, facts): (&Model, &Facts)) -> BTreeSet<String> {
    let asks = members.get(name).is_some_and(|member| member.snapshot.is_some());
    match model.containers.get(name).filter(|_| asks) {
        Some(container) => snapshots::volumes(container, model, facts, true),
        None => BTreeSet::new(),
    }
}

/// Returns all volumes that a container mounts.
#[must_use]
pub fn mounted(name: &str, (model, facts): (&Model, &Facts)) -> BTreeSet<String> {
    let container = model.containers.get(name);
    container.map(|container| snapshots::volumes(container, model, facts, false)).unwrap_or_default()
}

/// Returns why the volumes of these containers cannot be copied, or `None` if they can. The
/// containers are updated together, and no other running container may use the volumes meanwhile.
#[must_use]
pub fn problem(
    names: &[String],
    members: &BTreeMap<String, Member>,
    known: (&Model, &Facts),
    units: &Units,
) -> Option<String> {
    for name in names {
        let Some(at) = members.get(name).and_then(|member| member.snapshot.as_ref()) else { continue };
        let copied = copied(name, members, known);
        if copied.is_empty() {
            continue;
        }
        if let Err(error) = snapshots::check(&copied) {
            return Some(format!("{at}: {error:#}"));
        }
        for other in known.0.containers.keys().filter(|other| !names.iter().any(|name| **other == *name)) {
            let runs = units.get(&Container::unit(other)).is_some_and(Unit::is_active);
            let shared = if runs { mounted(other, known) } else { BTreeSet::new() };
            if let Some(volume) = shared.intersection(&copied).next() {
                return Some(format!(
                    "{at}: the volume {volume} cannot be copied while {other} uses it, which this update does not restart; stop \
                     {other} during updates, update both together, or remove UpdateSnapshot="
                ));
            }
        }
    }
    None
}
