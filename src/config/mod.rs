// SPDX-License-Identifier: MIT
//! What a user may write: file types, sections, keys and values. Pure.

pub mod access;
pub mod draft;
pub mod envfile;
pub mod install;
pub mod keys;
pub mod mount;
pub mod seccomp;
pub mod secret;
pub mod settings;
pub mod source;
pub mod sources;
pub mod time;
pub mod values;
