// SPDX-License-Identifier: MIT
//! Directories that every root needs. If an image lacks one, the service manager would make it in
//! the application's upper layer; so the configuration layer contains it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::rootdir::tree::Tree;

/// Directories that systemd makes in a `RootDirectory=` or mounts there for `MountAPIVFS=`.
const DIRECTORIES: [(&str, u32); 7] =
    [("dev", 0o755), ("proc", 0o555), ("root", 0o700), ("run", 0o755), ("sys", 0o555), ("usr", 0o755), ("var", 0o755)];

/// Makes in `layer` the directories that the image with the root directory `root` lacks.
///
/// # Errors
/// A directory cannot be made.
pub fn complete(root: &Tree, layer: &Path) -> Result<()> {
    for (name, mode) in DIRECTORIES {
        if !root.is_directory(name.as_bytes()) {
            make(&layer.join(name), mode).with_context(|| format!("cannot make {}", layer.join(name).display()))?;
        }
    }
    Ok(())
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        // The mode is set here because mkdir(2) applies the umask.
        other => other.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode))),
    }
}
