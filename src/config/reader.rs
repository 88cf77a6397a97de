// SPDX-License-Identifier: MIT
//! Reads the keys of a section: returns the valid values, and collects a problem for each invalid
//! value. Pure.

use std::str::FromStr;
use std::sync::Arc;

use super::keys::KeyName;
use super::names::machine_name;
use super::settings::Settings;
use super::values::{self, parse_bool, time};
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned};

/// Reads the keys of one section of a file.
///
/// An invalid value counts as not set, and its problem is added to the problems of the file, so
/// that one run of `check` finds all of them.
pub struct Reader<'s, 'p> {
    settings: &'s Settings,
    section: &'s str,
    problems: &'p mut Vec<Diagnostic>,
}

impl<'s, 'p> Reader<'s, 'p> {
    /// Creates a reader of `section` that adds problems to `problems`.
    pub fn new(settings: &'s Settings, section: &'s str, problems: &'p mut Vec<Diagnostic>) -> Self {
        Self { settings, section, problems }
    }

    /// Returns the last assignment of a key as it is written, or none if it is empty or missing.
    #[must_use]
    pub fn text(&self, key: KeyName) -> Option<Spanned<&'s str>> {
        self.settings.text(self.section, key)
    }

    /// Whether a key is set to a value that is not empty.
    #[must_use]
    pub fn is_set(&self, key: KeyName) -> bool {
        self.text(key).is_some()
    }

    /// Reads a key with one value. Returns the value with its location.
    pub fn spanned<T>(&mut self, key: KeyName, parse: impl FnOnce(&str) -> Result<T, Problem>) -> Option<Spanned<T>> {
        let Spanned { value, at } = self.text(key)?;
        self.good(parse(value), at)
    }

    /// Reads a key with one value.
    pub fn value<T>(&mut self, key: KeyName, parse: impl FnOnce(&str) -> Result<T, Problem>) -> Option<T> {
        self.spanned(key, parse).map(|read| read.value)
    }

    /// Reads a key with a list of words, each of which is a value.
    pub fn words<T>(&mut self, key: KeyName, parse: impl Fn(&str) -> Result<T, Problem>) -> Vec<Spanned<T>> {
        let words = self.settings.words(self.section, key).into_iter();
        words.filter_map(|word| self.good(parse(&word.value), word.at)).collect()
    }

    /// Reads a key with a list of words that together are one value. Its location is that of the
    /// first word.
    pub fn list<T>(&mut self, key: KeyName, parse: impl FnOnce(&[String]) -> Result<T, Problem>) -> Option<Spanned<T>> {
        let words = self.settings.words(self.section, key);
        let at = words.first()?.at.clone();
        let values: Vec<String> = words.into_iter().map(|word| word.value).collect();
        self.good(parse(&values), at)
    }

    /// Returns the words of a command line, or none if there are no words.
    #[must_use]
    pub fn command(&self, key: KeyName) -> Option<Vec<String>> {
        let words = self.settings.words(self.section, key);
        (!words.is_empty()).then(|| words.into_iter().map(|word| word.value).collect())
    }

    /// Reads a boolean. [`Settings::load`] has already rejected invalid values.
    #[must_use]
    pub fn flag(&self, key: KeyName) -> Option<Spanned<bool>> {
        let written = self.text(key)?;
        Some(Spanned { value: parse_bool(written.value)?, at: written.at })
    }

    /// Whether a boolean is set to yes.
    #[must_use]
    pub fn is_yes(&self, key: KeyName) -> bool {
        self.flag(key).is_some_and(|flag| flag.value)
    }

    /// Reads a size in bytes, which must be above 0.
    pub fn size(&mut self, key: KeyName) -> Option<u64> {
        self.value(key, |value| values::size(key.text(), value))
    }

    /// Reads a time span in milliseconds. Values that `allowed` does not accept are invalid.
    /// `expected` describes the accepted values in the error message, such as "a time of at most a
    /// day", and `example` is a valid value for the remedy.
    pub fn time(
        &mut self,
        key: KeyName,
        (expected, example): (&str, &str),
        allowed: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        self.value(key, |value| {
            let time = time::milliseconds(value).filter(|time| allowed(*time));
            time.ok_or_else(|| {
                Code::Quantity.problem(format!("{key}={value} is not {expected}"), format!("write {example}"))
            })
        })
    }

    /// Parses `name`, the name of the object that `file` describes. The caller computes `name` from
    /// the name of the file, or from the value of `key`. An invalid value of `key` adds a problem
    /// of its own.
    pub fn name<N: FromStr<Err = Problem>>(&mut self, name: &str, file: &Arc<str>, key: KeyName) -> Option<N> {
        if let Some(written) = self.text(key)
            && let Err(problem) = machine_name(written.value).parse::<N>()
        {
            self.error(&written.at, problem.of(&format!("{key}={}", written.value)));
        }
        self.good(name.parse(), Location::whole(file)).map(|read| read.value)
    }

    /// Adds an error at the last assignment of a key. Does nothing if the key is not set.
    pub fn reject(&mut self, key: KeyName, problem: Problem) {
        if let Some(written) = self.text(key) {
            self.error(&written.at, problem);
        }
    }

    /// Adds an error.
    pub fn error(&mut self, at: &Location, problem: Problem) {
        self.problems.push(Diagnostic::error(at, problem));
    }

    /// Adds a warning.
    pub fn warning(&mut self, at: &Location, problem: Problem) {
        self.problems.push(Diagnostic::warning(at, problem));
    }

    fn good<T>(&mut self, read: Result<T, Problem>, at: Location) -> Option<Spanned<T>> {
        match read {
            Ok(value) => Some(Spanned { value, at }),
            Err(problem) => {
                self.error(&at, problem);
                None
            }
        }
    }
}
