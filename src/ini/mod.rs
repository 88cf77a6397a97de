// SPDX-License-Identifier: MIT
//! Configuration text, read the way systemd reads it (systemd.syntax(7)), every value with its file and line. Pure.

mod document;
mod lines;
mod words;

pub use document::{Document, Entry, parse, parse_partly};
pub use words::{WordError, split_words};
