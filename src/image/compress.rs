// SPDX-License-Identifier: MIT
//! Decompression of layers, chosen by content.
//!
//! The media type of a layer is advice only: what the first bytes say decides, as in every other importer. Must not
//! bound anything itself; the caller counts what comes out.

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context as _, Result, bail};
use flate2::bufread::MultiGzDecoder;

/// Read-ahead in front of a decoder.
const BUFFER: usize = 128 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
}

/// Tells the compression from the first bytes of a stream.
///
/// # Errors
/// When the bytes announce a format that layers may not use.
pub fn detect(start: &[u8]) -> Result<Compression> {
    // A Zstandard stream may begin with a skippable frame, magic 0x184D2A50 to 0x184D2A5F (RFC 8878, section 3.1.2).
    match start {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => bail!("the layer is compressed with xz, which layers may not use"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => bail!("the layer is compressed with bzip2, which layers may not use"),
        _ => Ok(Compression::None),
    }
}

/// A reader of the uncompressed content of one layer.
pub enum Decoder<R: Read> {
    /// Passed through.
    Plain(BufReader<R>),
    /// Inflated.
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    /// Zstandard.
    Zstd(zstd::Decoder<'static, BufReader<R>>),
}

impl<R: Read> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
        })
    }
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `reader` and sets up the decoder they ask for.
    ///
    /// # Errors
    /// When nothing can be read, or the format is not one of a layer.
    pub fn new(reader: R) -> Result<Self> {
        let mut reader = BufReader::with_capacity(BUFFER, reader);
        let start = reader.fill_buf().context("reading the start of the layer")?;
        Ok(match detect(start)? {
            Compression::None => Self::Plain(reader),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(reader))),
            Compression::Zstd => Self::Zstd(zstd::Decoder::with_buffer(reader).context("starting zstd")?),
        })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buf),
            Self::Gzip(decoder) => decoder.read(buf),
            Self::Zstd(decoder) => decoder.read(buf),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn by_content() {
        assert_eq!(decode(b"plain"), b"plain");
        assert_eq!(decode(b""), b"");
        assert_eq!(decode(&gzip(b"zipped")), b"zipped");
        assert_eq!(decode(&zstd::encode_all(&b"zstandard"[..], 3).unwrap()), b"zstandard");
    }

    #[test]
    fn several_members() {
        let mut bytes = gzip(b"one ");
        bytes.extend(gzip(b"two"));
        assert_eq!(decode(&bytes), b"one two");
        let mut bytes = zstd::encode_all(&b"one "[..], 3).unwrap();
        bytes.extend(zstd::encode_all(&b"two"[..], 3).unwrap());
        assert_eq!(decode(&bytes), b"one two");
    }

    #[test]
    fn other_formats_are_named() {
        assert!(detect(b"\xfd7zXZ\0").unwrap_err().to_string().contains("xz"));
        assert!(detect(b"BZh91AY").unwrap_err().to_string().contains("bzip2"));
    }
}
