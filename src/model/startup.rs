// SPDX-License-Identifier: MIT
//! How an application is started, and its surroundings. Pure.

use crate::diag::Location;
use crate::diag::Spanned;
use std::collections::{BTreeMap, BTreeSet};

/// Who an application runs as, where that is not as its image says. Names are the image's; only who knows the image can
/// resolve them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// `User=`: a name or number, perhaps with a group behind a colon.
    pub user: Option<String>,
    /// `Group=`
    pub group: Option<String>,
    /// `GroupAdd=`
    pub more_groups: Vec<String>,
}

/// What is read from the keys; without any of them the image has its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Startup {
    /// `Entrypoint=`
    pub entrypoint: Option<Vec<String>>,
    /// `Exec=`: arguments in place of the image's command.
    pub exec: Option<Vec<String>>,
    /// `User=`, `Group=` and `GroupAdd=`
    pub identity: Identity,
    /// Where the first of those was written.
    pub identity_at: Option<Location>,
    /// `WorkingDir=`
    pub working_dir: Option<String>,
    /// `StopSignal=`, as systemd writes it.
    pub stop_signal: Option<String>,
    /// `StopTimeout=`, in milliseconds.
    pub stop_timeout: Option<u64>,
    /// `Ulimit=`: settings of systemd and their values.
    pub limits: BTreeMap<&'static str, String>,
    /// `Tmpfs=`: paths and mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// The paths of those that begin with what the image has there.
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
    /// Whether the launcher has anything to mount or to set in `/proc`.
    #[must_use]
    pub fn mounts(&self) -> bool {
        !self.sysctl.is_empty() || !self.masked.is_empty() || (self.read_only && !self.read_only_tmpfs)
    }

    /// The file systems in memory that the application has beside `/run`: paths and options.
    #[must_use]
    pub fn in_memory(&self) -> BTreeMap<String, String> {
        // As for Podman: programs can be run from a file system in memory, but not from /dev/shm.
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

    /// Settings of the kernel's that would be the host's, were the network the host's.
    pub fn network_settings(&self) -> impl Iterator<Item = (&String, &Location)> {
        self.sysctl.iter().filter(|(name, _)| name.starts_with("net.")).map(|(name, value)| (name, &value.at))
    }
}
