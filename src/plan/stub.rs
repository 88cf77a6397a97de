// SPDX-License-Identifier: MIT
//! The unit of a rejected file: its start fails at once, and its status shows the reason. Pure.

use crate::diag::{Code, Diagnostic, Severity};
use crate::model::Rejected;
use crate::output::tree::{Place, Tree};
use crate::paths::BINDIR;
use crate::unit::{UnitFile, exec_word};

/// Plans `unit` as a whole unit file. It replaces the instance of a template, if there is one.
pub fn plan(rejected: &Rejected, unit: &str, tree: &mut Tree) {
    let mut file = UnitFile::generated_from(&rejected.file);
    for problem in &rejected.problems {
        file.comment(&reason(problem));
    }
    describe(rejected, &mut file);
    file.set_literal("Unit", "SourcePath", &rejected.file);
    file.set("Unit", "Documentation", format!("man:sdme.{}(5)", rejected.file_type.extension()));
    file.set("Service", "Type", "oneshot").set("Service", "ExecStart", command(rejected, ""));
    tree.file(Place::Units, unit, &file);
}

/// A problem as the reason of a failure. A missing file is only a warning in `check`, because it
/// may appear before the start, but it is an error of the start.
fn reason(problem: &Diagnostic) -> String {
    let is_awaited = problem.problem.code == Code::Awaited;
    let severity = if is_awaited { Severity::Error } else { problem.severity };
    Diagnostic { severity, ..problem.clone() }.to_string()
}

/// Sets the description to one with the reason.
pub(crate) fn describe(rejected: &Rejected, file: &mut UnitFile) {
    let first = rejected.problems.first().map(reason).unwrap_or_default();
    file.set_literal("Unit", "Description", &format!("{} (rejected: {first})", rejected.name));
}

/// The command that prints the reason and fails. `options` begin with a space if there are any.
pub(crate) fn command(rejected: &Rejected, options: &str) -> String {
    let words = rejected.problems.iter().map(|problem| format!(" {}", exec_word(&reason(problem))));
    words.fold(format!("{BINDIR}/sdme-gen rejected{options}"), |command, word| command + &word)
}
