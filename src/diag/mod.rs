// SPDX-License-Identifier: MIT
//! Diagnostics about the configuration, each with its location: `FILE:LINE: cause; remedy`. Pure.

#[cfg(feature = "image")]
pub mod catalogue;
mod code;

use std::fmt;
use std::sync::Arc;

pub use code::Code;

use crate::text;

/// A location in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The path of the file, as the user knows it.
    pub file: Arc<str>,
    /// The number of the line, from 1. Problems of a whole file, such as an unreadable file, are at
    /// line 1.
    pub line: u32,
}

impl Location {
    /// The given line of `file`, counted from 1.
    #[must_use]
    pub fn new(file: &Arc<str>, line: u32) -> Self {
        Self { file: Arc::clone(file), line }
    }

    /// The location of problems that concern `file` as a whole.
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

/// A value and its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// The location of the value.
    pub at: Location,
}

/// Whether the file can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is rejected.
    Error,
    /// The file is used. Something in it has no effect or is probably a mistake.
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

/// A cause and its remedy, without the kind of the problem. Code that reads the values of several
/// keys returns it, because each key has its own kind of problem. It is also the error of a command
/// that knows the remedy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The cause, on one line and without a final period.
    pub cause: String,
    /// The remedy in the imperative, on one line and without a final period.
    pub remedy: String,
}

impl Fault {
    /// Makes a fault from its cause and its remedy.
    pub fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), remedy: remedy.into() }
    }

    /// The same fault, with `subject` in front of its cause.
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

impl std::error::Error for Fault {}

/// The cause becomes `FILE:LINE: cause`.
impl From<&Diagnostic> for Fault {
    fn from(diagnostic: &Diagnostic) -> Self {
        let Diagnostic { at, severity, problem } = diagnostic;
        Self::new(format!("{at}: {severity}{}", problem.fault.cause), problem.fault.remedy.as_str())
    }
}

/// A cause, its remedy and the kind of the problem, without a location.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The cause and the remedy.
    pub fault: Fault,
    /// The kind of the problem.
    pub code: Code,
}

impl Code {
    /// Makes a problem of this kind from its cause and its remedy.
    pub fn problem(self, cause: impl Into<String>, remedy: impl Into<String>) -> Problem {
        self.of(Fault::new(cause, remedy))
    }

    /// Makes a problem of this kind from a fault.
    #[must_use]
    pub fn of(self, fault: Fault) -> Problem {
        Problem { fault, code: self }
    }

    /// A problem of this kind that follows from `reason`, which is usually about another file. The
    /// cause becomes `what: FILE:LINE: cause`.
    #[must_use]
    pub fn because(self, what: &str, reason: &Diagnostic) -> Problem {
        self.of(Fault::from(reason).of(what))
    }
}

impl Problem {
    /// The same problem, with `subject` in front of its cause.
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

/// A problem at a location. Diagnostics sort by file, line, severity and problem, so that the
/// output does not depend on the order in which they are found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The location of the problem.
    pub at: Location,
    /// Whether the file is rejected.
    pub severity: Severity,
    /// The problem itself.
    pub problem: Problem,
}

impl Diagnostic {
    /// An error at `at`.
    #[must_use]
    pub fn error(at: &Location, problem: Problem) -> Self {
        Self { at: at.clone(), severity: Severity::Error, problem }
    }

    /// Whether the line itself is wrong. That holds for errors, and for warnings about a value that
    /// is ignored because it is invalid or is claimed by another file. A converter must not write
    /// such a line.
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

/// Whether a file with these problems is rejected.
#[must_use]
pub fn has_errors(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// Sorts the problems of a rejected file, with errors first, because messages about other files
/// quote the first problem. Among problems of the same severity, those that wait for another file
/// ([`Code::Awaited`]) are first.
#[must_use]
pub fn errors_first(mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    problems.sort_by_key(|problem| (problem.severity, problem.problem.code != Code::Awaited));
    problems
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A message may quote text of an image, and file names may contain any characters.
        f.write_str(&text::line(&format!("{}: {}{}", self.at, self.severity, self.problem)))
    }
}

/// The candidate that is most similar to `word`, if one is similar enough: the edit distance is at
/// most a quarter of the length of `word`, plus one.
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

/// The remedy `did you mean X?` with the most similar candidate, if one is similar enough.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean {candidate}?"))
}

/// The text `; did you mean X?` for the end of a message that is not a diagnostic. Empty if no
/// candidate is similar enough.
#[must_use]
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(word, candidates).map_or_else(String::new, |remedy| format!("; {remedy}"))
}
