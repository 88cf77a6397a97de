// SPDX-License-Identifier: MIT
//! `[Service]` of a `.container` file in the container's unit: the order of the file's commands and
//! those of sdme-gen, and the settings of a job. Pure.

use crate::model::Container;
use crate::unit::UnitFile;

/// The setting for commands that run before all commands of sdme-gen.
const BEFORE: &str = "ExecStartPre";

/// Adds the file's commands before a start. They run before the commands of sdme-gen, because they
/// may make files that those need: directories of volumes, files of variables, credentials.
pub fn before(container: &Container, unit: &mut UnitFile) {
    for (key, value) in container.service.iter().filter(|(key, _)| key == BEFORE) {
        unit.set("Service", key, value.as_str());
    }
}

/// Adds the rest of the section. Commands of `ExecStopPost=` run after those of sdme-gen, which
/// remove all mounts. So they can remove what the commands of [`before`] have made, and a failure
/// of one of them leaves no cleanup of sdme-gen undone.
pub fn rest(container: &Container, unit: &mut UnitFile) {
    for (key, value) in container.service.iter().filter(|(key, _)| key != BEFORE) {
        unit.set("Service", key, value.as_str());
    }
}
