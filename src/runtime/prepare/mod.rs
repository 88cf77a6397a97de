// SPDX-License-Identifier: MIT
//! `sdme-gen prepare NAME`, run by the container's service before every start: updates the links to
//! the layers, writes the configuration layer and the `.nspawn` file, and mounts the layers on each
//! other.

pub mod apart;
pub mod apparmor;
mod dependencies;
pub mod environment;
pub mod layers;
pub mod planned;
pub mod ranges;
pub mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, bail};

use self::layers::links::{additional, layers, remove};
use self::layers::{links, mountpoints, roots, stack, targets};
use super::volumes::snapshots;
use crate::announce::{self, About, Event};
use crate::config::keys::FileType;
use crate::config::values::Device;
use crate::diag::Fault;
use crate::image::digest::Digest;
use crate::image::{Store, application_root};
use crate::model::{Base, Container, Facts, Model, Network, Placed, Pod, Resolver, Stack, What};
use crate::output::layer::write_layer;
use crate::output::tree::{Node, Place, Tree as OutputTree};
use crate::paths::{STATE, container_runtime, container_state, machine_root};
use crate::plan::{self, needs_resolver};
use crate::resolve::container::userns;
use crate::rootdir::tree::Tree;
use crate::runtime::failure::Refused;
use crate::runtime::{ended, failure, limits, names, systemd, volumes};
use crate::started;

/// The directories of `.nspawn` files in systemd-nspawn's order of search (systemd.nspawn(5)). This
/// program writes to the second one.
const SETTINGS: [&str; 2] = ["/etc/systemd/nspawn", "/run/systemd/nspawn"];

/// The root file systems of the images of a container's applications, by the names of the
/// applications.
type Roots<'a> = BTreeMap<&'a str, Tree>;

/// Prepares a start of the container `name` on this host.
///
/// # Errors
/// The container is not configured or was rejected, an image is missing, or a file cannot be
/// written.
pub fn prepare(name: &str) -> Result<()> {
    let root = Path::new("/");
    let lock = ranges::lock()?;
    let (model, facts) = known(root, name);
    let Some(container) = model.containers.get(name) else {
        match model.rejection(FileType::Container, name) {
            Some(problem) => return Err(refused(problem)),
            None => bail!("there is no {name}.container"),
        }
    };
    let store = Store::open(root);
    dependencies::check(container, &model, &store)?;
    renew_network(&model, container)?;
    let stack = model.stack(container, &facts);
    if let Some(problem) = refused::no_application(container, stack) {
        return Err(refused(problem));
    }
    if let Some(problem) = model.unused_settings(container, &facts) {
        return Err(refused(&problem));
    }
    limits::check(stack)?;
    devices(container)?;
    for app in model.applications(container, &facts) {
        if let Some(problem) = refused::no_check(app, &facts) {
            return Err(refused(problem));
        }
    }
    if let Some(profile) = &container.security.app_armor {
        apparmor::check(profile)?;
    }
    // Pruning is held off from the lookup of the images until the links to them exist.
    let hold = store.hold()?;
    let (application, base) = layers(&store, stack)?;
    if let Some(problem) = model.unknown_users(container, &facts).first() {
        return Err(refused(problem));
    }
    if let Some(problem) = model.unusable_profile(container, &facts) {
        return Err(refused(&problem));
    }
    let range = range(&model, &facts, container)?;
    let mut planned = OutputTree::default();
    plan::start(container, &model, &facts, range, &mut planned);

    let directory = PathBuf::from(container_runtime(name));
    // The directory is accessible to root only, because the layers below contain files that other
    // users of the host must not see.
    fs::create_dir_all(&directory)
        .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)))
        .context("cannot make the runtime directory")?;
    remove_earlier_mounts(name)?;
    let additional = additional(&store, model.applications(container, &facts))?;
    links::keep(&directory, &application, &base, &additional)?;
    drop(hold);
    ranges::make_upper(name, additional.iter().map(|(app, _)| *app), range.unwrap_or_default())?;
    drop(lock);
    let placed = container.placed(stack, &facts);
    let apps = links::of_applications(container, &application, &additional);
    let open = |(app, lower): &(_, &[PathBuf])| {
        Ok((*app, application_root(lower).with_context(|| format!("cannot open the image of {app}"))?))
    };
    let roots: Roots<'_> = match stack {
        Stack::Application(..) => apps.iter().map(open).collect::<Result<_>>()?,
        Stack::Clone | Stack::System(_) => Roots::new(),
    };
    let bottom = Tree::open(&base).with_context(|| format!("cannot open {}", base.display()))?;
    let mounts: Vec<(&Placed<'_>, &Tree)> = placed
        .iter()
        .map(|placed| (placed, placed.app.and_then(|app| roots.get(app.name.as_str())).unwrap_or(&bottom)))
        .collect();
    snapshots::before_start(container, &model, &facts, &store).map_err(|error| failure::no_snapshot(&error))?;
    mounts.iter().try_for_each(|(placed, root)| volumes::make_ready(placed, root, &model))?;
    configuration_layer(&planned, (&model, &facts), container, &mounts, (&roots, &bottom), &directory)?;
    planned::remember(name, &planned).context("cannot note what was planned")?;
    if let Some(first) = range {
        let trees =
            additional.iter().flat_map(|(_, lower)| lower).chain(&application).chain([&base]).map(PathBuf::as_path);
        let usr = matches!(stack, Stack::Application(_, Base::Host)).then_some(Path::new("/usr"));
        let paths: Vec<String> =
            placed.iter().filter(|p| !matches!(p.mount.what, What::Secret(_))).filter_map(|p| p.mount.path()).collect();
        ranges::check_mappable(trees.chain(usr).chain(paths.iter().map(Path::new)))?;
        ranges::give(&directory.join("config"), first)?;
    }
    names::register(container, &model, range.unwrap_or_default())?;
    note_base(name, stack)?;
    settings(&planned, name)?;
    let below = links::below(&apps);
    let copying = apart::lock(name, true)?;
    for overlay in stack::mount(name, &plan::stack::stack(container, &placed, &below), range)? {
        eprintln!("<6>{overlay}");
    }
    drop(copying);
    targets::check(name, &placed)?;
    started::keep(&Container::unit(name)).context("cannot keep a copy of the unit")
}

/// The error of a start that `Restart=` must not repeat.
fn refused(problem: impl Into<Fault>) -> Error {
    Refused(problem.into()).into()
}

/// The configuration and the facts, after interrupted updates are undone.
fn known(root: &Path, name: &str) -> (Model, Facts) {
    let (model, facts) = super::known(root);
    if undo_unfinished(&model, &facts, name) { super::known(root) } else { (model, facts) }
}

/// Restores the former images of the container if an update was interrupted after it had switched
/// them, for example by a power failure. If that fails, the start continues with the linked
/// version. Returns whether an image was restored.
fn undo_unfinished(model: &Model, facts: &Facts, name: &str) -> bool {
    let Some(container) = model.containers.get(name) else { return false };
    let store = Store::open(Path::new("/"));
    let mut any = false;
    let mut images: BTreeSet<&str> = plan::images(container, model).into_iter().collect();
    // The interrupted update may be that of another container that shares a volume with this one.
    if snapshots::any(&snapshots::volumes(container, model, facts, false)) {
        images.extend(model.images.keys().map(String::as_str));
    }
    for image in images {
        match store.undo_unfinished(image, &|switch| snapshots::give_back(&switch.volumes)) {
            Ok(None) => {}
            Ok(Some(_)) => {
                let about = About { image, container: name, ..About::default() };
                let text = format!("an update of {image} was interrupted; {name} starts on the former version");
                announce::record(Event::Undone, about, &text);
                any = true;
            }
            Err(error) => eprintln!("<4>an update of {image} that was interrupted cannot be undone: {error:#}"),
        }
    }
    any
}

/// Removes what [`prepare`] has made for a start of the container `name`. The present configuration
/// does not matter.
///
/// # Errors
/// A mount or file cannot be removed.
pub fn release(name: &str) -> Result<()> {
    ended::tell(name);
    // The rest is removed even if this fails.
    let left = names::unregister(name);
    stack::release(name)?;
    let directory = PathBuf::from(container_runtime(name));
    stack::unmounted(std::slice::from_ref(&directory))?;
    remove(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    let settings = Path::new(SETTINGS[1]).join(format!("{name}.nspawn"));
    remove(&settings).with_context(|| format!("cannot remove {}", settings.display()))?;
    started::forget(&Container::unit(name)).context("cannot remove the copy of the unit")?;
    left
}

/// Restarts the container's own network if it belongs to an earlier start. The network stops after
/// the container, but a start right after a stop cancels the stop of the network.
fn renew_network(model: &Model, container: &Container) -> Result<()> {
    let pod = Pod::service(&container.name);
    if model.pods.get(container.name.as_str()).is_some_and(|pod| pod.own) && !started::is_current(&pod) {
        // The dependencies are ignored, because this start is one of them.
        let restarted = systemd::systemctl(&["restart", "--job-mode=ignore-dependencies", &pod]);
        failure::network(container)?;
        restarted?;
    }
    Ok(())
}

/// The first ID of the container's range of user and group IDs. None without a user namespace.
fn range(model: &Model, facts: &Facts, container: &Container) -> Result<Option<u32>> {
    let range = userns::ranges(model, facts).get(container.name.as_str()).copied();
    if container.security.user_ns && range.is_none() {
        bail!(Fault::new(
            format!("no range of user IDs is left for {}", container.name),
            format!("remove what is no longer needed from {STATE}/containers")
        ));
    }
    Ok(range)
}

/// Records the operating system that the upper layer was made on, and warns if it is now used on
/// another one.
fn note_base(name: &str, stack: Stack<'_>) -> Result<()> {
    let base = match stack {
        Stack::Clone => "the host itself",
        Stack::Application(_, Base::Host) => "the host's /usr",
        Stack::System(image) => image,
        Stack::Application(_, Base::Image(image)) => image.as_str(),
    };
    let path = Path::new(&container_state(name)).join("base");
    match fs::read_to_string(&path) {
        Ok(known) if known == base => return Ok(()),
        Ok(known) => eprintln!(
            "<4>{name} was made on {known} and now runs on {base}; if the two do not get along, stop it and remove {}",
            container_state(name)
        ),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
    fs::write(&path, base).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the mounts of an earlier run, because layers must not change under a mounted overlay.
/// When the container's service starts, nothing of the container runs, so a mount exists only if
/// the end of the earlier run was interrupted. If this command is called by hand, the container may
/// be running.
fn remove_earlier_mounts(name: &str) -> Result<()> {
    let root = machine_root(name);
    if !stack::mounted()?.contains(&root) {
        stack::remove_leftovers(name);
        return Ok(());
    }
    let unit = Container::unit(name);
    if !systemd::is_part_of(&unit) {
        bail!(Fault::new(
            format!("{root} is mounted"),
            format!("stop {unit} first; if nothing is left running, unmount it")
        ));
    }
    eprintln!("<5>the end of the last run was interrupted; what it has left is removed");
    stack::release(name)
}

fn configuration_layer(
    planned: &OutputTree,
    (model, facts): (&Model, &Facts),
    container: &Container,
    mounts: &[(&Placed<'_>, &Tree)],
    (roots, bottom): (&Roots<'_>, &Tree),
    directory: &Path,
) -> Result<()> {
    let (old, new) = (directory.join("config"), directory.join("config.new"));
    remove(&new).context("cannot remove an unfinished configuration layer")?;
    write_layer(planned, &container.name, &new)?;
    fs::write(new.join("etc/machine-id"), machine_id(&container.name)? + "\n")
        .context("cannot write the machine ID")?;
    // Without this directory, systemd-journald before version 258 keeps the journal in memory only.
    // systemd-nspawn would make the directory, but it follows the container's symbolic links on the
    // way.
    if new.join("var/log").is_dir() {
        fs::create_dir(new.join("var/log/journal")).context("cannot make the journal's directory")?;
    } else {
        mountpoints::make("/var/log/journal", true, bottom, &new)?;
    }
    for app in model.applications(container, facts) {
        environment::add(app, &new.join(app.directory().trim_start_matches('/')).join("container.env"))?;
    }
    if needs_resolver(container, model) {
        let shared = container.connection.network == Network::Host && container.connection.oci_pod.is_none();
        resolver(&new.join("etc/resolv.conf"), &container.resolver, shared)?;
    }
    for app in model.applications(container, facts) {
        let root = roots.get(app.name.as_str()).context("it has no root file system")?;
        roots::complete(root, &new.join(app.directory().trim_start_matches('/')).join("root"))?;
    }
    for (placed, root) in mounts {
        let Placed { app, mount, .. } = placed;
        let layer = app.map_or(new.clone(), |app| new.join(app.directory().trim_start_matches('/')).join("root"));
        let directory = match &mount.what {
            What::Host(path) => Path::new(path).is_dir(),
            What::Secret(_) => false,
            What::Volume(_) | What::Tmpfs(_) => true,
        };
        if app.is_some() && !placed.is_of_service() {
            mountpoints::make_own(&new.join(placed.place().trim_start_matches('/')), directory)?;
        }
        // If the target is below another mount, the service manager makes a missing mount point
        // there.
        if !placed.is_covered() {
            mountpoints::make(&mount.target, directory, root, &layer)?;
        }
    }
    remove(&old).and_then(|()| fs::rename(&new, &old)).context("cannot replace the configuration layer")
}

/// Writes the host's name servers and the container's own settings to `path`, unless the file has
/// content already. Name servers on the host's loopback interface are left out unless the container
/// shares the host's network (`shared`).
fn resolver(path: &Path, own: &Resolver, shared: bool) -> Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    // This file of systemd-resolved has the name servers of the host's network. /etc/resolv.conf
    // usually has systemd-resolved itself, which can only be reached from the host's network.
    let read = |path| fs::read_to_string(path).ok();
    let upstream = read("/run/systemd/resolve/resolv.conf").filter(|_| !shared);
    let text = upstream.or_else(|| read("/etc/resolv.conf")).unwrap_or_default();
    let text = reachable(&text, own, shared) + &own.text();
    if !text.contains("nameserver") {
        eprintln!("<4>the host has no name server that can be reached from another network; names are not resolved");
    }
    fs::write(path, text).context("cannot write resolv.conf")
}

/// The lines of resolv.conf(5) that are valid in the container's network and that `own` does not
/// replace.
fn reachable(text: &str, own: &Resolver, shared: bool) -> String {
    let loopback = |address: &str| address.parse::<IpAddr>().is_ok_and(|a| a.is_loopback());
    let kept = text.lines().filter(|line| {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("nameserver"), Some(address)) => shared || !loopback(address),
            (Some("search" | "domain"), _) => own.search.is_empty(),
            (Some("options"), _) => own.options.is_empty(),
            _ => false,
        }
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// A machine ID for the container, the same at every start, which does not reveal the host's
/// (machine-id(5)).
fn machine_id(name: &str) -> Result<String> {
    let host = fs::read_to_string("/etc/machine-id").context("the host has no machine ID")?;
    let digest = Digest::of(format!("sdme container {name} on {}", host.trim()).as_bytes());
    let (hex, _) = digest.hex().split_at(32);
    // This makes a version 4 UUID of variant 1, as machine-id(5) recommends.
    Ok(hex
        .char_indices()
        .map(|(i, c)| {
            if i == 12 {
                '4'
            } else if i == 16 {
                'a'
            } else {
                c
            }
        })
        .collect())
}

/// Writes the `.nspawn` file to `/run`, unless `apply` or the administrator has put one into
/// `/etc`: systemd-nspawn reads the first file that it finds.
fn settings(planned: &OutputTree, name: &str) -> Result<()> {
    let file = format!("{name}.nspawn");
    let content = planned.below(&Place::Settings).find_map(|(path, node)| match node {
        Node::File(content) if path == file => Some(content),
        _ => None,
    });
    let content = content.context("the container has no settings")?;
    let [fixed, ours] = SETTINGS.map(|d| Path::new(d).join(&file));
    match fs::read_to_string(&fixed) {
        Ok(text) => {
            // With an ID range other than that of the layers, the container's root would not own
            // its files.
            let users = |text: &str| text.lines().find(|line| line.starts_with("PrivateUsers=")).map(str::to_owned);
            if let (theirs, Some(wanted)) = (users(&text), users(content))
                && theirs.as_ref() != Some(&wanted)
            {
                let cause = format!("{} does not say {wanted}, as the configuration does", fixed.display());
                bail!(Fault::new(cause, "run sdme-gen apply"));
            }
            if text != *content {
                eprintln!(
                    "<4>{} is used and differs from the configuration; sdme-gen apply brings it up to date",
                    fixed.display()
                );
            }
            return Ok(());
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", fixed.display())),
    }
    let temporary = ours.with_extension("nspawn.new");
    fs::create_dir_all(SETTINGS[1])
        .and_then(|()| fs::write(&temporary, content))
        .and_then(|()| fs::rename(&temporary, &ours))
        .with_context(|| format!("cannot write {}", ours.display()))
}

/// Checks the container's devices. A missing optional device is skipped here, because its settings
/// leave it out.
fn devices(container: &Container) -> Result<()> {
    let optional = |device: &&Device| device.optional && !Path::new(&device.source).exists();
    for device in container.devices.iter().map(|device| &device.value).filter(|device| !optional(device)) {
        let found = fs::metadata(&device.source).with_context(|| format!("AddDevice={}", device.source))?;
        if let Some(problem) = refused::no_device(&device.source, &found)
            && !(found.is_dir() && device.is_directory())
        {
            bail!("{problem}");
        }
    }
    Ok(())
}
