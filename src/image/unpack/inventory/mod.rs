// SPDX-License-Identifier: MIT
//! What an imported tree holds, file by file: written down when it is imported, compared when it is verified.
//!
//! One line for each file: type and mode, links, owner, group, time, size or device, digest, path. The digest covers the
//! content or the target of a link, and the extended attributes. Of a file with holes it covers the data only, and says so.
//! Must not change anything.

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

use super::extract::foreign;
use crate::halves::halves;
use crate::image::store::digest::{Digest, Hasher};
use crate::rootdir::tree::{self, Tree, is_dir, kind_of, lookup, open_nofollow, proc_path};

/// Files that are found before they are read, each with the descriptor of its directory.
const BATCH: usize = 256;

/// Files whose content is remembered: a few megabytes.
const MAX_CONTENTS: usize = 1 << 16;

/// From this size on, a file with several names is read once and not once for each of them: hard links are free in a layer.
const READ_ONCE: i64 = 64 << 10;

/// Digests of large files with several names, by device, inode and whether they are by data.
type Linked = Mutex<HashMap<(u64, u64, bool), Digest>>;

/// Whether the digest of a file, known by its path, is by data.
type ByData<'a> = &'a (dyn Fn(&str, &FileStat) -> bool + Sync);

/// The fields before the path, for messages.
const FIELDS: [&str; 7] =
    ["type or mode", "number of links", "owner", "group", "time", "size", "content or attributes"];

/// A path as it is written down, and the fields.
type Line = (String, String);

/// Digests of what has just been written into a tree, by inode, so that it need not be read again.
#[derive(Debug, Default)]
pub struct Contents {
    digests: HashMap<u64, Digest>,
    /// They are of files below this path; others may have inodes that were in use before.
    below: &'static [u8],
}

impl Contents {
    /// Remembers what a new file holds, if that is known. Inodes come again, and then with another content.
    pub fn note(&mut self, inode: u64, digest: Option<Digest>) {
        match digest {
            Some(digest) if self.digests.len() < MAX_CONTENTS => self.digests.insert(inode, digest),
            _ => self.digests.remove(&inode),
        };
    }

    /// The files are below `path` now.
    pub fn moved_below(&mut self, path: &'static [u8]) {
        self.below = path;
    }

    fn of(&self, found: &Found) -> Option<&Digest> {
        let ours = kind_of(&found.stat) == SFlag::S_IFREG && found.path.starts_with(self.below);
        self.digests.get(&found.stat.st_ino).filter(|_| ours)
    }
}

/// Writes the lines of a tree, but for `left_out`, a path that may be changed. Nobody may have changed the content of a file
/// in it since `contents` were noted.
///
/// # Errors
/// When the tree cannot be read or `out` cannot be written.
pub fn write(tree: &Tree, left_out: &[u8], contents: &Contents, out: &mut dyn Write) -> Result<()> {
    walk(tree, left_out, contents, &|_, stat| sparse::has_holes(stat), &mut |(path, fields)| {
        writeln!(out, "{fields} {path}").context("writing the list of files")
    })
}

/// Compares a tree with the lines that were written for it, and says what is different.
///
/// # Errors
/// When one of the two cannot be read.
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

/// What has been found and not been read yet.
struct Found {
    dir: Arc<OwnedFd>,
    name: Vec<u8>,
    path: Vec<u8>,
    stat: FileStat,
}

/// Directories are opened by their path each time: trees may be deeper than there are descriptors.
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

/// Reads what has been found, on both processors.
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
            // A map of finished digests is in order whatever happened to a thread that held it.
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
    // The size of a directory, and its links, are the file system's business.
    let size = match kind {
        SFlag::S_IFDIR => "-".to_owned(),
        SFlag::S_IFCHR | SFlag::S_IFBLK => format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev)),
        _ => stat.st_size.to_string(),
    };
    // Neither are the links of a whiteout: overlayfs makes one file of many.
    let whiteout = kind == SFlag::S_IFCHR && stat.st_rdev == 0;
    let links = if kind == SFlag::S_IFDIR || whiteout { 0 } else { stat.st_nlink };
    let (mode, uid, gid) = (stat.st_mode, stat.st_uid, stat.st_gid);
    Ok(format!("{mode:o} {links} {uid} {gid} {}.{} {size} {mark}{}", stat.st_mtime, stat.st_mtime_nsec, digest.hex()))
}

/// Whether a file has no attributes that count.
fn plain(dir: &OwnedFd, name: &[u8]) -> bool {
    let path = proc_path(dir.as_fd()).join(OsStr::from_bytes(name));
    xattr::list(&path).into_iter().flatten().all(|attribute| !counts(attribute.as_bytes()))
}

/// Of what overlayfs keeps in attributes, that a directory hides what is below it matters.
fn counts(attribute: &[u8]) -> bool {
    !foreign(attribute) || attribute == b"trusted.overlay.opaque"
}

fn digest(dir: &OwnedFd, name: &[u8], kind: SFlag, by_data: bool, buffer: &mut [u8]) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let file = match kind {
        SFlag::S_IFREG => File::from(open_nofollow(dir, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?),
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
    // File systems that have none know no attributes to have been changed.
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
        // Reading it for each name would take minutes; it has no hole.
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

    /// Whatever the file system makes of its holes meanwhile.
    #[test]
    fn a_file_with_holes_is_known_by_its_data() {
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
