// SPDX-License-Identifier: MIT
//! Turns the resolved model into all of its files: the units, `.nspawn` files and configuration
//! layers. Pure.

mod container;
mod image;
mod inside;
mod job;
mod kept;
mod network;
mod nspawn;
mod security;
pub mod stack;
mod stub;
mod template;
mod volumes;

use self::network::names;
use self::network::pod;
use self::network::publish;

pub use container::images;
pub use kept::keep;
pub use names::{Connected, Entry, entry, hosts, is_shared};
pub use nspawn::LAUNCHER;
pub use pod::needs_resolver;
pub use publish::{published_by, sockets};

use std::collections::BTreeMap;

use crate::config::keys::FileType;
use crate::model::{Container, Facts, Image, Link, Model, Named, Pod};
use crate::output::tree::{Node, Place, Tree};
use crate::resolve::container::userns;

/// Plans all files.
#[must_use]
pub fn plan(model: &Model, facts: &Facts) -> Tree {
    let mut tree = units(model);
    let ranges = userns::ranges(model, facts);
    for container in model.containers.values() {
        start(container, model, facts, ranges.get(container.name.as_str()).copied(), &mut tree);
    }
    tree
}

/// Plans the files that a start of `container` needs in addition to the host's units. `range` is
/// the first ID of its range, if it has a user namespace.
pub fn start(container: &Container, model: &Model, facts: &Facts, range: Option<u32>, tree: &mut Tree) {
    let stack = model.stack(container, facts);
    nspawn::plan(container, model, stack, range, facts, tree);
    inside::plan(container, model, stack, facts, tree);
}

/// Plans only the host's units.
#[must_use]
pub fn units(model: &Model) -> Tree {
    let mut tree = Tree::default();
    let mut users: BTreeMap<&str, &Container> = BTreeMap::new();
    for container in model.containers.values() {
        for image in container::images(container, model) {
            users.entry(image).or_insert(container);
        }
    }
    for image in model.images.values() {
        image::plan(image, users.get(image.name.as_str()).copied(), model, &mut tree);
        install(&Image::service(&image.name), &image.links, &mut tree);
    }
    for container in model.containers.values() {
        container::plan(container, model, &mut tree);
        for unit in pod::installed(container, model) {
            install(&unit, &container.install, &mut tree);
        }
    }
    for pod in model.pods.values() {
        pod::plan(pod, model, &mut tree);
        let (units, links) = pod::install(pod);
        for unit in units {
            install(&unit, links, &mut tree);
        }
    }
    for named in model.networks.values() {
        network::plan(named, &mut tree);
        install(&Named::service(&named.name), &named.install, &mut tree);
    }
    for volume in model.volumes.values() {
        volumes::volume(volume, &mut tree);
    }
    for rejected in &model.rejected {
        if let Some(unit) = Model::unit_of(rejected) {
            stub::plan(rejected, &unit, &mut tree);
            match rejected.file_type {
                FileType::Container | FileType::Network => install(&unit, &rejected.install, &mut tree),
                FileType::Pod => install(&Pod::target(&rejected.name), &rejected.install, &mut tree),
                _ => {}
            }
        }
    }
    tree
}

/// The directory of systemd's own unit files. A `.wants` link of an instance that has only drop-ins
/// leads to the template in this directory.
const SYSTEM_UNITS: &str = "/usr/lib/systemd/system";

fn install(unit: &str, links: &[Link], tree: &mut Tree) {
    // The service of a container has its own unit file, which replaces the template's instance.
    let instance = unit.split_once('@').filter(|(template, _)| *template != "systemd-nspawn");
    let target = match instance.zip(unit.rsplit_once('.')) {
        Some(((stem, _), (_, suffix))) => [SYSTEM_UNITS, "/", stem, "@.", suffix].concat(),
        None => ["../", unit].concat(),
    };
    for Link { unit: other, directory } in links {
        tree.add(Place::Units, [other, ".", directory, "/", unit].concat(), Node::Link(target.clone()));
        // The boot reaches containers by machines.target, but presets may not enable that target,
        // so it is linked here.
        if other == "machines.target" && *directory == "wants" {
            let target = Node::Link(format!("{SYSTEM_UNITS}/machines.target"));
            tree.add(Place::Units, "multi-user.target.wants/machines.target", target);
        }
    }
}
