// SPDX-License-Identifier: MIT
//! Files of containers whose `.container` file was removed, and volumes that no container uses.
//! Only `sdme-gen rm` and `sdme-gen volume rm` remove them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::config::keys::FileType;
use crate::config::names::ContainerName;
use crate::model::{Container, Model, What};
use crate::paths::{FAILED, RUNTIME, STARTED, STATE, container_runtime, container_state, volume};
use crate::rootdir::tree::{self, Tree};
use crate::runtime::prepare::layers::stack;
use crate::runtime::systemd;

/// The directory to which prepare writes settings for systemd-nspawn.
const SETTINGS: &str = "/run/systemd/nspawn";

/// The paths that a container leaves in addition to its file, as absolute paths, whether they exist
/// or not.
pub(crate) fn places(name: &str) -> [String; 6] {
    [
        container_state(name),
        container_runtime(name),
        format!("{SETTINGS}/{name}.nspawn"),
        format!("{RUNTIME}/secrets/{name}"),
        format!("{STARTED}/{}", Container::unit(name)),
        format!("{FAILED}/{}", Container::unit(name)),
    ]
}

/// The names of the entries of a directory. The directory may be missing.
fn names(root: &Path, directory: &str) -> Result<Vec<String>> {
    let path = root.join(directory.trim_start_matches('/'));
    match fs::read_dir(&path) {
        Ok(entries) => Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The containers that are not configured and do not run, but have left files, sorted by name.
///
/// # Errors
/// A directory cannot be read; this needs root privileges.
pub fn containers(root: &Path, model: &Model) -> Result<BTreeSet<String>> {
    let mut found: BTreeSet<String> = names(root, &format!("{STATE}/containers"))?.into_iter().collect();
    for directory in [format!("{RUNTIME}/containers"), format!("{RUNTIME}/secrets")] {
        found.extend(names(root, &directory)?);
    }
    for directory in [STARTED, FAILED] {
        let units = names(root, directory)?.into_iter();
        found.extend(units.filter_map(|unit| Some(Container::of_unit(&unit)?.to_owned())));
    }
    found.retain(|name| {
        let configured =
            model.containers.contains_key(name.as_str()) || model.rejection(FileType::Container, name).is_some();
        !configured && name.parse::<ContainerName>().is_ok() && !systemd::is_active(root, &Container::unit(name))
    });
    Ok(found)
}

/// An existing volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The name of the volume.
    pub name: String,
    /// The container that an anonymous volume was made for (`CONTAINER@PATH`). None for a named
    /// volume.
    pub anonymous: Option<String>,
    /// The configured containers that mount the volume, and the running containers that use it.
    pub users: BTreeSet<String>,
}

/// The existing volumes, sorted by name.
///
/// # Errors
/// The directory of volumes cannot be read; this needs root privileges.
pub fn volumes(root: &Path) -> Result<Vec<Volume>> {
    let (model, facts) = crate::runtime::known(root);
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for container in model.containers.values() {
        for placed in container.placed(model.stack(container, &facts), &facts) {
            if let What::Volume(volume) = &placed.mount.what {
                users.entry(volume.clone()).or_default().insert(container.name.to_string());
            }
        }
    }
    let settings = names(root, SETTINGS)?.into_iter().filter_map(|file| {
        let text = fs::read_to_string(root.join(SETTINGS.trim_start_matches('/')).join(&file)).ok()?;
        Some((file.strip_suffix(".nspawn")?.to_owned(), text))
    });
    let settings: Vec<(String, String)> = settings.collect();
    let mut all: Vec<Volume> = names(root, &format!("{STATE}/volumes"))?
        .into_iter()
        .filter(|name| !name.starts_with('.'))
        .map(|name| {
            let mut users = users.remove(&name).unwrap_or_default();
            users.extend(
                settings.iter().filter(|(_, text)| mounts(text, &name)).map(|(container, _)| container.clone()),
            );
            let anonymous = name.split_once('@').map(|(container, _)| container.to_owned());
            Volume { name, anonymous, users }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Whether a container's settings for systemd-nspawn mount a volume.
fn mounts(settings: &str, name: &str) -> bool {
    let path = volume(name);
    settings.match_indices(&path).any(|(place, _)| {
        let after = settings.get(place + path.len()..).and_then(|rest| rest.chars().next());
        after.is_none_or(|c| [':', '\n', '"'].contains(&c))
    })
}

/// Removes a volume that no container uses, with its content. With `dry_run`, only checks whether
/// that is possible. Returns the path of the volume.
///
/// # Errors
/// There is no such volume, a container uses it, a file system is mounted on it, or it cannot be
/// removed.
pub fn remove_volume(root: &Path, name: &str, dry_run: bool) -> Result<Vec<String>> {
    let Some(found) = volumes(root)?.into_iter().find(|volume| volume.name == name) else {
        bail!("there is no volume {name}");
    };
    if !found.users.is_empty() {
        let users: Vec<String> = found.users.into_iter().collect();
        bail!("the volume {name} is used by {}; remove Volume= or the container first", users.join(", "));
    }
    let above = root.join(STATE.trim_start_matches('/')).join("volumes");
    let path = above.join(name);
    if path.is_symlink() {
        bail!("{} is a symbolic link; remove it and what it leads to by hand", path.display());
    }
    stack::unmounted(&[path])?;
    let removed = vec![volume(name)];
    if dry_run {
        return Ok(removed);
    }
    let directory = Tree::open(&above).with_context(|| format!("cannot open {}", above.display()))?;
    tree::remove(directory.root(), name.as_bytes()).with_context(|| format!("cannot remove the volume {name}"))?;
    // A copy that is marked to be restored would bring the volume back.
    for kind in ["snapshots", "restores"].map(|kind| above.join(".state").join(kind)) {
        if kind.is_dir() {
            let removed = Tree::open(&kind).and_then(|directory| tree::remove(directory.root(), name.as_bytes()));
            removed.with_context(|| format!("cannot remove {}", kind.join(name).display()))?;
        }
    }
    for kind in ["locks", "unfinished"] {
        let path = above.join(".state").join(kind).join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(removed)
}

/// The file that still configures a volume. Its containers would make the volume again.
#[must_use]
pub fn file_of_volume(root: &Path, name: &str) -> Option<String> {
    let model = crate::runtime::model(root);
    let found = model.volumes.values().find(|volume| volume.name == *name)?;
    Some(found.file.to_string())
}

/// Removes the directory on which a container's root was mounted, if it is empty.
pub(crate) fn remove_mount_point(root: &Path, name: &str) {
    let path: PathBuf = root.join(crate::paths::machine_root(name).trim_start_matches('/'));
    if stack::mounted().is_ok_and(|mounted| !mounted.iter().any(|point| Path::new(point) == path)) {
        // This fails if the directory contains a container of another tool, which is intended.
        let _ = fs::remove_dir(path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn volumes_that_nothing_uses_are_removed_by_name_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["used", "unused", "old@srv", "run", ".state/locks"] {
            fs::create_dir_all(root.join("var/lib/sdme/volumes").join(name)).unwrap();
        }
        fs::create_dir_all(root.join("etc/sdme")).unwrap();
        fs::create_dir_all(root.join("run/systemd/nspawn")).unwrap();
        fs::create_dir_all(root.join("var/lib/sdme/containers/old")).unwrap();
        fs::write(root.join("etc/sdme/web.container"), "[Container]\nImage=x\nVolume=used:/srv\n").unwrap();
        fs::write(root.join("run/systemd/nspawn/gone.nspawn"), "[Files]\nBind=/var/lib/sdme/volumes/run:/srv\n")
            .unwrap();
        fs::write(root.join("var/lib/sdme/volumes/unused/file"), "").unwrap();
        let all = volumes(root).unwrap();
        let users = |name: &str| {
            let found = all.iter().find(|volume| volume.name == name).unwrap();
            found.users.iter().cloned().collect::<Vec<_>>().join(",")
        };
        assert_eq!((users("used"), users("unused"), users("run")), ("web".into(), String::new(), "gone".into()));
        assert_eq!(all.iter().filter_map(|volume| volume.anonymous.as_deref()).collect::<Vec<_>>(), ["old"]);
        assert_eq!(all.len(), 4);
        assert_eq!(containers(root, &crate::runtime::model(root)).unwrap().into_iter().collect::<Vec<_>>(), ["old"]);
        assert!(remove_volume(root, "used", false).unwrap_err().to_string().contains("is used by web"));
        assert!(remove_volume(root, "../x", false).is_err() && remove_volume(root, ".state", false).is_err());
        assert_eq!(remove_volume(root, "unused", true).unwrap(), ["/var/lib/sdme/volumes/unused"]);
        assert_eq!(volumes(root).unwrap().len(), 4);
        assert_eq!(file_of_volume(root, "unused"), None);
        fs::write(root.join("etc/sdme/unused.volume"), "[Volume]\n").unwrap();
        remove_volume(root, "unused", false).unwrap();
        assert_eq!(file_of_volume(root, "unused").as_deref(), Some("/etc/sdme/unused.volume"));
        assert_eq!(volumes(root).unwrap().len(), 3);
    }
}
