// SPDX-License-Identifier: MIT
//! The sources of images: one module for each kind of source.
//!
//! An [`Origin`] is one image in any format. A [`Source`] keeps images as manifests and blobs, and
//! [`manifested`] makes an origin of it. Content with a digest is verified before any result of it
//! is used. These modules must not unpack anything into the tree.

mod archive;
mod blob;
pub mod deadline;
mod docker;
mod growing;
pub mod json;
mod layout;
pub mod manifest;
mod manifested;
mod registry;
mod rootfs;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

pub use self::blob::Blob;
use self::docker::DockerArchive;
use self::layout::Layout;
use self::manifested::Manifested;
use self::registry::Registry;
pub use self::registry::remedy as registry_remedy;
use self::rootfs::Rootfs;
use super::progress::Progress;
use crate::config::values::access::{Access, Registries};
use crate::config::values::source::ImageSource;
use crate::image::kind::imageconfig::ImageConfig;
use crate::image::source::deadline::Deadline;
use crate::image::source::manifest::{Address, BlobRef, Pick, Platform};
use crate::image::store::digest::Digest;
use crate::image::trust::attached::{Attached, Form};

/// One image at its source.
pub trait Origin {
    /// Returns the digests that identify this image. Fetches as little as possible.
    ///
    /// # Errors
    /// Returns an error if the image is missing or is not an image.
    fn identify(&mut self) -> Result<Address>;

    /// The same as [`Origin::identify`], for a caller that does not need the image itself. If an
    /// index has the digest, one request is sufficient.
    ///
    /// # Errors
    /// The same errors as those of [`Origin::identify`].
    fn latest(&mut self) -> Result<Address> {
        self.identify()
    }

    /// Returns the configuration of the image and its layers, the lowest one first.
    ///
    /// # Errors
    /// Returns an error if they cannot be read or do not match their digests.
    fn describe(&mut self) -> Result<(ImageConfig, Vec<LayerInfo>)>;

    /// Returns the attachments of the manifest with this digest. Formats without signatures have
    /// none.
    ///
    /// # Errors
    /// Returns an error if the source cannot be asked.
    fn attached(&mut self, _digest: &Digest, _form: Form) -> Result<Vec<Attached>> {
        Ok(Vec::new())
    }

    /// Passes the layers to `take` in order, starting with the layer `first`. The layers are
    /// verified only when this function returns.
    ///
    /// # Errors
    /// Returns an error if a layer cannot be read or does not match its digest, and the errors of
    /// `take`.
    fn layers(&mut self, first: usize, take: &mut dyn FnMut(usize, Blob) -> Result<()>) -> Result<()>;
}

/// The properties of a layer that are known before it is opened.
#[derive(Debug, Clone)]
pub struct LayerInfo {
    /// The name of the layer in messages.
    pub label: String,
    /// The digest of the uncompressed content; `None` only for a bare root file system.
    pub diff_id: Option<Digest>,
}

/// A place that keeps images as manifests and blobs.
pub trait Source {
    /// Returns the document that the reference names: an index or a manifest. A digest in the
    /// reference is verified.
    ///
    /// # Errors
    /// Returns an error if the document cannot be read.
    fn top(&mut self) -> Result<Vec<u8>>;

    /// Returns how an entry of the top document is chosen in addition to its platform.
    fn pick(&self) -> Pick<'_> {
        Pick::Any
    }

    /// Returns a manifest or index that another index names. The caller verifies its digest.
    ///
    /// # Errors
    /// Returns an error if the document cannot be read or is too large.
    fn manifest(&mut self, wanted: &BlobRef) -> Result<Vec<u8>>;

    /// Returns a verified blob.
    ///
    /// # Errors
    /// Returns an error if the blob cannot be read, or does not have the expected size and digest.
    fn blob(&mut self, wanted: &BlobRef) -> Result<Blob>;

    /// The same as [`Origin::attached`].
    ///
    /// # Errors
    /// The same errors as those of [`Origin::attached`].
    fn attached(&mut self, digest: &Digest, form: Form) -> Result<Vec<Attached>>;

    /// Passes blobs to `take` in order. A blob may still be downloading while it is read; when this
    /// function returns, all blobs are verified.
    ///
    /// # Errors
    /// The same errors as those of [`Source::blob`], and the errors of `take`. The caller must then
    /// discard the results of all blobs.
    fn blobs(&mut self, wanted: &[BlobRef], take: &mut dyn FnMut(usize, Blob) -> Result<()>) -> Result<()> {
        for (number, wanted) in wanted.iter().enumerate() {
            let blob = self.blob(wanted).with_context(|| format!("layer {}", wanted.digest))?;
            take(number, blob)?;
        }
        Ok(())
    }
}

/// The context of an import that an origin uses.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The directory of verified blobs of earlier imports.
    pub cache: &'a Path,
    /// A directory of this import, on the same file system, which is removed after the import.
    pub scratch: &'a Path,
    /// The deadline of the import.
    pub deadline: Deadline<'a>,
    /// Maximum uncompressed size in bytes of a blob or archive.
    pub limit: u64,
    /// The platform to choose.
    pub platform: &'a Platform,
    /// Credentials, certificates and retries for the registry of the image.
    pub access: &'a Access,
    /// Mirrors, insecure registries and the limits of imports.
    pub registries: &'a Registries,
    /// The receiver of progress reports.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("scratch", &self.scratch).finish_non_exhaustive()
    }
}

/// Opens the image at `source`.
///
/// # Errors
/// Returns an error if there is no image of that kind at the source.
pub fn open<'a>(source: &ImageSource, around: Surroundings<'a>) -> Result<Box<dyn Origin + 'a>> {
    let place: Box<dyn Source + 'a> = match source {
        ImageSource::Layout { path, tag } => Box::new(Layout::directory(Path::new(path), tag.as_deref())?),
        ImageSource::OciArchive { path, tag } => Box::new(Layout::archive(Path::new(path), tag.as_deref(), around)?),
        ImageSource::Directory { path } => Box::new(Layout::copied(Path::new(path))?),
        ImageSource::Registry(parts) => Box::new(Registry::open(parts, around)?),
        ImageSource::DockerArchive { path, reference } => {
            return Ok(Box::new(DockerArchive::open(Path::new(path), reference.as_deref(), around)?));
        }
        ImageSource::Rootfs { path } => return Ok(Box::new(Rootfs::open(Path::new(path), around.platform)?)),
    };
    Ok(Box::new(Manifested::new(place, around.platform)))
}

/// Opens a regular file that the administrator named, or that is in a directory that the
/// administrator named.
fn regular(path: &Path) -> Result<File> {
    // O_NONBLOCK keeps a FIFO at this path from blocking the import.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)
        .with_context(|| format!("opening `{}`", path.display()))?;
    if !file.metadata().with_context(|| format!("looking at `{}`", path.display()))?.is_file() {
        bail!("`{}` is not a regular file", path.display());
    }
    Ok(file)
}
