// SPDX-License-Identifier: MIT
//! Removes the lines that `check` would refuse from converted files. The files are compiled to find
//! these lines, so there is no second list of rules. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile;
use crate::diag::Diagnostic;
use crate::model::Facts;

/// Keys whose removal would change the meaning of the file, so that the whole file is removed
/// instead.
const ESSENTIAL: [&str; 3] = ["Image=", "Pod=", "Network="];

/// A line or a file that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The name of the file.
    pub file: String,
    /// The text of the line.
    pub line: String,
    /// The reason, and what the user can do.
    pub reason: String,
    /// Whether the whole file was removed, because it cannot be used without the line.
    pub whole: bool,
}

/// Removes what `check` would refuse from files by name, and returns the removed lines and files.
pub(super) fn without_refused(files: &mut BTreeMap<String, String>) -> Vec<Refused> {
    let mut all = Vec::new();
    // Each round removes at least one line or file, so the number of lines bounds the number of
    // rounds.
    let most = files.values().map(|text| text.lines().count()).sum::<usize>();
    for _ in 0..most {
        let problems = compile(&super::sources(&*files), &Facts::default()).diagnostics;
        let mut errors: Vec<&Diagnostic> = problems.iter().filter(|problem| problem.is_wrong()).collect();
        if errors.is_empty() {
            break;
        }
        // Later lines are removed first, so that the numbers of earlier lines stay valid.
        errors.sort_by(|a, b| b.at.cmp(&a.at));
        // A file may be refused because of a line in another file, so whole files are removed only
        // if no single line can be removed.
        let (files_at_fault, lines): (Vec<&Diagnostic>, Vec<&Diagnostic>) =
            errors.into_iter().partition(|problem| is_whole(&line_of(problem, files)));
        let mut seen = BTreeSet::new();
        for problem in if lines.is_empty() { files_at_fault } else { lines } {
            if seen.insert(problem.at.clone()) {
                all.extend(remove(problem, files));
            }
        }
    }
    let gone: BTreeSet<String> =
        all.iter().filter(|refused| refused.whole).map(|refused| refused.file.clone()).collect();
    all.retain(|refused| refused.whole || !gone.contains(&refused.file));
    all
}

/// Whether a file cannot be used without this line.
fn is_whole(line: &str) -> bool {
    ESSENTIAL.iter().any(|key| line.starts_with(key)) || !line.contains('=')
}

/// Returns the line that a diagnostic refers to.
fn line_of(problem: &Diagnostic, files: &BTreeMap<String, String>) -> String {
    let index = usize::try_from(problem.at.line).unwrap_or_default().saturating_sub(1);
    let text = files.get(&*problem.at.file).map(String::as_str).unwrap_or_default();
    text.lines().nth(index).unwrap_or_default().to_owned()
}

fn remove(problem: &Diagnostic, files: &mut BTreeMap<String, String>) -> Option<Refused> {
    let file = problem.at.file.to_string();
    let text = files.get(&file)?;
    let index = usize::try_from(problem.at.line).unwrap_or_default().saturating_sub(1);
    let line = line_of(problem, files);
    let whole = is_whole(&line);
    if whole {
        files.remove(&file);
        return Some(Refused { file, line, reason: problem.problem.to_string(), whole });
    }
    let kept: Vec<&str> = text.lines().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| line).collect();
    let kept = kept.join("\n") + "\n";
    let text = problem.problem.to_string();
    let reason = text.strip_prefix(&line).map_or(text.as_str(), |rest| rest.trim_start_matches([':', ' ']));
    let refused = Refused { file: file.clone(), line, reason: reason.to_owned(), whole };
    files.insert(file, kept);
    Some(refused)
}
