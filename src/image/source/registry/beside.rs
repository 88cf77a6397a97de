// SPDX-License-Identifier: MIT
//! Reads the attachments of images in a registry. Attachments are requested only from the endpoint
//! that delivered the image: a mirror that has the image must also have its signatures, or the
//! image is not accepted.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};

use super::Registry;
use super::transport::Transport;
use crate::image::source::manifest::{BlobRef, MAX_MANIFEST};
use crate::image::store::digest::Digest;
use crate::image::trust::attached::{MAX_ATTACHMENT, Shelf};

/// A registry whose image has been identified.
pub struct Beside<'r, 'a>(pub &'r Registry<'a>);

impl<'a> Beside<'_, 'a> {
    fn endpoint(&self) -> Result<&Transport<'a>> {
        self.0.endpoints.get(self.0.current.load(Ordering::Relaxed)).context("there is no registry to ask")
    }

    fn maybe(&self, place: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Registry { runtime, around, .. } = self.0;
        runtime.block_on(around.deadline.wait(self.endpoint()?.maybe(place, limit)))
    }

    fn verified(&self, kind: &str, wanted: &BlobRef, limit: u64) -> Result<Vec<u8>> {
        let bytes = self.maybe(&format!("{kind}/{}", wanted.digest), limit)?;
        let bytes = bytes.with_context(|| format!("the registry does not have {}", wanted.digest))?;
        if Digest::of(&bytes) != wanted.digest {
            bail!("{} does not have the content its digest says", wanted.digest);
        }
        Ok(bytes)
    }
}

impl Shelf for Beside<'_, '_> {
    fn tagged(&mut self, tag: &str) -> Result<Option<Vec<u8>>> {
        self.maybe(&format!("manifests/{tag}"), MAX_MANIFEST)
    }

    fn referrers(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        // A registry that predates this request may answer it in many ways, so any invalid answer
        // leads to the fallback tag.
        let answer = self.maybe(&format!("referrers/{digest}"), MAX_MANIFEST).ok().flatten();
        Ok(answer.filter(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).is_ok()))
    }

    fn document(&mut self, wanted: &BlobRef) -> Result<Vec<u8>> {
        self.verified("manifests", wanted, MAX_MANIFEST)
    }

    fn content(&mut self, wanted: &BlobRef) -> Result<Vec<u8>> {
        self.verified("blobs", wanted, MAX_ATTACHMENT)
    }
}
