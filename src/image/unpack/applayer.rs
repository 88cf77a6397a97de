// SPDX-License-Identifier: MIT
//! Builds the layer of an application image: its root file system, and files about it that an
//! administrator may read or change.
//!
//! Works in an unpublished directory. The tree of the image is only moved and never written here.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::contract::process::IMAGE_ENVIRONMENT;
use crate::image::store::record::ImageRecord;
use crate::unit::render_env;

/// The only file that administrators may edit.
pub(crate) const EDITABLE: &[u8] = b"oci/env";

/// The prefix of all paths in the root file system of the image.
pub(crate) const ROOT: &[u8] = b"oci/root/";

/// Creates a directory with this mode, regardless of the umask.
///
/// # Errors
/// Returns an error if the directory exists or cannot be created.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new().mode(mode).create(path).with_context(|| format!("creating `{}`", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of `{}`", path.display()))
}

/// Creates a file with mode 0644, regardless of the umask.
///
/// # Errors
/// Returns an error if the file exists or cannot be written.
pub(crate) fn make_file(path: &Path, content: &[u8]) -> Result<()> {
    (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.write_all(content)
    })()
    .with_context(|| format!("writing `{}`", path.display()))
}

/// Creates `tree` and its directory `oci`, into which the root file system is moved. Returns the
/// path of `oci`.
///
/// # Errors
/// Returns an error if one of the directories cannot be created.
pub(crate) fn make_oci(tree: &Path) -> Result<PathBuf> {
    let oci = tree.join("oci");
    make_dir(tree, 0o755)?;
    make_dir(&oci, 0o755)?;
    Ok(oci)
}

/// Builds `tree` from the unpacked `rootfs`.
///
/// # Errors
/// Returns an error of the file system.
pub(crate) fn build(rootfs: &Path, tree: &Path, record: &ImageRecord) -> Result<()> {
    let oci = make_oci(tree)?;
    fs::rename(rootfs, oci.join("root")).context("moving the root file system into place")?;
    let (env, _) = render_env(&record.env);
    make_file(&oci.join(IMAGE_ENVIRONMENT), env.as_bytes())?;
    make_file(&oci.join("ports"), lines(&record.exposed_ports).as_bytes())?;
    make_file(&oci.join("volumes"), lines(&record.volumes).as_bytes())
}

fn lines(items: &[String]) -> String {
    items.iter().fold(String::new(), |text, item| text + item + "\n")
}
