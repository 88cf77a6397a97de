// SPDX-License-Identifier: MIT
//! Where rendered files go: the tree of all of them, and its sinks.

pub mod emit;
pub mod tree;

#[cfg(feature = "image")]
pub mod apply;
#[cfg(feature = "image")]
pub mod graph;
#[cfg(feature = "image")]
pub mod layer;
#[cfg(feature = "image")]
pub mod origin;
