// SPDX-License-Identifier: MIT
//! Volumes and other mounts: the mounts that systemd-nspawn makes, and the mounts of the host that
//! they need. Pure.

use std::collections::BTreeSet;

use crate::contract::process::SECRET_ENVIRONMENT;
use crate::model::{App, Container, Facts, ImageFacts, Mount, Placed, Stack, Volume, What};
use crate::output::tree::{Place, Tree};
use crate::paths::{self, BINDIR};
use crate::plan::stack::prepared;
use crate::unit::{UnitFile, bind_path, escape_path, nspawn_path, unit_path};

/// Adds the file systems that must be mounted on the host before and while the container runs. A
/// volume may be a separate mount. The start checks these mounts and reports the cause if one is
/// missing; `RequiresMountsFor=` would cancel the start before that.
pub(crate) fn needs(container: &Container, unit: &mut UnitFile) {
    let mut paths: Vec<String> = container.written_mounts().filter_map(Mount::path).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        unit.set("Unit", "WantsMountsFor", unit_path(&path));
    }
}

/// The options of `Bind=` (systemd.nspawn(5)). With a user namespace, files have the same owner IDs
/// on the host as in the container.
fn bind_options(container: &Container, recursive: bool) -> &'static str {
    match (container.security.user_ns, recursive) {
        (false, true) => "",
        (false, false) => ":norbind",
        (true, true) => ":idmap",
        (true, false) => ":norbind,idmap",
    }
}

/// Adds the mounts to the `.nspawn` file.
pub(crate) fn settings(container: &Container, stack: Stack<'_>, facts: &Facts, file: &mut UnitFile) {
    for placed in container.placed(stack, facts).iter().filter(|placed| !placed.is_of_service()) {
        let Placed { mount, .. } = placed;
        let target = nspawn_path(&placed.place());
        let path = placed.restricted.map(|number| prepared(&container.name, number)).or_else(|| mount.path());
        match (path, &mount.what) {
            (Some(path), _) => {
                let key = if mount.options.read_only { "BindReadOnly" } else { "Bind" };
                let options = bind_options(container, mount.options.recursive);
                file.set("Files", key, format!("{}:{target}{options}", nspawn_path(&path)));
            }
            (None, What::Tmpfs(options)) => {
                file.set("Files", "TemporaryFileSystem", format!("{target}:{options}"));
            }
            (None, _) => {}
        }
    }
    for app in container.apps.iter().filter(|app| app.has_secret_variables() && matches!(stack, Stack::Application(..)))
    {
        let source = nspawn_path(&format!("{}/{}.env", paths::secrets(&container.name), app.name));
        let target = format!("{}/{}", app.directory(), SECRET_ENVIRONMENT);
        file.set("Files", "BindReadOnly", format!("{source}:{target}{}", bind_options(container, true)));
    }
}

/// Adds the credentials. The container's service on the host loads them with systemd's own
/// settings. The files that are made from them exist as long as the container runs.
pub(crate) fn secrets(container: &Container, unit: &mut UnitFile) {
    let names: BTreeSet<&str> = container.secrets().map(|(_, _, secret)| secret.value.name.as_str()).collect();
    for name in &names {
        unit.set("Service", "ImportCredential", name);
    }
    if !names.is_empty() {
        let name = &container.name;
        unit.set("Service", "RuntimeDirectory", paths::secrets(name).trim_start_matches("/run/"))
            .set("Service", "RuntimeDirectoryMode", "0700")
            // systemd-nspawn would use this directory for its own files.
            .set("Service", "UnsetEnvironment", "RUNTIME_DIRECTORY")
            .set("Service", "ExecStartPre", format!("{BINDIR}/sdme-gen secrets {name}"));
    }
}

/// Adds the mounts to an application's service.
pub(crate) fn application(container: &Container, app: &App, image: Option<&ImageFacts>, unit: &mut UnitFile) {
    for mount in container.mounts_of(app, image) {
        let placed = Placed { app: Some(app), mount, restricted: None };
        let target = &placed.mount.target;
        if let What::Tmpfs(options) = &placed.mount.what {
            let options = options.replace('%', "%%");
            unit.set("Service", "TemporaryFileSystem", format!("{}:{options}", bind_path(target)));
            continue;
        }
        let place = placed.place();
        let key = if placed.mount.options.read_only { "BindReadOnlyPaths" } else { "BindPaths" };
        unit.set("Service", key, format!("{}:{}", bind_path(&place), bind_path(target)));
    }
}

/// Plans the mount unit of a volume with `Device=`. Units that need the directory pull the mount
/// in.
pub(crate) fn volume(volume: &Volume, tree: &mut Tree) {
    let Some(device) = &volume.device else { return };
    let path = paths::volume(&volume.name);
    let mut unit = UnitFile::generated_from(&volume.file);
    unit.set_literal("Unit", "Description", &format!("Volume {}", volume.name));
    unit.set("Unit", "Documentation", "man:sdme.volume(5)");
    unit.set_literal("Unit", "SourcePath", &volume.file);
    unit.set("Unit", "StopWhenUnneeded", "yes");
    for (key, value) in &volume.unit {
        unit.set("Unit", key, value.as_str());
    }
    unit.set_literal("Mount", "What", &device.what);
    unit.set("Mount", "Where", path.as_str());
    if let Some(fs_type) = &device.fs_type {
        unit.set_literal("Mount", "Type", fs_type);
    }
    if let Some(options) = &device.options {
        unit.set_literal("Mount", "Options", options);
    }
    // This is the mode of missing parent directories: only root may access the files below them.
    unit.set("Mount", "DirectoryMode", "0700");
    tree.file(Place::Units, format!("{}.mount", escape_path(&path)), &unit);
}
