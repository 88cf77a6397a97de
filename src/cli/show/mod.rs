// SPDX-License-Identifier: MIT
//! Verbs that print information and change nothing.

pub mod check;
pub mod diff;
pub mod graph;
pub mod inspect;
pub mod ps;
pub mod render;
pub mod security;
pub mod trust;
pub mod usage;
