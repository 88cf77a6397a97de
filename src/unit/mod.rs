// SPDX-License-Identifier: MIT
//! Unit files and `.nspawn` files as ordered documents, unit names, and the escaping rules. Pure.

mod document;
mod envfile;
mod escape;
mod name;

pub use document::UnitFile;
pub use envfile::{Variable, env_assignment, is_env_name, parse_env, render_env};
pub use escape::{bind_path, config_word, exec_word, nspawn_path, unit_path, unit_value};
pub use name::{escape_instance, escape_path};
