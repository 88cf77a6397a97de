// SPDX-License-Identifier: MIT
//! A blob: an open file, or a part of one. This module must not know the content.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::growing::Growth;
use crate::image::source::manifest::BlobRef;
use crate::image::store::digest::{Digest, HashingReader};

/// Bytes that can be read once or, after [`Blob::rewind`], again.
#[derive(Debug)]
pub struct Blob {
    file: File,
    start: u64,
    length: u64,
    position: u64,
    /// The state of the download, if the file is not complete yet.
    growth: Option<Arc<Growth>>,
}

impl Blob {
    /// Creates a blob of a whole file.
    ///
    /// # Errors
    /// Returns an error if the size of the file cannot be determined.
    pub fn whole(file: File) -> Result<Self> {
        let length = file.metadata().context("looking at the blob")?.len();
        Ok(Self::part(file, 0, length))
    }

    /// Creates a blob of `length` bytes of a file, starting at the byte `start`.
    #[must_use]
    pub fn part(file: File, start: u64, length: u64) -> Self {
        Self { file, start, length, position: 0, growth: None }
    }

    /// Creates a blob of a file of `length` bytes that is still being downloaded and is not
    /// verified.
    #[must_use]
    pub fn growing(file: File, length: u64, growth: &Arc<Growth>) -> Self {
        Self { growth: Some(Arc::clone(growth)), ..Self::part(file, 0, length) }
    }

    /// Returns the state of the download, if the blob is still being downloaded.
    #[must_use]
    pub fn growth(&self) -> Option<&Arc<Growth>> {
        self.growth.as_ref()
    }

    /// Sets the modification time of the file to the current time.
    ///
    /// # Errors
    /// Returns an error if the file system refuses the change.
    pub fn touch(&self) -> io::Result<()> {
        self.file.set_modified(std::time::SystemTime::now())
    }

    /// Returns the number of bytes that were read, and the total number of bytes.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        (self.position, self.length)
    }

    /// Moves the read position to the beginning.
    pub fn rewind(&mut self) {
        self.position = 0;
    }

    /// Returns the digest of the whole blob, and rewinds.
    ///
    /// # Errors
    /// Returns an error if the blob cannot be read.
    pub fn digest(&mut self) -> Result<Digest> {
        self.rewind();
        let length = self.length;
        let mut reader = HashingReader::new(BufReader::with_capacity(1 << 20, &mut *self), length, "the blob");
        reader.drain().context("reading the blob")?;
        let (digest, _) = reader.finish();
        self.rewind();
        Ok(digest)
    }

    /// Checks the size and the digest of the blob, and rewinds.
    ///
    /// # Errors
    /// Returns an error if the size or the digest differs from the expected one, or if the blob
    /// cannot be read.
    pub fn verify(&mut self, wanted: &BlobRef) -> Result<()> {
        if self.length != wanted.size {
            bail!("blob {} has {} bytes instead of {}", wanted.digest, self.length, wanted.size);
        }
        let found = self.digest()?;
        if found != wanted.digest {
            bail!("blob {} is damaged: its content has the digest {found}", wanted.digest);
        }
        Ok(())
    }
}

impl Read for Blob {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut left = self.length.saturating_sub(self.position);
        if let Some(growth) = self.growth.as_ref().filter(|_| left > 0) {
            left = left.min(growth.beyond(self.position)?.saturating_sub(self.position));
        }
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.file.read_at(buf.get_mut(..want).unwrap_or_default(), self.start + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
