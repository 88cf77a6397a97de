// SPDX-License-Identifier: MIT
//! OCI image layout directories (`oci:/path[:tag]`).
//!
//! The directory is named by the administrator but its content is not trusted: every blob is verified before use, and
//! only regular files are read. Writes nothing.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{Source, verify};
use crate::image::digest::read_limited;
use crate::image::manifest::{BlobRef, MAX_MANIFEST};

/// A layout directory.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// Looks at the directory.
    ///
    /// # Errors
    /// When it is not an image layout of a version we know.
    pub fn open(dir: &Path, tag: Option<&str>) -> Result<Self> {
        let layout = Self { dir: dir.to_owned(), tag: tag.map(ToOwned::to_owned) };
        let bytes = read_limited(layout.file("oci-layout")?, 4096, "oci-layout")
            .with_context(|| format!("`{}` is not an OCI image layout", dir.display()))?;
        let marker: Marker = serde_json::from_slice(&bytes).context("`oci-layout` is malformed")?;
        if !marker.image_layout_version.starts_with("1.") {
            bail!("image layout version {} is not supported", marker.image_layout_version);
        }
        Ok(layout)
    }

    fn file(&self, path: &str) -> Result<File> {
        let path = self.dir.join(path);
        // O_NONBLOCK: a FIFO put there must not make the import wait.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
            .open(&path)
            .with_context(|| format!("opening `{}`", path.display()))?;
        if !file.metadata().with_context(|| format!("looking at `{}`", path.display()))?.is_file() {
            bail!("`{}` is not a regular file", path.display());
        }
        Ok(file)
    }
}

impl Source for Layout {
    fn top(&mut self) -> Result<Vec<u8>> {
        read_limited(self.file("index.json")?, MAX_MANIFEST, "index.json")
    }

    fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    fn manifest(&mut self, wanted: &BlobRef) -> Result<Vec<u8>> {
        if wanted.size > MAX_MANIFEST {
            bail!("a manifest of {} bytes is larger than {MAX_MANIFEST}", wanted.size);
        }
        read_limited(self.blob(wanted)?, MAX_MANIFEST, "the manifest")
    }

    fn blob(&mut self, wanted: &BlobRef) -> Result<File> {
        let mut file = self.file(&format!("blobs/sha256/{}", wanted.digest.hex()))?;
        verify(&mut file, wanted)?;
        Ok(file)
    }
}
