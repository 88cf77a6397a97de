// SPDX-License-Identifier: MIT
//! `sdme-gen cp`: copies files between the host and an application, whether its container runs or
//! not. Paths in the container are resolved relative to an open directory, so that no symbolic link
//! of the container leads to the host.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, bail};
use nix::fcntl::OFlag;

use crate::admin::applications::{one_of, user_of_image};
use crate::config::keys::FileType;
use crate::model::{App, Container, Facts, Model, Mount, What};
use crate::paths::volume;
use crate::rootdir::transfer::{self, Rules};
use crate::rootdir::tree::{Tree, proc_path};
use crate::runtime::prepare::apart::{self, Root};

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path of the host.
    Host(String),
    /// A path of a container's application: `NAME:PATH`.
    Inside {
        /// The name of the container.
        container: String,
        /// The absolute path in the application's root.
        path: String,
    },
}

impl Place {
    /// Parses an argument. The part before the first colon of `NAME:PATH` contains no slash, so
    /// `./a:b` is a path of the host.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((name, path)) if !name.is_empty() && !name.contains('/') => Self::Inside {
                container: name.to_owned(),
                path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            },
            _ => Self::Host(text.to_owned()),
        }
    }
}

/// The options of `cp`.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The name of the application; required if there are several.
    pub app: Option<&'a str>,
    /// The owner of the copies in the container, instead of the owner on the host.
    pub owner: Option<&'a str>,
}

/// Copies a file or a directory. Returns one line of text for each file that was left out.
///
/// # Errors
/// There is no such container or path, or a file cannot be read or written.
pub fn copy(source: &Place, target: &Place, options: Options<'_>) -> Result<Vec<String>> {
    match (source, target) {
        (Place::Inside { container, path }, Place::Host(to)) => {
            if options.owner.is_some() {
                bail!("--chown sets the owner of files in a container; run chown after a copy to the host");
            }
            out_of(container, path, to, options)
        }
        (Place::Host(from), Place::Inside { container, path }) => into(from, container, path, options),
        (Place::Inside { .. }, Place::Inside { .. }) => bail!("both paths are in containers; copy to the host first"),
        (Place::Host(_), Place::Host(_)) => bail!("neither path is in a container; write NAME:/PATH for one of them"),
    }
}

/// Whether a path means the content of a directory, as with docker: `DIRECTORY/.`.
fn is_content(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

fn out_of(container: &str, path: &str, to: &str, options: Options<'_>) -> Result<Vec<String>> {
    let (model, facts) = crate::runtime::known(Path::new("/"));
    let side = Side::open(container, &model, &facts, options.app)?;
    let shown = format!("{container}:{path}");
    let found = side.find(path, false)?;
    let rules = Rules { from: found.first_id, drop_privileges: true, ..Rules::default() };
    let directory = |path: &Path| File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let (target, name) = if Path::new(to).is_dir() {
        let name = (!is_content(path)).then(|| found.name.clone());
        (directory(Path::new(to))?, name)
    } else {
        let (parent, name) = new_name(to)?;
        (directory(&parent)?, Some(name))
    };
    let target = target.as_fd();
    let copied = match (&name, found.path.rsplit_once('/')) {
        (Some(name), Some((parent, file))) => found
            .open(parent.as_bytes())
            .and_then(|parent| transfer::entry(parent.as_fd(), file.as_bytes(), target, name.as_bytes(), rules)),
        (Some(name), None) => found
            .open(found.path.as_bytes())
            .and_then(|from| transfer::directory(from.as_fd(), target, name.as_bytes(), rules)),
        (None, _) => found.open(found.path.as_bytes()).and_then(|from| transfer::content(from.as_fd(), target, rules)),
    };
    let mut left_out = lines(copied.map_err(|error| failed(&shown, to, error))?);
    let below = format!("{}/", path.trim_end_matches(['/', '.']));
    let mounts = side.mounts.iter().filter(|mount| mount.target.starts_with(&below) && mount.target != found.mount);
    left_out.extend(mounts.map(|mount| format!("{} is mounted and was left out; copy it by its path", mount.target)));
    Ok(left_out)
}

fn into(from: &str, container: &str, path: &str, options: Options<'_>) -> Result<Vec<String>> {
    let source = Path::new(from);
    source.symlink_metadata().with_context(|| format!("cannot read {from}"))?;
    let (model, facts) = crate::runtime::known(Path::new("/"));
    let side = Side::open(container, &model, &facts, options.app)?;
    let owner = options.owner.map(|owner| side.owner(owner)).transpose()?;
    let shown = format!("{container}:{path}");
    let named = source.file_name().filter(|_| !is_content(from)).map(|name| name.to_string_lossy().into_owned());
    let found = side.find(path, true)?;
    if let Some(host) = &found.read_only {
        bail!("{path} is read-only in {container}; copy to {host} of the host");
    }
    let rules = Rules { to: found.first_id, owner, ..Rules::default() };
    let (directory, name) = match found.open(found.path.as_bytes()) {
        Ok(directory) => (directory, named),
        Err(_) if path.ends_with('/') => bail!("there is no directory {path} in {container}"),
        Err(_) => {
            let (parent, name) = found.path.rsplit_once('/').unwrap_or(("", &found.path));
            let missing = || format!("there is no directory above {path} in {container}");
            (found.open(parent.as_bytes()).with_context(missing)?, Some(name.to_owned()))
        }
    };
    let target = directory.as_fd();
    let copied = match (&name, source.file_name().filter(|_| !is_content(from))) {
        (Some(name), Some(file)) => {
            let parent = source.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent).and_then(|parent| {
                transfer::entry(parent.as_fd(), file.as_encoded_bytes(), target, name.as_bytes(), rules)
            })
        }
        (Some(name), None) => {
            File::open(source).and_then(|from| transfer::directory(from.as_fd(), target, name.as_bytes(), rules))
        }
        (None, _) => File::open(source).and_then(|from| transfer::content(from.as_fd(), target, rules)),
    };
    Ok(lines(copied.map_err(|error| failed(from, &shown, error))?))
}

fn failed(from: &str, to: &str, error: io::Error) -> Error {
    Error::new(error).context(format!("cannot copy {from} to {to}"))
}

fn lines(left_out: Vec<String>) -> Vec<String> {
    left_out.into_iter().map(|path| format!("{path} is a device, socket or FIFO and was left out")).collect()
}

/// The parent directory and the name of a host path that does not exist yet or is a file.
fn new_name(path: &str) -> Result<(PathBuf, String)> {
    let name = Path::new(path).file_name().filter(|_| !path.ends_with('/') && !is_content(path));
    let name = name.with_context(|| format!("there is no directory {path}"))?;
    let parent = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((parent.unwrap_or(Path::new(".")).to_owned(), name.to_string_lossy().into_owned()))
}

/// The container's end of a copy.
struct Side {
    root: Root,
    /// The root directory of the application, or of the container if it has none.
    top: Tree,
    /// The path of that directory, as the kernel reports it.
    place: PathBuf,
    app: Option<App>,
    /// The mounts of the application or operating system.
    mounts: Vec<Mount>,
}

/// A path that was found in a container or in one of its mounts.
struct Found {
    tree: Tree,
    /// The path relative to the tree. Empty for the root of the tree. Otherwise the path contains a
    /// slash, so that it can be split into directory and name, and does not end in one.
    path: String,
    /// The last component of the path. For the root directory, the container's name.
    name: String,
    /// The target of the mount that contains the path. Empty if the path is in no mount.
    mount: String,
    first_id: u32,
    /// The path on the host, if the mount is read-only.
    read_only: Option<String>,
}

impl Found {
    fn open(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.tree.open_dir(path)
    }
}

impl Side {
    fn open(name: &str, model: &Model, facts: &Facts, app: Option<&str>) -> Result<Self> {
        let Some(container) = model.containers.get(name).map(|container| -> &Container { container }) else {
            match model.rejection(FileType::Container, name) {
                Some(problem) => bail!("{problem}"),
                None => bail!("there is no container {name}"),
            }
        };
        let applications = model.applications(container, facts);
        let app =
            if applications.is_empty() && app.is_none() { None } else { Some(one_of(applications, app)?.clone()) };
        let placed = container.placed(model.stack(container, facts), facts);
        let own =
            placed.into_iter().filter(|placed| placed.app.map(|app| &app.name) == app.as_ref().map(|app| &app.name));
        let mounts = own.map(|placed| placed.mount).collect();
        let root = apart::open(container, model, facts)?;
        let directory = app.as_ref().map(|app| format!("{}/root", app.directory())).unwrap_or_default();
        let top = root.tree.open_dir(directory.as_bytes()).and_then(|top| Tree::within(top.as_fd()));
        let top = top.with_context(|| format!("cannot open the root directory of {name}"))?;
        let place = std::fs::read_link(proc_path(top.root())).context("cannot read /proc/self/fd")?;
        Ok(Self { root, top, place, app, mounts })
    }

    /// The user and group ID that `--chown` names.
    fn owner(&self, written: &str) -> Result<(u32, u32)> {
        if let Some(app) = &self.app {
            let user = user_of_image(&app.image, written)?;
            return Ok((user.uid, user.gid));
        }
        let (uid, gid) = written.split_once(':').unwrap_or((written, written));
        let both = uid.parse().ok().zip(gid.parse().ok());
        both.with_context(|| format!("--chown={written}: without an application, write numbers: UID:GID"))
    }

    /// Finds a path. With `follow`, the last component may be a symbolic link to a directory.
    fn find(&self, path: &str, follow: bool) -> Result<Found> {
        if path.split('/').any(|part| part == "..") {
            bail!("{path} has `..` in it; write the path without");
        }
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>();
        let mut path = format!("/{}", parts.join("/"));
        // The loop looks up the path as written, then with the container's symbolic links resolved:
        // a link can lead below a mount.
        for _ in 0..2 {
            self.refuse_hidden(&path)?;
            if let Some(found) = self.in_mount(&path)? {
                return Ok(found);
            }
            let seen = self.seen(&path, follow)?;
            if seen == path {
                break;
            }
            path = seen;
        }
        let (path, name) = (path.trim_start_matches('/'), path.rsplit('/').next().unwrap_or_default());
        let name = if name.is_empty() { self.root.place.rsplit('/').next().unwrap_or_default() } else { name };
        let (path, name) = (path.to_owned(), name.to_owned());
        let path = if path.is_empty() || path.contains('/') { path } else { format!("/{path}") };
        let tree = Tree::within(self.top.root()).context("cannot open the root directory")?;
        Ok(Found { tree, path, name, mount: String::new(), first_id: self.root.first_id, read_only: None })
    }

    /// The path with symbolic links resolved. The last component may be missing.
    fn seen(&self, path: &str, follow: bool) -> Result<String> {
        let open = |path: &str| self.top.open_at(path.as_bytes(), OFlag::O_PATH | OFlag::O_DIRECTORY);
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (opened, rest) = match open(path).ok().filter(|_| follow) {
            Some(opened) => (opened, String::new()),
            None => match open(parent) {
                Ok(opened) => (opened, format!("/{name}")),
                Err(error) => return Err(error).with_context(|| format!("cannot open {parent}")),
            },
        };
        let real = std::fs::read_link(proc_path(opened.as_fd())).context("cannot read /proc/self/fd")?;
        let inside =
            real.strip_prefix(&self.place).with_context(|| format!("{path} is not in the container's root"))?;
        let inside = inside.to_string_lossy();
        let above = if inside.is_empty() { String::new() } else { format!("/{inside}") };
        let seen = format!("{above}{rest}");
        Ok(if seen.is_empty() { "/".to_owned() } else { seen })
    }

    /// Refuses paths that only processes of the container can see.
    fn refuse_hidden(&self, path: &str) -> Result<()> {
        let in_memory = self.app.iter().flat_map(|app| app.startup.in_memory().into_keys());
        let system = if self.app.is_none() { vec!["/tmp".to_owned()] } else { Vec::new() };
        let fixed = ["/proc", "/sys", "/dev", "/run"].map(str::to_owned);
        for hidden in fixed.into_iter().chain(system).chain(in_memory) {
            if is_within(path, &hidden) && !self.mounts.iter().any(|mount| covers(mount, path)) {
                bail!(
                    "{hidden} is in memory and only the container's processes see it; use sdme-gen exec with cat or tar"
                );
            }
        }
        Ok(())
    }

    /// The path within the innermost mount that contains it, if there is one.
    fn in_mount(&self, path: &str) -> Result<Option<Found>> {
        let above = self.mounts.iter().filter(|mount| covers(mount, path));
        let Some(mount) = above.max_by_key(|mount| mount.target.len()) else { return Ok(None) };
        let target = &mount.target;
        let host = match &mount.what {
            What::Volume(name) => volume(name),
            What::Host(path) => path.clone(),
            What::Tmpfs(_) => {
                bail!("{target} is in memory and only the container's processes see it; use sdme-gen exec")
            }
            What::Secret(_) => bail!("{target} is a secret, which is not copied"),
        };
        if Path::new(&host).is_file() {
            bail!("{target} is the file {host} of the host; copy that file");
        }
        let tree = match &mount.what {
            // A path of the administrator may contain symbolic links, which are followed.
            What::Host(path) => Tree::open_following(Path::new(path)),
            _ => Tree::open(Path::new(&host)),
        };
        let tree = tree.with_context(|| format!("cannot open {host}, which is mounted at {target}"))?;
        let part = mount.part.as_deref().map(|part| part.trim_matches('/')).unwrap_or_default();
        let rest = path.strip_prefix(target.as_str()).unwrap_or_default();
        let tree = if part.is_empty() {
            tree
        } else {
            tree.open_dir(part.as_bytes())
                .and_then(|part| Tree::within(part.as_fd()))
                .with_context(|| format!("cannot open {part}"))?
        };
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let read_only = mount.options.read_only.then(|| host.clone());
        // systemd-nspawn maps the owners of volumes: the IDs on disk are those that the container
        // sees.
        Ok(Some(Found { tree, path: rest.to_owned(), name, mount: target.clone(), first_id: 0, read_only }))
    }
}

/// Whether a path is the target of a mount or below it.
fn covers(mount: &Mount, path: &str) -> bool {
    is_within(path, &mount.target)
}

/// Whether a path is `top` or below it.
fn is_within(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let inside = |container: &str, path: &str| Place::Inside { container: container.into(), path: path.into() };
        for (text, place) in [
            ("web:/etc/hosts", inside("web", "/etc/hosts")),
            ("web:data", inside("web", "/data")),
            ("web:", inside("web", "/")),
            ("./web:data", Place::Host("./web:data".into())),
            ("/srv/a:b", Place::Host("/srv/a:b".into())),
            (":x", Place::Host(":x".into())),
            ("file", Place::Host("file".into())),
        ] {
            assert_eq!(Place::parse(text), place, "{text}");
        }
        assert!(is_content(".") && is_content("/srv/.") && !is_content("/srv") && !is_content("/srv/a."));
    }

    #[test]
    fn names_of_the_host() {
        assert_eq!(new_name("a").ok(), Some((PathBuf::from("."), "a".into())));
        assert_eq!(new_name("/srv/a").ok(), Some((PathBuf::from("/srv"), "a".into())));
        assert!(new_name("/srv/a/").is_err() && new_name("..").is_err());
    }
}
