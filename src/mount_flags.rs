// SPDX-License-Identifier: MIT
//! Flags of mounts, such as read-only.

use std::ffi::CString;

use nix::errno::Errno;
use nix::libc;

/// Sets `flags` (`MOUNT_ATTR_*`) on the mount at `path` and on all mounts below it. `lookup` is
/// `AT_SYMLINK_NOFOLLOW`, or 0 to follow a symbolic link at the end of the path.
///
/// The system call is used directly, because the C library may lack `mount_setattr(2)`.
///
/// # Errors
/// `EINVAL` if nothing is mounted at `path`, and the other errors of `mount_setattr(2)`.
pub fn set_mount_flags(path: &str, flags: u64, lookup: libc::c_int) -> nix::Result<()> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let attributes = libc::mount_attr { attr_set: flags, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path and the structure live until the call returns, and the kernel reads no more
    // than the given size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE | lookup,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}
