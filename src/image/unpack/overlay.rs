// SPDX-License-Identifier: MIT
//! Overlay mounts that are only accessible through a descriptor. Such a mount has no path in the
//! file system, and ends when its last descriptor is closed, even if the process is killed.
//!
//! Requires Linux 6.7, the first version that accepts the lower layers of such a mount one by one
//! (Documentation/filesystems/overlayfs.rst).

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

use super::xattrs::is_foreign;
use crate::rootdir::tree::{Tree, proc_path};

/// Mounts the directories in `lower` on each other for reading, the topmost first. A single
/// directory is opened without a mount.
///
/// # Errors
/// Returns an error if a directory cannot be opened, if there is none, or if the kernel refuses the
/// mount.
pub fn merged<P: AsRef<Path>>(lower: &[P]) -> io::Result<Tree> {
    match lower {
        [] => Err(io::ErrorKind::NotFound.into()),
        [one] => Tree::open(one.as_ref()),
        lower => mount(lower, None),
    }
}

/// Mounts the directories in `lower` on each other for writing. `upper` receives the changes, in
/// the form of a layer on top of `lower`. `upper` must be empty, and gets the attributes of the
/// topmost lower directory. `work` must be on the same file system as `upper`.
///
/// # Errors
/// Returns an error if a directory cannot be opened, or if the kernel refuses the mount: before
/// Linux 6.7, or on a file system that cannot have such layers, including overlayfs itself.
pub fn stacked<P: AsRef<Path>>(lower: &[P], upper: &Path, work: &Path) -> io::Result<Tree> {
    let Some(top) = lower.first() else { return Err(io::ErrorKind::NotFound.into()) };
    resemble(&File::open(upper)?, &File::open(top.as_ref())?)?;
    mount(lower, Some((upper, work)))
}

fn mount<P: AsRef<Path>>(lower: &[P], upper: Option<(&Path, &Path)>) -> io::Result<Tree> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, path: &Path| -> io::Result<()> {
        // Paths are passed by descriptor, because the kernel accepts at most 255 bytes here.
        Ok(fsconfig_set_string(&context, key, proc_path(Tree::open(path)?.root()))?)
    };
    for path in lower {
        set("lowerdir+", path.as_ref())?;
    }
    if let Some((upper, work)) = upper {
        set("upperdir", upper)?;
        set("workdir", work)?;
        // `tree::remove` renames a directory of a lower layer before it removes it, which requires
        // redirect_dir. No trace of it stays. All other extensions are off, because any kernel must
        // be able to read the result.
        for (key, value) in [("redirect_dir", "on"), ("metacopy", "off"), ("index", "off"), ("xino", "off")] {
            fsconfig_set_string(&context, key, value)?;
        }
        // The caller that publishes the result syncs it.
        fsconfig_set_flag(&context, "volatile")?;
    }
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    Tree::within(mount.as_fd())
}

/// Gives a directory the owner, mode, attributes and modification time of another one.
fn resemble(to: &File, from: &File) -> io::Result<()> {
    let known = from.metadata()?;
    fchown(to, Some(known.uid()), Some(known.gid()))?;
    to.set_permissions(fs::Permissions::from_mode(known.mode() & 0o7777))?;
    for name in from.list_xattr()?.filter(|name| !is_foreign(name.as_encoded_bytes())) {
        if let Some(value) = from.get_xattr(&name)? {
            to.set_xattr(&name, &value)?;
        }
    }
    Ok(futimens(to, &TimeSpec::UTIME_OMIT, &TimeSpec::new(known.mtime(), known.mtime_nsec()))?)
}
