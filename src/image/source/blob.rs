// SPDX-License-Identifier: MIT
//! A blob: an open file, or a part of one. Must not know what is in it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::growing::Growth;
use crate::image::source::manifest::BlobRef;
use crate::image::store::digest::{Digest, HashingReader};

/// Bytes that can be read once or, with [`Blob::rewind`], again.
#[derive(Debug)]
pub struct Blob {
    file: File,
    start: u64,
    length: u64,
    position: u64,
    /// Of a file that is not complete yet.
    growth: Option<Arc<Growth>>,
}

impl Blob {
    /// A whole file.
    ///
    /// # Errors
    /// When its size cannot be told.
    pub fn whole(file: File) -> Result<Self> {
        let length = file.metadata().context("looking at the blob")?.len();
        Ok(Self::part(file, 0, length))
    }

    /// `length` bytes of a file, from `start`.
    #[must_use]
    pub fn part(file: File, start: u64, length: u64) -> Self {
        Self { file, start, length, position: 0, growth: None }
    }

    /// A file of `length` bytes that is being downloaded, and has not been verified.
    #[must_use]
    pub fn growing(file: File, length: u64, growth: &Arc<Growth>) -> Self {
        Self { growth: Some(Arc::clone(growth)), ..Self::part(file, 0, length) }
    }

    /// The download that it is of, if it is not complete.
    #[must_use]
    pub fn growth(&self) -> Option<&Arc<Growth>> {
        self.growth.as_ref()
    }

    /// Dates its file now.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn touch(&self) -> io::Result<()> {
        self.file.set_modified(std::time::SystemTime::now())
    }

    /// How many of its bytes have been read, and how many there are.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        (self.position, self.length)
    }

    /// Goes back to its beginning.
    pub fn rewind(&mut self) {
        self.position = 0;
    }

    /// The digest of all of it; rewinds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn digest(&mut self) -> Result<Digest> {
        self.rewind();
        let length = self.length;
        let mut reader = HashingReader::new(BufReader::with_capacity(1 << 20, &mut *self), length, "the blob");
        reader.drain().context("reading the blob")?;
        let (digest, _) = reader.finish();
        self.rewind();
        Ok(digest)
    }

    /// Makes sure that it is what was asked for; rewinds.
    ///
    /// # Errors
    /// When it does not have the wanted size and digest, or cannot be read.
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
