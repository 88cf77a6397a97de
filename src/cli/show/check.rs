// SPDX-License-Identifier: MIT
//! `sdme-gen check`: prints all problems with their codes, in colour on a terminal.

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::Compiled;
use crate::cli::print::print_json;
use crate::cli::show::trust;
use crate::config::keys::FileType;
use crate::diag::{Diagnostic, Fault, Problem, Severity};
use crate::model::Model;
use crate::text;

/// Prints the problems, as text to standard error or as JSON to `out`. Returns a failure if there is
/// an error or, with `strict`, any problem.
///
/// # Errors
/// The problems cannot be printed.
pub fn run(compiled: &Compiled, json: bool, strict: bool, names: &[String], out: &mut dyn Write) -> Result<ExitCode> {
    let all = &compiled.diagnostics;
    let policies = trust::applied(&compiled.model, names);
    if json {
        let policies = policies.iter().map(|applied| {
            serde_json::json!({"file": applied.file, "line": applied.line, "severity": "info", "code": null,
                "image": applied.image, "message": applied.text})
        });
        let all: Vec<_> = all.iter().map(as_json).chain(policies).collect();
        print_json(&all, out)?;
    } else {
        let mut stderr = std::io::stderr().lock();
        // https://no-color.org
        let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        for diagnostic in all {
            writeln!(stderr, "{}", line(diagnostic, colour))?;
        }
        for applied in policies {
            writeln!(out, "{}", text::line(&format!("{}:{}: {}", applied.file, applied.line, applied.text)))?;
        }
    }
    let bad = all.iter().any(|d| strict || d.severity == Severity::Error);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Keeps the problems of the files `NAME.EXTENSION` and their drop-ins, for each name in `names`.
/// Without names, all problems are kept.
///
/// # Errors
/// There is no file with one of these names.
pub fn only(diagnostics: &mut Vec<Diagnostic>, model: &Model, names: &[String]) -> Result<()> {
    let Some(name) =
        names.iter().find(|name| !is_known(model, name) && !diagnostics.iter().any(|d| is_of(&d.at.file, name)))
    else {
        diagnostics.retain(|d| names.is_empty() || names.iter().any(|name| is_of(&d.at.file, name)));
        return Ok(());
    };
    bail!("there is no file of the name {name}")
}

fn is_known(model: &Model, name: &str) -> bool {
    model.containers.contains_key(name)
        || model.pods.contains_key(name)
        || model.volumes.contains_key(name)
        || model.images.contains_key(name)
        || model.networks.contains_key(name)
        || model.rejected.iter().any(|rejected| rejected.name == name)
}

/// Whether a file is `NAME.EXTENSION`, or a drop-in of such a file.
fn is_of(file: &str, name: &str) -> bool {
    let is_named = |part: &str| {
        let rest = part.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        let extension = rest.map(|rest| rest.strip_suffix(".d").unwrap_or(rest));
        extension.is_some_and(|extension| FileType::ALL.iter().any(|file_type| file_type.extension() == extension))
    };
    let mut parts = file.rsplit('/').take(2);
    match (parts.next(), parts.next()) {
        (_, Some(directory)) if directory.ends_with(".d") => is_named(directory),
        (Some(file), _) => is_named(file),
        _ => false,
    }
}

fn as_json(diagnostic: &Diagnostic) -> serde_json::Value {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    serde_json::json!({
        "file": &*diagnostic.at.file, "line": diagnostic.at.line, "severity": severity,
        "code": diagnostic.problem.code.to_string(), "message": diagnostic.problem.to_string(),
        "remedy": diagnostic.problem.fault.remedy
    })
}

fn line(diagnostic: &Diagnostic, colour: bool) -> String {
    let Problem { code, fault: Fault { cause, remedy } } = &diagnostic.problem;
    if !colour {
        return format!("{diagnostic} [{code}]");
    }
    let (severity, word) = match diagnostic.severity {
        Severity::Error => ("\x1b[1;31m", "error"),
        Severity::Warning => ("\x1b[1;33m", "warning"),
    };
    // A message may quote an image, so control characters are escaped before the colours are added.
    let (at, cause, remedy) = (text::line(&diagnostic.at.to_string()), text::line(cause), text::line(remedy));
    format!("\x1b[1m{at}\x1b[0m: {severity}{word}\x1b[0m: {cause}; \x1b[32m{remedy}\x1b[0m \x1b[2m[{code}]\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Code, Location};

    #[test]
    fn files_by_name() {
        for file in ["/etc/sdme/web.container", "/etc/sdme/web.container.d/a.conf", "web.pod"] {
            assert!(is_of(file, "web") && !is_of(file, "we") && !is_of(file, "a"), "{file}");
        }
        assert!(!is_of("/etc/sdme/web-1.container", "web"));
    }

    #[test]
    fn plain_and_coloured() {
        let at = Location::new(&"a.container".into(), 3);
        let problem = Diagnostic::error(&at, Code::UnknownKey.problem("unknown key X= in [Pod]", "did you mean Y?"));
        assert_eq!(line(&problem, false), "a.container:3: unknown key X= in [Pod]; did you mean Y? [S204]");
        let coloured = line(&problem, true);
        assert!(coloured.starts_with("\x1b[1ma.container:3\x1b[0m: \x1b[1;31merror\x1b[0m: unknown key X= in [Pod]; "));
        assert!(coloured.ends_with("\x1b[32mdid you mean Y?\x1b[0m \x1b[2m[S204]\x1b[0m"), "{coloured}");
        let odd = line(&Diagnostic::error(&at, Code::User.problem("user `\x1b[2J\n`", "write a name")), true);
        assert!(odd.contains("user `\\u{1b}[2J\\n`"), "{odd}");
    }
}
