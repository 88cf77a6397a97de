// SPDX-License-Identifier: MIT
//! `sdme-gen diff`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::admin::show::diff::{Change, diff};
use crate::cli::print::print_json;
use crate::text;

/// Prints the differences of a container.
///
/// # Errors
/// As for [`diff`].
pub fn run(root: &Path, name: &str, everything: bool, json: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let all = diff(root, name, everything)?;
    let word = |change| match change {
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
    };
    if json {
        let all: Vec<_> = all
            .iter()
            .map(|(app, (path, change))| serde_json::json!({"path": path, "change": word(*change), "app": app}))
            .collect();
        print_json(&all, out)?;
    } else {
        let several = all.iter().any(|(app, _)| *app != all.first().and_then(|(app, _)| app.clone()));
        for (app, (path, change)) in &all {
            let letter = word(*change).chars().next().unwrap_or(' ').to_ascii_uppercase();
            // File names of the container may contain newlines, which `text::line` escapes.
            let app = app.as_ref().filter(|_| several).map(|app| format!("{app}:")).unwrap_or_default();
            writeln!(out, "{letter} {}", text::line(&format!("{app}{path}")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
