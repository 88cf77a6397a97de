// SPDX-License-Identifier: MIT
//! What the launcher is told: `process.json`, in the shape of `process` and `linux` in the OCI runtime specification
//! (config.md, config-linux.md). `prepare` writes it, the launcher reads it. Pure data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::capability::Capabilities;

/// The name of the file in an application's directory.
pub const FILE: &str = "process.json";

/// The image's environment, in the same directory. It belongs to the image; the administrator may edit it there.
pub const IMAGE_ENVIRONMENT: &str = "env";

/// What the container's configuration adds to it, in the same directory.
pub const OWN_ENVIRONMENT: &str = "container.env";

/// Variables that are secrets, in the same directory where there are any.
pub const SECRET_ENVIRONMENT: &str = "secrets.env";

/// Where the launcher is in an application's root.
pub const PROGRAM: &str = "/run/sdme-oci-run";

/// By what name the application's directory is handed to it.
pub const HANDED_OVER: &str = "sdme";

/// By what name the socket that takes commands for an application is passed to the launcher.
pub const COMMANDS: &str = "sdme-exec";

/// Where that socket is in the container, by the name of the application's service without its suffix. Applications have a
/// `/run` of their own and cannot see it.
pub const COMMAND_SOCKETS: &str = "/run/sdme/exec";

/// How the launcher's message about the end of an application begins.
pub const ENDED: &str = "the application ended with";

/// What the launcher starts. The environment is in files of its own, which are easier to read and to edit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Program and arguments. A program without a slash is looked up in `PATH`.
    pub args: Vec<String>,
    /// Working directory; made when it is missing, as Docker does.
    pub cwd: String,
    /// Who it runs as.
    pub user: User,
    /// The capabilities it can have at most.
    pub capabilities: Capabilities,
    /// The capabilities that it keeps as another user than root (capabilities(7), "ambient").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Capabilities>,
    /// Whether the service manager has made the PID namespace and the mounts (`PrivatePIDs=`): the launcher then has no
    /// privilege to, and nothing of it is left to be hidden.
    #[serde(default)]
    pub private_pids: bool,
    /// How its output is logged.
    pub log: Log,
    /// Kernel settings, by their name with dots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Paths that are made inaccessible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    /// File systems in memory that are filled with what the image has at their paths, as `/run` always is; and whether they get the
    /// owner and the mode of the image's directory, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copied: BTreeMap<String, bool>,
    /// Whether `/run` is read-only once it is filled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only_run: bool,
}

/// The numeric user of a process; names were resolved against the image's own files.
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
    /// `HOME`, unless the environment has one.
    pub home: String,
}

/// How output is logged: the fields of the journal's stream protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `SYSLOG_IDENTIFIER`
    pub identifier: String,
    /// The unit it belongs to.
    pub unit: String,
    /// Severity of standard output (syslog(3)); standard error is one level more severe.
    pub level: u8,
    /// Whether a line may begin with its severity, as in `<3>` (sd-daemon(3)).
    pub prefix: bool,
}
