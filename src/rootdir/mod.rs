// SPDX-License-Identifier: MIT
//! Access to directories whose content is untrusted: the tree of an image, a container's upper
//! layer, a volume, or the root directory that an image builder passes. Programs with root
//! privileges open, create, rename and remove files there only through this module, relative to an
//! open directory, so that no symbolic link leads out of it.

pub mod copy;
pub mod replace;
pub mod transfer;
pub mod tree;
