// SPDX-License-Identifier: MIT
//! The unit of a file that cannot be used: starting it fails at once and its status says why. Pure.

use crate::diag::{Code, Diagnostic, Severity};
use crate::model::Rejected;
use crate::output::tree::{Place, Tree};
use crate::paths::BINDIR;
use crate::unit::{UnitFile, exec_word};

/// Plans `unit`, whole: it takes the place of a template's instance, or of nothing.
pub fn plan(rejected: &Rejected, unit: &str, tree: &mut Tree) {
    let mut file = UnitFile::generated_from(&rejected.file);
    for problem in &rejected.problems {
        file.comment(&reason(problem));
    }
    describe(rejected, &mut file);
    file.set_literal("Unit", "SourcePath", &rejected.file);
    file.set("Unit", "Documentation", format!("man:sdme.{}(5)", rejected.file_type.extension()));
    file.set("Service", "Type", "oneshot").set("Service", "ExecStart", command(rejected));
    tree.file(Place::Units, unit, &file);
}

/// A problem as the reason of a failure. A file that is missing is a warning of `check` only because the start may come later.
fn reason(problem: &Diagnostic) -> String {
    let is_awaited = problem.problem.code == Code::Awaited;
    let severity = if is_awaited { Severity::Error } else { problem.severity };
    Diagnostic { severity, ..problem.clone() }.to_string()
}

/// Sets the description that says why.
pub(crate) fn describe(rejected: &Rejected, file: &mut UnitFile) {
    let first = rejected.problems.first().map(reason).unwrap_or_default();
    file.set_literal("Unit", "Description", &format!("{} (rejected: {first})", rejected.name));
}

/// The command that fails and says why.
pub(crate) fn command(rejected: &Rejected) -> String {
    let words = rejected.problems.iter().map(|problem| format!(" {}", exec_word(&reason(problem))));
    words.fold(format!("{BINDIR}/sdme-gen rejected"), |command, word| command + &word)
}
