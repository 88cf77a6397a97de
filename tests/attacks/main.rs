// SPDX-License-Identifier: MIT
//! Tier 2: attacks on a host, run for real: hostile images, hostile applications and hostile roots of containers. Each case
//! looks at the host and at the container's root directory afterwards; docs/security.md names the case beside each promise.
//! A file for each kind of attack; [`hostile`] makes the images.

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

/// The protections that attacks are tried against, with what a `.container` file says for them.
pub const PROTECTIONS: [(&str, &str); 4] = [
    ("default", ""),
    ("hardened", "Hardened=yes\n"),
    ("strict", "Strict=yes\nAppArmor=unconfined\n"),
    ("userns", "UserNS=auto\nNetwork=private\n"),
];

/// Runs a case on a host of `suite` that has what `images` makes in an empty directory at `/srv/hostile`. The host's root is a
/// copy of the tree and no overlay, because user namespaces need that.
///
/// # Panics
/// If an image cannot be made or the host does not boot.
pub fn on(suite: &str, name: &str, images: fn(&Path), case: fn(&Host)) {
    if ready(suite, &["gcc", "umoci"]) {
        let own = tempfile::tempdir().unwrap();
        images(own.path());
        let builder = Host::builder(suite, name.split('_').next().unwrap()).copy();
        case(&boot_with(builder.bind(own.path(), "/srv/hostile")));
    }
}
