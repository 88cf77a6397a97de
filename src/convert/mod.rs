// SPDX-License-Identifier: MIT
//! Converts other descriptions of containers to configuration files of sdme-gen: Quadlet files,
//! command lines of docker, podman and nerdctl, Compose projects and Kubernetes manifests. Settings
//! without a counterpart are always listed. Pure.

pub mod compose;
pub mod kube;
mod mark;
mod outcome;
mod platform;
mod quadlet;
mod refused;
mod run;

pub use mark::{Origin, origin};
pub use outcome::{FILES, Lost, Mounted, Outcome};
pub use quadlet::{Folder, Source, quadlet};
pub use run::{command_line, script};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use refused::without_refused;

use crate::compile;
use crate::config::draft::Draft;
use crate::config::keys::{FileType, supported};
use crate::config::sources::{SourceFile, Sources, Text};
use crate::model::Facts;

/// The result of converting Quadlet files or command lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converted {
    /// The texts of the files by name.
    pub files: BTreeMap<String, String>,
    /// Settings that have no counterpart or behave differently; one line each.
    pub notes: Vec<String>,
}

impl Converted {
    /// Removes the lines and files that `check` would refuse, and adds what `check` reports about
    /// the remaining files.
    #[must_use]
    fn checked(mut self) -> Self {
        for refused in without_refused(&mut self.files) {
            let what = if refused.whole { "the file is left out" } else { "the line is left out" };
            let line = if refused.line.is_empty() { String::new() } else { format!("{}: ", refused.line) };
            self.notes.push(format!("{}: {line}{}; {what}", refused.file, refused.reason));
        }
        self.notes
            .extend(compile(&sources(&self.files), &Facts::default()).diagnostics.iter().map(ToString::to_string));
        self
    }
}

/// Creates a configuration from the names and texts of files. Files with unknown extensions are
/// left out.
pub fn sources<'a>(files: impl IntoIterator<Item = (&'a String, &'a String)>) -> Sources {
    let file = |(name, text): (&String, &String)| {
        let (stem, extension) = name.rsplit_once('.')?;
        let file_type = FileType::ALL.into_iter().find(|t| t.extension() == extension)?;
        let main = Text { path: Arc::from(name.as_str()), content: Ok(text.clone().into_bytes()) };
        Some(SourceFile { file_type, name: stem.to_owned(), main, drop_ins: Vec::new() })
    };
    Sources { files: files.into_iter().filter_map(file).collect(), ..Sources::default() }
}

/// A file under construction, with notes on the settings that it could not take.
#[derive(Debug)]
struct Builder {
    file_type: FileType,
    draft: Draft,
    notes: Vec<String>,
}

impl Builder {
    fn new(file_type: FileType) -> Self {
        let mut draft = Draft::default();
        draft.section(file_type.section());
        Self { file_type, draft, notes: Vec::new() }
    }

    /// Writes a key of a section of sdme-gen for `origin`. If the key is not supported or its value
    /// is invalid, a note is added instead.
    fn put(&mut self, origin: &str, key: &str, value: &str) {
        let written = supported(self.file_type, key).map_err(|problem| problem.fault.cause);
        let written = written.and_then(|_| self.draft.own(self.file_type, key, value));
        if let Err(message) = written {
            self.note(origin, &message);
        }
    }

    /// Writes a key whose value is a list of words.
    fn words(&mut self, origin: &str, key: &str, words: &[String]) {
        let written = supported(self.file_type, key).map_err(|problem| problem.fault.cause);
        let section = self.file_type.section();
        if let Err(message) = written.and_then(|_| self.draft.words(section, key, words)) {
            self.note(origin, &message);
        }
    }

    /// Writes a setting into a section of systemd, which is passed through to the unit.
    fn set(&mut self, origin: &str, section: &str, key: &str, value: &str) {
        if let Err(message) = self.draft.set(section, key, value) {
            self.note(origin, &message);
        }
    }

    fn note(&mut self, origin: &str, text: &str) {
        self.notes.push(format!("{origin}: {text}"));
    }

    /// Writes a restart policy of docker.
    fn restart(&mut self, origin: &str, policy: &str) {
        match policy.split(':').next().unwrap_or_default() {
            "no" | "" => {}
            "always" | "unless-stopped" => {
                self.set(origin, "Service", "Restart", "always");
                self.set(origin, "Install", "WantedBy", "machines.target");
            }
            "on-failure" | "on_failure" => {
                self.set(origin, "Service", "Restart", "on-failure");
                if let Some((_, attempts)) = policy.split_once(':').filter(|(_, attempts)| *attempts != "0") {
                    self.set(origin, "Unit", "StartLimitBurst", attempts);
                    self.set(origin, "Unit", "StartLimitIntervalSec", "1h");
                }
            }
            other => self.note(origin, &format!("{other:?} is no restart policy")),
        }
    }
}

/// Replaces the characters of a text that are invalid in names of containers.
#[must_use]
pub fn plain_name(text: &str) -> String {
    name(text)
}

/// Returns a valid name of a container: other characters become dashes, and an empty result becomes
/// `container`.
fn name(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_matches('-').to_owned();
    if plain.is_empty() { "container".to_owned() } else { plain }
}

/// Derives the name of a container from its image.
fn name_of_image(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    name(last.split([':', '@']).next().unwrap_or(last))
}

/// Returns `wanted`, with a number appended if that name is taken, and adds it to `taken`.
fn unique(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{wanted}-{number}");
    }
    name
}
