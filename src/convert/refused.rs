// SPDX-License-Identifier: MIT
//! What `check` would refuse, or leave out, is taken out of converted files, line by line, by compiling them: there is no second list of rules. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile;
use crate::diag::Diagnostic;
use crate::model::Facts;

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
        let problems = compile(&super::sources(&*files), &Facts::default()).diagnostics;
        let mut errors: Vec<&Diagnostic> = problems.iter().filter(|problem| problem.is_wrong()).collect();
        if errors.is_empty() {
            break;
        }
        // Later lines first, so that the numbers of earlier ones stay right.
        errors.sort_by(|a, b| b.at.cmp(&a.at));
        // A file may be refused because of a line of another one, so whole files go only when no line is left that can go.
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

/// The line that a problem is about.
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
    let reason = text.strip_prefix(&line).map_or(text.as_str(), |rest| rest.trim_start_matches(": "));
    let refused = Refused { file: file.clone(), line, reason: reason.to_owned(), whole };
    files.insert(file, kept);
    Some(refused)
}
