// SPDX-License-Identifier: MIT
//! Where images come from: one module for each kind of place.
//!
//! An [`Origin`] is one image, whatever its form; a [`Source`] is a place that keeps images as manifests and blobs, and
//! [`manifested`] makes an origin of it. What has digests is verified before anything that was made of it is used. Must not
//! unpack anything into the tree.

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
use self::rootfs::Rootfs;
use super::progress::Progress;
use crate::config::values::access::{Access, Registries};
use crate::config::values::source::ImageSource;
use crate::image::kind::imageconfig::ImageConfig;
use crate::image::source::deadline::Deadline;
use crate::image::source::manifest::{Address, BlobRef, Pick, Platform};
use crate::image::store::digest::Digest;
use crate::image::trust::attached::{Attached, Form};

/// One image.
pub trait Origin {
    /// What tells this image from every other one. Fetches as little as possible.
    ///
    /// # Errors
    /// When the image is not there, or is none.
    fn identify(&mut self) -> Result<Address>;

    /// As [`Origin::identify`], for a caller that does not need the image itself: with one request for a manifest where an
    /// index names the digest.
    ///
    /// # Errors
    /// As for [`Origin::identify`].
    fn latest(&mut self) -> Result<Address> {
        self.identify()
    }

    /// Its configuration and its layers, bottom first.
    ///
    /// # Errors
    /// When they cannot be had, or are not what they should be.
    fn describe(&mut self) -> Result<(ImageConfig, Vec<LayerInfo>)>;

    /// What is attached to its manifest, which has this digest. Forms without signatures have nothing.
    ///
    /// # Errors
    /// When the place cannot tell.
    fn attached(&mut self, _digest: &Digest, _form: Form) -> Result<Vec<Attached>> {
        Ok(Vec::new())
    }

    /// Hands the layers to `take`, in order, those before `first` left out. They have been verified when this returns, not before.
    ///
    /// # Errors
    /// When one cannot be had or is not what it should be, and what `take` returns.
    fn layers(&mut self, first: usize, take: &mut dyn FnMut(usize, Blob) -> Result<()>) -> Result<()>;
}

/// What is known of a layer before it is opened.
#[derive(Debug, Clone)]
pub struct LayerInfo {
    /// Its name in messages.
    pub label: String,
    /// Digest of its uncompressed content; only a bare root file system has none.
    pub diff_id: Option<Digest>,
}

/// A place that keeps images as manifests and blobs.
pub trait Source {
    /// The document the reference leads to: an index or a manifest. If the reference has a digest, it has been checked.
    ///
    /// # Errors
    /// When it cannot be had.
    fn top(&mut self) -> Result<Vec<u8>>;

    /// How an entry of the top document is chosen, apart from its platform.
    fn pick(&self) -> Pick<'_> {
        Pick::Any
    }

    /// A manifest or index named by another index. The caller checks its digest.
    ///
    /// # Errors
    /// When it cannot be had or is too large.
    fn manifest(&mut self, wanted: &BlobRef) -> Result<Vec<u8>>;

    /// A blob, verified.
    ///
    /// # Errors
    /// When it cannot be had, or does not have the size and digest it should.
    fn blob(&mut self, wanted: &BlobRef) -> Result<Blob>;

    /// As [`Origin::attached`].
    ///
    /// # Errors
    /// As for [`Origin::attached`].
    fn attached(&mut self, digest: &Digest, form: Form) -> Result<Vec<Attached>>;

    /// Hands blobs to `take`, in order. One may still be on its way while it is read; when this returns, all of them have
    /// been verified.
    ///
    /// # Errors
    /// As for [`Source::blob`], and what `take` returns. What was made of the blobs is then to be thrown away.
    fn blobs(&mut self, wanted: &[BlobRef], take: &mut dyn FnMut(usize, Blob) -> Result<()>) -> Result<()> {
        for (number, wanted) in wanted.iter().enumerate() {
            let blob = self.blob(wanted).with_context(|| format!("layer {}", wanted.digest))?;
            take(number, blob)?;
        }
        Ok(())
    }
}

/// What an origin may use.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Verified blobs of earlier imports.
    pub cache: &'a Path,
    /// A directory of this import, on the same file system, removed with it.
    pub scratch: &'a Path,
    /// When the import has to end.
    pub deadline: Deadline<'a>,
    /// Largest uncompressed size of anything.
    pub limit: u64,
    /// The platform to choose.
    pub platform: &'a Platform,
    /// How the image's registry is spoken to.
    pub access: &'a Access,
    /// Mirrors and registries without encryption.
    pub registries: &'a Registries,
    /// Who is told.
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
/// When there is nothing of that kind there.
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

/// Opens a regular file that the administrator named, or that is in a directory of theirs.
fn regular(path: &Path) -> Result<File> {
    // O_NONBLOCK: a FIFO put there must not make the import wait.
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
