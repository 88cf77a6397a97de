// SPDX-License-Identifier: MIT
//! What is wrong with the configuration, and where: `FILE:LINE: what is wrong; what to write instead`. Pure.

#[cfg(feature = "image")]
pub mod catalogue;
mod code;

use std::fmt;
use std::sync::Arc;

pub use code::Code;

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

    /// The place of what concerns `file` as a whole.
    #[must_use]
    pub fn whole(file: &Arc<str>) -> Self {
        Self::new(file, 1)
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

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "",
            Self::Warning => "warning: ",
        })
    }
}

/// What is wrong and what to do about it, before it is known which kind of problem that is: a part of the code that reads a value of
/// several keys returns it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// What is wrong; one line, no final period.
    pub cause: String,
    /// What to do, in the imperative; one line, no final period.
    pub remedy: String,
}

impl Fault {
    /// A fault with its cause and its remedy.
    pub fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), remedy: remedy.into() }
    }

    /// The same fault, of what `subject` names.
    #[must_use]
    pub fn of(self, subject: &str) -> Self {
        Self { cause: format!("{subject}: {}", self.cause), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

/// What is wrong and what to do about it, wherever it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What is wrong and what to do.
    pub fault: Fault,
    /// The kind of problem, which the catalogue describes.
    pub code: Code,
}

impl Code {
    /// A problem of this kind, with its cause and its remedy.
    pub fn problem(self, cause: impl Into<String>, remedy: impl Into<String>) -> Problem {
        self.of(Fault::new(cause, remedy))
    }

    /// A fault as a problem of this kind.
    #[must_use]
    pub fn of(self, fault: Fault) -> Problem {
        Problem { fault, code: self }
    }

    /// A problem of this kind that follows from `reason`, in another file as a rule: `what: FILE:LINE: cause; remedy`.
    #[must_use]
    pub fn because(self, what: &str, reason: &Diagnostic) -> Problem {
        let Fault { cause, remedy } = &reason.problem.fault;
        self.problem(format!("{what}: {}: {}{cause}", reason.at, reason.severity), remedy)
    }
}

impl Problem {
    /// The same problem, of what `subject` names.
    #[must_use]
    pub fn of(self, subject: &str) -> Self {
        self.code.of(self.fault.of(subject))
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        problem.fault
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
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
        // A message may quote an image, and file names are arbitrary text.
        f.write_str(&text::line(&format!("{}: {}{}", self.at, self.severity, self.problem)))
    }
}

/// The candidate nearest to `word`, if one is near.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    let limit = 1 + word.len() / 4;
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_ascii_lowercase()), c))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, c)| c)
}

/// The remedy `did you mean X?` with the candidate nearest to `word`, if one is near.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean {candidate}?"))
}

/// `; did you mean X?`, for the end of a message that is no diagnostic, or nothing when no candidate is near.
#[must_use]
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(word, candidates).map_or_else(String::new, |remedy| format!("; {remedy}"))
}
