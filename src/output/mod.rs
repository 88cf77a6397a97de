// SPDX-License-Identifier: MIT
//! The tree of all rendered files, and the modules that write it.

pub mod emit;
pub mod tree;

#[cfg(feature = "image")]
pub mod apply;
#[cfg(feature = "image")]
pub mod graph;
#[cfg(feature = "image")]
pub mod layer;
