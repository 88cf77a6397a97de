// SPDX-License-Identifier: MIT
//! The unit of a file that cannot be used: starting it fails at once and its status says why. Pure.

use crate::output::tree::{Place, Tree};
use crate::paths::BINDIR;
use crate::resolve::model::Rejected;
use crate::unit::{UnitFile, exec_word};

/// Plans `unit`, whole: it takes the place of a template's instance, or of nothing.
pub fn plan(rejected: &Rejected, unit: &str, tree: &mut Tree) {
    let mut file = UnitFile::generated_from(&rejected.file);
    let mut command = format!("{BINDIR}/sdme-gen rejected");
    for problem in &rejected.problems {
        let text = problem.to_string();
        file.comment(&text);
        command.push(' ');
        command.push_str(&exec_word(&text));
    }
    let first = rejected.problems.first().map(ToString::to_string).unwrap_or_default();
    file.set_literal("Unit", "Description", &format!("{} (rejected: {first})", rejected.name));
    file.set_literal("Unit", "SourcePath", &rejected.file);
    file.set("Service", "Type", "oneshot").set("Service", "ExecStart", command);
    tree.file(Place::Units, unit, &file);
}
