// SPDX-License-Identifier: MIT
//! Sets owner, mode, extended attributes and times of the files that a layer creates.
//!
//! The order matters: chown(2) clears setuid bits and file capabilities, so the mode is set after
//! the owner, and the attributes are set last. This module must not create or remove files.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, Result};
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmod, fchmodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};
use xattr::FileExt as _;

use crate::image::progress::Progress;
use crate::image::tar::tarstream::{Kind, Member};
use crate::image::unpack::xattrs::is_foreign;
use crate::rootdir::tree::{self, open_nofollow, proc_path};

/// Sets everything except the time of an open file or directory. `known` is its current state.
pub(crate) fn open_file(file: &File, known: &FileStat, member: &Member, progress: &dyn Progress) -> Result<()> {
    // Most files of an image belong to root, as new files do, so the call can often be skipped.
    if (known.st_uid, known.st_gid) != (member.uid, member.gid) {
        fchown(file, Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid))).context("setting its owner")?;
    }
    fchmod(file, Mode::from_bits_truncate(member.mode)).context("setting its mode")?;
    for (name, value) in member.xattrs.iter().filter(|(name, _)| !is_foreign(name)) {
        let result = file.set_xattr(OsStr::from_bytes(name), value);
        attribute(result, name, member, progress)?;
    }
    Ok(())
}

/// Sets everything of a file that cannot be opened: a symbolic link, a device or a named pipe.
pub(crate) fn by_name(parent: BorrowedFd<'_>, file: &[u8], member: &Member, progress: &dyn Progress) -> Result<()> {
    let name = tree::name(file)?;
    let owner = (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)));
    fchownat(parent, name.as_c_str(), owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW).context("setting its owner")?;
    if member.kind != Kind::Symlink || !member.xattrs.is_empty() {
        let fd = open_nofollow(parent, file, OFlag::O_PATH)?;
        // fchmod(2) refuses O_PATH descriptors, but the link of a descriptor in /proc leads to
        // exactly its file.
        let path = proc_path(fd.as_fd());
        if member.kind != Kind::Symlink {
            let mode = Mode::from_bits_truncate(member.mode);
            fchmodat(parent, path.as_path(), mode, FchmodatFlags::FollowSymlink).context("setting its mode")?;
        }
        for (name, value) in member.xattrs.iter().filter(|(name, _)| !is_foreign(name)) {
            let result = xattr::set_deref(&path, OsStr::from_bytes(name), value);
            attribute(result, name, member, progress)?;
        }
    }
    let time = TimeSpec::new(member.mtime.0, member.mtime.1);
    utimensat(parent, name.as_c_str(), &TimeSpec::UTIME_OMIT, &time, UtimensatFlags::NoFollowSymlink)
        .context("setting its time")
}

/// Removes the attributes that a directory has from a lower layer and that this layer does not
/// repeat.
pub(crate) fn forget_xattrs(dir: &File, member: &Member) {
    let Ok(names) = dir.list_xattr() else { return };
    for name in names {
        let bytes = name.as_bytes();
        if !is_foreign(bytes) && !member.xattrs.iter().any(|(kept, _)| kept == bytes) {
            // Attributes that the kernel protects cannot be removed and may stay.
            let _ = dir.remove_xattr(&name);
        }
    }
}

fn attribute(result: io::Result<()>, name: &[u8], member: &Member, progress: &dyn Progress) -> Result<()> {
    let Err(error) = result else { return Ok(()) };
    // A program without its capabilities fails in ways that are hard to explain, so that is an
    // error. A refusal of any other attribute is only a warning.
    let refused = matches!(error.raw_os_error(), Some(nix::libc::EOPNOTSUPP | nix::libc::EPERM));
    if refused && name != b"security.capability" {
        progress.warning(&format!(
            "`{}`: the extended attribute `{}` could not be set: {error}",
            member.path.escape_ascii(),
            name.escape_ascii()
        ));
        return Ok(());
    }
    Err(error).with_context(|| format!("setting its extended attribute `{}`", name.escape_ascii()))
}
