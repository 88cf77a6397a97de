// SPDX-License-Identifier: MIT
//! The commands that units call on a running host.

pub mod ended;
pub mod failure;
mod limits;
mod names;
pub mod ports;
pub mod prepare;
pub mod pull;
pub mod secrets;
pub mod systemd;
pub mod volumes;

use self::prepare::layers::mountpoints;
use self::prepare::ranges;

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::Compiled;
use crate::config::sources::Sources;
use crate::config::values::mount;
use crate::config::values::seccomp;
use crate::contract::process::User;
use crate::image::{Imported, Store, application_root, identify};
use crate::model::{Facts, Identity, ImageFacts, Model, Profiles, UnusableProfile};
use crate::rootdir::tree::Tree;
use crate::search::{SearchPath, search};

/// The resolved configuration below `root`, without the files that it becomes.
#[must_use]
pub fn model(root: &Path) -> Model {
    crate::resolve::resolve(&search(&SearchPath::from_environment(root)))
}

/// Compiles the configuration below `root` with what its store knows about images.
#[must_use]
pub fn compile(root: &Path) -> Compiled {
    let (model, facts) = known(root);
    crate::complete(model, facts)
}

/// The resolved configuration below `root`, and the facts about this machine.
pub(crate) fn known(root: &Path) -> (Model, Facts) {
    known_of(root, &search(&SearchPath::from_environment(root)))
}

/// Like [`known`], for files that were already found below `root`.
pub(crate) fn known_of(root: &Path, sources: &Sources) -> (Model, Facts) {
    let model = crate::resolve::resolve(sources);
    let mut facts = facts(&Store::open(root), &model);
    facts.ranges = ranges::taken(root).unwrap_or_else(|error| {
        eprintln!("sdme-gen: which user IDs are in use is not known: {error:#}");
        BTreeMap::new()
    });
    facts.profiles = profiles(root, &model);
    let devices = model.containers.values().flat_map(|container| &container.devices).map(|device| &device.value);
    let missing = devices.filter(|device| device.optional && !Path::new(&device.source).exists());
    facts.missing = missing.map(|device| device.source.clone()).collect();
    (model, facts)
}

/// Like [`compile`], without reading the store: errors in the configuration do not depend on
/// imported images, and the check then needs no root privileges.
#[must_use]
pub fn check(root: &Path) -> Compiled {
    let model = model(root);
    let facts = Facts { profiles: profiles(root, &model), ..Facts::default() };
    crate::complete(model, facts)
}

/// Maximum size of a system call profile in bytes. The profile of Docker has 20 KB.
const MAX_PROFILE: u64 = 1 << 20;

/// Reads and translates the files of `SeccompProfile=`.
fn profiles(root: &Path, model: &Model) -> Profiles {
    let named = model.containers.values().filter_map(|container| container.security.seccomp_profile.as_ref());
    // Symbolic links are resolved below the root, which may be a tree for another machine.
    let tree = Tree::open_following(root);
    let read = |path: &str| {
        let invalid = |error: &dyn Display| UnusableProfile::Invalid(error.to_string());
        let tree = tree.as_ref().map_err(|error| invalid(error))?;
        let bytes = tree.read_file(path.as_bytes(), MAX_PROFILE).map_err(|error| invalid(&error))?;
        let text = String::from_utf8(bytes.ok_or(UnusableProfile::Missing)?).map_err(|error| invalid(&error))?;
        seccomp::translate(&text).map_err(UnusableProfile::Invalid)
    };
    named.map(|written| (written.value.clone(), read(&written.value))).collect()
}

/// The root file system of an image. It is opened at the first use only, because opening can need a
/// mount and not every image is looked into.
type Root<'a> = LazyCell<io::Result<Tree>, Box<dyn FnOnce() -> io::Result<Tree> + 'a>>;

/// The facts from the store about the images of the configuration. An unreadable record is reported
/// and skipped: it concerns the containers of that image only, and the next pull replaces it.
fn facts(store: &Store, model: &Model) -> Facts {
    let mut facts = Facts::default();
    for name in model.images.keys() {
        match store.lookup(name) {
            Ok(Some(imported)) => {
                let lower = imported.lower();
                let root: Root<'_> = LazyCell::new(Box::new(|| application_root(&lower)));
                let users = users(model, name, &imported, &root);
                let links = links(model, name, &imported, &root);
                let record = imported.image;
                let image = ImageFacts {
                    mode: record.mode,
                    health: record.health(),
                    users,
                    entrypoint: record.entrypoint,
                    command: record.cmd,
                    working_dir: record.working_dir,
                    stop_signal: record.stop_signal,
                    volumes: record.volumes,
                    links,
                };
                facts.images.insert(name.clone(), image);
            }
            Ok(None) => {}
            Err(error) => eprintln!("sdme-gen: the image {name} is not known: {error:#}"),
        }
    }
    facts
}

/// The users of the applications of an image, by the identities in the configuration.
fn users(model: &Model, image: &str, imported: &Imported, root: &Root<'_>) -> BTreeMap<Identity, Result<User, String>> {
    let apps = model.containers.values().flat_map(|container| &container.apps).filter(|app| app.image == image);
    let mut known = BTreeMap::new();
    for app in apps {
        let identity = &app.startup.identity;
        if known.contains_key(identity) {
            continue;
        }
        let own = &imported.image.user;
        // The import has already resolved the user of the image's configuration.
        let user = if *identity == Identity::default() {
            own.process()
        } else {
            let root = LazyCell::force(root).as_ref().map_err(|error| format!("{}: {error}", imported.dir.display()));
            root.and_then(|root| identify(root, &own.spec, identity).map_err(|error| format!("{error:#}")))
        };
        known.insert(identity.clone(), user);
    }
    known
}

/// The resolved mount points of an application's image, by the mount points as written, for those
/// whose path has symbolic links.
fn links(model: &Model, image: &str, imported: &Imported, root: &Root<'_>) -> BTreeMap<String, String> {
    let apps = model.containers.values().flat_map(|c| &c.apps).filter(|app| app.image == image);
    let written = apps.flat_map(|app| &app.mounts).map(|mount| mount.target.clone());
    let declared = imported.image.volumes.iter().filter_map(|path| mount::target(path).ok());
    written
        .chain(declared)
        .filter_map(|target| {
            // The image of an operating system has no such root; its symbolic links are resolved in
            // the running container.
            let root = LazyCell::force(root).as_ref().ok()?;
            Some((target.clone(), mountpoints::leads_to(&target, root)?))
        })
        .collect()
}
