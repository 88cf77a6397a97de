// SPDX-License-Identifier: MIT
//! Mount points in a configuration layer, so that systemd-nspawn makes none in the container's
//! upper layer. The configuration layer is above the image, so parent directories in it replace the
//! image's. They therefore get the owner and mode of the image's directories.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, fstat};

use crate::config::values::mount;
use crate::rootdir::tree::{Tree, is_dir, proc_path};

/// Makes the mount point `target` below `layer`, unless it exists in the image with the root
/// directory `root`.
///
/// # Errors
/// A file or directory cannot be made.
pub fn make(target: &str, directory: bool, root: &Tree, layer: &Path) -> Result<()> {
    let parts: Vec<&str> = target.split('/').filter(|p| !p.is_empty()).collect();
    let Some((there, [first @ .., last])) = known(root, &parts) else { return Ok(()) };
    (|| -> Result<()> {
        let mut path = layer.to_owned();
        make_directory(&path, root.open_dir(b"").and_then(|fd| Ok(fstat(&fd)?)).ok())?;
        let mut image = PathBuf::new();
        for part in &there {
            path.push(part);
            image.push(part);
            let stat = root.open_at(image.as_os_str().as_encoded_bytes(), OFlag::O_PATH).and_then(|fd| Ok(fstat(&fd)?));
            make_directory(&path, Some(stat?))?;
        }
        for part in first {
            path.push(part);
            make_directory(&path, None)?;
        }
        path.push(last);
        if directory { make_directory(&path, None) } else { make_file(&path) }
    })()
    .with_context(|| format!("cannot make the mount point {target}"))
}

/// Makes a mount point at a path that no image contains.
///
/// # Errors
/// The mount point cannot be made.
pub fn make_own(path: &Path, directory: bool) -> Result<()> {
    let make = || {
        path.parent().map_or(Ok(()), |parent| make_directory(parent, None))?;
        if directory { make_directory(path, None) } else { make_file(path) }
    };
    make().with_context(|| format!("cannot make {}", path.display()))
}

/// The path to which the image's symbolic links lead `target`, if that is a different path.
#[must_use]
pub fn leads_to(target: &str, root: &Tree) -> Option<String> {
    let parts: Vec<&str> = target.split('/').filter(|p| !p.is_empty()).collect();
    let (there, missing) = known(root, &parts)?;
    let path = Path::new("/").join(there).join(missing.join("/"));
    let path = mount::target(path.to_str()?).ok()?;
    (path != target).then_some(path)
}

/// The longest existing prefix of a path in the image, with symbolic links resolved, and the
/// missing rest of the path.
fn known<'a>(root: &Tree, parts: &'a [&'a str]) -> Option<(PathBuf, &'a [&'a str])> {
    (0..=parts.len()).rev().find_map(|count| {
        let (there, missing) = parts.split_at_checked(count)?;
        Some((resolved(root, &there.join("/")).ok()?, missing))
    })
}

/// The path, relative to `root`, that a path of the image resolves to. An error if that does not
/// exist.
fn resolved(root: &Tree, path: &str) -> io::Result<PathBuf> {
    let fd = root.open_at(path.as_bytes(), OFlag::O_PATH)?;
    let whole = fs::read_link(proc_path(std::os::fd::AsFd::as_fd(&fd)))?;
    let above = fs::read_link(proc_path(root.root()))?;
    whole.strip_prefix(above).map(Path::to_owned).map_err(|_| ErrorKind::NotFound.into())
}

/// Makes a directory with the owner and mode of the image's directory `image`, or with mode 0755
/// and without a change of owner if there is none. An existing directory is not changed.
fn make_directory(path: &Path, image: Option<FileStat>) -> Result<()> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    let mode = match image.filter(is_dir) {
        Some(stat) => {
            chown(path, Some(stat.st_uid), Some(stat.st_gid))?;
            stat.st_mode & 0o7777
        }
        None => 0o755,
    };
    // The mode is set here because mkdir(2) applies the umask.
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

fn make_file(path: &Path) -> Result<()> {
    match fs::File::create_new(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => Ok(other?.set_permissions(Permissions::from_mode(0o644))?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_missing_directories_are_made_with_modes_of_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let (image, layer) = (dir.path().join("image"), dir.path().join("layer"));
        fs::create_dir_all(image.join("srv/www")).unwrap();
        fs::create_dir_all(image.join("run")).unwrap();
        fs::set_permissions(image.join("run"), Permissions::from_mode(0o1777)).unwrap();
        fs::create_dir_all(image.join("var")).unwrap();
        symlink("/run", image.join("var/run")).unwrap();
        symlink("/../../../etc", image.join("out")).unwrap();
        fs::create_dir(&layer).unwrap();
        let root = Tree::open(&image).unwrap();
        make("/srv/www", true, &root, &layer).unwrap();
        assert!(!layer.join("srv").exists());
        assert_eq!(leads_to("/var/run/a/b", &root).unwrap(), "/run/a/b");
        assert_eq!(leads_to("/out/x", &root).or(leads_to("/srv/www", &root)), None);
        make("/var/run/a/b", true, &root, &layer).unwrap();
        let mode = |path: &str| fs::symlink_metadata(layer.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("run"), mode("run/a"), mode("run/a/b")), (0o1777, 0o755, 0o755));
        assert!(!layer.join("var").exists());
        make("/var/run/key", false, &root, &layer).unwrap();
        assert!(layer.join("run/key").is_file());
        // The link leads neither to a directory in the image nor to one outside of the image.
        make("/out/x", true, &root, &layer).unwrap();
        assert!(layer.join("out/x").is_dir() && !Path::new("/etc/x").exists());
    }
}
