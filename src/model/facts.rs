// SPDX-License-Identifier: MIT
//! What is known about this machine beyond its configuration. Pure.

use crate::config::values::seccomp::Setting;
use crate::contract::health::Health;
use crate::contract::process::User;
use crate::model::Identity;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// What an imported image turned out to be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A base operating system: its tree is the root.
    Base,
    /// An application: its tree holds `/oci`.
    #[default]
    App,
}

/// What is known about an imported image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// What it is.
    pub mode: Mode,
    /// `Entrypoint` of the image's configuration.
    pub entrypoint: Vec<String>,
    /// `Cmd` of the image's configuration.
    pub command: Vec<String>,
    /// `WorkingDir` of the image's configuration, absolute.
    pub working_dir: String,
    /// Who its applications run as, for everything that the configuration says about that: a user, or why there is none.
    pub users: BTreeMap<Identity, Result<User, String>>,
    /// `StopSignal` of the image's configuration.
    pub stop_signal: Option<String>,
    /// `Healthcheck` of the image's configuration.
    pub health: Option<Health>,
    /// `Volumes` of the image's configuration: absolute paths.
    pub volumes: Vec<String>,
    /// Where its symbolic links lead paths at which something is mounted, for those that lead elsewhere.
    pub links: BTreeMap<String, String>,
}

/// What is known about this machine beyond its configuration. The generator knows nothing (`/var` may not be mounted),
/// and no host unit depends on it; the `.nspawn` file and the configuration layer do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Imported images by name.
    pub images: BTreeMap<String, ImageFacts>,
    /// The range of IDs that a container's own files are in, by its first one: see [`super::userns::ranges`].
    pub ranges: BTreeMap<String, u32>,
    /// The settings that the files of `SeccompProfile=` come to, by their paths, or what is wrong with them.
    pub profiles: Profiles,
    /// Devices that may be missing (`AddDevice=-/dev/...`), and are.
    pub missing: BTreeSet<String>,
}

/// What files of system call profiles come to, or what is wrong with them, by their paths.
pub type Profiles = BTreeMap<String, Result<Vec<Setting>, String>>;
