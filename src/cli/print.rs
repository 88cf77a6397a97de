// SPDX-License-Identifier: MIT
//! What several verbs print in the same way: JSON documents and diagnostics.

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

/// Prints all diagnostics to standard error. Returns the exit status: failure if one of them is an error.
#[must_use]
pub fn report(compiled: &Compiled) -> ExitCode {
    for diagnostic in &compiled.diagnostics {
        eprintln!("{diagnostic}");
    }
    let bad = compiled.diagnostics.iter().any(|d| d.severity == Severity::Error);
    if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
