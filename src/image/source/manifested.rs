// SPDX-License-Identifier: MIT
//! An image that a manifest describes, independently of where the manifest and its blobs are.

use anyhow::{Context as _, Result, bail};

use super::{Blob, LayerInfo, Origin, Source};
use crate::image::kind::imageconfig::ImageConfig;
use crate::image::source::manifest::{Address, BlobRef, Chosen, MAX_CONFIG, Platform, choose, latest};
use crate::image::store::digest::{Digest, read_limited};
use crate::image::trust::attached::{Attached, Form};

/// An image in a [`Source`].
pub struct Manifested<'a> {
    source: Box<dyn Source + 'a>,
    platform: &'a Platform,
    chosen: Option<Chosen>,
}

impl std::fmt::Debug for Manifested<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifested").field("chosen", &self.chosen).finish_non_exhaustive()
    }
}

impl<'a> Manifested<'a> {
    /// Creates the image without reading the source yet.
    #[must_use]
    pub fn new(source: Box<dyn Source + 'a>, platform: &'a Platform) -> Self {
        Self { source, platform, chosen: None }
    }

    fn blobs(&self) -> Result<Vec<BlobRef>> {
        let Some(chosen) = &self.chosen else { bail!("the manifest has not been read") };
        chosen.manifest.layers().iter().map(BlobRef::of).collect()
    }
}

impl Origin for Manifested<'_> {
    fn identify(&mut self) -> Result<Address> {
        let chosen = choose(&mut *self.source, self.platform)?;
        Ok(self.chosen.insert(chosen).address.clone())
    }

    fn latest(&mut self) -> Result<Address> {
        latest(&mut *self.source, self.platform)
    }

    fn attached(&mut self, digest: &Digest, form: Form) -> Result<Vec<Attached>> {
        self.source.attached(digest, form)
    }

    fn describe(&mut self) -> Result<(ImageConfig, Vec<LayerInfo>)> {
        let Some(chosen) = &self.chosen else { bail!("the manifest has not been read") };
        let wanted = BlobRef::of(chosen.manifest.config())?;
        let blob = self.source.blob(&wanted).context("the image configuration")?;
        let config = ImageConfig::parse(&read_limited(blob, MAX_CONFIG, "the image configuration")?)?;
        self.platform.check(&config)?;
        let blobs = self.blobs()?;
        let diff_ids = config.layers(blobs.len())?;
        let info =
            |(blob, diff_id): (BlobRef, Digest)| LayerInfo { label: blob.digest.to_string(), diff_id: Some(diff_id) };
        Ok((config, blobs.into_iter().zip(diff_ids).map(info).collect()))
    }

    fn layers(&mut self, first: usize, take: &mut dyn FnMut(usize, Blob) -> Result<()>) -> Result<()> {
        let blobs = self.blobs()?;
        let wanted = blobs.get(first..).unwrap_or_default();
        self.source.blobs(wanted, &mut |number, blob| take(first + number, blob))
    }
}
