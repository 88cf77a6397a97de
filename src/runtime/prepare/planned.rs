// SPDX-License-Identifier: MIT
//! A note of what was planned for the start of a container, with which a later plan is compared.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::image::digest::Digest;
use crate::output::tree::Tree;
use crate::paths::container_runtime;

/// Where the digest of the plan is.
fn note(name: &str) -> PathBuf {
    Path::new(&container_runtime(name)).join("plan")
}

fn digest(planned: &Tree) -> String {
    Digest::of(planned.to_string().as_bytes()).hex().to_owned()
}

/// Notes what was planned for the start of a container.
///
/// # Errors
/// It cannot be written.
pub fn remember(name: &str, planned: &Tree) -> io::Result<()> {
    fs::write(note(name), digest(planned))
}

/// Whether something else was planned for the container's last start. Not if nothing is known about that.
#[must_use]
pub fn has_changed(name: &str, planned: &Tree) -> bool {
    fs::read_to_string(note(name)).is_ok_and(|noted| noted != digest(planned))
}
