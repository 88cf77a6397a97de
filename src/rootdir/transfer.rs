// SPDX-License-Identifier: MIT
//! Files copied between the host and a container that may be running (`sdme-gen cp`). Either side is an open directory and a name in
//! it. No symbolic link is followed: a link is copied as a link, and a link in the place of a directory is an error.

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

use super::tree::{Tree, is_dir, kind_of, lookup, name, names, open_nofollow, proc_path};

/// The maximum depth of directories. Each level takes two descriptors.
const MAX_DEPTH: usize = 200;

/// The maximum number of files with several names whose names are kept together. Further ones are copied once for each name.
const MAX_LINKS: usize = 1 << 20;

/// The number of user or group IDs of a container (`crate::resolve::container::userns::SIZE`), and the ID of users that have none.
const IDS: u32 = 1 << 16;
const NOBODY: u32 = 65534;

/// What a copy does with owners and privileges.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// The ID on disk of the source's root: 0, or the first ID of the container's range.
    pub from: u32,
    /// The ID on disk of the target's root.
    pub to: u32,
    /// The owner of every copied file, as IDs of the target, in place of the source's.
    pub owner: Option<(u32, u32)>,
    /// Setuid and setgid bits of files are removed: any user of the host could run the copy.
    pub drop_privileges: bool,
}

impl Rules {
    /// The ID on the target's disk for an ID on the source's disk.
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

/// Copies `file` in the directory `from` to `target` in the directory `to`. A directory is merged into one that is there; any other file
/// replaces one that is there in one step. Returns the paths that were not copied because they are devices, sockets or FIFOs.
///
/// # Errors
/// Something cannot be read or made; a part of the copy may exist then.
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

/// Copies the directory `from` to `target` in the directory `to`, as [`entry`] does.
///
/// # Errors
/// As for [`entry`].
pub fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, target: &[u8], rules: Rules) -> io::Result<Vec<String>> {
    let mut copy = Copy::into(to, rules)?;
    copy.named(&File::from(from.try_clone_to_owned()?), to, (&[], target), 0)?;
    Ok(copy.left_out)
}

/// Copies what is in the directory `from` into the directory `to`, as [`entry`] does.
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
    /// Where the first of the names of a file with several is in the copy.
    links: HashMap<(u64, u64), (Vec<u8>, Vec<u8>)>,
    left_out: Vec<String>,
}

impl Copy {
    fn into(to: BorrowedFd<'_>, rules: Rules) -> io::Result<Self> {
        Ok(Self { top: Tree::within(to)?, rules, links: HashMap::new(), left_out: Vec::new() })
    }

    /// Copies the entries of a directory, which is at `path` in the copy.
    fn entries(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &[u8], depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other(format!("more than {MAX_DEPTH} nested directories")));
        }
        for file in names(from)? {
            // A container that runs may have removed it.
            let Some(stat) = lookup(from, &file)? else { continue };
            self.entry(from, &file, &stat, to, (path, &file), depth).map_err(|error| {
                // The error of a directory names the file in it already.
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

    /// Copies a directory to `target` in the directory `to`, which is at `path` in the copy.
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
        // One that was there keeps its owner and mode.
        if made { self.metadata(source, &File::from(directory)) } else { Ok(()) }
    }

    /// Makes another name of a file that is copied already. Says whether it could.
    fn link(&self, identity: (u64, u64), to: BorrowedFd<'_>, target: &[u8]) -> bool {
        let Some((directory, first)) = self.links.get(&identity) else { return false };
        let Ok(directory) = self.top.open_dir(directory) else { return false };
        let made = put(to, target, |temporary| {
            Ok(linkat(&directory, name(first)?.as_c_str(), to, name(temporary)?.as_c_str(), AtFlags::empty())?)
        });
        made.is_ok()
    }

    fn regular(&self, from: BorrowedFd<'_>, file: &[u8], to: BorrowedFd<'_>, target: &[u8]) -> io::Result<()> {
        let source = File::from(open_nofollow(from, file, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        // A container may have put another file there.
        if kind_of(&fstat(&source)?) != SFlag::S_IFREG {
            return Err(Errno::ESTALE.into());
        }
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

    /// Gives a file or directory the owner, mode, times and `user.` attributes of another. Attributes of other kinds name users, grant
    /// privileges or belong to the file system.
    fn metadata(&self, from: &File, to: &File) -> io::Result<()> {
        let known = from.metadata()?;
        let (uid, gid) = self.rules.owner_of(known.uid(), known.gid());
        fchown(to, Some(uid), Some(gid))?;
        let dropped = if self.rules.drop_privileges && known.is_file() { 0o6000 } else { 0 };
        // After the owner: a change of the owner removes the setuid and setgid bits.
        to.set_permissions(Permissions::from_mode(known.mode() & 0o7777 & !dropped))?;
        let listed = xattr::list_deref(proc_path(from.as_fd()));
        let listed = listed.into_iter().flatten().filter(|key| key.as_encoded_bytes().starts_with(b"user."));
        for attribute in listed {
            if let Ok(Some(value)) = xattr::get_deref(proc_path(from.as_fd()), &attribute) {
                // As with cp(1), a file system that has no attributes gets none.
                let _ = xattr::set_deref(proc_path(to.as_fd()), &attribute, &value);
            }
        }
        to.set_times(FileTimes::new().set_accessed(known.accessed()?).set_modified(known.modified()?))
    }
}

/// Has `create` make a file under a temporary name in `to`, and gives it the name `target` in one step.
fn put(to: BorrowedFd<'_>, target: &[u8], create: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
    if lookup(to, target)?.is_some_and(|stat| is_dir(&stat)) {
        return Err(io::Error::from(Errno::EISDIR));
    }
    let temporary = OsString::from(format!(".sdme-cp-{}", std::process::id()));
    let temporary = temporary.as_encoded_bytes();
    let clear = || {
        // Nothing is there, or a directory that is not ours, on which `create` fails.
        name(temporary).map(|name| unlinkat(to, name.as_c_str(), UnlinkatFlags::NoRemoveDir))
    };
    let _ = clear()?;
    let made =
        create(temporary).and_then(|()| Ok(renameat(to, name(temporary)?.as_c_str(), to, name(target)?.as_c_str())?));
    // rename(2) does nothing if both names are of one file already.
    let _ = clear()?;
    made
}

/// Copies the data of a file and keeps its holes: a container can make a file of many terabytes that takes no space.
fn data(from: &File, to: &File) -> io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut at = 0_i64;
    loop {
        // lseek(2): ENXIO when no data follows. A file system without holes is data from the beginning to the end.
        let start = match lseek(from, at, Whence::SeekData) {
            Err(Errno::ENXIO) => return Ok(()),
            other => other?,
        };
        let end = lseek(from, start, Whence::SeekHole)?;
        let [first, last] = [start, end].map(|place| u64::try_from(place).unwrap_or_default());
        let (mut reader, mut writer) = (from, to);
        reader.seek(SeekFrom::Start(first))?;
        writer.seek(SeekFrom::Start(first))?;
        // A file that grows meanwhile is copied up to the length that it had.
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
        // A file of the target that is a link is replaced; what it leads to stays.
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
        // A link in the place of a directory.
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
