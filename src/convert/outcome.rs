// SPDX-License-Identifier: MIT
//! The result of converting a Compose project or Kubernetes manifests: files that can coexist with
//! those of other projects. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// A setting of a project that was not converted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// The service, or another part of the project.
    pub subject: String,
    /// The key of the setting.
    pub key: String,
    /// The reason, and what the user can do.
    pub reason: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.key, self.reason)
    }
}

/// The result of converting a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The name of the project.
    pub project: String,
    /// The texts of the files by name.
    pub files: BTreeMap<String, String>,
    /// Symbolic links by name, each with the name of its target in the same directory: the
    /// instances of templates.
    pub links: BTreeMap<String, String>,
    /// Names of the files for networks that other projects share. Such a file is written only if it
    /// does not exist.
    pub shared: BTreeSet<String>,
    /// The names of the containers that start with the project.
    pub start: Vec<String>,
    /// Values of secrets and configs that are part of the project, by the name of the credential.
    pub credentials: BTreeMap<String, String>,
    /// The settings that were not converted.
    pub lost: Vec<Lost>,
    /// Further remarks about settings that were converted.
    pub remarks: Vec<String>,
    /// Directories of the host that Docker or a cluster would create.
    pub directories: BTreeSet<String>,
    /// Values that are encrypted before they are written, by the name of the credential.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Files that are mounted into containers, by their path below the directory of the project in
    /// [`FILES`].
    pub mounted: BTreeMap<String, Mounted>,
    /// The texts of systemd units, such as timers, by name.
    pub units: BTreeMap<String, String>,
    /// Additional systemd units that start with the project.
    pub start_units: Vec<String>,
}

/// The directory of the files that are mounted into containers. It is outside of `/etc/sdme`,
/// because a key of a ConfigMap such as `web.container` would be read as configuration there.
pub const FILES: &str = "/etc/sdme-files";

/// A file that is mounted into containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The content of the file.
    pub content: Vec<u8>,
    /// The permission bits of the file.
    pub mode: u32,
}
