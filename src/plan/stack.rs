// SPDX-License-Identifier: MIT
//! What `prepare` mounts for a container before it starts, and in what order. Pure.

use std::collections::BTreeMap;

use super::volumes::restricted;
use crate::config::values::mount::Options;
use crate::model::{App, Container, Placed};
use crate::paths::{LAYERS, STATE, app_part, container_runtime, container_state, idmapped, machine_root};

/// A directory or file of the host, mounted where no container can change the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// What is mounted.
    pub from: String,
    /// The part of it that is mounted, if it is a volume: a path that the container may have changed.
    pub part: Option<String>,
    /// Where.
    pub to: String,
    /// How.
    pub options: Options,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// What a layer's link leads to, or the directory of all shared layers, its owners in the container's range of IDs.
    IdMapped {
        /// The link or directory.
        from: String,
        /// Where it is mounted.
        to: String,
    },
    /// A directory or file of the host, with options that systemd-nspawn does not know.
    Bind(Bind),
    /// Layers on each other. Nothing but the upper one outlives the container's run.
    Overlay {
        /// Where it is mounted.
        to: String,
        /// Lower layers, the topmost first.
        lower: Vec<String>,
        /// Where the upper layer and the work directory are.
        state: String,
        /// Whether programs in it gain no privileges by their mode or capabilities, because the whole container can gain none.
        no_suid: bool,
    },
}

impl Mount {
    /// Where it is mounted.
    #[must_use]
    pub fn place(&self) -> &str {
        match self {
            Self::IdMapped { to, .. } | Self::Bind(Bind { to, .. }) | Self::Overlay { to, .. } => to,
        }
    }
}

/// Where the layers of an image are below the one that is its own, the topmost first, by the image's application.
pub type Below<'a> = BTreeMap<&'a str, Vec<String>>;

/// The mounts of a container, in the order they are made in.
#[must_use]
pub fn stack(container: &Container, placed: &[Placed<'_>], below: &Below<'_>) -> Vec<Mount> {
    let runtime = container_runtime(&container.name);
    let mut mounts = Vec::new();
    if container.security.user_ns {
        let layers = ["app", "base"].map(|layer| format!("/{layer}"));
        let further = overlaid(container).map(|app| app_part("", &app.name));
        let to = |layer: &str| format!("{}{layer}", idmapped(&runtime));
        let links = layers.into_iter().chain(further);
        mounts.extend(links.map(|link| Mount::IdMapped { from: format!("{runtime}{link}"), to: to(&link) }));
        // One mount for whatever is needed of them.
        if below.values().any(|layers| !layers.is_empty()) {
            mounts.push(Mount::IdMapped { from: format!("{STATE}{LAYERS}"), to: to(LAYERS) });
        }
    }
    mounts.extend(restricted(container, placed).map(Mount::Bind));
    mounts.push(root(container, below));
    mounts.extend(overlaid(container).map(|app| application(container, app, below)));
    mounts
}

/// Where an application's shared layers are mounted from, with `part` of each.
fn shared(container: &Container, app: Option<&App>, below: &Below<'_>, part: &str) -> Vec<String> {
    let layers = app.and_then(|app| below.get(app.name.as_str())).into_iter().flatten();
    layers
        .map(|layer| match layer.strip_prefix(STATE) {
            Some(place) if container.security.user_ns => format!("{}{place}{part}", lower(container)),
            _ => format!("{layer}{part}"),
        })
        .collect()
}

/// The applications that are not a layer of the root: each has an overlay of its own.
fn overlaid(container: &Container) -> impl Iterator<Item = &App> {
    container.apps.iter().filter(|app| !app.first)
}

/// Where the layers below the configuration layer are.
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

/// The files of a further application: what the configuration layer has for it, on its image.
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
