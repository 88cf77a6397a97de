// SPDX-License-Identifier: MIT
//! Decompression of layers and archives, chosen by content.
//!
//! The media type of a layer is advice only: what the first bytes say decides, as in every other importer. Must not
//! bound anything itself; the caller counts what comes out.

use std::io::{BufRead as _, BufReader, Read};

use anyhow::{Context as _, Result};
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// Read-ahead in front of a decoder.
const BUFFER: usize = 128 << 10;

/// Memory for the dictionary of an xz stream, in KiB: what `xz -9` needs, and a little. The stream itself says how much
/// it wants, up to 4 GiB.
const XZ_MEMORY: u32 = 72 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
    /// xz, of any number of streams.
    Xz,
    /// bzip2, of any number of streams.
    Bzip2,
}

/// Tells the compression from the first bytes of a stream.
#[must_use]
pub fn detect(start: &[u8]) -> Compression {
    // A Zstandard stream may begin with a skippable frame, magic 0x184D2A50 to 0x184D2A5F (RFC 8878, section 3.1.2).
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
        _ => Compression::None,
    }
}

/// Looks at the first bytes of `reader` and gives a reader of the uncompressed content.
///
/// # Errors
/// When nothing can be read.
pub fn decoder<'a>(reader: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let start = reader.fill_buf().context("reading its beginning")?;
    Ok(match detect(start) {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(MultiGzDecoder::new(reader)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(reader).context("starting zstd")?),
        Compression::Xz => Box::new(XzReader::new_mem_limit(reader, true, XZ_MEMORY)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(reader)),
    })
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
        decoder(bytes).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    fn unhex(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// `xz -9` of "xz content".
    const XZ: &str = "fd377a585a000004e6d6b446020021011c00000010cf58cc010009787a20636f6e74656e74000000448dfa92290b\
                      574d0001220a151ae1671fb6f37d010000000004595a";
    /// "xz " and "twice", each compressed by itself.
    const XZ_TWICE: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3010002787a200000370e309f901021bf00011b030b\
                            2fb9101fb6f37d010000000004595afd377a585a000004e6d6b4460200210116000000742fe5a30100047477\
                            69636500000000ab2f5b6eb843fd1800011d05b82d80af1fb6f37d010000000004595a";

    #[test]
    fn by_content() {
        assert_eq!(decode(b"plain"), b"plain");
        assert_eq!(decode(b""), b"");
        assert_eq!(decode(&gzip(b"zipped")), b"zipped");
        assert_eq!(decode(&zstd::encode_all(&b"zstandard"[..], 3).unwrap()), b"zstandard");
        assert_eq!(decode(&bzip2(b"bzip2")), b"bzip2");
        assert_eq!(decode(&unhex(XZ)), b"xz content");
    }

    #[test]
    fn several_members() {
        let mut bytes = gzip(b"one ");
        bytes.extend(gzip(b"two"));
        assert_eq!(decode(&bytes), b"one two");
        let mut bytes = zstd::encode_all(&b"one "[..], 3).unwrap();
        bytes.extend(zstd::encode_all(&b"two"[..], 3).unwrap());
        assert_eq!(decode(&bytes), b"one two");
        assert_eq!(decode(&[bzip2(b"one "), bzip2(b"two")].concat()), b"one two");
        assert_eq!(decode(&unhex(XZ_TWICE)), b"xz twice");
    }

    #[test]
    fn a_stream_that_wants_too_much_memory() {
        let mut bomb = unhex(XZ);
        // The size of the dictionary: 4 GiB - 1. Then the checksum of the block header.
        *bomb.get_mut(16).unwrap() = 40;
        let mut crc = flate2::Crc::new();
        crc.update(bomb.get(12..20).unwrap());
        bomb.get_mut(20..24).unwrap().copy_from_slice(&crc.sum().to_le_bytes());
        let error = decoder(bomb.as_slice()).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    #[test]
    fn damage_is_noticed() {
        for good in [gzip(b"some content"), bzip2(b"some content"), unhex(XZ)] {
            let mut out = Vec::new();
            let cut = good.get(..good.len() - 5).unwrap();
            assert!(decoder(cut).unwrap().read_to_end(&mut out).is_err());
        }
    }
}
