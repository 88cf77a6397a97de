// SPDX-License-Identifier: MIT
//! Facts about this machine that are not in its configuration. Pure.

use crate::config::values::seccomp::Setting;
use crate::contract::health::Health;
use crate::contract::process::User;
use crate::model::Identity;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The kind of an imported image.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A base operating system: its tree is the root.
    Base,
    /// An application: its tree holds `/oci`.
    #[default]
    App,
}

/// The known facts about an imported image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// The kind of the image.
    pub mode: Mode,
    /// `Entrypoint` of the image's configuration.
    pub entrypoint: Vec<String>,
    /// `Cmd` of the image's configuration.
    pub command: Vec<String>,
    /// `WorkingDir` of the image's configuration, an absolute path.
    pub working_dir: String,
    /// The resolved user for each identity in the configuration, or the reason why there is no such
    /// user.
    pub users: BTreeMap<Identity, Result<User, String>>,
    /// `StopSignal` of the image's configuration.
    pub stop_signal: Option<String>,
    /// `Healthcheck` of the image's configuration.
    pub health: Option<Health>,
    /// `Volumes` of the image's configuration: absolute paths.
    pub volumes: Vec<String>,
    /// Resolved mount points, by the mount points as written, for those whose path in the image has
    /// symbolic links.
    pub links: BTreeMap<String, String>,
}

/// Facts about this machine that are not in its configuration. The generator has no facts (`/var`
/// may not be mounted), and no host unit depends on them; the `.nspawn` file and the configuration
/// layer do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Imported images by name.
    pub images: BTreeMap<String, ImageFacts>,
    /// The first ID of the range of a container's own files, by the name of the container: see
    /// [`super::userns::ranges`].
    pub ranges: BTreeMap<String, u32>,
    /// The settings from the files of `SeccompProfile=`, or the reason why a file is invalid, by
    /// the paths of the files.
    pub profiles: Profiles,
    /// Optional devices (`AddDevice=-/dev/...`) that are missing.
    pub missing: BTreeSet<String>,
}

/// The settings from system call profiles, or the reason why a profile cannot be used, by the paths
/// of the files.
pub type Profiles = BTreeMap<String, Result<Vec<Setting>, UnusableProfile>>;

/// Why a system call profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnusableProfile {
    /// There is no such file.
    Missing,
    /// The file cannot be read, or its content is invalid, as the message says.
    Invalid(String),
}
