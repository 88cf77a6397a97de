// SPDX-License-Identifier: MIT
//! Prints JSON documents, tables and diagnostics for all commands.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::Compiled;
use crate::diag::Severity;
use crate::text;

/// Prints a JSON document. Its strings may come from an image or a container and the output may be
/// a terminal, so control characters are escaped.
///
/// # Errors
/// `out` cannot be written.
pub fn print_json(document: &(impl serde::Serialize + ?Sized), out: &mut dyn Write) -> Result<()> {
    let text = serde_json::to_string_pretty(document).context("cannot render the JSON document")?;
    Ok(writeln!(out, "{}", text::json(&text))?)
}

/// Prints a table, whose first row is the heading. The columns are two spaces apart, and control
/// characters are escaped.
///
/// # Errors
/// `out` cannot be written.
pub fn print_table<R: AsRef<[String]>>(rows: &[R], out: &mut dyn Write) -> Result<()> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.as_ref().iter().map(|cell| text::line(cell)).collect()).collect();
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    for row in &rows {
        let cells = row.iter().enumerate();
        let padded = cells.map(|(column, cell)| format!("{cell:width$}  ", width = widest(column).unwrap_or(0)));
        writeln!(out, "{}", padded.collect::<String>().trim_end())?;
    }
    Ok(())
}

/// The items separated by commas, or a dash if there are none.
pub fn joined(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

/// Prints all diagnostics to standard error. Returns the exit status: failure if one of them is an
/// error.
#[must_use]
pub fn report(compiled: &Compiled) -> ExitCode {
    for diagnostic in &compiled.diagnostics {
        eprintln!("{diagnostic}");
    }
    let bad = compiled.diagnostics.iter().any(|d| d.severity == Severity::Error);
    if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
