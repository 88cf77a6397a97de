// SPDX-License-Identifier: MIT
//! Reads archives: decompression, the members of tar files, sparse files and extended headers.

pub mod ahead;
pub mod compress;
pub mod pax;
pub mod sparse;
pub mod tarstream;

/// The size of a block in bytes. An archive consists of such blocks.
const BLOCK: usize = 512;
