// SPDX-License-Identifier: MIT
//! `PodmanArgs=`: translates the options of Podman's commands to keys and settings, or warns about
//! differences. Pure.

mod options;
mod special;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::keys::{FileType, KeyName, Kind, key, keys};
use crate::config::values::systemd_size;
use crate::diag::{Code, Diagnostic, Location, did_you_mean};
use crate::ini::{Entry, split_words};
use crate::unit::config_word;
use options::{Act, Opt, options};
use special::Limits;

/// The key `PodmanArgs=`.
pub const KEY: KeyName = key::PODMAN_ARGS;

/// The key `MemorySwap=`, which does not exist but is read as the option `--memory-swap`.
pub const SWAP: &str = "MemorySwap";

/// Maximum edit distance from a known option at which an unknown option counts as misspelt. A
/// misspelt option is an error, as it is for Podman.
const MISSPELT: usize = 2;

/// Returns the assignments that the `PodmanArgs=` of a file stand for. The caller adds them after
/// those of the file, because Quadlet puts these options after all others.
pub fn translated(file_type: FileType, entries: &[Entry], problems: &mut Vec<Diagnostic>) -> Vec<Entry> {
    let own = file_type.section();
    let mut all: Vec<(&Location, Vec<String>)> = Vec::new();
    for entry in entries.iter().filter(|entry| KEY == entry.key && &*entry.section == own) {
        if entry.value.is_empty() {
            all.clear();
        }
        // Wrong quotes are reported when the value is checked, as for any other key.
        all.extend(split_words(&entry.value).ok().map(|words| (&entry.at, words)));
    }
    // `MemorySwap=` is not a key of Quadlet, but many files have it.
    let swap = |entry: &&Entry| entry.key == SWAP && &*entry.section == own && file_type == FileType::Container;
    all.extend(entries.iter().filter(swap).map(|entry| (&entry.at, vec![format!("--memory-swap={}", entry.value)])));
    let known = options(file_type);
    let mut out = Vec::new();
    let mut limits = Limits::new(own, entries);
    for (at, words) in &all {
        let words = words.iter().map(String::as_str).collect();
        let mut reader = Reader { file_type, known: &known, at, words, out: &mut out, problems, limits: &mut limits };
        while let Some(word) = reader.words.pop_front() {
            reader.word(word);
        }
    }
    // Options that belong together can be on different lines.
    if let Some(at) = limits.at.take() {
        let words = VecDeque::new();
        Reader { file_type, known: &known, at: &at, words, out: &mut out, problems, limits: &mut limits }.finish();
    }
    out
}

/// Looks up an option by its long or short name. The option belongs to the command of Podman that
/// creates the object of a file of this type. Returns the long name, and whether a value follows.
#[must_use]
pub fn option(file_type: FileType, name: &str) -> Option<(&'static str, bool)> {
    let is_short = |short: char| short != ' ' && name.chars().eq([short]);
    let found = options(file_type).into_iter().find(|(long, short, ..)| *long == name || is_short(*short));
    found.map(|(long, _, takes, _)| (*long, *takes))
}

/// The section, the key and the value of an assignment.
pub type Assignment = (String, String, String);

/// Returns the assignments that the options of a command line stand for, and messages about options
/// without counterpart. Each word is `--NAME=VALUE`, with a value as in a configuration file.
#[must_use]
pub fn assignments(file_type: FileType, words: &[String]) -> (Vec<Assignment>, Vec<String>) {
    let at = Location::new(&Arc::from(""), 1);
    let known = options(file_type);
    let (mut out, mut problems, mut limits) = (Vec::new(), Vec::new(), Limits::default());
    let words = words.iter().map(String::as_str).collect();
    let (out_of, noted) = (&mut out, &mut problems);
    let mut reader =
        Reader { file_type, known: &known, at: &at, words, out: out_of, problems: noted, limits: &mut limits };
    while let Some(word) = reader.words.pop_front() {
        reader.word(word);
    }
    reader.finish();
    let prefix = format!("{KEY}=: ");
    let message = |found: &Diagnostic| found.problem.to_string().trim_start_matches(&prefix).to_owned();
    let assignment = |entry: Entry| (entry.section.to_string(), entry.key, entry.value);
    (out.into_iter().map(assignment).collect(), problems.iter().map(message).collect())
}

/// Reads the words of one assignment.
struct Reader<'a> {
    file_type: FileType,
    known: &'a [&'static Opt],
    at: &'a Location,
    /// The words that are not read yet.
    words: VecDeque<&'a str>,
    out: &'a mut Vec<Entry>,
    problems: &'a mut Vec<Diagnostic>,
    /// The limits that several options set together.
    limits: &'a mut Limits,
}

impl<'a> Reader<'a> {
    fn word(&mut self, word: &'a str) {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            match self.known.iter().find(|(known, ..)| *known == name) {
                Some(option) => self.option(option, value),
                None => self.unknown(name, value.is_some()),
            }
            return;
        }
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            self.error(Code::UnknownKey, &format!("{word:?} is not an option"), "write options that begin with --");
            return;
        };
        // Several short options can share a dash. A value follows immediately, or is the next word.
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let Some(option) = self.known.iter().find(|(_, short, ..)| *short == letter) else {
                self.error(Code::UnknownKey, &format!("podman has no option -{letter}"), "remove it");
                return;
            };
            let value = rest.as_str().strip_prefix('=').unwrap_or(rest.as_str());
            if option.2 {
                self.option(option, Some(value).filter(|value| !value.is_empty()));
                return;
            }
            self.option(option, None);
        }
    }

    fn option(&mut self, (name, _, takes, act): &'static Opt, value: Option<&'a str>) {
        let value = match (value, takes) {
            (Some(value), _) => value,
            (None, false) => "true",
            (None, true) => match self.words.pop_front() {
                Some(value) => value,
                None => {
                    return self.error(
                        Code::Value,
                        &format!("--{name} has no value"),
                        &format!("write --{name}=VALUE"),
                    );
                }
            },
        };
        match *act {
            Act::Key(key) => self.key(name, key, value),
            Act::Flag(key) => self.key(name, key, if value == "false" { "no" } else { "yes" }),
            Act::Service(key) => self.set("Service", key, &systemd_size(value)),
            Act::Met => {}
            Act::MetIf(values, _) if values.contains(&value) => {}
            Act::MetIf(_, why) | Act::Without(why) => self.without(name, why),
            Act::Refused((why, remedy)) => {
                self.error(Code::UnsupportedKey, &format!("--{name} cannot be used: {why}"), remedy);
            }
            Act::Special => self.special(name, value),
        }
    }

    /// Handles an option that is in no table. A misspelt option is an error, because it may have
    /// been meant to restrict the container.
    fn unknown(&mut self, name: &str, has_value: bool) {
        if !has_value && self.words.front().is_some_and(|next| !next.starts_with('-')) {
            self.words.pop_front();
        }
        let near = |known: &&str| strsim::damerau_levenshtein(name, known) <= MISSPELT;
        match did_you_mean(name, self.known.iter().map(|(known, ..)| *known).filter(|known| near(known))) {
            None => self.without(name, ("the option is unknown", "remove it, or write the key that it stands for")),
            Some(near) => self.error(Code::UnknownKey, &format!("podman has no option --{name}"), &near),
        }
    }

    /// Adds an assignment to the section with the keys of the file type.
    fn key(&mut self, option: &str, key: &'static str, value: &str) {
        let Some(found) = keys(self.file_type).iter().find(|known| known.name == key) else {
            let remedy = format!("write {key}= in the .container files");
            return self.without(option, ("the setting is that of a container", &remedy));
        };
        let value = if found.kind == Kind::Words { config_word(value) } else { value.to_owned() };
        self.set(self.file_type.section(), key, &value);
    }

    /// Adds an assignment.
    fn set(&mut self, section: &str, key: &str, value: &str) {
        let entry =
            Entry { section: Arc::from(section), key: key.to_owned(), value: value.to_owned(), at: self.at.clone() };
        self.out.push(entry);
    }

    fn without(&mut self, option: &str, (why, remedy): (&str, &str)) {
        self.warn(Code::NoEffect, &format!("--{option} has no effect here: {why}"), remedy);
    }

    fn warn(&mut self, code: Code, cause: &str, remedy: &str) {
        self.problems.push(Diagnostic::warning(self.at, code.problem(format!("{KEY}=: {cause}"), remedy)));
    }

    fn error(&mut self, code: Code, cause: &str, remedy: &str) {
        self.problems.push(Diagnostic::error(self.at, code.problem(format!("{KEY}=: {cause}"), remedy)));
    }
}
