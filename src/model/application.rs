// SPDX-License-Identifier: MIT
//! An application of a container. Pure.

use crate::config::values::secret::Form;
use crate::config::values::secret::Secret;
use crate::diag::Location;
use crate::diag::Spanned;
use crate::model::{Assignment, HealthSettings, Mount, Notify, Startup};

/// An application of a container.
#[derive(Debug, Clone)]
pub struct App {
    /// The name in the configuration: [`App::FIRST`] for a single application, otherwise the name
    /// of the image.
    pub name: String,
    /// Whether this is the first application, whose image is a layer of the container's root. The
    /// other applications have their own overlay mounts.
    pub first: bool,
    /// The name of the image.
    pub image: String,
    /// Environment variables; the names are checked.
    pub environment: Vec<Assignment>,
    /// Files of variables. The variables in [`App::environment`] override those in the files.
    pub environment_files: Vec<EnvironmentFile>,
    /// The secrets of the application.
    pub secrets: Vec<Spanned<Secret>>,
    /// The mounts of the application.
    pub mounts: Vec<Mount>,
    /// How the application is started, as far as that differs from the image's configuration.
    pub startup: Startup,
    /// The health settings that override those of the image.
    pub health: HealthSettings,
    /// When the application counts as started.
    pub notify: Notify,
    /// The action of `systemctl reload` for the container.
    pub reload: Option<Reload>,
    /// The assignments of `[App]`, followed by those of `[App NAME]`, that belong in the section
    /// `[Unit]` of the application's unit.
    pub unit: Vec<Assignment>,
    /// The other assignments of these sections, which belong in `[Service]`.
    pub service: Vec<Assignment>,
}

impl App {
    /// Whether the application gets secrets as environment variables.
    #[must_use]
    pub fn has_secret_variables(&self) -> bool {
        self.secrets.iter().any(|s| matches!(s.value.form, Form::Variable(_)))
    }

    /// The name of the first application, unless it has the name of its image.
    pub const FIRST: &'static str = "app";

    /// The name of the application's unit in the container, without the suffix. The names of helper
    /// units begin with it.
    #[must_use]
    pub fn unit(&self) -> String {
        format!("sdme-oci-{}", if self.first { Self::FIRST } else { &self.name })
    }

    /// The directory of the application's files in the container: `root`, `env`, `container.env`,
    /// `process.json`.
    #[must_use]
    pub fn directory(&self) -> String {
        if self.first { "/oci".to_owned() } else { format!("/oci/apps/{}", self.name) }
    }
}

/// A file of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Its path on the host.
    pub path: String,
    /// Whether the file may be missing.
    pub optional: bool,
    /// The location of the setting.
    pub at: Location,
}

/// How an application is told to reload its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// A command that runs next to the application.
    Command(Vec<String>),
    /// A signal, in systemctl's spelling.
    Signal(String),
}
