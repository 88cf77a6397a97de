// SPDX-License-Identifier: MIT
//! Decompresses layers and archives; the content determines the algorithm.
//!
//! The media type of a layer is ignored in favour of the first bytes, as in other importers. This
//! module does not limit the output; the caller counts it.

use std::io::{BufRead as _, BufReader, Read};

use anyhow::{Context as _, Result};
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// Size of the buffer in front of a decoder, in bytes.
const BUFFER: usize = 128 << 10;

/// Maximum size in KiB of the dictionary of an xz stream, slightly more than `xz -9` needs. A
/// stream may request up to 4 GiB.
const XZ_MEMORY: u32 = 72 << 10;

/// The compression of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// The stream is not compressed.
    None,
    /// gzip with any number of members.
    Gzip,
    /// Zstandard with any number of frames.
    Zstd,
    /// xz with any number of streams.
    Xz,
    /// bzip2 with any number of streams.
    Bzip2,
}

/// Detects the compression by the first bytes of a stream.
#[must_use]
pub fn detect(start: &[u8]) -> Compression {
    // A Zstandard stream may start with a skippable frame, magic 0x184D2A50 to 0x184D2A5F (RFC
    // 8878, section 3.1.2).
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
        _ => Compression::None,
    }
}

/// Returns a reader of the decompressed content of `reader`.
///
/// # Errors
/// Returns an error if the first bytes cannot be read.
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

    /// The output of `xz -9` for "xz content".
    const XZ: &str = "fd377a585a000004e6d6b446020021011c00000010cf58cc010009787a20636f6e74656e74000000448dfa92290b\
                      574d0001220a151ae1671fb6f37d010000000004595a";
    /// The texts "xz " and "twice", compressed separately.
    const XZ_TWICE: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3010002787a200000370e309f901021bf00011b030b\
                            2fb9101fb6f37d010000000004595afd377a585a000004e6d6b4460200210116000000742fe5a30100047477\
                            69636500000000ab2f5b6eb843fd1800011d05b82d80af1fb6f37d010000000004595a";

    #[test]
    fn the_compression_is_detected_by_the_content() {
        assert_eq!(decode(b"plain"), b"plain");
        assert_eq!(decode(b""), b"");
        assert_eq!(decode(&gzip(b"zipped")), b"zipped");
        assert_eq!(decode(&zstd::encode_all(&b"zstandard"[..], 3).unwrap()), b"zstandard");
        assert_eq!(decode(&bzip2(b"bzip2")), b"bzip2");
        assert_eq!(decode(&unhex(XZ)), b"xz content");
    }

    #[test]
    fn several_members_are_decompressed() {
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
    fn an_xz_stream_with_a_huge_dictionary_is_refused() {
        let mut bomb = unhex(XZ);
        // The size of the dictionary becomes 4 GiB - 1, and the checksum of the block header is
        // adjusted.
        *bomb.get_mut(16).unwrap() = 40;
        let mut crc = flate2::Crc::new();
        crc.update(bomb.get(12..20).unwrap());
        bomb.get_mut(20..24).unwrap().copy_from_slice(&crc.sum().to_le_bytes());
        let error = decoder(bomb.as_slice()).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    #[test]
    fn truncated_streams_are_refused() {
        for good in [gzip(b"some content"), bzip2(b"some content"), unhex(XZ)] {
            let mut out = Vec::new();
            let cut = good.get(..good.len() - 5).unwrap();
            assert!(decoder(cut).unwrap().read_to_end(&mut out).is_err());
        }
    }
}
