// SPDX-License-Identifier: MIT
//! A record of the plan for a container's start, with which a later plan is compared.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::image::digest::Digest;
use crate::output::tree::Tree;
use crate::paths::container_runtime;

/// The file with the digest of the plan.
fn note(name: &str) -> PathBuf {
    Path::new(&container_runtime(name)).join("plan")
}

fn digest(planned: &Tree) -> String {
    Digest::of(planned.to_string().as_bytes()).hex().to_owned()
}

/// Records the plan for the start of a container.
///
/// # Errors
/// The record cannot be written.
pub fn remember(name: &str, planned: &Tree) -> io::Result<()> {
    fs::write(note(name), digest(planned))
}

/// Whether the plan differs from that of the container's last start. False if there is no record of
/// a plan.
#[must_use]
pub fn has_changed(name: &str, planned: &Tree) -> bool {
    fs::read_to_string(note(name)).is_ok_and(|noted| noted != digest(planned))
}
