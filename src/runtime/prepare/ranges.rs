// SPDX-License-Identifier: MIT
//! Ranges of user and group IDs on this host: which container has which range, and how files are
//! moved to another range. The owner of a container's own files is the only record of its range.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use walkdir::WalkDir;

use crate::paths::{STATE, app_part, container_state};
use crate::resolve::container::userns::{SIZE, range_of};

/// The first ID of the range of each container that has one, from the owners of the upper
/// directories below `root`.
///
/// # Errors
/// A directory cannot be read.
pub fn taken(root: &Path) -> Result<BTreeMap<String, u32>> {
    let directory = root.join(STATE.trim_start_matches('/')).join("containers");
    let entries = match fs::read_dir(&directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    let mut out = BTreeMap::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", directory.display()))?;
        let owner = fs::symlink_metadata(entry.path().join("upper")).map_or(0, |upper| upper.uid());
        if let (first @ 1.., Ok(name)) = (range_of(owner), entry.file_name().into_string()) {
            out.insert(name, first);
        }
    }
    Ok(out)
}

/// Takes the lock that a process holds from reading the ranges in use until its new range is
/// visible to other processes.
///
/// # Errors
/// The state directory cannot be made or locked.
pub fn lock() -> Result<Flock<fs::File>> {
    let directory = Path::new(STATE).join("containers");
    // Upper layers can contain setuid programs of the containers, which users of the host must not
    // be able to run.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).context("cannot make the state directory")?;
    let file = fs::File::open(&directory).context("cannot open the state directory")?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).context("cannot lock the state directory")
}

/// Refuses directory trees whose owners the kernel cannot map. systemd-nspawn would start without
/// the mapping, or fail without an explanation.
///
/// # Errors
/// A tree is on an overlay file system, or cannot be examined.
pub fn check_mappable<'a>(trees: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    for tree in trees {
        let what = statfs(tree).with_context(|| format!("cannot look at {}", tree.display()))?;
        if what.filesystem_type() == OVERLAYFS_SUPER_MAGIC {
            bail!(
                "{} is on an overlay file system, where the kernel does not map owners: there can be no user namespace; \
                 write UserNS=no, or have it on another file system",
                tree.display()
            );
        }
    }
    Ok(())
}

/// Moves the IDs of all files in `tree` to the range that begins with `first`: owners, access
/// control lists and file capabilities. The directory itself is changed last, so that an
/// interrupted call is noticed and can be repeated.
///
/// # Errors
/// A file cannot be changed.
pub fn give(tree: &Path, first: u32) -> Result<()> {
    for entry in WalkDir::new(tree).contents_first(true) {
        let entry = entry.with_context(|| format!("cannot read {}", tree.display()))?;
        give_one(entry.path(), first)
            .with_context(|| format!("cannot change the owner of {}", entry.path().display()))?;
    }
    Ok(())
}

fn give_one(path: &Path, first: u32) -> io::Result<()> {
    let known = fs::symlink_metadata(path)?;
    let [uid, gid] = [known.uid(), known.gid()].map(|id| first + id % SIZE);
    if (uid, gid) == (known.uid(), known.gid()) {
        return Ok(());
    }
    if known.is_symlink() {
        return lchown(path, Some(uid), Some(gid));
    }
    let mut rewritten = Vec::new();
    for (name, moved) in [
        ("security.capability", moved_capability as fn(&[u8], u32) -> Option<Vec<u8>>),
        ("system.posix_acl_access", moved_acl),
        ("system.posix_acl_default", moved_acl),
    ] {
        let value = xattr::get(path, name).ok().flatten().and_then(|value| moved(&value, first));
        rewritten.extend(value.map(|value| (name, value)));
    }
    // lchown(2) removes setuid bits and file capabilities.
    lchown(path, Some(uid), Some(gid))?;
    fs::set_permissions(path, fs::Permissions::from_mode(known.mode() & 0o7777))?;
    rewritten.iter().try_for_each(|(name, value)| xattr::set(path, name, value))
}

/// File capabilities for the root user of the range (linux/capability.h): revision 3 contains the
/// ID of that user, revision 2 means the host's root.
fn moved_capability(value: &[u8], first: u32) -> Option<Vec<u8>> {
    const REVISION: u32 = 0xff00_0000;
    let (magic, rest) = value.split_first_chunk::<4>()?;
    let sets = rest.get(..16)?;
    let root = rest.get(16..20).and_then(|root| root.try_into().ok()).map_or(0, u32::from_le_bytes);
    let flags = u32::from_le_bytes(*magic) & !REVISION;
    let root = first + root % SIZE;
    let (revision, root) = if root == 0 { (2 << 24, Vec::new()) } else { (3 << 24, root.to_le_bytes().to_vec()) };
    Some([&(revision | flags).to_le_bytes(), sets, &root].concat())
}

/// An access control list (`linux/posix_acl_xattr.h`): a header of four bytes, then tag,
/// permissions and ID of each entry.
fn moved_acl(value: &[u8], first: u32) -> Option<Vec<u8>> {
    const NAMED: [u16; 2] = [0x02, 0x08];
    let (header, entries) = value.split_at_checked(4)?;
    let mut out = header.to_vec();
    for entry in entries.chunks_exact(8) {
        let (head, id) = entry.split_at_checked(4)?;
        let tag = u16::from_le_bytes(head.first_chunk::<2>().copied()?);
        let id = u32::from_le_bytes(id.try_into().ok()?);
        out.extend(head);
        out.extend(if NAMED.contains(&tag) { first + id % SIZE } else { id }.to_le_bytes());
    }
    Some(out)
}

/// Makes a directory of a container's state that belongs to the container's root.
///
/// # Errors
/// The directory cannot be made, or the owners of its files cannot be changed.
pub fn make(path: &Path, first: u32) -> Result<()> {
    // The mode of the upper directory becomes the mode of the container's root directory.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    let owner = fs::symlink_metadata(path).with_context(|| format!("cannot read {}", path.display()))?.uid();
    if range_of(owner) == first { Ok(()) } else { give(path, first) }
}

/// Makes the directories of a container's upper layers: its own, and those of its additional
/// applications. `first` is the first ID of the container's range, or 0 without a user namespace.
///
/// # Errors
/// As for [`make`].
pub fn make_upper<'a>(container: &str, additional: impl Iterator<Item = &'a str>, first: u32) -> Result<()> {
    let own = container_state(container);
    for state in additional.map(|app| app_part(&own, app)).chain([own.clone()]) {
        for part in ["upper", "work"] {
            make(&Path::new(&state).join(part), first)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_names_users_moves_along() {
        let (plain, named) = ([0, 0, 0, 2], [1, 0, 0, 3]);
        let sets = [7; 16];
        let host = [plain.as_slice(), &sets].concat();
        let inside = moved_capability(&host, 0x8_0000).unwrap();
        assert_eq!(inside, [[0, 0, 0, 3].as_slice(), &sets, &[0, 0, 8, 0]].concat());
        assert_eq!(moved_capability(&inside, 0).unwrap(), host);
        let effective = [named.as_slice(), &sets, &[5, 0, 8, 0]].concat();
        assert_eq!(moved_capability(&effective, 0x9_0000).unwrap(), [&named[..], &sets, &[5, 0, 9, 0]].concat());
        assert_eq!(moved_capability(&[1, 2], 0), None);

        let acl = |user: u32| {
            let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &[6, 0], &id.to_le_bytes()].concat();
            [&[2, 0, 0, 0][..], &entry(1, u32::MAX), &entry(2, user), &entry(8, user + 1)].concat()
        };
        assert_eq!(moved_acl(&acl(33), 0x8_0000).unwrap(), acl(0x8_0000 + 33));
    }
}
