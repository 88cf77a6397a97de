// SPDX-License-Identifier: MIT
//! Volumes and other things to be mounted, made ready before a container starts: directories, their first content and
//! owner. What the image has is read in its root only; a volume that is in use is never changed.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, OFlag, fcntl};
use nix::unistd::{Group, User, syncfs};
use xattr::FileExt as _;

use crate::paths::{STATE, volume};
use crate::resolve::model::Model;
use crate::resolve::mounts::{Mount, Placed, What};
use crate::resolve::volume::{Account, Owner};
use crate::rootdir::tree::{self, Tree};

/// Is in a volume while it gets its first content. What is beside it then is not complete.
const UNFINISHED: &str = ".sdme-copy-up";

/// Makes ready what is mounted. `root` is the root of the image that `placed` is for.
///
/// # Errors
/// A path of the host is missing, or a volume cannot be made.
pub fn make_ready(placed: &Placed<'_>, root: &Tree, model: &Model) -> Result<()> {
    let mount = &placed.mount;
    match &mount.what {
        What::Host(path) => host_path(path),
        What::Volume(name) => {
            named(name, mount, root, model).with_context(|| format!("cannot prepare the volume {name}"))
        }
        What::Tmpfs(_) | What::Secret(_) => Ok(()),
    }
    .with_context(|| mount.at.as_ref().map_or_else(|| mount.target.clone(), ToString::to_string))
}

/// Nothing is made here: a directory that appears because somebody misspelt its name, or before the disk it is on, does
/// more harm than a container that does not start.
fn host_path(path: &str) -> Result<()> {
    match fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            bail!("there is no {path} on this host; make it, or name a volume, which is made when it is missing")
        }
        other => other.map(drop).with_context(|| format!("cannot look at {path}")),
    }
}

fn named(name: &str, mount: &Mount, root: &Tree, model: &Model) -> Result<()> {
    let path = PathBuf::from(volume(name));
    for (directory, mode) in [(Path::new(STATE), 0o700), (&Path::new(STATE).join("volumes"), 0o700), (&path, 0o755)] {
        match DirBuilder::new().mode(mode).create(directory) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other.with_context(|| format!("cannot make {}", directory.display()))?,
        }
    }
    let directory = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    // Two containers that share a new volume may start at once.
    let Ok(directory) = Flock::lock(directory, FlockArg::LockExclusive) else {
        bail!("cannot lock {}", path.display());
    };
    // A file system of its own has this from the start.
    let entries: Vec<_> = tree::names(&*directory)?.into_iter().filter(|e| e != b"lost+found").collect();
    let unfinished = entries.iter().any(|e| e == UNFINISHED.as_bytes());
    if !entries.is_empty() && !unfinished {
        return Ok(());
    }
    let (last, others): (Vec<_>, Vec<_>) = entries.iter().partition(|e| *e == UNFINISHED.as_bytes());
    for entry in others.into_iter().chain(last) {
        tree::remove(&*directory, entry).context("cannot remove what an interrupted copy left")?;
    }
    let origin = match root.open_at(mount.target.as_bytes(), OFlag::O_DIRECTORY | OFlag::O_RDONLY) {
        Ok(origin) => Some(File::from(origin)),
        Err(e) if matches!(Errno::from_raw(e.raw_os_error().unwrap_or_default()), Errno::ENOENT | Errno::ENOTDIR) => {
            None
        }
        Err(e) => return Err(e).context("cannot look at what the image has there"),
    };
    if let Some(origin) = origin.filter(|_| mount.options.copy) {
        copy(&origin, &path, &directory)?;
    }
    if let Some(owner) = model.volumes.get(name).map(|v| &v.owner) {
        own(&directory, owner)?;
    }
    Ok(())
}

/// Copies what is in `origin`, and gives the volume its owner, mode and attributes. An interruption at any point leaves
/// [`UNFINISHED`] behind, and the next start begins again.
fn copy(origin: &File, path: &Path, directory: &File) -> Result<()> {
    let unfinished = path.join(UNFINISHED);
    let content = unfinished.join("content");
    fs::create_dir(&unfinished).and_then(|()| fs::create_dir(&content)).context("cannot make a directory in it")?;
    // cp opens it by the name it has here.
    fcntl(origin, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let copied = Command::new("cp")
        .args(["-a", "--reflink=auto", "-T", "--"])
        .arg(format!("/proc/self/fd/{}/.", origin.as_raw_fd()))
        .arg(&content)
        .output()
        .context("cannot run cp")?;
    if !copied.status.success() {
        bail!("cannot copy what the image has there: {}", String::from_utf8_lossy(&copied.stderr).trim());
    }
    for entry in fs::read_dir(&content)? {
        let entry = entry?;
        fs::rename(entry.path(), path.join(entry.file_name()))?;
    }
    let metadata = origin.metadata()?;
    fchown(directory, Some(metadata.uid()), Some(metadata.gid()))?;
    // After the owner, a change of which takes bits away.
    directory.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
    for name in origin.list_xattr()? {
        if let Some(value) = origin.get_xattr(&name)? {
            // A file system without attributes of this kind does without, as cp does.
            let _ = directory.set_xattr(&name, &value);
        }
    }
    syncfs(directory)?;
    fs::remove_dir(&content).and_then(|()| fs::remove_dir(&unfinished)).context("cannot finish the copy")
}

fn own(directory: &File, owner: &Owner) -> Result<()> {
    let user = match &owner.user {
        None => None,
        Some(Account::Id(id)) => Some(*id),
        Some(Account::Name(name)) => match User::from_name(name)? {
            Some(user) => Some(user.uid.as_raw()),
            None => bail!("there is no user {name} on this host; write its number"),
        },
    };
    let group = match &owner.group {
        None => None,
        Some(Account::Id(id)) => Some(*id),
        Some(Account::Name(name)) => match Group::from_name(name)? {
            Some(group) => Some(group.gid.as_raw()),
            None => bail!("there is no group {name} on this host; write its number"),
        },
    };
    fchown(directory, user, group).context("cannot change its owner")
}
