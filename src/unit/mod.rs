// SPDX-License-Identifier: MIT
//! Unit files and `.nspawn` files as ordered documents, their names, and every escaping dialect. Pure.

mod document;
mod escape;
mod name;

pub use document::UnitFile;
pub use escape::{config_word, env_assignment, exec_word, is_env_name, nspawn_path, unit_value};
pub use name::{escape_instance, escape_path};
