// SPDX-License-Identifier: MIT
//! Content digests: parses them, and computes them of streams.
//!
//! Only SHA-256 is accepted, which all registries and builders use. Other algorithms are refused
//! instead of being trusted. This module must not open files or know about images.

use std::fmt;
use std::io::{self, Read};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

/// A SHA-256 content digest, written as `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    hex: String,
}

impl Digest {
    /// Parses the written form.
    ///
    /// # Errors
    /// Returns an error if the algorithm is not `sha256`, or if the rest is not 64 lower-case
    /// hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((algorithm, hex)) = text.split_once(':') else { bail!("`{text}` is not a digest") };
        if algorithm != "sha256" {
            bail!("digest algorithm `{algorithm}` is not supported, only sha256 is");
        }
        // The image specification forbids upper case (descriptor.md, registered algorithms).
        // Accepting it would give a blob two names in the cache.
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            bail!("`{text}` is not a sha256 digest");
        }
        Ok(Self { hex: hex.to_owned() })
    }

    /// Computes the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the 64 hexadecimal digits, which are used as file names.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Returns the first twelve hexadecimal digits, for messages.
    #[must_use]
    pub fn short(&self) -> &str {
        self.hex.get(..12).unwrap_or(&self.hex)
    }

    /// Returns the first sixteen hexadecimal digits, for the names of store entries.
    #[must_use]
    pub fn prefix16(&self) -> &str {
        self.hex.get(..16).unwrap_or(&self.hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a [`Digest`] incrementally.
#[derive(Clone, Default)]
pub struct Hasher {
    state: Sha256,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

impl Hasher {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// Returns the digest of all added bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        use fmt::Write as _;
        let mut hex = String::with_capacity(64);
        for byte in self.state.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Digest { hex }
    }
}

/// Hashes and counts the bytes of a stream, and refuses more than `limit` bytes.
#[derive(Debug)]
pub struct Meter {
    hasher: Hasher,
    count: u64,
    limit: u64,
    what: &'static str,
}

impl Meter {
    /// Creates a meter; `what` names the stream in the error about the limit.
    #[must_use]
    pub fn new(limit: u64, what: &'static str) -> Self {
        Self { hasher: Hasher::default(), count: 0, limit, what }
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// Returns an error if the limit is exceeded.
    pub fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.count = self.count.saturating_add(bytes.len() as u64);
        if self.count > self.limit {
            return Err(io::Error::other(format!("{} is larger than {} bytes", self.what, self.limit)));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Returns the digest and the number of the added bytes.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.count)
    }
}

/// A reader that passes its bytes to a [`Meter`].
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> HashingReader<R> {
    /// Wraps `inner`; `what` names the stream in the error about the limit.
    pub fn new(inner: R, limit: u64, what: &'static str) -> Self {
        Self { inner, meter: Meter::new(limit, what) }
    }

    /// Reads to the end of the stream, so that the digest covers all of it.
    ///
    /// # Errors
    /// Returns the errors of the inner reader, and an error if the limit is exceeded.
    pub fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }

    /// Returns the digest and the number of the bytes that were read.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        self.meter.finish()
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.meter.pass(buf.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}

/// Reads the whole `reader`, which may have at most `limit` bytes.
///
/// # Errors
/// Returns an error if reading fails, or if the limit is exceeded.
pub fn read_limited(reader: impl Read, limit: u64, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).with_context(|| format!("reading {what}"))?;
    if bytes.len() as u64 > limit {
        bail!("{what} is larger than {limit} bytes");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::parse(EMPTY).unwrap(), Digest::of(b""));
    }

    #[test]
    fn only_lower_case_sha256_digests_are_accepted() {
        for bad in ["", "sha256:", "sha256:abc", "sha512:00", "md5:x", &EMPTY.to_uppercase(), "../../x:y"] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stream_beyond_the_limit_is_refused() {
        let mut reader = HashingReader::new(&b"12345"[..], 4, "stream");
        assert!(reader.drain().unwrap_err().to_string().contains("larger than 4 bytes"));
        assert!(read_limited(&b"12345"[..], 4, "x").is_err());
        assert_eq!(read_limited(&b"1234"[..], 4, "x").unwrap(), b"1234");
    }
}
