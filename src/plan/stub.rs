// SPDX-License-Identifier: MIT
//! The unit of a file that cannot be used: starting it fails at once and its status says why. Pure.

use crate::model::Rejected;
use crate::output::tree::{Place, Tree};
use crate::paths::BINDIR;
use crate::unit::{UnitFile, exec_word};

/// Plans `unit`, whole: it takes the place of a template's instance, or of nothing.
pub fn plan(rejected: &Rejected, unit: &str, tree: &mut Tree) {
    let mut file = UnitFile::generated_from(&rejected.file);
    for problem in &rejected.problems {
        file.comment(&problem.to_string());
    }
    describe(rejected, &mut file);
    file.set_literal("Unit", "SourcePath", &rejected.file);
    file.set("Unit", "Documentation", format!("man:sdme.{}(5)", rejected.file_type.extension()));
    file.set("Service", "Type", "oneshot").set("Service", "ExecStart", command(rejected));
    tree.file(Place::Units, unit, &file);
}

/// Sets the description that says why.
pub(crate) fn describe(rejected: &Rejected, file: &mut UnitFile) {
    let first = rejected.problems.first().map(ToString::to_string).unwrap_or_default();
    file.set_literal("Unit", "Description", &format!("{} (rejected: {first})", rejected.name));
}

/// The command that fails and says why.
pub(crate) fn command(rejected: &Rejected) -> String {
    let words = rejected.problems.iter().map(|problem| format!(" {}", exec_word(&problem.to_string())));
    words.fold(format!("{BINDIR}/sdme-gen rejected"), |command, word| command + &word)
}
