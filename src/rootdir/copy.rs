// SPDX-License-Identifier: MIT
//! Copies a directory tree while a container may change the copy. Each file is created and changed
//! through its own descriptor, and no symbolic link is followed, so that only files below the
//! target directory can change. cp(1) works with paths, in which a container can replace a
//! directory by a symbolic link between two system calls.

use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, linkat, symlinkat};

use super::tree::{Tree, is_dir, kind_of, lookup, name, names, open_nofollow, open_regular, proc_path};

/// Maximum depth of directories. Each level needs two descriptors.
const MAX_DEPTH: usize = 200;

/// The directory and name in the copy of the first hard link of a file, by the file's device and
/// inode number.
type Links = HashMap<(u64, u64), (Vec<u8>, Vec<u8>)>;

/// Copies the content of `from` into the empty directory `to`, and gives `to` the owner, mode and
/// attributes of `from`. Owners, modes, times, attributes and hard links are kept.
///
/// # Errors
/// A file cannot be read or made. A part of the copy may exist then.
pub fn copy_directory(from: &File, to: &File) -> io::Result<()> {
    let mut copy = Copy { top: Tree::within(to.as_fd())?, links: HashMap::new() };
    copy.entries(from, to, &[], 0)?;
    metadata(from, to)
}

struct Copy {
    top: Tree,
    links: Links,
}

impl Copy {
    /// Copies the entries of a directory. `path` is the path of `to` in the copy.
    fn entries(&mut self, from: &File, to: &File, path: &[u8], depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other(format!("more than {MAX_DEPTH} directories in each other")));
        }
        for file in names(from)? {
            let Some(stat) = lookup(from, &file)? else { continue };
            self.entry(from, to, path, &file, &stat, depth).map_err(|error| {
                // The error of a directory already contains the path of the file.
                if is_dir(&stat) {
                    return error;
                }
                io::Error::new(error.kind(), format!("{}/{}: {error}", path.escape_ascii(), file.escape_ascii()))
            })?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &File,
        to: &File,
        path: &[u8],
        file: &[u8],
        stat: &FileStat,
        depth: usize,
    ) -> io::Result<()> {
        let cname = name(file)?;
        let several = !is_dir(stat) && stat.st_nlink > 1;
        let identity = (stat.st_dev, stat.st_ino);
        if let Some((directory, first)) = self.links.get(&identity).filter(|_| several) {
            let directory = self.top.open_dir(directory)?;
            return Ok(linkat(&directory, name(first)?.as_c_str(), to, cname.as_c_str(), AtFlags::empty())?);
        }
        match kind_of(stat) {
            SFlag::S_IFDIR => {
                let source = File::from(open_nofollow(from, file, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?);
                mkdirat(to, cname.as_c_str(), Mode::S_IRWXU)?;
                let made = File::from(open_nofollow(to, file, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?);
                self.entries(&source, &made, &[path, b"/", file].concat(), depth + 1)?;
                metadata(&source, &made)?;
            }
            SFlag::S_IFREG => {
                let mut source = open_regular(from, file)?;
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let mut made = File::from(openat(to, cname.as_c_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
                // copy_file_range(2) shares blocks if the file system supports that.
                io::copy(&mut source, &mut made)?;
                metadata(&source, &made)?;
            }
            SFlag::S_IFLNK => {
                symlinkat(readlinkat(from, cname.as_c_str())?.as_os_str(), to, cname.as_c_str())?;
                special(to, file, stat)?;
            }
            kind => {
                mknodat(to, cname.as_c_str(), kind, Mode::S_IRUSR | Mode::S_IWUSR, stat.st_rdev)?;
                special(to, file, stat)?;
            }
        }
        if several {
            self.links.insert(identity, (path.to_vec(), file.to_vec()));
        }
        Ok(())
    }
}

/// Gives `to` the owner, mode, attributes and times of `from`.
fn metadata(from: &File, to: &File) -> io::Result<()> {
    let known = from.metadata()?;
    fchown(to, Some(known.uid()), Some(known.gid()))?;
    // The mode is set after the owner, because a change of the owner removes the setuid and setgid
    // bits.
    to.set_permissions(Permissions::from_mode(known.mode() & 0o7777))?;
    for attribute in xattr::list_deref(proc_path(from.as_fd()))? {
        if let Some(value) = xattr::get_deref(proc_path(from.as_fd()), &attribute)? {
            // As in cp(1), an attribute that the file system does not support is left out.
            let _ = xattr::set_deref(proc_path(to.as_fd()), &attribute, &value);
        }
    }
    let times = std::fs::FileTimes::new().set_accessed(known.accessed()?).set_modified(known.modified()?);
    to.set_times(times)
}

/// Gives a symbolic link, FIFO, socket or device the owner, mode and times in `stat`.
fn special(to: &File, file: &[u8], stat: &FileStat) -> io::Result<()> {
    let made: OwnedFd = open_nofollow(to, file, OFlag::O_PATH)?;
    // A container may have replaced the file. The replacement must not get the mode of this file.
    if kind_of(&nix::sys::stat::fstat(&made)?) != kind_of(stat) {
        return Err(Errno::ESTALE.into());
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(&made, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?;
    if kind_of(stat) != SFlag::S_IFLNK {
        std::fs::set_permissions(proc_path(made.as_fd()), Permissions::from_mode(stat.st_mode & 0o7777))?;
    }
    let times = [TimeSpec::new(stat.st_atime, stat.st_atime_nsec), TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)];
    // The name is used because utimensat(2) accepts no empty path on older kernels. A symbolic link
    // is not followed.
    Ok(utimensat(to, name(file)?.as_c_str(), &times[0], &times[1], UtimensatFlags::NoFollowSymlink)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_copied_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("from/sub")).unwrap();
        fs::create_dir_all(at("to")).unwrap();
        fs::write(at("outside"), "untouched").unwrap();
        fs::write(at("from/sub/file"), "content").unwrap();
        fs::hard_link(at("from/sub/file"), at("from/again")).unwrap();
        symlink("../../outside", at("from/sub/link")).unwrap();
        fs::set_permissions(at("from/sub"), Permissions::from_mode(0o2750)).unwrap();
        let copy = || copy_directory(&File::open(at("from")).unwrap(), &File::open(at("to")).unwrap());
        copy().unwrap();
        assert_eq!(fs::read(at("to/again")).unwrap(), b"content");
        let identity = |path: &str| fs::symlink_metadata(at(path)).unwrap().ino();
        assert_eq!(identity("to/again"), identity("to/sub/file"));
        assert_eq!(fs::read_link(at("to/sub/link")).unwrap(), std::path::Path::new("../../outside"));
        assert_eq!(fs::metadata(at("to/sub")).unwrap().mode() & 0o7777, 0o2750);
        // While files are copied, a container can replace a directory by a symbolic link.
        fs::remove_dir_all(at("to")).unwrap();
        fs::create_dir_all(at("to")).unwrap();
        symlink(dir.path(), at("to/sub")).unwrap();
        symlink(at("outside"), at("to/again")).unwrap();
        assert!(copy().is_err());
        assert_eq!(fs::read(at("outside")).unwrap(), b"untouched");
        assert!(!at("file").exists());
    }
}
