// SPDX-License-Identifier: MIT
//! The functions behind an administrator's verbs: they write and remove files, list containers,
//! images and networks, and find changes. Units do not call this folder.

pub mod applications;
pub mod changed;
pub mod copy;
pub mod images;
pub mod leftovers;
pub mod show;
pub mod write;
