// SPDX-License-Identifier: MIT
//! What is wrong with the configuration, and where: `FILE:LINE: what is wrong; what to write instead`. Pure.

#[cfg(feature = "image")]
pub mod catalogue;
mod code;

use std::fmt;
use std::sync::Arc;

pub use code::Code;

use crate::text;

/// What stands between cause and remedy.
const REMEDY: &str = "; ";

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

/// What is wrong and what to write instead, wherever it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What is wrong; one line, no final period.
    pub cause: String,
    /// What to write instead, or empty if the cause says it.
    pub remedy: String,
    /// The kind of problem, which the catalogue describes.
    pub code: Code,
}

impl Code {
    /// A problem of this kind. `text` is the cause and, behind the last semicolon with a blank, the remedy: a value that is quoted may
    /// have semicolons, too.
    pub fn problem(self, text: impl Into<String>) -> Problem {
        let text = text.into();
        let (cause, remedy) = text.rsplit_once(REMEDY).unwrap_or((&text, ""));
        Problem { code: self, cause: cause.to_owned(), remedy: remedy.to_owned() }
    }
}

impl Problem {
    /// The same problem; `remedy` is what to do if it does not say so itself.
    #[must_use]
    pub fn or(self, remedy: &str) -> Self {
        if self.remedy.is_empty() { Self { remedy: remedy.to_owned(), ..self } } else { self }
    }

    /// The same problem, of what `subject` names.
    #[must_use]
    pub fn of(self, subject: &str) -> Self {
        Self { cause: format!("{subject}: {}", self.cause), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "{REMEDY}{}", self.remedy) }
    }
}

/// A problem at a place. Sorts by file, line, severity and problem, so that output never depends on the order of discovery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where.
    pub at: Location,
    /// How bad.
    pub severity: Severity,
    /// What.
    pub problem: Problem,
}

impl Diagnostic {
    /// An error at `at`.
    #[must_use]
    pub fn error(at: &Location, problem: Problem) -> Self {
        Self { at: at.clone(), severity: Severity::Error, problem }
    }

    /// Whether the line is wrong: the file is rejected, or used without what cannot be read in the line, or it claims what another file
    /// has. A program does not write such a line.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        let is_left_out =
            matches!(self.problem.code, Code::Address | Code::Confinement | Code::Conflict | Code::Signal);
        self.severity == Severity::Error || is_left_out
    }

    /// A warning at `at`.
    #[must_use]
    pub fn warning(at: &Location, problem: Problem) -> Self {
        Self { at: at.clone(), severity: Severity::Warning, problem }
    }
}

/// Whether a file with these problems cannot be used.
#[must_use]
pub fn has_errors(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// The problems of a file that cannot be used, errors first: the first one is quoted as the reason. Without errors, it is what the file
/// waits for.
#[must_use]
pub fn errors_first(mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    problems.sort_by_key(|problem| (problem.severity, problem.problem.code != Code::Awaited));
    problems
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        // A message may quote an image, and file names are arbitrary text.
        f.write_str(&text::line(&format!("{}: {kind}{}", self.at, self.problem)))
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
