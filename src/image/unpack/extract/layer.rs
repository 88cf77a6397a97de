// SPDX-License-Identifier: MIT
//! Applies one layer: creates its members, applies its whiteouts, and replaces existing files.
//!
//! Names that the layer has written are remembered by directory inode and file name instead of by
//! path, because symbolic links give a directory many paths. This module must not read archives
//! itself; `metadata` sets owners, modes and times.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, futimens, makedev, mkdirat, mknodat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::metadata;
use crate::image::progress::Progress;
use crate::image::store::digest::Hasher;
use crate::image::tar::tarstream::{Kind, Member};
use crate::image::unpack::inventory::Contents;
use crate::rootdir::tree::{self, Tree, Watch, is_dir, kind_of, lookup, open_nofollow};

/// The prefix of whiteouts. The whiteout of `NAME` is a file whose name is this prefix followed by
/// `NAME`.
const WHITEOUT: &[u8] = b".wh.";
/// The prefix of files that concern the layer instead of a file, such as the bookkeeping of aufs.
const META: &[u8] = b".wh..wh.";
/// The file that hides everything which lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The kernel starts to write files of at least this size in bytes immediately, while the next ones
/// are unpacked. All files are synced at the end.
const LARGE: u64 = 64 << 10;
/// Maximum depth of directories that a whiteout removes. A descriptor is open for each level.
const MAX_DEPTH: u32 = 256;

/// A directory that is kept open, because the next member is probably in it, too.
struct Parent {
    path: Vec<u8>,
    fd: Rc<OwnedFd>,
    inode: u64,
}

/// The state that is kept until the end of the layer.
#[derive(Default)]
struct Memory {
    /// The names that this layer has written, as (inode of the directory, hash of the name).
    written: HashSet<(u64, u64)>,
    hash: RandomState,
    /// Modification times to set at the end, by inode, because writing into a directory changes its
    /// time. The time is that of the archive. A directory that is only written into keeps its
    /// previous time.
    times: HashMap<u64, (Vec<u8>, (i64, i64))>,
}

impl Memory {
    fn key(&self, dir: u64, file: &[u8]) -> (u64, u64) {
        (dir, self.hash.hash_one(file))
    }

    fn keep_time(&mut self, dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<u64> {
        let stat = fstat(dir)?;
        self.times.entry(stat.st_ino).or_insert_with(|| (path.to_vec(), (stat.st_mtime, stat.st_mtime_nsec)));
        Ok(stat.st_ino)
    }
}

impl Watch for Memory {
    fn before(&mut self, dir: BorrowedFd<'_>, path: &[u8]) {
        // fstat(2) on an open directory does not fail in practice, and a wrong time would not
        // justify an error.
        let _ = self.keep_time(dir, path);
    }

    fn made(&mut self, dir: BorrowedFd<'_>, file: &[u8]) {
        if let Ok(stat) = fstat(dir) {
            let key = self.key(stat.st_ino, file);
            self.written.insert(key);
        }
    }
}

/// The state of a layer while it is applied.
pub(crate) struct Layer<'a> {
    tree: &'a Tree,
    progress: &'a dyn Progress,
    buffer: &'a mut Vec<u8>,
    contents: &'a mut Contents,
    memory: Memory,
    parent: Option<Parent>,
}

/// Splits a path into its directory and its last component, without `.` and empty components.
fn split(path: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => bail!("leads upwards with `..`"),
            part if part.contains(&0) => bail!("has a NUL byte in its name"),
            part => parts.push(part),
        }
    }
    let file = parts.pop().unwrap_or_default().to_vec();
    Ok((parts.join(&b'/'), file))
}

fn join(dir: &[u8], file: &[u8]) -> Vec<u8> {
    let mut path = dir.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(file);
    path
}

impl<'a> Layer<'a> {
    pub(crate) fn new(
        tree: &'a Tree,
        progress: &'a dyn Progress,
        buffer: &'a mut Vec<u8>,
        contents: &'a mut Contents,
    ) -> Self {
        Self { tree, progress, buffer, contents, memory: Memory::default(), parent: None }
    }

    /// Applies one member. The content of a file is read from `body`.
    pub(crate) fn apply(&mut self, member: &Member, body: &mut dyn Read) -> Result<()> {
        let (dir, file) = split(&member.path)?;
        if file.is_empty() {
            return self.root(member);
        }
        for part in dir.split(|b| *b == b'/') {
            if part.starts_with(META) {
                return Ok(());
            }
            if part.starts_with(WHITEOUT) {
                bail!("is below `{}`, but names of that form stand for removed files", part.escape_ascii());
            }
        }
        if file == OPAQUE {
            return self.opaque(&dir);
        }
        if file.starts_with(META) {
            return Ok(());
        }
        if let Some(hidden) = file.strip_prefix(WHITEOUT) {
            return self.whiteout(&dir, hidden);
        }
        self.create(member, &dir, &file, body)
    }

    /// Sets the times of all affected directories.
    pub(crate) fn finish(self) -> Result<()> {
        for (inode, (path, (seconds, nanos))) in self.memory.times {
            // The path may lead to another directory by now, or may not exist any more.
            let Ok(dir) = self.tree.open_dir(&path) else { continue };
            if fstat(&dir)?.st_ino == inode {
                futimens(&dir, &TimeSpec::UTIME_OMIT, &TimeSpec::new(seconds, nanos))
                    .with_context(|| format!("setting the time of `{}`", path.escape_ascii()))?;
            }
        }
        Ok(())
    }

    fn root(&mut self, member: &Member) -> Result<()> {
        if member.kind != Kind::Directory {
            bail!("stands for the root directory but is not a directory");
        }
        let root = self.tree.open_dir(b"")?;
        let known = fstat(&root)?;
        self.memory.times.insert(known.st_ino, (Vec::new(), member.mtime));
        metadata::open_file(&File::from(root), &known, member, self.progress)
    }

    /// Returns the directory at `path`. A missing directory is created if `create` is set;
    /// otherwise the result is `None`.
    fn parent(&mut self, path: &[u8], create: bool) -> Result<Option<(Rc<OwnedFd>, u64)>> {
        if let Some(parent) = &self.parent
            && parent.path == path
        {
            return Ok(Some((Rc::clone(&parent.fd), parent.inode)));
        }
        let opened = if create { self.tree.ensure_dir(path, &mut self.memory) } else { self.tree.open_dir(path) };
        let fd = match opened {
            Ok(fd) => Rc::new(fd),
            Err(error) if !create && matches!(error.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ENOTDIR)) => {
                return Ok(None);
            }
            Err(error) => return Err(error).context("opening its directory"),
        };
        let inode = self.memory.keep_time(fd.as_fd(), path)?;
        self.parent = Some(Parent { path: path.to_vec(), fd: Rc::clone(&fd), inode });
        Ok(Some((fd, inode)))
    }

    fn create(&mut self, member: &Member, dir: &[u8], file: &[u8], body: &mut dyn Read) -> Result<()> {
        // The target is opened first, because opening it may replace the cached parent directory.
        let target = (member.kind == Kind::HardLink).then(|| self.link_target(&member.link)).transpose()?;
        let Some((parent, inode)) = self.parent(dir, true)? else { bail!("its directory cannot be created") };
        let parent = parent.as_fd();
        if let Some((target_dir, target_inode, target_file)) = &target
            && *target_inode == inode
            && target_file == file
        {
            // A hard link to itself is skipped, because replacing the existing file would delete
            // it.
            lookup(target_dir, target_file)?.context("is a hard link to itself")?;
            return Ok(());
        }
        let old = lookup(parent, file)?;
        let merge = member.kind == Kind::Directory && old.as_ref().is_some_and(is_dir);
        if let Some(old) = old.filter(|_| !merge) {
            // Everything is replaced unless both the old and the new member are directories. A
            // symbolic link to a directory is replaced as well (layer.md, "Changeset over existing
            // files"; Docker and containerd do the same).
            tree::remove(parent, file).context("replacing what was there")?;
            if matches!(kind_of(&old), SFlag::S_IFDIR | SFlag::S_IFLNK) {
                self.parent = None;
            }
        }
        let name = tree::name(file)?;
        match member.kind {
            Kind::File => self.file(parent, file, member, body)?,
            Kind::Directory => {
                if !merge {
                    mkdirat(parent, name.as_c_str(), Mode::from_bits_truncate(0o700))?;
                }
                let made = File::from(open_nofollow(parent, file, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?);
                if merge {
                    metadata::forget_xattrs(&made, member);
                }
                let known = fstat(&made)?;
                self.memory.times.insert(known.st_ino, (join(dir, file), member.mtime));
                metadata::open_file(&made, &known, member, self.progress)?;
            }
            Kind::Symlink => {
                symlinkat(member.link.as_slice(), parent, name.as_c_str())?;
                metadata::by_name(parent, file, member, self.progress)?;
            }
            Kind::HardLink => {
                let Some((target_dir, _, target_file)) = target else { bail!("has no link target") };
                let target_name = tree::name(&target_file)?;
                // Without AT_SYMLINK_FOLLOW, a hard link to a symbolic link is another name of the
                // symbolic link.
                linkat(&target_dir, target_name.as_c_str(), parent, name.as_c_str(), AtFlags::empty())
                    .with_context(|| format!("linking to `{}`", member.link.escape_ascii()))?;
            }
            Kind::Char | Kind::Block | Kind::Fifo => {
                let kind = match member.kind {
                    Kind::Char => SFlag::S_IFCHR,
                    Kind::Block => SFlag::S_IFBLK,
                    _ => SFlag::S_IFIFO,
                };
                let device = makedev(member.device.0.into(), member.device.1.into());
                mknodat(parent, name.as_c_str(), kind, Mode::from_bits_truncate(0o600), device)?;
                metadata::by_name(parent, file, member, self.progress)?;
            }
        }
        let key = self.memory.key(inode, file);
        self.memory.written.insert(key);
        Ok(())
    }

    fn link_target(&self, link: &[u8]) -> Result<(OwnedFd, u64, Vec<u8>)> {
        let (dir, file) = split(link).context("its link target")?;
        let fd = self
            .tree
            .open_dir(&dir)
            .with_context(|| format!("opening the directory of the link target `{}`", link.escape_ascii()))?;
        let inode = fstat(&fd)?.st_ino;
        Ok((fd, inode, file))
    }

    fn file(&mut self, parent: BorrowedFd<'_>, file: &[u8], member: &Member, body: &mut dyn Read) -> Result<()> {
        let name = tree::name(file)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = File::from(openat(parent, name.as_c_str(), flags, Mode::from_bits_truncate(0o600))?);
        let known = fstat(&made)?;
        let mut hasher = Hasher::default();
        if let Some(segments) = &member.segments {
            made.set_len(member.size).context("setting its size")?;
            for segment in segments {
                self.copy(&made, body, segment.offset, segment.length, &mut hasher)?;
            }
            self.contents.note(known.st_ino, None);
        } else {
            self.copy(&made, body, 0, member.size, &mut hasher)?;
            self.contents.note(known.st_ino, Some(hasher.finish()));
        }
        if member.size >= LARGE {
            tree::start_writing(&made);
        }
        metadata::open_file(&made, &known, member, self.progress)?;
        futimens(&made, &TimeSpec::UTIME_OMIT, &TimeSpec::new(member.mtime.0, member.mtime.1))
            .context("setting its time")
    }

    fn copy(&mut self, to: &File, body: &mut dyn Read, offset: u64, length: u64, hasher: &mut Hasher) -> Result<()> {
        let mut done = 0;
        while done < length {
            let want = usize::try_from(length - done).unwrap_or(usize::MAX).min(self.buffer.len());
            let Some(buffer) = self.buffer.get_mut(..want) else { bail!("no buffer") };
            let read = match body.read(buffer) {
                Ok(0) => bail!("the archive ends inside it"),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("reading its content"),
            };
            let piece = buffer.get(..read).unwrap_or_default();
            to.write_all_at(piece, offset + done).context("writing its content")?;
            hasher.update(piece);
            done += read as u64;
        }
        Ok(())
    }

    fn whiteout(&mut self, dir: &[u8], hidden: &[u8]) -> Result<()> {
        tree::name(hidden).context("is a whiteout of no file")?;
        let Some((parent, inode)) = self.parent(dir, false)? else { return Ok(()) };
        self.remove_lower(parent.as_fd(), inode, dir, hidden, 0).map(drop)
    }

    fn opaque(&mut self, dir: &[u8]) -> Result<()> {
        let Some((parent, inode)) = self.parent(dir, false)? else { return Ok(()) };
        for file in tree::names(parent.as_fd())? {
            self.remove_lower(parent.as_fd(), inode, dir, &file, 0)?;
        }
        Ok(())
    }

    /// Removes `file` and everything below it that this layer has not written. Returns whether
    /// `file` still exists.
    fn remove_lower(
        &mut self,
        parent: BorrowedFd<'_>,
        inode: u64,
        dir: &[u8],
        file: &[u8],
        depth: u32,
    ) -> Result<bool> {
        if depth > MAX_DEPTH {
            bail!("hides directories nested deeper than {MAX_DEPTH}");
        }
        let Some(stat) = lookup(parent, file)? else { return Ok(false) };
        let mut kept = self.memory.written.contains(&self.memory.key(inode, file));
        let name = tree::name(file)?;
        if !is_dir(&stat) {
            if !kept {
                unlinkat(parent, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
                if kind_of(&stat) == SFlag::S_IFLNK {
                    self.parent = None;
                }
            }
            return Ok(kept);
        }
        let path = join(dir, file);
        let here = open_nofollow(parent, file, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
        self.memory.keep_time(here.as_fd(), &path)?;
        for child in tree::names(&here)? {
            kept |= self.remove_lower(here.as_fd(), stat.st_ino, &path, &child, depth + 1)?;
        }
        if !kept {
            match unlinkat(parent, name.as_c_str(), UnlinkatFlags::RemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
            self.memory.times.remove(&stat.st_ino);
            self.parent = None;
        }
        Ok(kept)
    }
}
