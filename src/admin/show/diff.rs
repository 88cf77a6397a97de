// SPDX-License-Identifier: MIT
//! `sdme-gen diff`: the changes of a container to its files, read from its upper layers. The
//! content of these layers is hostile.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::sys::stat::{FileStat, SFlag};

use crate::config::keys::FileType;
use crate::image::Store;
use crate::image::overlay::merged;
use crate::model::App;
use crate::paths::{app_part, container_runtime, container_state};
use crate::rootdir::tree::{Tree, is_dir, kind_of, lookup, names, open_regular, proc_path};
use crate::runtime::prepare::layers::links::{additional, layers};

/// How a path differs from the lower layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The lower layers do not have the path.
    Added,
    /// The lower layers have the path with other content or metadata.
    Modified,
    /// Only the lower layers have the path.
    Deleted,
}

/// Length of the longest path that system calls accept, in bytes (`PATH_MAX` minus the NUL byte).
/// Layers of images have no longer paths.
const LONGEST_PATH: usize = 4095;

/// A path in the container and how it differs. Only new directories are listed, not existing ones
/// with changes. A path that ends in `/...` stands for the content of a directory whose path is too
/// long to be read.
pub type Difference = (String, Change);

/// The differences of a container, sorted by path. If a path is relative to an application's root,
/// the application is given, too. Without `all`, only the differences of the applications are
/// returned, unless the container has none.
///
/// # Errors
/// There is no such container, its image is not imported, or a directory cannot be read.
pub fn diff(root: &Path, name: &str, all: bool) -> Result<Vec<(Option<String>, Difference)>> {
    let compiled = crate::runtime::compile(root);
    let Some(container) = compiled.model.containers.get(name) else {
        match compiled.model.rejection(FileType::Container, name) {
            Some(problem) => bail!("{problem}"),
            None => bail!("there is no container {name}"),
        }
    };
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let (runtime, state) = (below(&container_runtime(name)), below(&container_state(name)));
    let mut out = Vec::new();
    // The layers of the present or last run. Without a run, the layers that a start would use.
    let linked = |link: &str| runtime.join(link).canonicalize().ok();
    let store = Store::open(root);
    let (app, base) = match (linked("app"), linked("base")) {
        (Some(app), Some(base)) => (store.lower(&app)?, base),
        _ => layers(&store, compiled.model.stack(container, &compiled.facts))?,
    };
    compare(&state.join("upper"), &[vec![runtime.join("config")], app, vec![base]], "", &mut out)?;
    for (app, image) in additional(&store, compiled.model.applications(container, &compiled.facts))? {
        let inside = format!("/oci/apps/{app}");
        let config = runtime.join("config").join(inside.trim_start_matches('/'));
        let lower = [vec![config], image.iter().map(|layer| layer.join("oci")).collect()];
        let state = PathBuf::from(app_part(&state.display().to_string(), app));
        compare(&state.join("upper"), &lower, &inside, &mut out)?;
    }
    out.sort();
    let apps = compiled.model.applications(container, &compiled.facts);
    if all || apps.is_empty() {
        return Ok(out.into_iter().map(|difference| (None, difference)).collect());
    }
    let of_app = |app: &App| {
        let root = format!("{}/root", app.directory());
        let own = out.iter().filter_map(move |(path, change)| {
            let path = path.strip_prefix(&root).filter(|path| path.starts_with('/'))?;
            Some((path.to_owned(), *change))
        });
        own.map(|difference| (Some(app.name.clone()), difference)).collect::<Vec<_>>()
    };
    Ok(apps.iter().flat_map(of_app).collect())
}

/// Compares an upper layer with `lower`, the groups of lower layers, the topmost first. The layers
/// of one group are merged before they are read.
fn compare(upper: &Path, lower: &[Vec<PathBuf>], prefix: &str, out: &mut Vec<Difference>) -> Result<()> {
    let open = |paths: &[PathBuf]| match merged(paths) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some).with_context(|| format!("cannot open {paths:?}")),
    };
    let Some(upper_tree) = open(&[upper.to_owned()])? else { return Ok(()) };
    let lower = lower.iter().map(|paths| open(paths)).collect::<Result<Vec<_>>>()?;
    let lower: Vec<Tree> = lower.into_iter().flatten().collect();
    let mut pending = vec![Vec::new()];
    while let Some(directory) = pending.pop() {
        let shown = String::from_utf8_lossy(&directory).into_owned();
        if directory.len() > LONGEST_PATH {
            out.push((format!("{prefix}{shown}/..."), Change::Added));
            continue;
        }
        let mut read = || -> io::Result<()> {
            let here = upper_tree.open_dir(&directory)?;
            level(here.as_fd(), &directory, &lower, prefix, &mut pending, out)
        };
        match read() {
            // The running container has removed or replaced the directory in the meantime.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            other => other.with_context(|| format!("cannot read {}{shown}", upper.display()))?,
        }
    }
    Ok(())
}

/// Compares the entries of one directory of the upper layer.
fn level(
    here: BorrowedFd<'_>,
    directory: &[u8],
    lower: &[Tree],
    prefix: &str,
    pending: &mut Vec<Vec<u8>>,
    out: &mut Vec<Difference>,
) -> io::Result<()> {
    let path = |file: &[u8]| [directory, b"/", file].concat();
    let shown = |file: &[u8]| format!("{prefix}{}", String::from_utf8_lossy(&path(file)));
    let opaque = !directory.is_empty() && has(here, "trusted.overlay.opaque")?;
    let mut seen = BTreeSet::new();
    for file in names(here)? {
        let Some(stat) = lookup(here, &file)? else { continue };
        let below = lower.iter().find_map(|tree| entry(tree, directory, &file));
        if is_whiteout(here, &file, &stat)? {
            out.extend(below.map(|_| (shown(&file), Change::Deleted)));
        } else if is_dir(&stat) {
            if !below.is_some_and(|below| is_dir(&below)) {
                let change = if below.is_some() { Change::Modified } else { Change::Added };
                out.push((shown(&file), change));
            }
            pending.push(path(&file));
        } else {
            out.push((shown(&file), if below.is_some() { Change::Modified } else { Change::Added }));
        }
        seen.insert(file);
    }
    if opaque {
        // An opaque directory was removed and made again, so its former content is deleted.
        let held = lower.iter().filter_map(|tree| names(tree.open_dir(directory).ok()?).ok()).flatten();
        let gone: BTreeSet<Vec<u8>> = held.filter(|file| !seen.contains(file)).collect();
        out.extend(gone.iter().map(|file| (shown(file), Change::Deleted)));
    }
    Ok(())
}

fn entry(tree: &Tree, directory: &[u8], file: &[u8]) -> Option<FileStat> {
    lookup(tree.open_dir(directory).ok()?, file).ok().flatten()
}

/// Whether a file is overlayfs's marker for a deleted file (overlayfs.rst, "whiteouts and opaque
/// directories").
fn is_whiteout(parent: BorrowedFd<'_>, file: &[u8], stat: &FileStat) -> io::Result<bool> {
    if kind_of(stat) == SFlag::S_IFCHR {
        return Ok(stat.st_rdev == 0);
    }
    if kind_of(stat) != SFlag::S_IFREG || stat.st_size != 0 {
        return Ok(false);
    }
    has(open_regular(parent, file)?.as_fd(), "trusted.overlay.whiteout")
}

fn has(fd: BorrowedFd<'_>, attribute: &str) -> io::Result<bool> {
    match xattr::get_deref(proc_path(fd), attribute) {
        Ok(value) => Ok(value.is_some()),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use nix::fcntl::OFlag;

    use super::*;
    use crate::admin::show::diff::Change::{Added, Deleted, Modified};
    use crate::rootdir::tree::open_nofollow;
    use std::fs;

    #[test]
    fn added_modified_deleted() {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("SDME_TEST_REQUIRE").is_none(), "added_modified_deleted: needs root");
            eprintln!("SKIP added_modified_deleted: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let [upper, config, base] = ["upper", "config", "base"].map(|d| dir.path().join(d));
        let write = |path: PathBuf| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for file in ["etc/passwd", "etc/group", "srv/a", "srv/b", "usr/bin/x"] {
            write(base.join(file));
        }
        write(config.join("etc/hosts"));
        for file in ["etc/passwd", "etc/hosts", "srv/b", "opt/new/file"] {
            write(upper.join(file));
        }
        let whiteout = nix::sys::stat::SFlag::S_IFCHR;
        let mode = nix::sys::stat::Mode::empty();
        for file in ["etc/group", "etc/never"] {
            nix::sys::stat::mknod(&upper.join(file), whiteout, mode, 0).unwrap();
        }
        xattr::set(upper.join("srv"), "trusted.overlay.opaque", b"y").unwrap();
        std::os::unix::fs::symlink("/", upper.join("opt/link")).unwrap();
        let mut out = Vec::new();
        compare(&upper, &[vec![config], vec![base]], "", &mut out).unwrap();
        out.sort();
        let want = [
            ("/etc/group", Deleted),
            ("/etc/hosts", Modified),
            ("/etc/passwd", Modified),
            ("/opt", Added),
            ("/opt/link", Added),
            ("/opt/new", Added),
            ("/opt/new/file", Added),
            ("/srv/a", Deleted),
            ("/srv/b", Modified),
        ];
        assert_eq!(out, want.map(|(path, change)| (path.to_owned(), change)));
    }

    #[test]
    fn directories_deeper_than_any_path_are_cut_off() {
        use nix::sys::stat::{Mode, mkdirat};
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let mut here = tree.open_dir(b"").unwrap();
        for _ in 0..2500 {
            mkdirat(&here, "d", Mode::S_IRWXU).unwrap();
            here = open_nofollow(&here, b"d", OFlag::O_DIRECTORY | OFlag::O_RDONLY).unwrap();
        }
        mkdirat(tree.root(), "z", Mode::S_IRWXU).unwrap();
        let mut out = Vec::new();
        let compared = compare(dir.path(), &[], "", &mut out);
        crate::rootdir::tree::remove(tree.root(), b"d").unwrap();
        compared.unwrap();
        let cut: Vec<_> = out.iter().filter(|(path, _)| path.ends_with("/...")).collect();
        assert_eq!(cut, [&("/d".repeat(2048) + "/...", Added)]);
        assert!(out.contains(&("/z".to_owned(), Added)));
    }
}
