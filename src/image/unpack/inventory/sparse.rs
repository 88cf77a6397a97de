// SPDX-License-Identifier: MIT
//! Digests of files with holes, which take no space but would take time to read.
//!
//! Such a digest covers the size of the file and each of its blocks that is not all zeros. It is
//! therefore independent of the position of holes: zeros may be written, and copies of a file may
//! have other holes.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;
use nix::sys::stat::FileStat;
use nix::unistd::{Whence, lseek};

use crate::image::store::digest::Hasher;

/// The prefix of such a digest in an inventory.
pub const MARK: &str = "data:";

const BLOCK: u64 = 4096;

/// Whether a file takes less space on the file system than its size.
pub fn has_holes(stat: &FileStat) -> bool {
    stat.st_blocks.saturating_mul(512) < stat.st_size
}

/// Adds the content of a file to a digest. `buffer` must have room for several blocks.
pub fn add(file: &File, hasher: &mut Hasher, buffer: &mut [u8]) -> Result<()> {
    hasher.update(&file.metadata()?.len().to_le_bytes());
    let room = buffer.len() - buffer.len() % usize::try_from(BLOCK).unwrap_or(1);
    let mut at = 0;
    while let Some(data) = seek(file, at, Whence::SeekData)? {
        let end = seek(file, data, Whence::SeekHole)?.unwrap_or(data);
        // The block size of the file system may differ.
        at = at.max(data - data % BLOCK);
        while at < end {
            let read = fill(file, at, buffer.get_mut(..room).unwrap_or_default())?;
            if read.is_empty() {
                // The file was truncated meanwhile.
                return Ok(());
            }
            for (number, block) in (0_u64..).zip(read.chunks(usize::try_from(BLOCK).unwrap_or(1))) {
                if block.iter().any(|byte| *byte != 0) {
                    hasher.update(&(at + number * BLOCK).to_le_bytes());
                    hasher.update(block);
                }
            }
            at += (read.len() as u64).next_multiple_of(BLOCK);
        }
    }
    Ok(())
}

/// Returns the position of the next data or hole from `at` on, or `None` if no data follows.
fn seek(file: &File, at: u64, whence: Whence) -> Result<Option<u64>> {
    match lseek(file, i64::try_from(at).map_err(std::io::Error::other)?, whence) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads until the buffer is full or the file ends.
fn fill<'a>(file: &File, at: u64, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn digest(file: &File) -> String {
        let mut hasher = Hasher::default();
        add(file, &mut hasher, &mut [0; 3 * 4096 + 100]).unwrap();
        hasher.finish().hex().to_owned()
    }

    #[test]
    fn holes_and_zeros_have_the_same_digest() {
        let make = |pieces: &[(u64, &[u8])], size: u64| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(size).unwrap();
            for (at, piece) in pieces {
                file.write_all_at(piece, *at).unwrap();
            }
            file
        };
        let zeros = vec![0; 1 << 20];
        let one = make(&[(5000, b"data"), (900_000, b"more")], 1 << 20);
        let other = make(&[(0, &zeros), (5000, b"data"), (900_000, b"more")], 1 << 20);
        assert_eq!(digest(&one), digest(&other));
        let longer = make(&[(5000, b"data"), (900_000, b"more")], (1 << 20) + 1);
        let elsewhere = make(&[(5000 + 4096, b"data"), (900_000, b"more")], 1 << 20);
        let changed = make(&[(5000, b"dato"), (900_000, b"more")], 1 << 20);
        for different in [longer, elsewhere, changed] {
            assert_ne!(digest(&one), digest(&different));
        }
        assert_ne!(digest(&make(&[], 0)), digest(&make(&[], 1)));
        // Reading the whole file would take hours.
        let huge = make(&[((1 << 40) - 3, b"end")], 1 << 40);
        assert_ne!(digest(&huge), digest(&make(&[], 1 << 40)));
    }
}
