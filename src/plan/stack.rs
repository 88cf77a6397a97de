// SPDX-License-Identifier: MIT
//! The mounts that `prepare` makes for a container before it starts, in their order. Pure.

use std::collections::BTreeMap;

use crate::config::values::mount::Options;
use crate::model::{App, Container, Placed};
use crate::paths::{LAYERS, STATE, app_part, container_runtime, container_state, idmapped, machine_root};

/// A bind mount of a directory or file of the host, at a path that no container can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The source path.
    pub from: String,
    /// The subdirectory that is mounted, if the source is a volume: a path below it, which the
    /// container may have changed.
    pub part: Option<String>,
    /// The mount point.
    pub to: String,
    /// The mount options.
    pub options: Options,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// An ID-mapped mount of a layer or of the directory of all shared layers, which maps the
    /// owners to the container's range of IDs.
    IdMapped {
        /// The directory, or the symbolic link to it.
        from: String,
        /// The mount point.
        to: String,
    },
    /// A bind mount with options that systemd-nspawn does not have.
    Bind(Bind),
    /// An overlay mount of layers. Only changes in the upper layer are kept after the container's
    /// run.
    Overlay {
        /// The mount point.
        to: String,
        /// Lower layers, the topmost first.
        lower: Vec<String>,
        /// The directory of the upper layer and the work directory.
        state: String,
        /// Whether the mount has `nosuid`, because no program in the whole container can gain
        /// privileges.
        no_suid: bool,
    },
}

impl Mount {
    /// The mount point.
    #[must_use]
    pub fn place(&self) -> &str {
        match self {
            Self::IdMapped { to, .. } | Self::Bind(Bind { to, .. }) | Self::Overlay { to, .. } => to,
        }
    }
}

/// The directories of the shared layers below the topmost layer of an image, the topmost first, by
/// the name of the application.
pub type Below<'a> = BTreeMap<&'a str, Vec<String>>;

/// The mounts of a container, in the order in which they are made.
#[must_use]
pub fn stack(container: &Container, placed: &[Placed<'_>], below: &Below<'_>) -> Vec<Mount> {
    let runtime = container_runtime(&container.name);
    let mut mounts = Vec::new();
    if container.security.user_ns {
        let layers = ["app", "base"].map(|layer| format!("/{layer}"));
        let additional = overlaid(container).map(|app| app_part("", &app.name));
        let to = |layer: &str| format!("{}{layer}", idmapped(&runtime));
        let links = layers.into_iter().chain(additional);
        mounts.extend(links.map(|link| Mount::IdMapped { from: format!("{runtime}{link}"), to: to(&link) }));
        // All shared layers are reached through a single mount.
        if below.values().any(|layers| !layers.is_empty()) {
            mounts.push(Mount::IdMapped { from: format!("{STATE}{LAYERS}"), to: to(LAYERS) });
        }
    }
    mounts.extend(restricted(container, placed).map(Mount::Bind));
    mounts.push(root(container, below));
    mounts.extend(overlaid(container).map(|app| application(container, app, below)));
    mounts
}

/// The paths of an application's shared layers, with `part` appended to each of them.
fn shared(container: &Container, app: Option<&App>, below: &Below<'_>, part: &str) -> Vec<String> {
    let layers = app.and_then(|app| below.get(app.name.as_str())).into_iter().flatten();
    layers
        .map(|layer| match layer.strip_prefix(STATE) {
            Some(place) if container.security.user_ns => format!("{}{place}{part}", lower(container)),
            _ => format!("{layer}{part}"),
        })
        .collect()
}

/// The applications that are not a layer of the root. Each of them has its own overlay.
fn overlaid(container: &Container) -> impl Iterator<Item = &App> {
    container.apps.iter().filter(|app| !app.first)
}

/// The directory of the layers below the configuration layer.
fn lower(container: &Container) -> String {
    let runtime = container_runtime(&container.name);
    if container.security.user_ns { idmapped(&runtime) } else { runtime }
}

fn root(container: &Container, below: &Below<'_>) -> Mount {
    let (runtime, lower) = (container_runtime(&container.name), lower(container));
    let first = container.apps.iter().find(|app| app.first);
    let mut layers = vec![format!("{runtime}/config"), format!("{lower}/app")];
    layers.extend(shared(container, first, below, ""));
    layers.push(format!("{lower}/base"));
    Mount::Overlay {
        to: machine_root(&container.name),
        lower: layers,
        state: container_state(&container.name),
        no_suid: container.security.no_new_privileges,
    }
}

/// The overlay of an additional application: its part of the configuration layer on top of its
/// image.
fn application(container: &Container, app: &App, below: &Below<'_>) -> Mount {
    let (runtime, state) = (container_runtime(&container.name), container_state(&container.name));
    let mut layers =
        vec![format!("{runtime}/config{}", app.directory()), format!("{}/oci", app_part(&lower(container), &app.name))];
    layers.extend(shared(container, Some(app), below, "/oci"));
    Mount::Overlay {
        to: format!("{}{}", machine_root(&container.name), app.directory()),
        lower: layers,
        state: app_part(&state, &app.name),
        no_suid: container.security.no_new_privileges,
    }
}

/// The path at which a mount is prepared whose options systemd-nspawn does not have.
pub(super) fn prepared(container: &str, number: usize) -> String {
    format!("{}/mounts/{number}", container_runtime(container))
}

/// The bind mounts that prepare makes, because systemd-nspawn does not have their options.
fn restricted<'a>(container: &'a Container, placed: &'a [Placed<'a>]) -> impl Iterator<Item = Bind> + 'a {
    placed.iter().filter_map(|placed| {
        let mount = &placed.mount;
        let to = prepared(&container.name, placed.restricted?);
        Some(Bind { from: mount.path()?, part: mount.part.clone(), to, options: mount.options })
    })
}
