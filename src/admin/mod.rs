// SPDX-License-Identifier: MIT
//! What an administrator asks `sdme-gen` for: files written and removed, containers, images and networks listed, what has changed.
//! The units call nothing of this room.

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
