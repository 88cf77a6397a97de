// SPDX-License-Identifier: MIT
//! `sdme-gen diff`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::print_json;
use crate::runtime::diff::{Change, diff};
use crate::text;

/// Prints the differences.
///
/// # Errors
/// As for [`diff`].
pub fn run(root: &Path, name: &str, json: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let all = diff(root, name)?;
    let word = |change| match change {
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
    };
    if json {
        let all: Vec<_> =
            all.iter().map(|(path, change)| serde_json::json!({"path": path, "change": word(*change)})).collect();
        print_json(&all, out)?;
    } else {
        for (path, change) in all {
            let letter = word(change).chars().next().unwrap_or(' ').to_ascii_uppercase();
            // A line is a path, whatever the container called its files.
            writeln!(out, "{letter} {}", text::line(&path))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
