// SPDX-License-Identifier: MIT
//! Writes a container's configuration layer below `/run`, at every start.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::tree::{Node, Place, Tree};

/// Writes the layer of `container` into `directory`, which must not exist. `/run` does not survive
/// a crash, so nothing is synced. The caller moves the directory to its place when it is complete.
///
/// # Errors
/// A file cannot be written.
pub fn write_layer(tree: &Tree, container: &str, directory: &Path) -> Result<()> {
    make_directory(directory)?;
    for (path, node) in tree.below(&Place::Layer(container.to_owned())) {
        let full = directory.join(path);
        make_parents(directory, path)?;
        match node {
            Node::File(content) => fs::write(&full, content).and_then(|()| mode(&full, 0o644)),
            Node::Private(content) => private(&full, content),
            Node::Link(target) => symlink(target, &full),
            Node::Opaque => make_directory(&full).and_then(|()| opaque(&full)),
        }
        .with_context(|| format!("cannot write {}", full.display()))?;
    }
    Ok(())
}

/// Writes a file that only its owner can read, also while it is written.
///
/// # Errors
/// The file exists already, or cannot be written.
pub fn private(path: &Path, content: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())
}

/// Makes the parent directories of a file. Every directory of a layer gets mode 0755 independent of
/// the umask, because it replaces the image's directory.
fn make_parents(directory: &Path, path: &str) -> Result<()> {
    let mut full = directory.to_owned();
    for part in Path::new(path).parent().into_iter().flatten() {
        full.push(part);
        make_directory(&full).with_context(|| format!("cannot make {}", full.display()))?;
    }
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.and_then(|()| mode(path, 0o755)),
    }
}

fn mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Marks a directory as opaque, so that overlayfs hides its content in the lower layers
/// (overlayfs.rst, "whiteouts and opaque directories").
fn opaque(path: &Path) -> io::Result<()> {
    xattr::set(path, "trusted.overlay.opaque", b"y")
}
