// SPDX-License-Identifier: MIT
//! What verbs show of a machine's containers. Nothing is changed.

pub mod diff;
pub mod inspect;
pub mod preflight;
pub mod ps;
pub mod usage;
