// SPDX-License-Identifier: MIT
//! `sdme-gen check`: all problems, with their codes; in colour on a terminal.

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::Result;

use super::print_json;
use crate::Compiled;
use crate::catalogue;
use crate::diag::{Diagnostic, Severity};
use crate::text;

/// Prints the problems: for people to standard error, as JSON to `out`.
///
/// # Errors
/// They cannot be printed.
pub fn run(compiled: &Compiled, json: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let all = &compiled.diagnostics;
    if json {
        let all: Vec<_> = all.iter().map(as_json).collect();
        print_json(&all, out)?;
    } else {
        let mut stderr = std::io::stderr().lock();
        // https://no-color.org
        let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        for diagnostic in all {
            writeln!(stderr, "{}", line(diagnostic, colour))?;
        }
    }
    let bad = all.iter().any(|d| d.severity == Severity::Error);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn as_json(diagnostic: &Diagnostic) -> serde_json::Value {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    serde_json::json!({
        "file": &*diagnostic.at.file, "line": diagnostic.at.line, "severity": severity,
        "code": catalogue::kind(&diagnostic.message).code, "message": diagnostic.message
    })
}

fn line(diagnostic: &Diagnostic, colour: bool) -> String {
    let code = catalogue::kind(&diagnostic.message).code;
    if !colour {
        return format!("{diagnostic} [{code}]");
    }
    let (severity, word) = match diagnostic.severity {
        Severity::Error => ("\x1b[1;31m", "error"),
        Severity::Warning => ("\x1b[1;33m", "warning"),
    };
    // Only the colours are control characters: a message may quote an image.
    let (at, message) = (text::line(&diagnostic.at.to_string()), text::line(&diagnostic.message));
    let (problem, remedy) = message.split_once("; ").unwrap_or((&message, ""));
    let remedy = if remedy.is_empty() { String::new() } else { format!("; \x1b[32m{remedy}\x1b[0m") };
    format!("\x1b[1m{at}\x1b[0m: {severity}{word}\x1b[0m: {problem}{remedy} \x1b[2m[{code}]\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Location;

    #[test]
    fn plain_and_coloured() {
        let at = Location::new(&"a.container".into(), 3);
        let problem = Diagnostic::error(&at, "unknown key X= in [Pod]; did you mean Y?");
        assert_eq!(line(&problem, false), "a.container:3: unknown key X= in [Pod]; did you mean Y? [S204]");
        let coloured = line(&problem, true);
        assert!(coloured.starts_with("\x1b[1ma.container:3\x1b[0m: \x1b[1;31merror\x1b[0m: unknown key X= in [Pod]; "));
        assert!(coloured.ends_with("\x1b[32mdid you mean Y?\x1b[0m \x1b[2m[S204]\x1b[0m"), "{coloured}");
        let odd = line(&Diagnostic::error(&at, "user `\x1b[2J\n`"), true);
        assert!(odd.contains("user `\\u{1b}[2J\\n`"), "{odd}");
    }
}
