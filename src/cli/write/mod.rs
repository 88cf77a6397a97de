// SPDX-License-Identifier: MIT
//! Verbs that write configuration files, or remove them.

pub mod compose;
pub mod config;
pub mod convert;
pub mod create;
pub mod network;
pub mod pod;
pub mod volume;
