// SPDX-License-Identifier: MIT
//! A named volume. Pure.

use crate::config::names::VolumeName;
use crate::model::Assignment;
use std::sync::Arc;

/// A volume that has a file.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its name, and that of its directory.
    pub name: VolumeName,
    /// Whether `VolumeName=` says the name.
    pub is_named: bool,
    /// The file it was written in.
    pub file: Arc<str>,
    /// Whose a new volume is; the image's or root's unless said.
    pub owner: Owner,
    /// Whether it gets the image's content when it is empty.
    pub copy: bool,
    /// What is mounted there; a plain directory without.
    pub device: Option<Device>,
    /// `[Unit]`, file references translated to units.
    pub unit: Vec<Assignment>,
}

/// The owner of a new volume, as far as it was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// `User=` or `UID=`
    pub user: Option<Account>,
    /// `Group=` or `GID=`
    pub group: Option<Account>,
}

/// A user or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// By number.
    Id(u32),
    /// By a name of the host.
    Name(String),
}

/// What is mounted as a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `Device=`
    pub what: String,
    /// `Type=`
    pub fs_type: Option<String>,
    /// `Options=`
    pub options: Option<String>,
}
