// SPDX-License-Identifier: MIT
//! The functions behind the verbs of an administrator: files are written and removed, containers, images and networks are listed, and
//! changes are found. Units call nothing of this folder.

pub mod applications;
pub mod changed;
pub mod copy;
pub mod images;
pub mod leftovers;
pub mod show;
pub mod write;
