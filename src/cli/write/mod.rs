// SPDX-License-Identifier: MIT
//! Verbs that write or remove configuration files.

mod beside;
pub mod compose;
pub mod config;
pub mod convert;
pub mod create;
pub mod export;
mod kube;
pub mod network;
pub mod pod;
mod project;
pub mod volume;
