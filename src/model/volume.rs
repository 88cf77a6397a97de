// SPDX-License-Identifier: MIT
//! A named volume. Pure.

use crate::config::names::VolumeName;
use crate::model::Assignment;
use std::sync::Arc;

/// A volume that has a file.
#[derive(Debug, Clone)]
pub struct Volume {
    /// The name of the volume and of its directory.
    pub name: VolumeName,
    /// Whether the name comes from `VolumeName=`.
    pub is_named: bool,
    /// The file that defines the volume.
    pub file: Arc<str>,
    /// The owner of a new volume. Without a setting, the owner is taken from the image's directory,
    /// or is root.
    pub owner: Owner,
    /// Whether an empty volume gets the image's content.
    pub copy: bool,
    /// The device or file system that is mounted there. None for a plain directory.
    pub device: Option<Device>,
    /// The assignments of `[Unit]`, with file references translated to unit names.
    pub unit: Vec<Assignment>,
}

/// The owner of a new volume, as far as the file sets it.
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
    /// A numeric ID.
    Id(u32),
    /// A name in the user database of the host.
    Name(String),
}

/// The device or file system that is mounted as a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `Device=`
    pub what: String,
    /// `Type=`
    pub fs_type: Option<String>,
    /// `Options=`
    pub options: Option<String>,
}
