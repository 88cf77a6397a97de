// SPDX-License-Identifier: MIT
//! Tier 2: real attacks on a host, by hostile images, hostile applications and hostile root
//! directories of containers. Each case checks the host and the root directory of the container
//! afterwards; docs/security.md names the case for each promise. There is a file for each kind of
//! attack; [`hostile`] builds the images.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

mod exec;
mod harness;
mod hostile;
mod images;
mod mounts;
mod network;
mod outputs;
mod start;
mod volumes;

use std::path::Path;

use support::containers::{boot_with, ready};
use support::host::Host;

/// The protections under which attacks are tried, with their settings in a `.container` file.
pub const PROTECTIONS: [(&str, &str); 4] = [
    ("default", ""),
    ("hardened", "Hardened=yes\n"),
    ("strict", "Strict=yes\nAppArmor=unconfined\n"),
    ("userns", "UserNS=auto\nNetwork=private\n"),
];

/// Runs a case on a host of `suite`. The host has the images that `images` builds in an empty
/// directory at `/srv/hostile`. The root of the host is a copy of the tree instead of an overlay,
/// because user namespaces need that.
///
/// # Panics
/// Panics if an image cannot be built or if the host does not boot.
pub fn on(suite: &str, name: &str, images: fn(&Path), case: fn(&Host)) {
    if ready(suite, &["gcc", "umoci"]) {
        let own = tempfile::tempdir().unwrap();
        images(own.path());
        let builder = Host::builder(suite, name.split('_').next().unwrap()).copy();
        case(&boot_with(builder.bind(own.path(), "/srv/hostile")));
    }
}
