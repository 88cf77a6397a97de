// SPDX-License-Identifier: MIT
//! The root directory of a container for `sdme-gen cp`: that of a container that runs, or that of a stopped one, whose layers are
//! mounted on each other for this process alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::layers::links::{self, further, layers};
use super::layers::mountpoints;
use super::layers::stack;
use crate::image::{Store, application_root};
use crate::model::{Container, Facts, Model, Stack};
use crate::paths::{RUNTIME, container_runtime, container_state, machine_root};
use crate::plan;
use crate::rootdir::tree::Tree;
use crate::runtime::prepare::ranges;

/// The root directory of a container, and what must not change while it is used.
#[derive(Debug)]
pub struct Root {
    /// The directory.
    pub tree: Tree,
    /// Where it is mounted.
    pub place: String,
    /// The first of the container's user IDs on disk: 0 without a user namespace.
    pub first_id: u32,
    _lock: Flock<File>,
}

/// Held while a container's upper layer is mounted for a copy, and by a start while it mounts the layer: the kernel does not allow two
/// mounts of one upper layer.
///
/// # Errors
/// The container's state directory cannot be opened or locked.
pub fn lock(container: &str, wait: bool) -> Result<Flock<File>> {
    let state = container_state(container);
    let open = || File::open(&state).with_context(|| format!("cannot open {state}"));
    match Flock::lock(open()?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err(_) if !wait => bail!("another copy to or from {container} is running; wait for its end"),
        Err(_) => {
            eprintln!("<5>waiting for the end of sdme-gen cp");
            let waited = Flock::lock(open()?, FlockArg::LockExclusive);
            waited.map_err(|(_, error)| error).with_context(|| format!("cannot lock {state}"))
        }
    }
}

/// Opens the root directory of a container. If the container does not run, this process gets a mount namespace of its own, in which the
/// layers are mounted as for a start; the kernel unmounts them when the process ends.
///
/// # Errors
/// An image is missing, or something cannot be mounted.
pub fn open(container: &Container, model: &Model, facts: &Facts) -> Result<Root> {
    let name = &container.name;
    let range = super::range(model, facts, container)?;
    let place = machine_root(name);
    let further = model.applications(container, facts).iter().filter(|app| !app.first);
    let started = ranges::lock()?;
    ranges::make_upper(name, further.map(|app| app.name.as_str()), range.unwrap_or_default())?;
    drop(started);
    let lock = lock(name, false)?;
    if !stack::mounted()?.contains(&place) {
        mount_apart(container, model, facts, range)?;
    }
    let tree = Tree::open(Path::new(&place)).with_context(|| format!("cannot open {place}"))?;
    Ok(Root { tree, place, first_id: range.unwrap_or_default(), _lock: lock })
}

fn mount_apart(container: &Container, model: &Model, facts: &Facts, range: Option<u32>) -> Result<()> {
    let store = Store::open(Path::new("/"));
    // Until the layers are mounted; a mounted layer stays readable when its image is removed.
    let _hold = store.hold()?;
    let stack = model.stack(container, facts);
    let (application, base) = layers(&store, stack)?;
    let further = further(&store, model.applications(container, facts))?;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace; run sdme-gen as root")?;
    let own = |place: &str, flags: MsFlags, kind: Option<&str>| {
        mount(kind, place, kind, flags, None::<&str>).with_context(|| format!("cannot mount {place}"))
    };
    own("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    // The links that say what a container runs on are for its next start to make.
    let containers = format!("{RUNTIME}/containers");
    fs::create_dir_all(&containers).with_context(|| format!("cannot make {containers}"))?;
    own(&containers, MsFlags::MS_NODEV | MsFlags::MS_NOSUID, Some("tmpfs"))?;
    let directory = PathBuf::from(container_runtime(&container.name));
    let config = directory.join("config");
    let configs = further.iter().map(|(app, _)| config.join(format!("oci/apps/{app}")));
    for config in configs.chain([config.clone()]) {
        fs::create_dir_all(&config).with_context(|| format!("cannot make {}", config.display()))?;
    }
    mount_points(container, (stack, facts), &base, (&application, &further), &config)?;
    if let Some(first) = range {
        ranges::give(&config, first)?;
    }
    links::keep(&directory, &application, &base, &further)?;
    let below = links::below(&links::of_applications(container, &application, &further));
    stack::mount(&container.name, &plan::stack::stack(container, &[], &below), range).map(drop)
}

/// Makes the directories that the container's mounts have in its root while it runs, so that symbolic links to them lead somewhere.
fn mount_points(
    container: &Container,
    (stack, facts): (Stack<'_>, &Facts),
    base: &Path,
    (application, further): (&[PathBuf], &[(&str, Vec<PathBuf>)]),
    config: &Path,
) -> Result<()> {
    let bottom = Tree::open(base).with_context(|| format!("cannot open {}", base.display()))?;
    for placed in container.placed(stack, facts).iter().filter(|placed| !placed.is_covered()) {
        let target = &placed.mount.target;
        let Some(app) = placed.app else {
            mountpoints::make(target, true, &bottom, config)?;
            continue;
        };
        let lower = further.iter().find(|(name, _)| !app.first && *name == app.name);
        let lower = lower.map_or(application, |(_, lower)| lower.as_slice());
        let root = application_root(lower).with_context(|| format!("cannot open the image of {}", app.name))?;
        let layer = config.join(app.directory().trim_start_matches('/')).join("root");
        fs::create_dir_all(&layer).with_context(|| format!("cannot make {}", layer.display()))?;
        mountpoints::make(target, true, &root, &layer)?;
    }
    Ok(())
}
