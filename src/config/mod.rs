// SPDX-License-Identifier: MIT
//! What a user may write: file types, sections, keys and values. Pure.

pub mod access;
pub mod draft;
pub mod install;
pub mod keys;
pub mod seccomp;
pub mod settings;
pub mod source;
pub mod sources;
pub mod time;
pub mod values;
