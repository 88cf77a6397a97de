// SPDX-License-Identifier: MIT
//! The targets of mounts. An application may have made symbolic links on the way to them, in its
//! own files or in a volume. The service manager resolves links within the application's root only,
//! but a mount at an unexpected path can hide files that the application must not replace, such as
//! the launcher. So a start with such a link is refused. The same applies to directories in which
//! systemd-nspawn makes files or mounts.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;

use crate::diag::Fault;
use crate::model::{Placed, What};
use crate::paths::machine_root;
use crate::rootdir::tree::Tree;

/// Directories in which systemd-nspawn makes directories and mounts before it enters the
/// container's root directory.
const OF_NSPAWN: [&str; 6] = ["dev", "etc", "proc", "run", "sys", "var"];

/// Checks that no symbolic link is on the way to a target. The layers of the container `name` must
/// be mounted.
///
/// # Errors
/// There is a link, or a directory cannot be opened.
pub fn check(name: &str, placed: &[Placed<'_>]) -> Result<()> {
    let root = Tree::open(Path::new(&machine_root(name))).context("cannot open the root directory of the container")?;
    for directory in OF_NSPAWN {
        if link_on_the_way(&root, directory)?.is_some() {
            bail!(Fault::new(
                format!("/{directory} of {name} is a symbolic link"),
                "replace the link by a directory, or use another base"
            ));
        }
    }
    for (one, app) in placed.iter().filter_map(|one| Some((one, one.app?))) {
        // An empty file system of the application's service covers such a target.
        if one.is_covered() {
            continue;
        }
        let target = one.mount.target.as_str();
        let same = |other: &&Placed<'_>| other.app.is_some_and(|other| other.name == app.name);
        let outer = placed.iter().filter(same).filter_map(|outer| {
            let rest = target.strip_prefix(outer.mount.target.as_str())?.strip_prefix('/')?;
            Some((rest, outer))
        });
        let (found, above) = match outer.min_by_key(|(rest, _)| rest.len()) {
            Some((_, outer)) if matches!(outer.mount.what, What::Tmpfs(_)) => continue,
            Some((rest, outer)) => {
                let path = outer.mount.path().context("nothing is mounted there")?;
                let directory = match OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(&path) {
                    // A file cannot contain a target. The mount then fails in the container.
                    Err(error) if error.kind() == ErrorKind::NotADirectory => continue,
                    directory => directory.with_context(|| format!("cannot open {path}"))?,
                };
                (link_on_the_way(&Tree::within(directory.as_fd())?, rest)?, path)
            }
            None => {
                let inside = format!("{}/root", app.directory());
                let directory = root.open_at(inside.as_bytes(), OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
                let found = link_on_the_way(&Tree::within(directory.as_fd())?, target.trim_start_matches('/'))?;
                (found, format!("{}{inside}", machine_root(name)))
            }
        };
        if let Some(link) = found {
            let at = one.mount.at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
            bail!(
                "{at}cannot mount {target}: {above}/{link} is a symbolic link; \
                 replace the link by a directory, or change the target"
            );
        }
    }
    Ok(())
}

/// The shortest prefix of `path` below `tree` that is a symbolic link, if there is one.
fn link_on_the_way(tree: &Tree, path: &str) -> Result<Option<String>> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let mut walked = String::new();
    for part in path.split('/') {
        if !walked.is_empty() {
            walked.push('/');
        }
        walked.push_str(part);
        match openat2(tree.root(), walked.as_str(), how) {
            Ok(_) => {}
            Err(Errno::ELOOP) => return Ok(Some(walked)),
            // A missing target will be made, and a target may be a file.
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot look at {walked}")),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_symbolic_link_on_the_way_to_a_target_is_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        symlink("/etc", dir.path().join("a/link")).unwrap();
        symlink("nowhere", dir.path().join("a/b/dangling")).unwrap();
        fs::write(dir.path().join("a/file"), "").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let found = |path: &str| link_on_the_way(&tree, path).unwrap();
        assert_eq!(found("a/link/x").unwrap(), "a/link");
        assert_eq!(found("a/b/dangling").unwrap(), "a/b/dangling");
        assert_eq!(found("a/b").or(found("a/file")).or(found("a/missing/x")), None);
    }
}
