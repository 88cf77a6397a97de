// SPDX-License-Identifier: MIT
//! Directories put on each other by overlayfs, seen through a descriptor alone: the mount has no place in the file system, and
//! is gone when the last descriptor in it is closed, however the process ends.
//!
//! Needs Linux 6.7, the first in which such a mount is given its lower layers one by one (Documentation/filesystems/overlayfs.rst).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use xattr::FileExt as _;

use super::extract::foreign;
use crate::rootdir::tree::{Tree, proc_path};

/// What is on each other in `lower`, the topmost first, to be read. A single directory is that directory.
///
/// # Errors
/// When one cannot be opened, there is none, or the kernel refuses.
pub fn merged<P: AsRef<Path>>(lower: &[P]) -> io::Result<Tree> {
    match lower {
        [] => Err(io::ErrorKind::NotFound.into()),
        [one] => Tree::open(one.as_ref()),
        lower => mount(lower, None),
    }
}

/// The same, to be written to: what becomes different from `lower` is in `upper` then, in the form that makes it a layer on
/// top of them. `upper` is empty and gets the attributes of the directory below it; `work` is on the same file system.
///
/// # Errors
/// When one cannot be opened, or the kernel refuses: one older than 6.7, or a file system that cannot hold such layers,
/// among them overlayfs itself.
pub fn stacked<P: AsRef<Path>>(lower: &[P], upper: &Path, work: &Path) -> io::Result<Tree> {
    let Some(top) = lower.first() else { return Err(io::ErrorKind::NotFound.into()) };
    resemble(&File::open(upper)?, &File::open(top.as_ref())?)?;
    mount(lower, Some((upper, work)))
}

fn mount<P: AsRef<Path>>(lower: &[P], upper: Option<(&Path, &Path)>) -> io::Result<Tree> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, path: &Path| -> io::Result<()> {
        // By descriptor, as the kernel takes at most 255 bytes here.
        Ok(fsconfig_set_string(&context, key, proc_path(Tree::open(path)?.root()))?)
    };
    for path in lower {
        set("lowerdir+", path.as_ref())?;
    }
    if let Some((upper, work)) = upper {
        set("upperdir", upper)?;
        set("workdir", work)?;
        // A directory of a lower layer that is to be removed is first moved (`tree::remove`), which needs this. Nothing of it
        // stays. No other extension: any kernel must be able to read what is made here.
        for (key, value) in [("redirect_dir", "on"), ("metacopy", "off"), ("index", "off"), ("xino", "off")] {
            fsconfig_set_string(&context, key, value)?;
        }
        // What is written here is synced by whoever gives it its name.
        fsconfig_set_flag(&context, "volatile")?;
    }
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    Tree::within(mount.as_fd())
}

/// Gives a directory the owner, mode, attributes and time of another.
fn resemble(to: &File, from: &File) -> io::Result<()> {
    let known = from.metadata()?;
    fchown(to, Some(known.uid()), Some(known.gid()))?;
    to.set_permissions(fs::Permissions::from_mode(known.mode() & 0o7777))?;
    for name in from.list_xattr()?.filter(|name| !foreign(name.as_encoded_bytes())) {
        if let Some(value) = from.get_xattr(&name)? {
            to.set_xattr(&name, &value)?;
        }
    }
    Ok(futimens(to, &TimeSpec::UTIME_OMIT, &TimeSpec::new(known.mtime(), known.mtime_nsec()))?)
}
