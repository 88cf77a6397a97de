// SPDX-License-Identifier: MIT
//! What `check` would refuse is taken out of converted files, line by line, by compiling them: there is no second list of rules. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile;
use crate::diag::{Diagnostic, Severity};
use crate::resolve::model::Facts;

/// Keys without which a file would mean something else.
const ESSENTIAL: [&str; 3] = ["Image=", "Pod=", "Network="];

/// A line that was taken out, or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The name of the file.
    pub file: String,
    /// The line.
    pub line: String,
    /// Why, and what to do.
    pub reason: String,
    /// Whether the file cannot be used without the line, and is taken out as a whole.
    pub whole: bool,
}

/// Takes out what `check` would refuse of these files, by name, and tells what it was.
pub(super) fn without_refused(files: &mut BTreeMap<String, String>) -> Vec<Refused> {
    let mut all = Vec::new();
    // Each round removes at least one line or file.
    let most = files.values().map(|text| text.lines().count()).sum::<usize>();
    for _ in 0..most {
        let problems = compile(&super::sources(files), &Facts::default()).diagnostics;
        let mut errors: Vec<&Diagnostic> =
            problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        if errors.is_empty() {
            break;
        }
        // Later lines first, so that the numbers of earlier ones stay right.
        errors.sort_by(|a, b| b.at.cmp(&a.at));
        let mut seen = BTreeSet::new();
        for problem in errors {
            if seen.insert(problem.at.clone()) {
                all.extend(remove(problem, files));
            }
        }
    }
    all
}

fn remove(problem: &Diagnostic, files: &mut BTreeMap<String, String>) -> Option<Refused> {
    let file = problem.at.file.to_string();
    let text = files.get(&file)?;
    let index = usize::try_from(problem.at.line).unwrap_or_default().saturating_sub(1);
    let line = text.lines().nth(index).unwrap_or_default().to_owned();
    let whole = ESSENTIAL.iter().any(|key| line.starts_with(key)) || !line.contains('=');
    if whole {
        files.remove(&file);
        return Some(Refused { file, line, reason: problem.message.clone(), whole });
    }
    let kept: Vec<&str> = text.lines().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| line).collect();
    let kept = kept.join("\n") + "\n";
    let reason =
        problem.message.strip_prefix(&line).map_or(problem.message.as_str(), |rest| rest.trim_start_matches(": "));
    let refused = Refused { file: file.clone(), line, reason: reason.to_owned(), whole };
    files.insert(file, kept);
    Some(refused)
}
