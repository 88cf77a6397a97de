// SPDX-License-Identifier: MIT
//! What a user may write: file types, sections, keys and values. Pure.

pub mod access;
pub mod draft;
pub mod envfile;
pub mod expand;
pub mod foreign;
pub mod install;
pub mod keys;
pub mod lock;
pub mod mount;
pub mod podman;
pub mod quadlets;
pub mod seccomp;
pub mod secret;
pub mod settings;
pub mod source;
pub mod sources;
pub mod time;
pub mod trust;
pub mod update;
pub mod values;
pub mod variables;
