// SPDX-License-Identifier: MIT
//! The syntax of configuration files: file types, sections, keys and values. Pure.

pub mod draft;
pub mod keys;
pub mod lock;
pub mod names;
pub mod quadlet;
pub mod reader;
pub mod settings;
pub mod sources;
pub mod trust;
pub mod update;
pub mod values;
