// SPDX-License-Identifier: MIT
//! `sdme-gen render --output DIR`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::output::layer::private;
use crate::output::tree::{Node, Tree};

/// Writes every file below `directory`, under the path it is printed with.
///
/// # Errors
/// The directory is not empty, or a file cannot be written.
pub fn write(tree: &Tree, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    if entries.next().is_some() {
        bail!("{} is not empty; name a new directory", directory.display());
    }
    for (place, path, node) in tree.iter() {
        let full = directory.join(place.directory().trim_start_matches('/')).join(path);
        let parent = full.parent().unwrap_or(directory);
        fs::create_dir_all(parent)
            .and_then(|()| match node {
                Node::File(content) => fs::write(&full, content),
                Node::Private(content) => private(&full, content),
                Node::Link(target) => symlink(target, &full),
                Node::Opaque => fs::create_dir_all(&full),
            })
            .with_context(|| format!("cannot write {}", full.display()))?;
    }
    Ok(())
}
