// SPDX-License-Identifier: MIT
//! Where images come from: one trait, one module for each kind of place.
//!
//! A source hands out documents and blobs and vouches for the digests of the blobs; what they mean is decided
//! elsewhere. Must not unpack anything.

pub mod layout;
pub mod registry;

use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use anyhow::{Context as _, Result, bail};

use super::digest::{Digest, HashingReader};
use super::manifest::BlobRef;

/// A place that holds one image.
pub trait Source {
    /// The document the reference leads to: an index or a manifest. If the reference has a digest, it has been checked.
    ///
    /// # Errors
    /// When it cannot be had.
    fn top(&mut self) -> Result<Vec<u8>>;

    /// The name to choose an entry of the top document by, where that is how the place works.
    fn tag(&self) -> Option<&str> {
        None
    }

    /// A manifest or index named by another index. The caller checks its digest.
    ///
    /// # Errors
    /// When it cannot be had or is too large.
    fn manifest(&mut self, wanted: &BlobRef) -> Result<Vec<u8>>;

    /// A blob, verified and open at its beginning.
    ///
    /// # Errors
    /// When it cannot be had, or does not have the size and digest it should.
    fn blob(&mut self, wanted: &BlobRef) -> Result<File>;
}

/// Hashes all of an open file and goes back to its beginning.
///
/// # Errors
/// When it does not have the wanted size and digest, or cannot be read.
pub(super) fn verify(file: &mut File, wanted: &BlobRef) -> Result<()> {
    let size = file.metadata().context("looking at the blob")?.len();
    if size != wanted.size {
        bail!("blob {} has {size} bytes instead of {}", wanted.digest, wanted.size);
    }
    let found = hash(file, wanted.size)?;
    if found != wanted.digest {
        bail!("blob {} is damaged: its content has the digest {found}", wanted.digest);
    }
    file.seek(SeekFrom::Start(0)).context("rewinding the blob")?;
    Ok(())
}

fn hash(file: &File, limit: u64) -> Result<Digest> {
    let mut reader = HashingReader::new(std::io::BufReader::with_capacity(1 << 20, file), limit, "the blob");
    reader.drain().context("reading the blob")?;
    Ok(reader.finish().0)
}
