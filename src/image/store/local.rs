// SPDX-License-Identifier: MIT
//! Recognizes errors of this machine: no space, a read-only file system, no permission. They are
//! never mistaken for errors of a registry, because neither another registry nor a retry helps.

use std::ffi::CString;
use std::io;
use std::path::Path;

use anyhow::Error;
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;

/// Returns the error code of this machine among the causes of `error`, if there is one.
fn errno(error: &Error) -> Option<Errno> {
    let codes = error.chain().filter_map(|cause| {
        let io = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).map(Errno::from_raw);
        io.or_else(|| cause.downcast_ref::<Errno>().copied())
    });
    let local = [Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS, Errno::EACCES, Errno::EPERM];
    codes.into_iter().find(|code| local.contains(code))
}

/// Whether an error is an error of this machine.
#[must_use]
pub fn is_local(error: &Error) -> bool {
    errno(error).is_some()
}

/// Returns a remedy for an error of this machine at the store in `directory`, with the remaining
/// space of the file system. Returns `None` for other errors.
#[must_use]
pub fn remedy(error: &Error, directory: &Path) -> Option<String> {
    let place = directory.display();
    Some(match errno(error)? {
        Errno::ENOSPC => {
            format!("the file system of {place} has {}; make room there, or run sdme-gen prune", left(directory))
        }
        Errno::EDQUOT => format!("the disk quota of {place} is used up; raise it, or run sdme-gen prune"),
        Errno::EROFS => format!("the file system of {place} is mounted read-only; make it writable"),
        _ => "permission is denied to root; correct owner, mode and attributes of what the message names".to_owned(),
    })
}

/// Describes the free space and the number of free inodes.
fn left(directory: &Path) -> String {
    let Ok(found) = CString::new(directory.as_os_str().as_encoded_bytes())
        .map_or(Err(Errno::EINVAL), |path| statvfs(path.as_c_str()))
    else {
        return "no space".to_owned();
    };
    let free = u128::from(found.blocks_available()) * u128::from(found.fragment_size());
    format!("{} KiB and {} files left", free / 1024, found.files_available())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn errors_of_this_machine_are_recognized_and_have_a_remedy() {
        let error = |code: Errno| Error::new(io::Error::from_raw_os_error(code as i32)).context("writing the download");
        for local in [Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS, Errno::EACCES] {
            assert!(is_local(&error(local)) && remedy(&error(local), Path::new("/")).is_some());
        }
        assert!(!is_local(&error(Errno::ECONNREFUSED)) && !is_local(&anyhow::anyhow!("No space left on device")));
        let text = remedy(&error(Errno::ENOSPC), Path::new("/")).unwrap();
        assert!(text.contains("the file system of / has ") && text.contains(" KiB and "), "{text}");
    }
}
