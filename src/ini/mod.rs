// SPDX-License-Identifier: MIT
//! Parses configuration text as systemd does (systemd.syntax(7)), and keeps the file and line of
//! every value. Pure.

mod document;
mod lines;
mod words;

pub use document::{Document, Entry, parse, parse_partly};
pub use lines::continues;
pub use words::{WordError, split_words};
