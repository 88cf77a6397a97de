// SPDX-License-Identifier: MIT
//! How a command that runs beside an application differs from the application: what the host tells the launcher. Pure.

use serde::{Deserialize, Serialize};

use crate::contract::process::User;

/// What is different; without anything, the command has all that the application has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Variables that are set in addition, `NAME=VALUE`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// The working directory.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Who the command runs as.
    #[serde(default)]
    pub user: Option<User>,
}
