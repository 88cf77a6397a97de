// SPDX-License-Identifier: MIT
//! Reads the state of containers for the commands that show it, without changing anything.

pub mod diff;
pub mod inspect;
pub mod preflight;
pub mod ps;
pub mod usage;
