// SPDX-License-Identifier: MIT
//! Where the data of a sparse file goes, in every form that GNU tar has given such maps (its manual, "Sparse Formats").

use std::io::Read;

use anyhow::{Context as _, Result, bail};
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::pax;
use crate::image::tar::tarstream::{BLOCK, TarStream};

/// Pieces of one sparse file.
const MAX_SEGMENTS: usize = 1 << 16;
/// What is being read when a map is found wanting.
const MAP: &str = "the map of a sparse file";

/// One piece of a sparse file: data of `length` bytes at `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where the data goes.
    pub offset: u64,
    /// How many bytes of the body it takes.
    pub length: u64,
}

impl<R: Read> TarStream<R> {
    /// Size and map of an old GNU sparse file: four pieces in the header, more in blocks after it.
    pub(crate) fn gnu_map(&mut self, header: &Header) -> Result<(u64, Vec<Segment>)> {
        let gnu = header.as_gnu().context("is a sparse file without a GNU header")?;
        let real = gnu.real_size().context("real size field")?;
        let mut segments = Vec::new();
        for entry in &gnu.sparse {
            add_entry(&mut segments, entry)?;
        }
        let mut extended = gnu.is_extended();
        while extended {
            let mut block = GnuExtSparseHeader::new();
            // The blocks of the map are not counted in the size of the body.
            self.reader.read_exact(block.as_mut_bytes()).context(MAP)?;
            for entry in &block.sparse {
                add_entry(&mut segments, entry)?;
            }
            extended = block.is_extended();
        }
        Ok((real, segments))
    }

    /// Size and map of a sparse file in one of the PAX versions.
    pub(crate) fn pax_map(&mut self, sparse: &pax::Sparse) -> Result<(u64, Vec<Segment>)> {
        let real = sparse.size.context("is a sparse file that does not say its size")?;
        let mut segments = Vec::new();
        match sparse.version {
            (Some(1), Some(0)) => {
                let mut left = BLOCK;
                let pieces = self.line(&mut left)?;
                for _ in 0..pieces {
                    let (offset, length) = (self.line(&mut left)?, self.line(&mut left)?);
                    add_segment(&mut segments, Segment { offset, length })?;
                }
                // The data begins with a block of its own.
                let mut padding = [0; BLOCK];
                self.read_exact(padding.get_mut(..left).unwrap_or_default()).context(MAP)?;
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

    /// A number and a newline of a map in the body, `left` being what there is of the current block.
    fn line(&mut self, left: &mut usize) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            let mut byte = [0];
            self.read_exact(&mut byte).context(MAP)?;
            *left = if *left == 0 { BLOCK - 1 } else { *left - 1 };
            match byte {
                [b'\n'] => return pax::number(&digits).context(MAP),
                _ if digits.len() > 20 => bail!("is a sparse file whose map is damaged"),
                [digit] => digits.push(digit),
            }
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

/// Makes sure that pieces are in order, inside the file, and together as long as what is stored.
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
