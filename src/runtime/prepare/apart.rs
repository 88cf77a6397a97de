// SPDX-License-Identifier: MIT
//! The root directory of a container for `sdme-gen cp`: either that of a running container, or that
//! of a stopped one, whose layers are then mounted for this process only.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::layers::links::{self, additional, layers};
use super::layers::mountpoints;
use super::layers::stack;
use crate::diag::Fault;
use crate::image::{Store, application_root};
use crate::model::{Container, Facts, Model, Stack};
use crate::paths::{RUNTIME, container_runtime, container_state, machine_root};
use crate::plan;
use crate::rootdir::tree::Tree;
use crate::runtime::prepare::ranges;

/// The root directory of a container, with a lock that prevents changes while it is used.
#[derive(Debug)]
pub struct Root {
    /// The directory.
    pub tree: Tree,
    /// The path at which the root is mounted.
    pub place: String,
    /// The first ID of the container's range on disk; 0 without a user namespace.
    pub first_id: u32,
    _lock: Flock<File>,
}

/// Takes the lock of a container's upper layer, either to mount the layer for a copy or to mount it
/// for a start: the kernel does not allow two mounts of one upper layer. If another process has the
/// lock, the call waits if `wait` is set and fails otherwise.
///
/// # Errors
/// The container's state directory cannot be opened or locked.
pub fn lock(container: &str, wait: bool) -> Result<Flock<File>> {
    let state = container_state(container);
    let open = || File::open(&state).with_context(|| format!("cannot open {state}"));
    match Flock::lock(open()?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err(_) if !wait => {
            bail!(Fault::new(format!("another copy to or from {container} is running"), "wait for its end"))
        }
        Err(_) => {
            eprintln!("<5>waiting for the end of sdme-gen cp");
            let waited = Flock::lock(open()?, FlockArg::LockExclusive);
            waited.map_err(|(_, error)| error).with_context(|| format!("cannot lock {state}"))
        }
    }
}

/// Opens the root directory of a container. If the container does not run, this process gets its
/// own mount namespace, in which the layers are mounted as for a start; the kernel unmounts them
/// when the process ends.
///
/// # Errors
/// An image is missing, or a layer cannot be mounted.
pub fn open(container: &Container, model: &Model, facts: &Facts) -> Result<Root> {
    let name = &container.name;
    let range = super::range(model, facts, container)?;
    let place = machine_root(name);
    let additional = model.applications(container, facts).iter().filter(|app| !app.first);
    let started = ranges::lock()?;
    ranges::make_upper(name, additional.map(|app| app.name.as_str()), range.unwrap_or_default())?;
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
    // The images must not be removed until the layers are mounted. A mounted layer stays readable
    // when its image is removed.
    let _hold = store.hold()?;
    let stack = model.stack(container, facts);
    let (application, base) = layers(&store, stack)?;
    let additional = additional(&store, model.applications(container, facts))?;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace; run sdme-gen as root")?;
    let own = |place: &str, flags: MsFlags, kind: Option<&str>| {
        mount(kind, place, kind, flags, None::<&str>).with_context(|| format!("cannot mount {place}"))
    };
    own("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    // A file system in memory hides the links that record the container's images, because only a
    // start may change them.
    let containers = format!("{RUNTIME}/containers");
    fs::create_dir_all(&containers).with_context(|| format!("cannot make {containers}"))?;
    own(&containers, MsFlags::MS_NODEV | MsFlags::MS_NOSUID, Some("tmpfs"))?;
    let directory = PathBuf::from(container_runtime(&container.name));
    let config = directory.join("config");
    let configs = additional.iter().map(|(app, _)| config.join(format!("oci/apps/{app}")));
    for config in configs.chain([config.clone()]) {
        fs::create_dir_all(&config).with_context(|| format!("cannot make {}", config.display()))?;
    }
    mount_points(container, (stack, facts), &base, (&application, &additional), &config)?;
    if let Some(first) = range {
        ranges::give(&config, first)?;
    }
    links::keep(&directory, &application, &base, &additional)?;
    let below = links::below(&links::of_applications(container, &application, &additional));
    stack::mount(&container.name, &plan::stack::stack(container, &[], &below), range).map(drop)
}

/// Makes the mount points that the container's root has while the container runs, so that symbolic
/// links to them can be resolved.
fn mount_points(
    container: &Container,
    (stack, facts): (Stack<'_>, &Facts),
    base: &Path,
    (application, additional): (&[PathBuf], &[(&str, Vec<PathBuf>)]),
    config: &Path,
) -> Result<()> {
    let bottom = Tree::open(base).with_context(|| format!("cannot open {}", base.display()))?;
    for placed in container.placed(stack, facts).iter().filter(|placed| !placed.is_covered()) {
        let target = &placed.mount.target;
        let Some(app) = placed.app else {
            mountpoints::make(target, true, &bottom, config)?;
            continue;
        };
        let lower = additional.iter().find(|(name, _)| !app.first && *name == app.name);
        let lower = lower.map_or(application, |(_, lower)| lower.as_slice());
        let root = application_root(lower).with_context(|| format!("cannot open the image of {}", app.name))?;
        let layer = config.join(app.directory().trim_start_matches('/')).join("root");
        fs::create_dir_all(&layer).with_context(|| format!("cannot make {}", layer.display()))?;
        mountpoints::make(target, true, &root, &layer)?;
    }
    Ok(())
}
