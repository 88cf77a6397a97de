// SPDX-License-Identifier: MIT
//! The input of the launcher: `process.json`, in the shape of `process` and `linux` in the OCI
//! runtime specification (config.md, config-linux.md). `prepare` writes the file, the launcher
//! reads it. Pure data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::capability::Capabilities;

/// The name of the file in an application's directory.
pub const FILE: &str = "process.json";

/// The file with the image's environment, in the same directory. The file is in the image's tree,
/// where the administrator may edit it.
pub const IMAGE_ENVIRONMENT: &str = "env";

/// The file with the variables that the container's configuration adds, in the same directory.
pub const OWN_ENVIRONMENT: &str = "container.env";

/// The file with the variables that are secrets, in the same directory. Without such variables
/// there is no file.
pub const SECRET_ENVIRONMENT: &str = "secrets.env";

/// Path of the launcher in an application's root.
pub const PROGRAM: &str = "/run/sdme-oci-run";

/// The descriptor name (`sd_listen_fds_with_names(3)`) under which the launcher receives the
/// application's directory.
pub const HANDED_OVER: &str = "sdme";

/// The descriptor name (`sd_listen_fds_with_names(3)`) under which the launcher receives the socket
/// that accepts commands for an application.
pub const COMMANDS: &str = "sdme-exec";

/// The directory of these sockets in the container. A socket has the name of the application's
/// service without its suffix. Applications have their own `/run` and cannot see the directory.
pub const COMMAND_SOCKETS: &str = "/run/sdme/exec";

/// The beginning of the launcher's message about the end of an application.
pub const ENDED: &str = "the application ended with";

/// The process that the launcher starts. The environment is in separate files, which are easier to
/// read and to edit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Program and arguments. A program without a slash is looked up in `PATH`.
    pub args: Vec<String>,
    /// Working directory. The launcher makes it if it is missing, as Docker does.
    pub cwd: String,
    /// The user that the program runs as.
    pub user: User,
    /// The bounding set of the program (capabilities(7)).
    pub capabilities: Capabilities,
    /// The capabilities that the program keeps when its user is not root (capabilities(7),
    /// "ambient").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Capabilities>,
    /// Whether the service manager has already made the PID namespace and the mounts
    /// (`PrivatePIDs=`). Then the launcher has no privilege to make them, and nothing remains to
    /// hide.
    #[serde(default)]
    pub private_pids: bool,
    /// How the output is logged.
    pub log: Log,
    /// Kernel settings, by their names with dots as separators.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Whether the launcher protects settings of the kernel, in place of `ProtectKernelTunables=`
    /// (systemd.exec(5)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect_kernel_tunables: bool,
    /// Paths that are made inaccessible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    /// File systems in memory that start with the content that the image has at their paths, as
    /// `/run` always does. The value tells whether they also get the owner and the mode of the
    /// image's directory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copied: BTreeMap<String, bool>,
    /// Whether `/run` becomes read-only after the launcher has filled it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only_run: bool,
}

/// The numeric user of a process; names were resolved against the image's own files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Supplementary group IDs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
    /// The value of `HOME`, unless the environment has the variable.
    pub home: String,
}

/// How the output is logged: fields of the journal's stream protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `SYSLOG_IDENTIFIER`
    pub identifier: String,
    /// The unit that the output belongs to.
    pub unit: String,
    /// Severity of standard output (syslog(3)). Standard error is one level more severe.
    pub level: u8,
    /// Whether a line may begin with its severity, as in `<3>` (sd-daemon(3)).
    pub prefix: bool,
}
