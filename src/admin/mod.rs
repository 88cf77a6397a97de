// SPDX-License-Identifier: MIT
//! The functions behind an administrator's verbs: they write and remove files, list containers,
//! images and networks, and find changes. Units do not call this folder.

pub mod applications;
pub mod changed;
pub mod containers;
pub mod copy;
pub mod credentials;
pub mod defaults;
pub mod diff;
pub mod files;
pub mod images;
pub mod inspect;
pub mod leftovers;
pub mod networks;
pub mod pods;
pub mod preflight;
pub mod ps;
pub mod usage;
