// SPDX-License-Identifier: MIT
//! The start of an application and its environment. Pure.

use crate::diag::Location;
use crate::diag::Spanned;
use std::collections::{BTreeMap, BTreeSet};

/// The user of an application, if that is not the user of the image's configuration. The names are
/// those of the image, so only a reader of the image can resolve them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// `User=`: a name or number, optionally followed by a colon and a group.
    pub user: Option<String>,
    /// `Group=`
    pub group: Option<String>,
    /// `GroupAdd=`
    pub more_groups: Vec<String>,
}

/// The values of the keys. For keys that are not set, the image's configuration applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Startup {
    /// `Entrypoint=`
    pub entrypoint: Option<Vec<String>>,
    /// `Exec=`: arguments that replace the image's command.
    pub exec: Option<Vec<String>>,
    /// `User=`, `Group=` and `GroupAdd=`
    pub identity: Identity,
    /// The location of the first of these keys.
    pub identity_at: Option<Location>,
    /// `WorkingDir=`
    pub working_dir: Option<String>,
    /// `StopSignal=`, as systemd writes it.
    pub stop_signal: Option<String>,
    /// `StopTimeout=`, in milliseconds.
    pub stop_timeout: Option<u64>,
    /// `Ulimit=`: names of systemd's settings and their values.
    pub limits: BTreeMap<&'static str, String>,
    /// `Tmpfs=`: paths and mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// The paths of the `Tmpfs=` mounts that start with the content that the image has there.
    pub copied: BTreeSet<String>,
    /// `ReadOnly=`
    pub read_only: bool,
    /// `ReadOnlyTmpfs=`
    pub read_only_tmpfs: bool,
    /// `ShmSize=`, in bytes.
    pub shm_size: Option<u64>,
    /// `Sysctl=`
    pub sysctl: BTreeMap<String, Spanned<String>>,
    /// `Mask=`
    pub masked: Vec<String>,
}

impl Startup {
    /// Whether the launcher has mounts to make or settings to write in `/proc`.
    #[must_use]
    pub fn mounts(&self) -> bool {
        !self.sysctl.is_empty() || !self.masked.is_empty() || (self.read_only && !self.read_only_tmpfs)
    }

    /// The file systems in memory that the application has in addition to `/run`: paths and mount
    /// options.
    #[must_use]
    pub fn in_memory(&self) -> BTreeMap<String, String> {
        // As in podman: programs can be executed from a file system in memory, but not from
        // /dev/shm.
        const USUAL: &str = "mode=1777,nosuid,nodev";
        let mut all = self.tmpfs.clone();
        if let Some(bytes) = self.shm_size {
            all.insert("/dev/shm".to_owned(), format!("{USUAL},noexec,size={bytes}"));
        }
        if self.read_only && self.read_only_tmpfs {
            for path in ["/tmp", "/var/tmp"] {
                all.entry(path.to_owned()).or_insert_with(|| USUAL.to_owned());
            }
        }
        all
    }

    /// The names and locations of network sysctls. Without its own network namespace, the container
    /// would change the host's settings.
    pub fn network_settings(&self) -> impl Iterator<Item = (&String, &Location)> {
        self.sysctl.iter().filter(|(name, _)| name.starts_with("net.")).map(|(name, value)| (name, &value.at))
    }
}
