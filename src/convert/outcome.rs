// SPDX-License-Identifier: MIT
//! What a project, of Compose or of Kubernetes, is converted to: files that stand beside those of other projects. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Something of a project that the files do not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// The service, or another part of the project.
    pub subject: String,
    /// The key.
    pub key: String,
    /// Why, and what to do.
    pub reason: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.key, self.reason)
    }
}

/// What a project was converted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The name of the project.
    pub project: String,
    /// Files by name, with their text.
    pub files: BTreeMap<String, String>,
    /// Symbolic links by name, with the file beside them that each leads to: the instances of templates.
    pub links: BTreeMap<String, String>,
    /// The files among them for networks that other projects share. Such a file is written only if there is none of its name.
    pub shared: BTreeSet<String>,
    /// The containers that start with the project.
    pub start: Vec<String>,
    /// Values of secrets and configs that the project itself has, by the names of credentials.
    pub credentials: BTreeMap<String, String>,
    /// What was lost.
    pub lost: Vec<Lost>,
    /// Other things worth knowing; nothing is lost by them.
    pub remarks: Vec<String>,
    /// Directories of the host that Docker, or a cluster, would make.
    pub directories: BTreeSet<String>,
    /// Values that are encrypted before they are written, by the names of credentials.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Files that are mounted into containers, by their paths below the project's directory in [`FILES`].
    pub mounted: BTreeMap<String, Mounted>,
    /// Units of systemd that are no files of ours, such as timers, by name.
    pub units: BTreeMap<String, String>,
    /// Further units that start with the project.
    pub start_units: Vec<String>,
}

/// The directory of the files that are mounted into containers. It is not below `/etc/sdme`, where a key of a ConfigMap such as
/// `web.container` would be read as configuration.
pub const FILES: &str = "/etc/sdme-files";

/// A file that is mounted into containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Its content.
    pub content: Vec<u8>,
    /// Its mode.
    pub mode: u32,
}
