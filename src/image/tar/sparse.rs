// SPDX-License-Identifier: MIT
//! Reads the maps of sparse files, in all formats of GNU tar (its manual, "Sparse Formats").

use std::io::Read;

use anyhow::{Context as _, Result, bail};
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::{BLOCK, pax};

/// Maximum number of segments of a sparse file.
const MAX_SEGMENTS: usize = 1 << 16;
/// The context of errors about a map.
const MAP: &str = "the map of a sparse file";

/// A segment of a sparse file: `length` bytes of data at `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The position of the data in the file, in bytes.
    pub offset: u64,
    /// The number of bytes of data.
    pub length: u64,
}

/// Returns the size and the map of an old GNU sparse file: four segments are in the header,
/// more are in blocks after it.
pub(crate) fn gnu_map(blocks: &mut impl Read, header: &Header) -> Result<(u64, Vec<Segment>)> {
    let gnu = header.as_gnu().context("is a sparse file without a GNU header")?;
    let real = gnu.real_size().context("real size field")?;
    let mut segments = Vec::new();
    for entry in &gnu.sparse {
        add_entry(&mut segments, entry)?;
    }
    let mut extended = gnu.is_extended();
    while extended {
        let mut block = GnuExtSparseHeader::new();
        // The size of the body does not include the blocks of the map.
        blocks.read_exact(block.as_mut_bytes()).context(MAP)?;
        for entry in &block.sparse {
            add_entry(&mut segments, entry)?;
        }
        extended = block.is_extended();
    }
    Ok((real, segments))
}

/// Returns the size and the map of a sparse file in one of the PAX versions.
pub(crate) fn pax_map(body: &mut impl Read, sparse: &pax::Sparse) -> Result<(u64, Vec<Segment>)> {
    let real = sparse.size.context("is a sparse file that does not say its size")?;
    let mut segments = Vec::new();
    match sparse.version {
        (Some(1), Some(0)) => {
            let mut left = BLOCK;
            let pieces = line(body, &mut left)?;
            for _ in 0..pieces {
                let (offset, length) = (line(body, &mut left)?, line(body, &mut left)?);
                add_segment(&mut segments, Segment { offset, length })?;
            }
            // The data starts at the next block boundary.
            let mut padding = [0; BLOCK];
            body.read_exact(padding.get_mut(..left).unwrap_or_default()).context(MAP)?;
        }
        (None | Some(0), None | Some(0 | 1)) => {
            let mut numbers = sparse.map.iter();
            while let (Some(offset), Some(length)) = (numbers.next(), numbers.next()) {
                add_segment(&mut segments, Segment { offset: *offset, length: *length })?;
            }
            let pieces = sparse.pieces.and_then(|pieces| usize::try_from(pieces).ok());
            if !sparse.map.len().is_multiple_of(2) || pieces != Some(segments.len()) {
                bail!("is a sparse file whose map is not complete");
            }
        }
        _ => bail!("is a sparse file of an unknown version"),
    }
    Ok((real, segments))
}

/// Reads a line of a map in the body, which has one number. `left` is the number of remaining
/// bytes of the current block.
fn line(body: &mut impl Read, left: &mut usize) -> Result<u64> {
    let mut digits = Vec::new();
    loop {
        let mut byte = [0];
        body.read_exact(&mut byte).context(MAP)?;
        *left = if *left == 0 { BLOCK - 1 } else { *left - 1 };
        match byte {
            [b'\n'] => return pax::number(&digits).context(MAP),
            _ if digits.len() > 20 => bail!("is a sparse file whose map is damaged"),
            [digit] => digits.push(digit),
        }
    }
}

fn add_entry(segments: &mut Vec<Segment>, entry: &GnuSparseHeader) -> Result<()> {
    if entry.is_empty() {
        return Ok(());
    }
    let (offset, length) = (entry.offset().context(MAP)?, entry.length().context(MAP)?);
    add_segment(segments, Segment { offset, length })
}

fn add_segment(segments: &mut Vec<Segment>, segment: Segment) -> Result<()> {
    if segments.len() >= MAX_SEGMENTS {
        bail!("is a sparse file of more than {MAX_SEGMENTS} pieces");
    }
    segments.push(segment);
    Ok(())
}

/// Checks that segments are in order, within the file, and together as long as the stored data.
pub(crate) fn fits(segments: &[Segment], real: u64, stored: u64) -> Result<()> {
    let mut end = 0;
    let mut total = 0_u64;
    for segment in segments {
        if segment.offset < end {
            bail!("is a sparse file whose pieces overlap");
        }
        end = segment.offset.checked_add(segment.length).context("is a sparse file beyond all sizes")?;
        total = total.checked_add(segment.length).context("is a sparse file beyond all sizes")?;
    }
    if end > real || total != stored {
        bail!("is a sparse file whose map does not fit its size");
    }
    Ok(())
}
