// SPDX-License-Identifier: MIT
//! `[Service]` of a `.container` file in the container's unit: the order of its commands among ours, and what a job needs. Pure.

use crate::model::Container;
use crate::unit::UnitFile;

/// The setting for commands that run before everything of ours.
const BEFORE: &str = "ExecStartPre";

/// Adds the file's commands that run before a start. They come before ours, as they may make what those look at: directories of
/// volumes, files of variables, credentials.
pub fn before(container: &Container, unit: &mut UnitFile) {
    for (key, value) in container.service.iter().filter(|(key, _)| key == BEFORE) {
        unit.set("Service", key, value.as_str());
    }
}

/// Adds the rest of the section. Commands of `ExecStopPost=` come after ours, by which nothing is mounted any more: they can undo
/// what [`before`] has made, and when one of them fails, nothing of ours is left undone.
pub fn rest(container: &Container, unit: &mut UnitFile) {
    for (key, value) in container.service.iter().filter(|(key, _)| key != BEFORE) {
        unit.set("Service", key, value.as_str());
    }
}
