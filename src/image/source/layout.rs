// SPDX-License-Identifier: MIT
//! Reads images in files: OCI layouts as directories (`oci:`) and archives (`oci-archive:`), and
//! directories of skopeo (`dir:`).
//!
//! The administrator names the path, but the content is not trusted: every blob is verified before
//! use, and only regular files are read. File names are derived from digests and never taken from
//! documents. Nothing is written.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::archive::Archive;
use super::{Blob, Source, Surroundings, regular};
use crate::image::source::json::{respell, respell_each};
use crate::image::source::manifest::{BlobRef, MAX_MANIFEST, Pick};
use crate::image::store::digest::{Digest, read_limited};
use crate::image::trust::attached::{self, Attached, MAX_ATTACHMENT, MAX_ATTACHMENTS, gather};

/// The annotation with the name of an image in a layout (image-spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with the kind of an entry in a layout of `cosign save`.
const COSIGN_KIND: &str = "kind";
/// The kind of entries that are signatures.
const COSIGN_SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
/// Maximum number of entries of a layout that are searched for manifests that refer to an image.
const MAX_ENTRIES: usize = 1000;

/// An image in one of these formats.
#[derive(Debug)]
pub struct Layout {
    shelf: Shelf,
    form: Form,
    tag: Option<String>,
}

/// The directory or archive with the files.
#[derive(Debug)]
enum Shelf {
    Directory(PathBuf),
    Archive(Archive),
}

impl Shelf {
    /// The same as [`Shelf::open`], but returns `None` for a missing file.
    fn find(&self, name: &str) -> Result<Option<Blob>> {
        match self {
            Self::Directory(dir)
                if fs::symlink_metadata(dir.join(name)).is_err_and(|e| e.kind() == ErrorKind::NotFound) =>
            {
                Ok(None)
            }
            Self::Directory(_) => self.open(name).map(Some),
            Self::Archive(archive) => Ok(archive.open(name).ok()),
        }
    }

    fn open(&self, name: &str) -> Result<Blob> {
        match self {
            Self::Directory(dir) => Blob::whole(regular(&dir.join(name))?),
            Self::Archive(archive) => archive.open(name),
        }
    }
}

/// The format, which determines the names of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// An OCI layout (image-spec, image-layout.md).
    Oci,
    /// A `dir:` directory of skopeo (containers-transports(5)): all files in one directory, with
    /// `manifest.json` as the top document.
    Copied,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// Opens an OCI layout directory.
    ///
    /// # Errors
    /// Returns an error if the directory is not an image layout of a supported version.
    pub fn directory(dir: &Path, tag: Option<&str>) -> Result<Self> {
        Self::oci(Shelf::Directory(dir.to_owned()), dir, tag)
    }

    /// Opens an OCI layout in an archive.
    ///
    /// # Errors
    /// Returns an error if the file is not an archive, or does not contain an image layout of a
    /// supported version.
    pub fn archive(path: &Path, tag: Option<&str>, around: Surroundings<'_>) -> Result<Self> {
        Self::oci(Shelf::Archive(Archive::read(path, around)?), path, tag)
    }

    /// Opens a directory of `skopeo copy … dir:`.
    ///
    /// # Errors
    /// Returns an error if the directory has no manifest.
    pub fn copied(dir: &Path) -> Result<Self> {
        let shelf = Shelf::Directory(dir.to_owned());
        shelf.open("manifest.json").with_context(|| format!("`{}` is not an image directory", dir.display()))?;
        Ok(Self { shelf, form: Form::Copied, tag: None })
    }

    /// Returns the signatures in the files `signature-N` of a `dir:` directory. For a manifest that
    /// the top document refers to, the names of the files start with its digest.
    fn files(&mut self, digest: &Digest) -> Result<Vec<Attached>> {
        let top = Digest::of(&self.top()?) == *digest;
        let before = if top { String::new() } else { format!("{}.", digest.hex()) };
        let mut all = Vec::new();
        for number in 1..=MAX_ATTACHMENTS {
            let Some(file) = self.shelf.find(&format!("{before}signature-{number}"))? else { break };
            let bytes = read_limited(file, MAX_ATTACHMENT, "a signature")?;
            all.extend(Attached::from_file(&bytes).with_context(|| format!("{before}signature-{number}"))?);
        }
        Ok(all)
    }

    /// Returns the entries of the index of an OCI layout.
    fn entries(&mut self) -> Result<Vec<Value>> {
        let mut index: Value = serde_json::from_slice(&self.top()?).context("`index.json` is malformed")?;
        respell(&mut index, &["manifests"]);
        respell_each(&mut index, "manifests", &["digest", "size", "annotations", "artifactType"]);
        Ok(index.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default())
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

impl attached::Shelf for Layout {
    fn tagged(&mut self, tag: &str) -> Result<Option<Vec<u8>>> {
        let entries = self.entries()?;
        let with = |name: &str, value: &str| {
            let annotation = |entry: &&Value| entry.get("annotations")?.get(name)?.as_str().map(|found| found == value);
            entries.iter().find(|entry| annotation(entry) == Some(true))
        };
        // `cosign save` writes one image into a layout and gives its signatures no name.
        let saved = || with(COSIGN_KIND, COSIGN_SIGNATURES).filter(|_| tag.ends_with(".sig"));
        let entry = with(REF_NAME, tag).or_else(saved);
        let wanted = entry.and_then(attached::blob);
        wanted.map(|wanted| self.manifest(&wanted)).transpose()
    }

    /// A layout has no list of referrers, so all other entries are searched.
    fn referrers(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let is_other = |entry: &Value| attached::blob(entry).is_some_and(|entry| entry.digest != *digest);
        let mut referring = Vec::new();
        for entry in self.entries()?.into_iter().filter(is_other).take(MAX_ENTRIES) {
            let Some(wanted) = attached::blob(&entry) else { continue };
            // Entries for other platforms may be missing from the layout.
            let Ok(bytes) = self.manifest(&wanted) else { continue };
            if attached::refers_to(&bytes, digest) {
                referring.push(entry);
            }
        }
        if referring.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::to_vec(&serde_json::json!({"manifests": referring}))?))
    }

    fn document(&mut self, wanted: &BlobRef) -> Result<Vec<u8>> {
        self.manifest(wanted)
    }

    fn content(&mut self, wanted: &BlobRef) -> Result<Vec<u8>> {
        read_limited(self.blob(wanted)?, MAX_ATTACHMENT, "a signature")
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

    fn attached(&mut self, digest: &Digest, form: attached::Form) -> Result<Vec<Attached>> {
        match (self.form, form) {
            (Form::Oci, _) => gather(self, digest, form),
            (Form::Copied, attached::Form::Tagged) => self.files(digest),
            (Form::Copied, attached::Form::Referring) => Ok(Vec::new()),
        }
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
