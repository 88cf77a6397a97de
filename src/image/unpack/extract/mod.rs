// SPDX-License-Identifier: MIT
//! Applies the layers of an image to one directory in order, as specified in layer.md of the OCI
//! image specification.
//!
//! Whiteouts apply only to lower layers, regardless of their position in the layer. All file access
//! goes through [`Tree`](crate::rootdir::tree::Tree), so nothing is written outside of the tree;
//! the unpacking code of the `tar` crate is not used. This module must not know where layers come
//! from, and the caller verifies the stream.

mod layer;
mod metadata;

#[cfg(test)]
pub(crate) mod hostile;
#[cfg(test)]
mod tests;

use std::io::Read;

use anyhow::{Context as _, Result, bail};

use self::layer::Layer;
use super::inventory::Contents;
use crate::image::progress::Progress;
use crate::image::tar::tarstream::{Member, TarStream};
use crate::rootdir::tree::Tree;

/// Limits on the content of an image.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of bytes of all uncompressed layers together, and of all files together
    /// including holes of sparse files.
    pub bytes: u64,
    /// Maximum number of archive members of all layers together.
    pub entries: u64,
    /// Maximum number of bytes in the holes of all sparse files together. A hole takes no space in
    /// a layer, but takes time when the file is read.
    pub holes: u64,
    /// Maximum number of components in the path of a member.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 8 << 20, holes: 8 << 30, depth: 256 }
    }
}

/// The amounts of [`Limits`] that the members of an image have used so far.
#[derive(Debug, Default)]
struct Used {
    entries: u64,
    bytes: u64,
    holes: u64,
}

impl Used {
    /// Counts one member before it is created.
    fn add(&mut self, member: &Member, limits: &Limits) -> Result<()> {
        self.entries += 1;
        if self.entries > limits.entries {
            bail!("the image has more than {} entries", limits.entries);
        }
        if member.size > limits.bytes {
            bail!("has {} bytes, more than the {} an image may have", member.size, limits.bytes);
        }
        self.bytes = self.bytes.saturating_add(member.size);
        if self.bytes > limits.bytes {
            bail!("brings the files of the image to {} bytes, more than the {} allowed", self.bytes, limits.bytes);
        }
        if let Some(segments) = &member.segments {
            let data: u64 = segments.iter().map(|segment| segment.length).sum();
            self.holes = self.holes.saturating_add(member.size.saturating_sub(data));
        }
        if self.holes > limits.holes {
            bail!("brings the holes of sparse files to {} bytes, more than the {} allowed", self.holes, limits.holes);
        }
        let depth = member.path.split(|b| *b == b'/').filter(|part| !matches!(*part, [] | [b'.'])).count();
        if depth > limits.depth {
            bail!("has a path of {depth} components, more than the {} allowed", limits.depth);
        }
        Ok(())
    }
}

/// Unpacks layers.
pub struct Extractor<'a> {
    progress: &'a dyn Progress,
    limits: Limits,
    used: Used,
    buffer: Vec<u8>,
    contents: Contents,
}

impl std::fmt::Debug for Extractor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extractor").field("used", &self.used).finish_non_exhaustive()
    }
}

impl<'a> Extractor<'a> {
    /// Prepares to unpack the layers of one image.
    #[must_use]
    pub fn new(limits: Limits, progress: &'a dyn Progress) -> Self {
        Self { progress, limits, used: Used::default(), buffer: vec![0; 128 << 10], contents: Contents::default() }
    }

    /// Returns the digests of the file contents that are known from writing them.
    #[must_use]
    pub fn into_contents(self) -> Contents {
        self.contents
    }

    /// Applies one uncompressed layer to `tree`, which must show the lower layers and must not be
    /// changed by others meanwhile. Returns the reader, positioned after the end mark of the
    /// archive.
    ///
    /// # Errors
    /// Returns an error if the archive is malformed, has a forbidden name, exceeds a limit, or if
    /// the file system refuses an operation. The tree is then incomplete and can only be removed.
    pub fn layer<R: Read>(&mut self, tree: &Tree, reader: R) -> Result<R> {
        let mut stream = TarStream::new(reader);
        let mut layer = Layer::new(tree, self.progress, &mut self.buffer, &mut self.contents);
        while let Some(member) = stream.next_member()? {
            (|| {
                self.used.add(&member, &self.limits)?;
                layer.apply(&member, &mut stream)
            })()
            .with_context(|| format!("entry `{}`", member.path.escape_ascii()))?;
        }
        layer.finish()?;
        Ok(stream.into_inner())
    }
}
