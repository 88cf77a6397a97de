// SPDX-License-Identifier: MIT
//! Unpacks layers into directories and writes the inventories of these directories.

pub mod applayer;
pub mod extract;
pub mod inventory;
pub mod layers;
pub mod overlay;
mod xattrs;
