// SPDX-License-Identifier: MIT
//! The functions behind the commands that show something, without changing anything.

pub mod diff;
pub mod inspect;
pub mod origin;
pub mod preflight;
pub mod ps;
pub mod usage;
