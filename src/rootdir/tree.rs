// SPDX-License-Identifier: MIT
//! Operations within an untrusted directory tree. None of them can reach a file outside of the
//! tree.
//!
//! Directories are opened with openat2(2) and `RESOLVE_IN_ROOT`, so that absolute symbolic links
//! and `..` are resolved as in a container. The last component is only used in `…at()` calls that
//! do not follow symbolic links. Paths are bytes. This module must not depend on archives or
//! images, and must never join a path to the tree's location.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{
    AtFlags, OFlag, OpenHow, PosixFadviseAdvice, ResolveFlag, openat, openat2, posix_fadvise, readlinkat, renameat,
};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Maximum number of symbolic links that are followed while missing directories are created; the
/// kernel has the same limit.
const MAX_LINKS: u32 = 40;

/// An open directory in which all paths are resolved.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
}

/// Is notified about the changes of [`Tree::ensure_dir`].
pub trait Watch {
    /// The content of `dir`, which is at `path`, is about to change.
    fn before(&mut self, dir: BorrowedFd<'_>, path: &[u8]);
    /// The directory `file` was created in `dir`.
    fn made(&mut self, dir: BorrowedFd<'_>, file: &[u8]);
}

/// Ignores all notifications.
impl Watch for () {
    fn before(&mut self, _dir: BorrowedFd<'_>, _path: &[u8]) {}
    fn made(&mut self, _dir: BorrowedFd<'_>, _file: &[u8]) {}
}

/// The file type of a stat result.
#[must_use]
pub fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Whether a stat result is of a directory.
#[must_use]
pub fn is_dir(stat: &FileStat) -> bool {
    kind_of(stat) == SFlag::S_IFDIR
}

/// A path to the file of an open descriptor, whatever its type is.
#[must_use]
pub fn proc_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// A file name for `…at()` calls.
///
/// # Errors
/// `InvalidInput` if the name is empty, `.` or `..`, or contains a slash or a NUL byte.
pub fn name(bytes: &[u8]) -> io::Result<CString> {
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file name"));
    }
    CString::new(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "file name with a NUL byte"))
}

impl Tree {
    /// Opens the directory at `path`. The path must be trusted.
    ///
    /// # Errors
    /// The path cannot be opened as a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        Ok(Self { root: nix::fcntl::open(path, flags, Mode::empty())? })
    }

    /// Opens the directory that an administrator has named. Unlike with [`Tree::open`], its path may
    /// end with a symbolic link.
    ///
    /// # Errors
    /// The path cannot be opened as a directory.
    pub fn open_following(path: &Path) -> io::Result<Self> {
        File::open(path).and_then(|directory| Self::within(directory.as_fd()))
    }

    /// The tree below an open directory, which may have been opened with `O_PATH`.
    ///
    /// # Errors
    /// The directory cannot be opened for reading.
    pub fn within(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(Self { root: openat(directory, ".", flags, Mode::empty())? })
    }

    /// The root directory itself.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens `path` within the tree.
    ///
    /// # Errors
    /// The errors of openat2(2).
    pub fn open_at(&self, path: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let mut tries = 0;
        loop {
            match openat2(&self.root, path, how) {
                // openat2(2) fails with EAGAIN if a rename anywhere raced with a `..`. Trying again
                // is the documented remedy.
                Err(Errno::EAGAIN) if tries < 64 => tries += 1,
                result => return Ok(result?),
            }
        }
    }

    /// Opens a directory. Symbolic links are resolved within the tree.
    ///
    /// # Errors
    /// The errors of openat2(2).
    pub fn open_dir(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.open_at(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY)
    }

    /// Opens a directory and creates its missing components, with mode 0755, owner root and the
    /// modification time 0 (1970). The target of a dangling symbolic link is created, too. A file
    /// in the way is replaced by a directory.
    ///
    /// # Errors
    /// A component cannot be opened or created.
    pub fn ensure_dir(&self, path: &[u8], watch: &mut dyn Watch) -> io::Result<OwnedFd> {
        self.ensure(path, &mut 0, watch)
    }

    fn ensure(&self, path: &[u8], links: &mut u32, watch: &mut dyn Watch) -> io::Result<OwnedFd> {
        match self.open_dir(path) {
            Err(error) if matches!(error.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ENOTDIR)) => {}
            result => return result,
        }
        let mut done: Vec<u8> = Vec::new();
        let mut here = self.open_dir(b"")?;
        for part in path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".") {
            let above = done.clone();
            done.push(b'/');
            done.extend_from_slice(part);
            here = match self.open_dir(&done) {
                Ok(next) => next,
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {
                    self.make_missing(&here, &above, &done, part, links, watch)?
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOTDIR) => {
                    let file = name(part)?;
                    if kind_of(&fstatat(&here, file.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?) == SFlag::S_IFLNK {
                        return Err(error);
                    }
                    watch.before(here.as_fd(), &above);
                    unlinkat(&here, file.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
                    self.make_missing(&here, &above, &done, part, links, watch)?
                }
                Err(error) => return Err(error),
            };
        }
        Ok(here)
    }

    fn make_missing(
        &self,
        parent: &OwnedFd,
        above: &[u8],
        path: &[u8],
        part: &[u8],
        links: &mut u32,
        watch: &mut dyn Watch,
    ) -> io::Result<OwnedFd> {
        let file = name(part)?;
        watch.before(parent.as_fd(), above);
        match mkdirat(parent, file.as_c_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) => {
                let made = open_nofollow(parent, part, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
                // mkdirat(2) applies the umask.
                fchmod(&made, Mode::from_bits_truncate(0o755))?;
                // A time that is not from an archive would make two imports of the same image
                // differ.
                futimens(&made, &TimeSpec::UTIME_OMIT, &TimeSpec::new(0, 0))?;
                watch.made(parent.as_fd(), part);
                Ok(made)
            }
            // A symbolic link exists whose target is missing. Its target is created.
            Err(Errno::EEXIST) => {
                *links += 1;
                if *links > MAX_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                let target = readlinkat(parent, file.as_c_str())?.into_vec();
                let mut wanted = if target.starts_with(b"/") { Vec::new() } else { above.to_vec() };
                wanted.push(b'/');
                wanted.extend_from_slice(&target);
                drop(self.ensure(&wanted, links, watch)?);
                self.open_dir(path)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The content of a regular file. None if the file does not exist.
    ///
    /// # Errors
    /// The file is not a regular file, is larger than `limit` bytes, or cannot be read.
    pub fn read_file(&self, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
        // O_NONBLOCK is set because opening a FIFO must not wait for a writer.
        let fd = match self.open_at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY) {
            Ok(fd) => fd,
            Err(error) if matches!(error.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ENOTDIR)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if kind_of(&fstat(&fd)?) != SFlag::S_IFREG {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        File::from(fd).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("larger than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    /// Whether `path` is a directory, after following symbolic links.
    #[must_use]
    pub fn is_directory(&self, path: &[u8]) -> bool {
        self.open_dir(path).is_ok()
    }

    /// Whether `path` is a regular file with an execute permission, after following symbolic links.
    #[must_use]
    pub fn is_executable(&self, path: &[u8]) -> bool {
        let stat = self.open_at(path, OFlag::O_PATH).and_then(|fd| Ok(fstat(&fd)?));
        stat.is_ok_and(|stat| kind_of(&stat) == SFlag::S_IFREG && stat.st_mode & 0o111 != 0)
    }
}

/// Opens a file in a directory, without following a symbolic link.
///
/// # Errors
/// The errors of openat(2).
pub fn open_nofollow(parent: impl AsFd, file: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    let file = name(file)?;
    Ok(openat(parent, file.as_c_str(), flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Opens a regular file of a directory for reading. A container may have put another file in its
/// place since its kind was read.
///
/// # Errors
/// `ESTALE` if it is not a regular file, and the errors of openat(2).
pub fn open_regular(parent: impl AsFd, file: &[u8]) -> io::Result<File> {
    let opened = open_nofollow(parent, file, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
    if kind_of(&fstat(&opened)?) != SFlag::S_IFREG {
        return Err(Errno::ESTALE.into());
    }
    Ok(File::from(opened))
}

/// Makes the kernel start to write a file to its disk, without waiting for the end.
pub fn start_writing(file: &File) {
    // The kernel cannot drop pages that are not written yet, so Linux begins to write them
    // (mm/fadvise.c). This is only a hint, so errors are ignored.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

/// The metadata of a file in a directory, without following a symbolic link. None if the file does
/// not exist.
///
/// # Errors
/// The errors of fstatat(2).
pub fn lookup(parent: impl AsFd, file: &[u8]) -> io::Result<Option<FileStat>> {
    match fstatat(parent, name(file)?.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names of the entries of a directory, without `.` and `..`.
///
/// # Errors
/// The directory cannot be read.
pub fn names(dir: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let fd = openat(dir, ".", OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut dir = Dir::from_fd(fd)?;
    let mut out = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        let file = entry.file_name().to_bytes();
        if file != b"." && file != b".." {
            out.push(file.to_vec());
        }
    }
    Ok(out)
}

/// Whether a directory is empty, apart from the `lost+found` of a new file system. This reads only
/// as many names as needed, because an untrusted directory may have millions of entries.
///
/// # Errors
/// The directory cannot be read.
pub fn is_empty(dir: impl AsFd) -> io::Result<bool> {
    let fd = openat(dir, ".", OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    for entry in Dir::from_fd(fd)?.iter() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b".." | b"lost+found") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a file, or a directory with its content. Nested directories are first moved into the top
/// directory, so that a tree of any depth is removed with few descriptors and without recursion.
///
/// # Errors
/// A file cannot be removed. It is not an error if the file does not exist.
pub fn remove(parent: impl AsFd, file: &[u8]) -> io::Result<()> {
    let parent = parent.as_fd();
    let Some(stat) = lookup(parent, file)? else { return Ok(()) };
    let cname = name(file)?;
    if !is_dir(&stat) {
        return Ok(unlinkat(parent, cname.as_c_str(), UnlinkatFlags::NoRemoveDir)?);
    }
    let top = open_nofollow(parent, file, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
    let mut serial = 0_u64;
    let mut pending = Vec::new();
    clear(&top, &top, &mut serial, &mut pending)?;
    while let Some(next) = pending.pop() {
        let dir = open_nofollow(&top, &next, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
        clear(&dir, &top, &mut serial, &mut pending)?;
        unlinkat(&top, name(&next)?.as_c_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(unlinkat(parent, cname.as_c_str(), UnlinkatFlags::RemoveDir)?)
}

/// Removes the files in `dir` and moves its directories into `top` under new names, which are added
/// to `pending`.
fn clear(dir: &OwnedFd, top: &OwnedFd, serial: &mut u64, pending: &mut Vec<Vec<u8>>) -> io::Result<()> {
    for file in names(dir)? {
        let cname = name(&file)?;
        match unlinkat(dir, cname.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) => continue,
            Err(Errno::EISDIR) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            *serial += 1;
            let fresh = OsString::from(format!(".sdme-removed-{serial}"));
            if lookup(top, fresh.as_encoded_bytes())?.is_none() {
                renameat(dir, cname.as_c_str(), top, fresh.as_os_str())?;
                pending.push(fresh.into_encoded_bytes());
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn absolute_links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", dir.path().join("link")).unwrap();
        symlink("../../../../etc", dir.path().join("up")).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        assert_eq!(tree.read_file(b"link", 100).unwrap().unwrap(), b"inside");
        assert_eq!(tree.read_file(b"up/passwd", 100).unwrap().unwrap(), b"inside");
        assert_eq!(tree.read_file(b"/etc/passwd", 100).unwrap().unwrap(), b"inside");
        assert!(tree.read_file(b"link", 3).is_err());
        assert_eq!(tree.read_file(b"missing/x", 3).unwrap(), None);
    }

    #[test]
    fn only_regular_files_are_opened_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "content").unwrap();
        symlink("file", dir.path().join("link")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRWXU).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let error = |file: &[u8]| open_regular(tree.root(), file).err().and_then(|error| error.raw_os_error());
        assert_eq!(error(b"file"), None);
        assert_eq!(error(b"link"), Some(Errno::ELOOP as i32));
        assert_eq!(error(b"fifo"), Some(Errno::ESTALE as i32));
    }

    #[test]
    fn missing_directories_are_made_behind_dangling_links() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/usr/lib64", dir.path().join("lib64")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.ensure_dir(b"lib64/sub", &mut ()).unwrap();
        assert!(dir.path().join("usr/lib64/sub").is_dir());
        assert!(dir.path().join("lib64").is_symlink());
        assert!(tree.ensure_dir(b"loop/x", &mut ()).is_err());
    }

    #[test]
    fn deep_trees_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let mut here = tree.open_dir(b"").unwrap();
        for _ in 0..3000 {
            mkdirat(&here, "d", Mode::from_bits_truncate(0o755)).unwrap();
            here = open_nofollow(&here, b"d", OFlag::O_DIRECTORY | OFlag::O_RDONLY).unwrap();
        }
        remove(tree.root(), b"d").unwrap();
        assert!(names(tree.root()).unwrap().is_empty());
        remove(tree.root(), b"d").unwrap();
    }
}
