// SPDX-License-Identifier: MIT
//! The hosts files of containers that find each other by name. A container is registered when it
//! starts and removed when it stops. The same process updates the files of all other containers, so
//! that no daemon is needed.
//!
//! A file is written in place, because it is mounted into its container, where it is read-only.
//! This program never reads the files.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::model::{Container, Model};
use crate::paths::{NAMES, hosts};
use crate::plan::{self, Entry};

/// Locks the directory while registrations and files change.
fn lock() -> Result<Flock<File>> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(NAMES).with_context(|| format!("cannot make {NAMES}"))?;
    let directory = File::open(NAMES).with_context(|| format!("cannot open {NAMES}"))?;
    Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, e)| e).with_context(|| format!("cannot lock {NAMES}"))
}

fn place(container: &str) -> PathBuf {
    Path::new(NAMES).join(container)
}

/// All registered containers, sorted by name. An entry that cannot be parsed is from another
/// version of this program and is ignored.
fn all() -> Vec<Entry> {
    let files = fs::read_dir(NAMES).into_iter().flatten().flatten().map(|file| file.path());
    let text = files.filter_map(|path| fs::read_to_string(path).ok());
    let mut all: Vec<Entry> = text.filter_map(|text| serde_json::from_str(&text).ok()).collect();
    all.sort_by(|a, b| a.container.cmp(&b.container));
    all
}

/// Registers a container that is being started, if it finds others by name, and makes its hosts
/// file. The file belongs to `root`, the user and group ID that the container's root has on the
/// host.
///
/// # Errors
/// Another running container has one of its addresses, or a file cannot be written.
pub fn register(container: &Container, model: &Model, root: u32) -> Result<()> {
    if plan::is_shared(container, model) { enter(&plan::entry(container, model), root) } else { Ok(()) }
}

fn enter(entry: &Entry, root: u32) -> Result<()> {
    let _lock = lock()?;
    let before = all();
    for network in &entry.networks {
        let taken = before.iter().filter(|other| other.pod != entry.pod).find_map(|other| {
            let theirs = other.networks.iter().find(|theirs| theirs.network == network.network)?;
            let address = theirs.addresses.iter().find(|address| network.addresses.contains(address))?;
            Some((other, address))
        });
        if let Some((other, address)) = taken {
            bail!(
                "{} runs with the address {address} in the network {}, which belongs to this container by now; restart {}",
                other.container,
                network.network,
                other.container
            );
        }
    }
    let (path, text) = (place(&entry.container), serde_json::to_string(entry).context("cannot write down the names")?);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    // Each start makes a new file, because the file of an earlier start may still be mounted.
    let own = hosts(&entry.container);
    match fs::remove_file(&own) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {own}"));
        }
        _ => {}
    }
    let file = OpenOptions::new().create_new(true).write(true).mode(0o644).open(&own);
    let file = file.with_context(|| format!("cannot make {own}"))?;
    file.set_permissions(fs::Permissions::from_mode(0o644)).with_context(|| format!("cannot make {own}"))?;
    // An owner outside of the container's ID range would appear as nobody in the container.
    fchown(&file, Some(root), Some(root)).with_context(|| format!("cannot make {own}"))?;
    update(entry)
}

/// Removes the registration of a container that has stopped.
///
/// # Errors
/// A file cannot be written.
pub fn unregister(container: &str) -> Result<()> {
    if !place(container).exists() {
        return Ok(());
    }
    let _lock = lock()?;
    let path = place(container);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    serde_json::from_str(&text).map_or(Ok(()), |entry: Entry| update(&entry))
}

/// Writes the hosts files of all containers that share a pod or a network with a container that has
/// started or stopped.
fn update(changed: &Entry) -> Result<()> {
    let all = all();
    let concerns = |other: &&Entry| {
        let shares = |network: &plan::Connected| changed.networks.iter().any(|own| own.network == network.network);
        (other.pod.is_some() && other.pod == changed.pod) || other.networks.iter().any(shares)
    };
    for entry in all.iter().filter(concerns) {
        write(&hosts(&entry.container), &plan::hosts(entry, &all))?;
    }
    Ok(())
}

/// Writes a hosts file in place. A reader never sees a file that lacks a part of the new text: the
/// same write that stores the new text overwrites the rest of the old one with newlines, and then
/// the file is truncated.
fn write(path: &str, text: &str) -> Result<()> {
    let opened = OpenOptions::new().write(true).custom_flags(nix::libc::O_NOFOLLOW).open(path);
    let mut file = match opened {
        Ok(file) => file,
        // The container is being stopped.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot open {path}")),
    };
    let length = usize::try_from(file.metadata().map_or(0, |metadata| metadata.len())).unwrap_or_default();
    // The limit of 1 MiB is far above the size of a hosts file, so that a file which another
    // program has enlarged does not use up memory.
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(bytes.len().max(length.min(1 << 20)), b'\n');
    file.write_all(&bytes).with_context(|| format!("cannot write {path}"))?;
    file.set_len(text.len() as u64).with_context(|| format!("cannot write {path}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_file_is_written_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        fs::write(&path, "long text of another time\n").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        for text in ["127.0.0.1 a\n", "127.0.0.1 a\n10.0.0.2 b\n"] {
            write(path.to_str().unwrap(), text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        write(dir.path().join("gone").to_str().unwrap(), "").unwrap();
    }
}
