// SPDX-License-Identifier: MIT
//! Access to directories whose content a stranger controls: the tree of an image, a container's upper layer, a volume, or the
//! root directory that an image builder names. The host's root opens, creates, renames and removes files there through this
//! module only, relative to an open directory, so that no symbolic link leads out.

pub mod copy;
pub mod replace;
pub mod transfer;
pub mod tree;
