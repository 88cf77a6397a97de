// SPDX-License-Identifier: MIT
//! Prepares volumes and other mounts before a container starts: directories, their first content
//! and their owner. The image is read within its root only, and the content of a volume in use is
//! never changed.
//!
//! A running container may have a volume mounted and change the volume's content at any time. So
//! the lock and the record of an unfinished copy are outside of the volume, and a new volume gets
//! its name when its content is complete.

pub mod mounted;
pub mod snapshots;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::{Group, User, fsync, syncfs};

use crate::diag::Fault;
use crate::model::{Account, Model, Mount, Owner, Placed, What};
use crate::paths::{STATE, volume};
use crate::rootdir::copy::copy_directory;
use crate::rootdir::tree::{self, Tree};

/// The directory next to the volumes that no container can reach. The name of a volume cannot begin
/// with a dot.
const PRIVATE: &str = ".state";

/// The file inside of a volume by which version 0.1 marked an unfinished copy.
const OLD_MARKER: &str = ".sdme-copy-up";

/// Prepares the source of a mount. `root` is the root directory of the image that `placed` belongs
/// to.
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

/// Checks a path of the host, without making it: a directory that appears because of a misspelt
/// name, or before its disk is mounted, does more harm than a container that does not start.
fn host_path(path: &str) -> Result<()> {
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            bail!(Fault::new(
                format!("there is no {path} on this host"),
                "make it, or name a volume, which is made when it is missing"
            ))
        }
        other => other.map(drop).with_context(|| format!("cannot look at {path}")),
    }
}

/// The paths that belong to one volume.
struct Paths {
    /// The volume itself.
    volume: PathBuf,
    /// Locked while a container's start prepares the volume. A lock on the volume could be held by
    /// a container.
    lock: PathBuf,
    /// A new volume, until its first content is complete.
    staged: PathBuf,
    /// A file that identifies the directory that is being filled with its first content in place.
    unfinished: PathBuf,
}

impl Paths {
    fn of(name: &str) -> Result<Self> {
        let of = |kind| private(kind).map(|directory| directory.join(name));
        let (lock, staged, unfinished) = (of("locks")?, of("new")?, of("unfinished")?);
        Ok(Self { volume: PathBuf::from(volume(name)), lock, staged, unfinished })
    }
}

/// Makes the directory `kind` for entries with the names of volumes, at a path that no container
/// can reach.
pub(super) fn private(kind: &str) -> Result<PathBuf> {
    let above = Path::new(STATE).join("volumes");
    let private = above.join(PRIVATE);
    let directory = private.join(kind);
    for directory in [Path::new(STATE), &above, &private, &directory] {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            other => other.with_context(|| format!("cannot make {}", directory.display()))?,
        }
    }
    Ok(directory)
}

/// Waits until no other start prepares the volume. Other starts wait as long as the returned lock
/// lives.
pub(super) fn lock(name: &str) -> Result<Flock<File>> {
    let path = Paths::of(name)?.lock;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
    let locked = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error);
    locked.with_context(|| format!("cannot lock {}", path.display()))
}

fn named(name: &str, mount: &Mount, root: &Tree, model: &Model) -> Result<()> {
    let paths = Paths::of(name)?;
    // Two containers that share a new volume may start at the same time.
    let _lock = lock(name)?;
    let owner = model.volumes.get(name).map(|v| &v.owner);
    let fill = |directory: &File| -> Result<()> {
        if mount.options.copy
            && let Some(origin) = origin(mount, root)?
        {
            copy_directory(&origin, directory).context("cannot copy the image's directory")?;
        }
        owner.map_or(Ok(()), |owner| own(directory, owner))
    };
    match fs::symlink_metadata(&paths.volume) {
        Err(e) if e.kind() == ErrorKind::NotFound => make(&paths, fill),
        other => {
            other.with_context(|| format!("cannot look at {}", paths.volume.display()))?;
            fill_in_place(&paths, fill)
        }
    }
}

/// The image's directory at the target of the volume, if there is one.
fn origin(mount: &Mount, root: &Tree) -> Result<Option<File>> {
    match root.open_at(mount.target.as_bytes(), OFlag::O_DIRECTORY | OFlag::O_RDONLY) {
        Ok(origin) => Ok(Some(File::from(origin))),
        Err(e) if matches!(Errno::from_raw(e.raw_os_error().unwrap_or_default()), Errno::ENOENT | Errno::ENOTDIR) => {
            Ok(None)
        }
        Err(e) => Err(e).context("cannot look at the image's directory"),
    }
}

/// Makes a volume that does not exist. The volume gets its name when its content is complete, so an
/// interruption leaves no volume.
fn make(paths: &Paths, fill: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    forget(&paths.unfinished)?;
    let (Some(above), Some(name)) = (paths.staged.parent(), paths.staged.file_name()) else {
        bail!("{} has no parent directory", paths.staged.display());
    };
    let above = Tree::open(above).with_context(|| format!("cannot open {}", above.display()))?;
    tree::remove(above.root(), name.as_encoded_bytes()).context("cannot remove an interrupted copy")?;
    DirBuilder::new().mode(0o755).create(&paths.staged)?;
    let directory = File::open(&paths.staged)?;
    // mkdir(2) applies the umask.
    directory.set_permissions(Permissions::from_mode(0o755))?;
    fill(&directory)?;
    syncfs(&directory)?;
    fs::rename(&paths.staged, &paths.volume).with_context(|| format!("cannot make {}", paths.volume.display()))
}

/// Fills an existing volume with its first content if it is empty or if an earlier attempt was
/// interrupted. A running container may change the volume at the same time.
fn fill_in_place(paths: &Paths, fill: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    // The administrator may have made the volume a symbolic link, which is followed. Containers
    // cannot change this name.
    let shown = paths.volume.display();
    let directory = OpenOptions::new().read(true).custom_flags(nix::libc::O_DIRECTORY).open(&paths.volume);
    let directory = directory.with_context(|| format!("cannot open {shown}"))?;
    let identity = identity(&directory)?;
    let interrupted = match fs::read_to_string(&paths.unfinished) {
        Err(e) if e.kind() == ErrorKind::NotFound => false,
        // If the identity differs, the administrator has replaced the directory, and its content
        // must stay.
        other => other.with_context(|| format!("cannot read {}", paths.unfinished.display()))? == identity,
    };
    if interrupted {
        for entry in tree::names(&directory)?.iter().filter(|entry| *entry != b"lost+found") {
            tree::remove(&directory, entry).context("cannot remove an interrupted copy")?;
        }
    } else if !tree::is_empty(&directory)? {
        if tree::lookup(&directory, OLD_MARKER.as_bytes())?.is_some() {
            eprintln!(
                "<4>{shown}/{OLD_MARKER} exists: version 0.1 of sdme-gen may have been interrupted while it copied the image's \
                 files; remove the volume's content to have the files copied again, or remove {OLD_MARKER}"
            );
        }
        return forget(&paths.unfinished);
    }
    let record = || -> io::Result<()> {
        let mut marker = File::create(&paths.unfinished)?;
        marker.write_all(identity.as_bytes())?;
        marker.sync_all()?;
        paths.unfinished.parent().map_or(Ok(()), |above| Ok(fsync(File::open(above)?)?))
    };
    record().with_context(|| format!("cannot write {}", paths.unfinished.display()))?;
    fill(&directory)?;
    syncfs(&directory)?;
    forget(&paths.unfinished)
}

/// Distinguishes a directory from another one that is made later at the same path: the inode number
/// and the time of birth in seconds, as in `stat -c '%i %W'`. Inode numbers alone can be reused.
fn identity(directory: &File) -> io::Result<String> {
    let metadata = directory.metadata()?;
    let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(format!("{} {}\n", metadata.ino(), born.map_or(0, |time| time.as_secs())))
}

fn forget(unfinished: &Path) -> Result<()> {
    match fs::remove_file(unfinished) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("cannot remove {}", unfinished.display())),
    }
}

fn own(directory: &File, owner: &Owner) -> Result<()> {
    let user = match &owner.user {
        None => None,
        Some(Account::Id(id)) => Some(*id),
        Some(Account::Name(name)) => match User::from_name(name)? {
            Some(user) => Some(user.uid.as_raw()),
            None => bail!(Fault::new(format!("there is no user {name} on this host"), "write its number")),
        },
    };
    let group = match &owner.group {
        None => None,
        Some(Account::Id(id)) => Some(*id),
        Some(Account::Name(name)) => match Group::from_name(name)? {
            Some(group) => Some(group.gid.as_raw()),
            None => bail!(Fault::new(format!("there is no group {name} on this host"), "write its number")),
        },
    };
    fchown(directory, user, group).context("cannot change its owner")
}
