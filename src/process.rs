// SPDX-License-Identifier: MIT
//! The process of an application, in the shape of `process` in the OCI runtime specification (config.md, "Process").
//! The importer and `prepare` write it, the launcher reads it. Pure data.

use serde::{Deserialize, Serialize};

/// What the launcher starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments. A program without a slash is looked up in `PATH`.
    pub args: Vec<String>,
    /// Environment on top of the unit's, `NAME=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Working directory; made when it is missing, as Docker does.
    pub cwd: String,
    /// Who it runs as.
    pub user: User,
}

/// The numeric user of a process; names were resolved against the image's own files when it was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary group ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}
