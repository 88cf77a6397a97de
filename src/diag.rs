// SPDX-License-Identifier: MIT
//! What is wrong with the configuration, and where: `FILE:LINE: what is wrong; what to write instead`. Pure.

use std::fmt;
use std::sync::Arc;

use crate::text;

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Path as the user knows it.
    pub file: Arc<str>,
    /// Line, from 1. Problems of the file as a whole (unreadable, a directory) are put on line 1.
    pub line: u32,
}

impl Location {
    /// The given line of `file`.
    #[must_use]
    pub fn new(file: &Arc<str>, line: u32) -> Self {
        Self { file: Arc::clone(file), line }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A value and the place it was written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub at: Location,
}

/// Whether the file can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is rejected.
    Error,
    /// The file is used; something in it has no effect or is likely a mistake.
    Warning,
}

/// One problem. Sorts by file, line, severity and text, so that output never depends on the order of discovery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where.
    pub at: Location,
    /// How bad.
    pub severity: Severity,
    /// What is wrong and what to write instead; one line, no final period.
    pub message: String,
}

impl Diagnostic {
    /// An error at `at`.
    pub fn error(at: &Location, message: impl Into<String>) -> Self {
        Self { at: at.clone(), severity: Severity::Error, message: message.into() }
    }

    /// A warning at `at`.
    pub fn warning(at: &Location, message: impl Into<String>) -> Self {
        Self { at: at.clone(), severity: Severity::Warning, message: message.into() }
    }
}

/// Whether a file with these problems cannot be used.
#[must_use]
pub fn has_errors(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// The problems of a file that cannot be used, errors first: the first one is quoted as the reason.
#[must_use]
pub fn errors_first(mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    problems.sort_by_key(|problem| problem.severity);
    problems
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        // A message may quote an image, and file names are arbitrary text.
        f.write_str(&text::line(&format!("{}: {kind}{}", self.at, self.message)))
    }
}

/// ` (did you mean "X"?)` for the candidate nearest to `word`, or nothing when none is near.
#[must_use]
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let lower = word.to_ascii_lowercase();
    let limit = 1 + word.len() / 4;
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_ascii_lowercase()), c))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, c)| format!("; did you mean {c}?"))
        .unwrap_or_default()
}
