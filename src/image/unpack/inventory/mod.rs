// SPDX-License-Identifier: MIT
//! The inventory: a list of all files in an imported tree. It is written by an import and compared
//! by a verification.
//!
//! Each file has one line: type and mode, number of links, owner, group, time, size or device,
//! digest, path. The digest covers the extended attributes and the content or the target of a link.
//! For a file with holes, it covers only the data, and is marked accordingly. This module must not
//! change files.

mod sparse;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, Read as _, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, SFlag, major, minor};

use super::xattrs::is_foreign;
use crate::halves::halves;
use crate::image::store::digest::{Digest, Hasher};
use crate::rootdir::tree::{self, Tree, is_dir, kind_of, lookup, open_nofollow, open_regular, proc_path};

/// Maximum number of files that are found before they are read. A descriptor of their directory is
/// open meanwhile.
const BATCH: usize = 256;

/// Maximum number of files whose digests are remembered, which take a few megabytes.
const MAX_CONTENTS: usize = 1 << 16;

/// Minimum size in bytes from which a file with several names is read only once, because a layer
/// can have many hard links to a file.
const READ_ONCE: i64 = 64 << 10;

/// The digests of large files with several names, by device, inode, and whether they cover only
/// data.
type Linked = Mutex<HashMap<(u64, u64, bool), Digest>>;

/// A function that returns whether the digest of the file at a path covers only data.
type ByData<'a> = &'a (dyn Fn(&str, &FileStat) -> bool + Sync);

/// The names of the fields before the path, for messages.
const FIELDS: [&str; 7] =
    ["type or mode", "number of links", "owner", "group", "time", "size", "content or attributes"];

/// The escaped path of a file, and its fields.
type Line = (String, String);

/// The digests of files that were just written into a tree, by inode, so that the files need not be
/// read again.
#[derive(Debug, Default)]
pub struct Contents {
    digests: HashMap<u64, Digest>,
    /// The path prefix of these files. Other files may have inodes that were reused.
    below: &'static [u8],
}

impl Contents {
    /// Remembers the digest of a new file, or forgets the inode if the digest is unknown, because
    /// inodes are reused.
    pub fn note(&mut self, inode: u64, digest: Option<Digest>) {
        match digest {
            Some(digest) if self.digests.len() < MAX_CONTENTS => self.digests.insert(inode, digest),
            _ => self.digests.remove(&inode),
        };
    }

    /// Records that the files were moved below `path`.
    pub fn moved_below(&mut self, path: &'static [u8]) {
        self.below = path;
    }

    fn of(&self, found: &Found) -> Option<&Digest> {
        let ours = kind_of(&found.stat) == SFlag::S_IFREG && found.path.starts_with(self.below);
        self.digests.get(&found.stat.st_ino).filter(|_| ours)
    }
}

/// Writes the lines of a tree, except for the path `left_out`, which may be changed later. The
/// contents of the files must not have changed since `contents` were noted.
///
/// # Errors
/// Returns an error if the tree cannot be read, or if `out` cannot be written.
pub fn write(tree: &Tree, left_out: &[u8], contents: &Contents, out: &mut dyn Write) -> Result<()> {
    walk(tree, left_out, contents, &|_, stat| sparse::has_holes(stat), &mut |(path, fields)| {
        writeln!(out, "{fields} {path}").context("writing the list of files")
    })
}

/// Compares a tree with the lines that were written for it. Returns the differences.
///
/// # Errors
/// Returns an error if the tree or the lines cannot be read.
pub fn compare(tree: &Tree, left_out: &[u8], known: impl BufRead) -> Result<Vec<String>> {
    let mut missing = BTreeMap::new();
    let mut by_data = HashSet::new();
    for line in known.lines() {
        let line = line.context("reading the list of files")?;
        let Some((end, _)) = line.match_indices(' ').nth(FIELDS.len() - 1) else {
            bail!("the list of files is damaged")
        };
        let (fields, path) = line.split_at(end);
        let path = path.trim_start_matches(' ').to_owned();
        if fields.rsplit(' ').next().is_some_and(|digest| digest.starts_with(sparse::MARK)) {
            by_data.insert(path.clone());
        }
        missing.insert(path, fields.to_owned());
    }
    let mut problems = Vec::new();
    let by_data = |path: &str, _: &FileStat| by_data.contains(path);
    walk(tree, left_out, &Contents::default(), &by_data, &mut |(path, fields)| {
        match missing.remove(&path) {
            None => problems.push(format!("`{path}` was added")),
            Some(known) if known != fields => {
                let pairs = known.split(' ').zip(fields.split(' ')).zip(FIELDS);
                let changed: Vec<&str> = pairs.filter(|((a, b), _)| a != b).map(|(_, name)| name).collect();
                problems.push(format!("`{path}` was changed ({})", changed.join(", ")));
            }
            Some(_) => {}
        }
        Ok(())
    })?;
    problems.extend(missing.into_keys().map(|path| format!("`{path}` is missing")));
    Ok(problems)
}

/// A file that was found but not read yet.
struct Found {
    dir: Arc<OwnedFd>,
    name: Vec<u8>,
    path: Vec<u8>,
    stat: FileStat,
}

/// Walks through a tree. Each directory is opened by its path, because a tree may be deeper than
/// the limit on open descriptors.
fn walk(
    tree: &Tree,
    left_out: &[u8],
    contents: &Contents,
    by_data: ByData<'_>,
    take: &mut dyn FnMut(Line) -> Result<()>,
) -> Result<()> {
    let linked = Linked::default();
    let mut pending = vec![Vec::new()];
    let mut batch = Vec::new();
    while let Some(path) = pending.pop() {
        let dir = tree.open_dir(&path).with_context(|| format!("opening `{}`", path.escape_ascii()))?;
        let dir = Arc::new(dir);
        let mut names = tree::names(&dir)?;
        names.sort_unstable();
        let mut below = Vec::new();
        for name in names {
            let mut full = path.clone();
            if !full.is_empty() {
                full.push(b'/');
            }
            full.extend_from_slice(&name);
            if full == left_out {
                continue;
            }
            let Some(stat) = lookup(&dir, &name)? else { continue };
            if is_dir(&stat) {
                below.push(full.clone());
            }
            batch.push(Found { dir: Arc::clone(&dir), name, path: full, stat });
            if batch.len() >= BATCH {
                read(&mut batch, contents, by_data, &linked, take)?;
            }
        }
        pending.extend(below.into_iter().rev());
    }
    read(&mut batch, contents, by_data, &linked, take)
}

/// Reads the files of a batch in two threads.
fn read(
    batch: &mut Vec<Found>,
    contents: &Contents,
    by_data: ByData<'_>,
    linked: &Linked,
    take: &mut dyn FnMut(Line) -> Result<()>,
) -> Result<()> {
    let lines = halves(batch, |part| {
        let mut buffer = vec![0; 128 << 10];
        let line = |found: &Found| {
            let path = found.path.escape_ascii().to_string();
            let by_data = kind_of(&found.stat) == SFlag::S_IFREG && by_data(&path, &found.stat);
            let fields = fields(found, contents, by_data, linked, &mut buffer);
            fields.with_context(|| format!("reading `{path}`")).map(|fields| (path, fields))
        };
        part.iter().map(line).collect()
    });
    batch.clear();
    lines.into_iter().try_for_each(|line| take(line?))
}

fn fields(found: &Found, contents: &Contents, by_data: bool, linked: &Linked, buffer: &mut [u8]) -> Result<String> {
    let Found { dir, name, stat, .. } = found;
    let kind = kind_of(stat);
    let known = contents.of(found).filter(|_| plain(dir, name));
    let mark = if by_data && known.is_none() { sparse::MARK } else { "" };
    let digest = match known {
        Some(digest) => digest.clone(),
        _ if kind == SFlag::S_IFREG && stat.st_nlink > 1 && stat.st_size >= READ_ONCE => {
            let key = (stat.st_dev, stat.st_ino, by_data);
            // The map has only finished digests, so it is consistent even if a thread has panicked.
            let known = linked.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
            if let Some(digest) = known {
                digest
            } else {
                let digest = digest(dir, name, kind, by_data, buffer)?;
                linked.lock().unwrap_or_else(PoisonError::into_inner).insert(key, digest.clone());
                digest
            }
        }
        _ => digest(dir, name, kind, by_data, buffer)?,
    };
    // The size and the number of links of a directory depend on the file system.
    let size = match kind {
        SFlag::S_IFDIR => "-".to_owned(),
        SFlag::S_IFCHR | SFlag::S_IFBLK => format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev)),
        _ => stat.st_size.to_string(),
    };
    // The number of links of a whiteout is ignored as well, because overlayfs merges whiteouts into
    // one file.
    let whiteout = kind == SFlag::S_IFCHR && stat.st_rdev == 0;
    let links = if kind == SFlag::S_IFDIR || whiteout { 0 } else { stat.st_nlink };
    let (mode, uid, gid) = (stat.st_mode, stat.st_uid, stat.st_gid);
    Ok(format!("{mode:o} {links} {uid} {gid} {}.{} {size} {mark}{}", stat.st_mtime, stat.st_mtime_nsec, digest.hex()))
}

/// Whether a file has no attributes that are part of the digest.
fn plain(dir: &OwnedFd, name: &[u8]) -> bool {
    let path = proc_path(dir.as_fd()).join(OsStr::from_bytes(name));
    xattr::list(&path).into_iter().flatten().all(|attribute| !counts(attribute.as_bytes()))
}

/// Whether an attribute is part of the digest. Of the attributes of overlayfs, only the one that
/// hides lower directories matters.
fn counts(attribute: &[u8]) -> bool {
    !is_foreign(attribute) || attribute == b"trusted.overlay.opaque"
}

fn digest(dir: &OwnedFd, name: &[u8], kind: SFlag, by_data: bool, buffer: &mut [u8]) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let file = match kind {
        SFlag::S_IFREG => open_regular(dir, name)?,
        _ => File::from(open_nofollow(dir, name, OFlag::O_PATH)?),
    };
    if by_data {
        sparse::add(&file, &mut hasher, buffer)?;
    } else if kind == SFlag::S_IFREG {
        loop {
            match (&file).read(buffer)? {
                0 => break,
                read => hasher.update(buffer.get(..read).unwrap_or_default()),
            }
        }
    } else if kind == SFlag::S_IFLNK {
        hasher.update(readlinkat(dir, tree::name(name)?.as_c_str())?.as_bytes());
    }
    let path = proc_path(file.as_fd());
    // A file system without extended attributes has none that could have changed.
    let mut attributes: Vec<_> = xattr::list_deref(&path).into_iter().flatten().collect();
    attributes.sort_unstable();
    for attribute in attributes.iter().filter(|attribute| counts(attribute.as_bytes())) {
        let value = xattr::get_deref(&path, attribute as &OsStr)?.unwrap_or_default();
        for part in [attribute.as_bytes(), &value] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn every_change_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("d/e")).unwrap();
        for path in ["a b", "d/content", "d/mode", "d/gone", "d/linked", "d/replaced", "own"] {
            fs::write(at(path), "x").unwrap();
        }
        symlink("there", at("d/link")).unwrap();
        fs::write(dir.path().join(OsStr::from_bytes(b"\xff\n")), "x").unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let mut known = Vec::new();
        write(&tree, b"own", &Contents::default(), &mut known).unwrap();
        let compare = || compare(&tree, b"own", known.as_slice()).unwrap();
        fs::write(at("own"), "edited").unwrap();
        assert!(compare().is_empty());

        let time = fs::metadata(at("d")).unwrap().modified().unwrap();
        let content = fs::File::options().write(true).open(at("d/content")).unwrap();
        (&content).write_all(b"y").unwrap();
        content.set_modified(fs::metadata(at("d/mode")).unwrap().modified().unwrap()).unwrap();
        fs::set_permissions(at("d/mode"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::remove_file(at("d/gone")).unwrap();
        fs::hard_link(at("d/linked"), at("d/new")).unwrap();
        fs::remove_file(at("d/replaced")).unwrap();
        fs::create_dir(at("d/replaced")).unwrap();
        fs::remove_file(at("d/link")).unwrap();
        symlink("where", at("d/link")).unwrap();
        fs::File::open(at("d")).unwrap().set_modified(time).unwrap();
        let found = compare().join("\n");
        for want in [
            "`d/mode` was changed (type or mode)",
            "`d/linked` was changed (number of links)",
            "`d/new` was added",
            "`d/gone` is missing",
            "`d/replaced` was changed (type or mode, ",
        ] {
            assert!(found.contains(want), "{want}: {found}");
        }
        for path in ["d/content", "d/link"] {
            let line = found.lines().find(|line| line.starts_with(&format!("`{path}` "))).unwrap();
            assert!(line.ends_with("content or attributes)"), "{line}");
        }
        assert_eq!(found.lines().count(), 7, "{found}");
        assert!(super::compare(&tree, b"", &b"100644 1\n"[..]).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn a_large_file_with_many_names_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create(dir.path().join("0")).unwrap();
        // The test would take minutes if the file were read for each name. The file has no holes.
        let zeros = vec![0; 64 << 20];
        (&file).write_all(&zeros).unwrap();
        for name in 1..=100 {
            fs::hard_link(dir.path().join("0"), dir.path().join(name.to_string())).unwrap();
        }
        let tree = Tree::open(dir.path()).unwrap();
        let mut known = Vec::new();
        write(&tree, b"", &Contents::default(), &mut known).unwrap();
        (&file).write_all(b"x").unwrap();
        assert_eq!(compare(&tree, b"", known.as_slice()).unwrap().len(), 101);
    }

    /// The digest does not depend on how the file system represents the holes.
    #[test]
    fn a_file_with_holes_is_identified_by_its_data() {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::File::create(dir.path().join("a b")).unwrap();
        file.set_len(1 << 40).unwrap();
        file.write_all_at(b"x", 1 << 30).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let mut known = Vec::new();
        write(&tree, b"", &Contents::default(), &mut known).unwrap();
        assert!(String::from_utf8(known.clone()).unwrap().contains(" data:"));
        let compare = || compare(&tree, b"", known.as_slice()).unwrap();
        file.write_all_at(&[0; 5000], 77).unwrap();
        file.set_modified(time).unwrap();
        assert!(compare().is_empty(), "{:?}", compare());
        file.write_all_at(b"y", 1 << 39).unwrap();
        file.set_modified(time).unwrap();
        assert_eq!(compare(), ["`a b` was changed (content or attributes)"]);
    }
}
