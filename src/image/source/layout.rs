// SPDX-License-Identifier: MIT
//! Images in files: OCI layouts as directories (`oci:`) and archives (`oci-archive:`), and skopeo's directories (`dir:`).
//!
//! The place is named by the administrator but its content is not trusted: every blob is verified before use, and
//! only regular files are read. Names inside are made of digests, never taken from documents. Writes nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::archive::Archive;
use super::{Blob, Source, Surroundings, regular};
use crate::image::source::json::respell;
use crate::image::source::manifest::{BlobRef, MAX_MANIFEST, Pick};
use crate::image::store::digest::read_limited;

/// A place of one of these forms.
#[derive(Debug)]
pub struct Layout {
    shelf: Shelf,
    form: Form,
    tag: Option<String>,
}

/// Where the files are.
#[derive(Debug)]
enum Shelf {
    Directory(PathBuf),
    Archive(Archive),
}

impl Shelf {
    fn open(&self, name: &str) -> Result<Blob> {
        match self {
            Self::Directory(dir) => Blob::whole(regular(&dir.join(name))?),
            Self::Archive(archive) => archive.open(name),
        }
    }
}

/// What the files are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// image-spec, image-layout.md
    Oci,
    /// skopeo's `dir:`, containers-transports(5): everything in one directory, `manifest.json` on top.
    Copied,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// An OCI layout directory.
    ///
    /// # Errors
    /// When it is not an image layout of a version we know.
    pub fn directory(dir: &Path, tag: Option<&str>) -> Result<Self> {
        Self::oci(Shelf::Directory(dir.to_owned()), dir, tag)
    }

    /// An OCI layout in an archive.
    ///
    /// # Errors
    /// When it is not an archive, or what is in it not an image layout of a version we know.
    pub fn archive(path: &Path, tag: Option<&str>, around: Surroundings<'_>) -> Result<Self> {
        Self::oci(Shelf::Archive(Archive::read(path, around)?), path, tag)
    }

    /// A directory made by `skopeo copy … dir:`.
    ///
    /// # Errors
    /// When there is no manifest in it.
    pub fn copied(dir: &Path) -> Result<Self> {
        let shelf = Shelf::Directory(dir.to_owned());
        shelf.open("manifest.json").with_context(|| format!("`{}` is not an image directory", dir.display()))?;
        Ok(Self { shelf, form: Form::Copied, tag: None })
    }

    fn oci(shelf: Shelf, path: &Path, tag: Option<&str>) -> Result<Self> {
        let bytes = shelf
            .open("oci-layout")
            .and_then(|blob| read_limited(blob, 4096, "oci-layout"))
            .with_context(|| format!("`{}` is not an OCI image layout", path.display()))?;
        let malformed = "`oci-layout` is malformed";
        let mut marker: serde_json::Value = serde_json::from_slice(&bytes).context(malformed)?;
        respell(&mut marker, &["imageLayoutVersion"]);
        let marker: Marker = serde_json::from_value(marker).context(malformed)?;
        if !marker.image_layout_version.starts_with("1.") {
            bail!("image layout version {} is not supported", marker.image_layout_version);
        }
        Ok(Self { shelf, form: Form::Oci, tag: tag.map(ToOwned::to_owned) })
    }
}

impl Source for Layout {
    fn top(&mut self) -> Result<Vec<u8>> {
        let name = if self.form == Form::Oci { "index.json" } else { "manifest.json" };
        read_limited(self.shelf.open(name)?, MAX_MANIFEST, name)
    }

    fn pick(&self) -> Pick<'_> {
        match (self.form, self.tag.as_deref()) {
            (Form::Copied, _) => Pick::Any,
            (Form::Oci, None) => Pick::Only,
            (Form::Oci, Some(tag)) => Pick::Named(tag),
        }
    }

    fn manifest(&mut self, wanted: &BlobRef) -> Result<Vec<u8>> {
        if wanted.size > MAX_MANIFEST {
            bail!("a manifest of {} bytes is larger than {MAX_MANIFEST}", wanted.size);
        }
        let blob = match self.form {
            Form::Oci => self.blob(wanted)?,
            Form::Copied => self.shelf.open(&format!("{}.manifest.json", wanted.digest.hex()))?,
        };
        read_limited(blob, MAX_MANIFEST, "the manifest")
    }

    fn blob(&mut self, wanted: &BlobRef) -> Result<Blob> {
        let mut blob = match self.form {
            Form::Oci => self.shelf.open(&format!("blobs/sha256/{}", wanted.digest.hex()))?,
            Form::Copied => self.shelf.open(wanted.digest.hex())?,
        };
        blob.verify(wanted)?;
        Ok(blob)
    }
}
