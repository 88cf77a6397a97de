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
    /// Its name in the configuration: [`App::FIRST`] when it is alone, else its image's.
    pub name: String,
    /// Whether it is the first one, which is a layer of the container's root; the others have an overlay of their own.
    pub first: bool,
    /// The image it runs, by name.
    pub image: String,
    /// Environment, names checked.
    pub environment: Vec<Assignment>,
    /// Files of variables; what [`App::environment`] says comes after them.
    pub environment_files: Vec<EnvironmentFile>,
    /// Credentials it gets.
    pub secrets: Vec<Spanned<Secret>>,
    /// What is mounted into it.
    pub mounts: Vec<Mount>,
    /// How it is started, where that is not as its image says.
    pub startup: Startup,
    /// What its health is told by, beyond what the image says.
    pub health: HealthSettings,
    /// What counts as started.
    pub notify: Notify,
    /// What `systemctl reload` of the container does.
    pub reload: Option<Reload>,
    /// What of `[App]`, and `[App NAME]` after it, belongs into the section `[Unit]` of its unit.
    pub unit: Vec<Assignment>,
    /// The rest of it.
    pub service: Vec<Assignment>,
}

impl App {
    /// Whether it gets any of its variables as a secret.
    #[must_use]
    pub fn has_secret_variables(&self) -> bool {
        self.secrets.iter().any(|s| matches!(s.value.form, Form::Variable(_)))
    }

    /// What the first application is called where it is not called by its image's name.
    pub const FIRST: &'static str = "app";

    /// Its unit inside, without the suffix; units that belong to it add to this name.
    #[must_use]
    pub fn unit(&self) -> String {
        format!("sdme-oci-{}", if self.first { Self::FIRST } else { &self.name })
    }

    /// The directory of its files inside: `root`, `env`, `container.env`, `process.json`.
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
    /// Whether it may be missing.
    pub optional: bool,
    /// Where it was written.
    pub at: Location,
}

/// What an application is told to reload its configuration by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// A command beside it.
    Command(Vec<String>),
    /// A signal, in systemctl's spelling.
    Signal(String),
}
