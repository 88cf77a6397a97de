// SPDX-License-Identifier: MIT
//! Checks that the file systems are mounted that contain a container's volumes and host paths.
//!
//! The container's unit has `WantsMountsFor=` for these paths, so that this module ends the start
//! with a cause if a mount has failed. With `RequiresMountsFor=`, the service manager would cancel
//! the start and name only the mount.

use std::collections::{BTreeMap, BTreeSet};

use crate::cause::Cause;
use crate::model::{Container, Model, Mount};
use crate::paths::volume;
use crate::runtime::failure::{Unmet, message_of, recent_message};
use crate::runtime::systemd;
use crate::unit::escape_path;

/// The properties that are read of mount units.
const PROPERTIES: &str =
    "Id,LoadState,FragmentPath,ActiveState,ConditionResult,ConditionTimestampMonotonic,InvocationID,Where";

/// Properties of a mount unit, by name.
type Properties = BTreeMap<String, String>;

/// Checks the mounts that the container needs. Their units are ordered before the container, so a
/// missing mount has failed.
///
/// # Errors
/// A mount is missing.
pub fn check(container: &Container, model: &Model) -> Result<(), Unmet> {
    let paths: BTreeSet<String> = container.written_mounts().filter_map(Mount::path).collect();
    let units: BTreeSet<String> = paths.iter().flat_map(|path| mount_units(path)).collect();
    if units.is_empty() {
        return Ok(());
    }
    match systemd::properties_of(&units, PROPERTIES).iter().find(|mount| is_missing(mount)) {
        Some(mount) => Err(Unmet::new(cause(mount, model))),
        None => Ok(()),
    }
}

/// The names of the units that would mount `path` or one of its parent directories
/// (systemd.mount(5)).
fn mount_units(path: &str) -> impl Iterator<Item = String> + '_ {
    let ends = path.char_indices().filter(|(at, c)| *at > 0 && *c == '/').map(|(at, _)| at).chain([path.len()]);
    ends.filter_map(|end| path.get(..end))
        .filter(|path| *path != "/")
        .map(|path| format!("{}.mount", escape_path(path)))
}

/// Whether systemd has settings for this mount and could not mount it. An unmet condition of the
/// mount unit is not a failure. Without a timestamp, the service manager has not checked the
/// conditions.
fn is_missing(mount: &Properties) -> bool {
    let is = |name: &str, value: &str| mount.get(name).is_some_and(|found| found == value);
    is("LoadState", "loaded")
        && !mount.get("FragmentPath").is_none_or(String::is_empty)
        && !is("ActiveState", "active")
        && !is("ActiveState", "reloading")
        && (!is("ConditionResult", "no") || is("ConditionTimestampMonotonic", "0"))
}

fn cause(mount: &Properties, model: &Model) -> Cause {
    let get = |name: &str| mount.get(name).map(String::as_str).unwrap_or_default();
    let (unit, place) = (get("Id"), get("Where"));
    let said = message_of(unit, get("InvocationID"), "+1", &[]).or_else(|| recent_message(unit));
    let reason = said.map(|text| format!(": {}", text.trim_end_matches('.'))).unwrap_or_default();
    let own = model.volumes.values().find(|known| volume(&known.name) == place);
    let (reason, remedy) = match own.and_then(|own| Some((own, own.device.as_ref()?))) {
        Some((own, device)) => (
            format!("the volume {} cannot be mounted from {}{reason}", own.name, device.what),
            format!("correct Device=, Type= or Options= in {}, or see systemctl status '{unit}'", own.file),
        ),
        None => (format!("{place} is not mounted{reason}"), format!("systemctl status '{unit}' shows why")),
    };
    Cause::new("not mounted", &reason, &remedy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_directory_on_the_way_may_be_a_mount() {
        let units: Vec<String> = mount_units("/srv/my data").collect();
        assert_eq!(units, ["srv.mount", "srv-my\\x20data.mount"]);
        assert_eq!(mount_units("/").count(), 0);
    }

    #[test]
    fn a_mount_without_settings_and_one_whose_condition_is_not_met_are_not_missing() {
        let mount = |lines: &[(&str, &str)]| -> Properties {
            lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let failed = [("LoadState", "loaded"), ("FragmentPath", "/run/x.mount"), ("ActiveState", "failed")];
        assert!(is_missing(&mount(&failed)));
        assert!(!is_missing(&mount(&[failed[0], ("FragmentPath", ""), failed[2]])));
        assert!(!is_missing(&mount(&[failed[0], failed[1], ("ActiveState", "active")])));
        let skipped = [("ActiveState", "inactive"), ("ConditionResult", "no"), ("ConditionTimestampMonotonic", "71")];
        assert!(!is_missing(&mount(&[failed[0], failed[1], skipped[0], skipped[1], skipped[2]])));
        assert!(is_missing(&mount(&[
            failed[0],
            failed[1],
            skipped[0],
            skipped[1],
            ("ConditionTimestampMonotonic", "0")
        ])));
        assert!(!is_missing(&mount(&[("LoadState", "not-found"), failed[1], failed[2]])));
    }
}
