// SPDX-License-Identifier: MIT
//! Copies files between the host and a container that may be running (`sdme-gen cp`). Both sides
//! are given as an open directory and a name in it. No symbolic link is followed: a link is copied
//! as a link, and a link in the place of a directory is an error.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, FileTimes, Permissions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fstat, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, Whence, fchownat, linkat, lseek, symlinkat, unlinkat};

use super::tree::{Tree, is_dir, kind_of, lookup, name, names, open_nofollow, open_regular, proc_path};

/// Maximum depth of directories. Each level needs two descriptors.
const MAX_DEPTH: usize = 200;

/// Maximum number of files whose hard links are kept. The hard links of further files become
/// separate copies.
const MAX_LINKS: usize = 1 << 20;

/// The number of user or group IDs of a container (`crate::resolve::container::userns::SIZE`), and
/// the ID for users outside of that range.
const IDS: u32 = 1 << 16;
const NOBODY: u32 = 65534;

/// The rules about owners and privileges.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// The ID on disk of the root user of the source: 0, or the first ID of the container's range.
    pub from: u32,
    /// The ID on disk of the root user of the target.
    pub to: u32,
    /// The user and group ID of all copied files, as IDs in the target, instead of the owners in
    /// the source.
    pub owner: Option<(u32, u32)>,
    /// Whether setuid and setgid bits of files are removed, because any user of the host could run
    /// the copies.
    pub drop_privileges: bool,
}

impl Rules {
    /// Translates an ID on the source's disk to an ID on the target's disk.
    fn id(&self, id: u32, owner: Option<u32>) -> u32 {
        let inside = match (owner, self.from) {
            (Some(owner), _) => owner,
            (None, 0) => id,
            (None, first) => id.checked_sub(first).filter(|id| *id < IDS).unwrap_or(NOBODY),
        };
        match self.to {
            0 => inside,
            first => first + if inside < IDS { inside } else { NOBODY },
        }
    }

    fn owner_of(&self, uid: u32, gid: u32) -> (u32, u32) {
        (self.id(uid, self.owner.map(|(uid, _)| uid)), self.id(gid, self.owner.map(|(_, gid)| gid)))
    }
}

/// Copies `file` in the directory `from` to `target` in the directory `to`. A directory is merged
/// with an existing directory. Any other file replaces an existing file atomically. Returns the
/// paths of devices, sockets and FIFOs, which are not copied.
///
/// # Errors
/// A file cannot be read or made. A part of the copy may exist then.
pub fn entry(
    from: BorrowedFd<'_>,
    file: &[u8],
    to: BorrowedFd<'_>,
    target: &[u8],
    rules: Rules,
) -> io::Result<Vec<String>> {
    let Some(stat) = lookup(from, file)? else { return Err(Errno::ENOENT.into()) };
    let mut copy = Copy::into(to, rules)?;
    copy.entry(from, file, &stat, to, (&[], target), 0)?;
    Ok(copy.left_out)
}

/// Copies the directory `from` to `target` in the directory `to`, like [`entry`].
///
/// # Errors
/// As for [`entry`].
pub fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, target: &[u8], rules: Rules) -> io::Result<Vec<String>> {
    let mut copy = Copy::into(to, rules)?;
    copy.named(&File::from(from.try_clone_to_owned()?), to, (&[], target), 0)?;
    Ok(copy.left_out)
}

/// Copies the content of the directory `from` into the directory `to`, like [`entry`].
///
/// # Errors
/// As for [`entry`].
pub fn content(from: BorrowedFd<'_>, to: BorrowedFd<'_>, rules: Rules) -> io::Result<Vec<String>> {
    let mut copy = Copy::into(to, rules)?;
    copy.entries(from, to, &[], 0)?;
    Ok(copy.left_out)
}

struct Copy {
    top: Tree,
    rules: Rules,
    /// The directory and name in the copy of the first hard link of a file, by the file's device
    /// and inode number.
    links: HashMap<(u64, u64), (Vec<u8>, Vec<u8>)>,
    left_out: Vec<String>,
}

impl Copy {
    fn into(to: BorrowedFd<'_>, rules: Rules) -> io::Result<Self> {
        Ok(Self { top: Tree::within(to)?, rules, links: HashMap::new(), left_out: Vec::new() })
    }

    /// Copies the entries of a directory. `path` is the path of `to` in the copy.
    fn entries(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &[u8], depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other(format!("more than {MAX_DEPTH} nested directories")));
        }
        for file in names(from)? {
            // A running container may have removed the file.
            let Some(stat) = lookup(from, &file)? else { continue };
            self.entry(from, &file, &stat, to, (path, &file), depth).map_err(|error| {
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
        from: BorrowedFd<'_>,
        file: &[u8],
        stat: &FileStat,
        to: BorrowedFd<'_>,
        (path, target): (&[u8], &[u8]),
        depth: usize,
    ) -> io::Result<()> {
        let identity = (stat.st_dev, stat.st_ino);
        let several = !is_dir(stat) && stat.st_nlink > 1;
        if several && self.link(identity, to, target) {
            return Ok(());
        }
        match kind_of(stat) {
            SFlag::S_IFDIR => {
                let source = open_nofollow(from, file, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
                return self.named(&File::from(source), to, (path, target), depth);
            }
            SFlag::S_IFREG => self.regular(from, file, to, target)?,
            SFlag::S_IFLNK => self.symlink(from, file, stat, to, target)?,
            _ => {
                self.left_out.push([path, b"/", target].concat().escape_ascii().to_string());
                return Ok(());
            }
        }
        if several && self.links.len() < MAX_LINKS {
            self.links.insert(identity, (path.to_vec(), target.to_vec()));
        }
        Ok(())
    }

    /// Copies a directory to `target` in the directory `to`. `path` is the path of `to` in the
    /// copy.
    fn named(
        &mut self,
        source: &File,
        to: BorrowedFd<'_>,
        (path, target): (&[u8], &[u8]),
        depth: usize,
    ) -> io::Result<()> {
        let made = match mkdirat(to, name(target)?.as_c_str(), Mode::S_IRWXU) {
            Err(Errno::EEXIST) => false,
            other => other.map(|()| true)?,
        };
        let below = [path, b"/", target].concat();
        let directory = open_nofollow(to, target, OFlag::O_DIRECTORY | OFlag::O_RDONLY).map_err(|error| {
            io::Error::new(error.kind(), format!("{} is there and no directory", below.escape_ascii()))
        })?;
        self.entries(source.as_fd(), directory.as_fd(), &below, depth + 1)?;
        // An existing directory keeps its owner and mode.
        if made { self.metadata(source, &File::from(directory)) } else { Ok(()) }
    }

    /// Makes a hard link to a file that is already copied. Returns whether that succeeded.
    fn link(&self, identity: (u64, u64), to: BorrowedFd<'_>, target: &[u8]) -> bool {
        let Some((directory, first)) = self.links.get(&identity) else { return false };
        let Ok(directory) = self.top.open_dir(directory) else { return false };
        let made = put(to, target, |temporary| {
            Ok(linkat(&directory, name(first)?.as_c_str(), to, name(temporary)?.as_c_str(), AtFlags::empty())?)
        });
        made.is_ok()
    }

    fn regular(&self, from: BorrowedFd<'_>, file: &[u8], to: BorrowedFd<'_>, target: &[u8]) -> io::Result<()> {
        let source = open_regular(from, file)?;
        put(to, target, |temporary| {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let made = openat(to, name(temporary)?.as_c_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
            let made = File::from(made);
            data(&source, &made)?;
            self.metadata(&source, &made)
        })
    }

    fn symlink(
        &self,
        from: BorrowedFd<'_>,
        file: &[u8],
        stat: &FileStat,
        to: BorrowedFd<'_>,
        target: &[u8],
    ) -> io::Result<()> {
        let leads_to = readlinkat(from, name(file)?.as_c_str())?;
        put(to, target, |temporary| {
            symlinkat(leads_to.as_os_str(), to, name(temporary)?.as_c_str())?;
            let made = open_nofollow(to, temporary, OFlag::O_PATH)?;
            if kind_of(&fstat(&made)?) != SFlag::S_IFLNK {
                return Err(Errno::ESTALE.into());
            }
            let (uid, gid) = self.rules.owner_of(stat.st_uid, stat.st_gid);
            fchownat(&made, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_EMPTY_PATH)?;
            let times =
                [TimeSpec::new(stat.st_atime, stat.st_atime_nsec), TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)];
            let temporary = name(temporary)?;
            Ok(utimensat(to, temporary.as_c_str(), &times[0], &times[1], UtimensatFlags::NoFollowSymlink)?)
        })
    }

    /// Gives `to` the owner, mode, times and `user.` attributes of `from`. Other attributes contain
    /// user IDs, grant privileges or belong to the file system.
    fn metadata(&self, from: &File, to: &File) -> io::Result<()> {
        let known = from.metadata()?;
        let (uid, gid) = self.rules.owner_of(known.uid(), known.gid());
        fchown(to, Some(uid), Some(gid))?;
        let dropped = if self.rules.drop_privileges && known.is_file() { 0o6000 } else { 0 };
        // The mode is set after the owner, because a change of the owner removes the setuid and
        // setgid bits.
        to.set_permissions(Permissions::from_mode(known.mode() & 0o7777 & !dropped))?;
        let listed = xattr::list_deref(proc_path(from.as_fd()));
        let listed = listed.into_iter().flatten().filter(|key| key.as_encoded_bytes().starts_with(b"user."));
        for attribute in listed {
            if let Ok(Some(value)) = xattr::get_deref(proc_path(from.as_fd()), &attribute) {
                // As in cp(1), an attribute that the file system does not support is left out.
                let _ = xattr::set_deref(proc_path(to.as_fd()), &attribute, &value);
            }
        }
        to.set_times(FileTimes::new().set_accessed(known.accessed()?).set_modified(known.modified()?))
    }
}

/// Lets `create` make a file with a temporary name in `to`, and renames it to `target`.
fn put(to: BorrowedFd<'_>, target: &[u8], create: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
    if lookup(to, target)?.is_some_and(|stat| is_dir(&stat)) {
        return Err(io::Error::from(Errno::EISDIR));
    }
    let temporary = OsString::from(format!(".sdme-cp-{}", std::process::id()));
    let temporary = temporary.as_encoded_bytes();
    let clear = || {
        // An error is ignored: the file does not exist, or is a directory of another program, on
        // which `create` fails.
        name(temporary).map(|name| unlinkat(to, name.as_c_str(), UnlinkatFlags::NoRemoveDir))
    };
    let _ = clear()?;
    let made =
        create(temporary).and_then(|()| Ok(renameat(to, name(temporary)?.as_c_str(), to, name(target)?.as_c_str())?));
    // rename(2) does nothing if both names are hard links to the same file, so the temporary name
    // may remain.
    let _ = clear()?;
    made
}

/// Copies the data of a file and keeps its holes: a container can make a file of many terabytes
/// that needs no disk space.
fn data(from: &File, to: &File) -> io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut at = 0_i64;
    loop {
        // lseek(2) returns ENXIO if no data follows. On a file system without holes, the whole file
        // is data.
        let start = match lseek(from, at, Whence::SeekData) {
            Err(Errno::ENXIO) => return Ok(()),
            other => other?,
        };
        let end = lseek(from, start, Whence::SeekHole)?;
        let [first, last] = [start, end].map(|place| u64::try_from(place).unwrap_or_default());
        let (mut reader, mut writer) = (from, to);
        reader.seek(SeekFrom::Start(first))?;
        writer.seek(SeekFrom::Start(first))?;
        // A growing file is copied up to its length at the beginning.
        let mut part = io::Read::take(reader, last.min(length).saturating_sub(first));
        if io::copy(&mut part, &mut writer)? == 0 {
            return Ok(());
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn all(from: &Path, to: &Path, rules: Rules) -> io::Result<Vec<String>> {
        content(File::open(from)?.as_fd(), File::open(to)?.as_fd(), rules)
    }

    #[test]
    fn directories_are_merged_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["from/sub", "to/sub", "outside"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("outside/file"), "untouched").unwrap();
        fs::write(at("from/sub/file"), "content").unwrap();
        fs::hard_link(at("from/sub/file"), at("from/sub/same")).unwrap();
        fs::set_permissions(at("from/sub/file"), Permissions::from_mode(0o4755)).unwrap();
        symlink("../../outside/file", at("from/sub/link")).unwrap();
        nix::unistd::mkfifo(&at("from/fifo"), Mode::S_IRWXU).unwrap();
        fs::write(at("to/sub/kept"), "kept").unwrap();
        // A symbolic link in the target is replaced by the file, and the file that the link leads
        // to stays as it is.
        symlink("../../outside/file", at("to/sub/file")).unwrap();
        let rules = Rules { drop_privileges: true, ..Rules::default() };
        assert_eq!(all(&at("from"), &at("to"), rules).unwrap(), ["/fifo"]);
        assert_eq!(fs::read(at("outside/file")).unwrap(), b"untouched");
        let made = fs::symlink_metadata(at("to/sub/file")).unwrap();
        assert!(made.is_file() && made.mode() & 0o7777 == 0o755);
        assert_eq!(made.ino(), fs::metadata(at("to/sub/same")).unwrap().ino());
        assert_eq!(fs::read(at("to/sub/kept")).unwrap(), b"kept");
        assert_eq!(fs::read_link(at("to/sub/link")).unwrap(), Path::new("../../outside/file"));
        assert_eq!(fs::read_dir(at("to/sub")).unwrap().count(), 4);
        // A symbolic link in the place of a directory is an error.
        fs::remove_dir_all(at("to/sub")).unwrap();
        symlink(at("outside"), at("to/sub")).unwrap();
        assert!(all(&at("from"), &at("to"), rules).unwrap_err().to_string().contains("/sub is there and no directory"));
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 1);
    }

    #[test]
    fn holes_stay_holes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("from")).unwrap();
        fs::create_dir_all(at("to")).unwrap();
        let file = File::create(at("from/large")).unwrap();
        file.set_len(1 << 40).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", 1 << 30).unwrap();
        all(&at("from"), &at("to"), Rules::default()).unwrap();
        let made = fs::metadata(at("to/large")).unwrap();
        assert_eq!(made.len(), 1 << 40);
        assert!(made.blocks() < 1024, "{} blocks", made.blocks());
        let mut found = [0; 6];
        std::os::unix::fs::FileExt::read_exact_at(&File::open(at("to/large")).unwrap(), &mut found, (1 << 30) - 1)
            .unwrap();
        assert_eq!(&found, b"\0data\0");
    }

    #[test]
    fn owners_are_those_that_the_container_sees() {
        let range = 0x8_0000;
        let out = Rules { from: range, ..Rules::default() };
        assert_eq!([range, range + 33, 0].map(|id| out.id(id, None)), [0, 33, NOBODY]);
        let into = Rules { to: range, ..Rules::default() };
        assert_eq!([0, 1000, 70_000].map(|id| into.id(id, None)), [range, range + 1000, range + NOBODY]);
        let owned = Rules { to: range, owner: Some((33, 34)), ..Rules::default() };
        assert_eq!(owned.owner_of(1000, 1000), (range + 33, range + 34));
        assert_eq!(Rules::default().owner_of(1000, 7), (1000, 7));
    }
}
