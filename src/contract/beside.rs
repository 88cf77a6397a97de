// SPDX-License-Identifier: MIT
//! How a command that runs next to an application (exec, reload, health check) differs from the
//! application. The host sends this to the launcher. Pure.

use serde::{Deserialize, Serialize};

use crate::contract::process::User;

/// The differences. The default value has none: the command gets everything that the application
/// has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Variables that are set in addition to those of the application, `NAME=VALUE`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// The working directory, if it is not the application's.
    #[serde(default)]
    pub cwd: Option<String>,
    /// The user that the command runs as, if it is not the application's.
    #[serde(default)]
    pub user: Option<User>,
}
