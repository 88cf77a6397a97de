// SPDX-License-Identifier: MIT
//! Archives: decompression, the members of a tar file, sparse files and extended headers.

pub mod ahead;
pub mod compress;
pub mod pax;
pub mod sparse;
pub mod tarstream;
