// SPDX-License-Identifier: MIT
//! An image. Pure.

use crate::config::trust::Trust;
use crate::config::values::access::Access;
use crate::config::values::install::InstallSetting;
use crate::config::values::source::AutoUpdate;
use crate::config::values::source::ImageSource;
use crate::config::values::source::ModeSetting;
use crate::config::values::source::PlatformSetting;
use crate::config::values::source::Pull;
use crate::model::{Assignment, Base, Link};
use std::sync::Arc;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name that the image is imported under; it serves as a file name and as an instance name.
    pub name: String,
    /// The `.image` file. None for an image that another file names by its reference.
    pub file: Option<Arc<str>>,
    /// The source of the image.
    pub source: ImageSource,
    /// `Mode=`: whether the image is an application or an operating system, or is examined for
    /// that.
    pub mode: ModeSetting,
    /// When the image is pulled.
    pub pull: Pull,
    /// `AutoUpdate=` of the file.
    pub auto_update: Option<AutoUpdate>,
    /// Whether systemd is installed into the image.
    pub install: InstallSetting,
    /// The platform that is selected from an index of images.
    pub platform: PlatformSetting,
    /// How the registry is accessed.
    pub access: Access,
    /// `Base=` of the file.
    pub base: Option<Base>,
    /// The rules by which the image is accepted. While a file is read, only the settings of that
    /// file.
    pub trust: Trust,
    /// The digest to which `sdme.lock` pins the image.
    pub locked: Option<String>,
    /// The assignments of `[Unit]`, with file references translated to unit names.
    pub unit: Vec<Assignment>,
    /// The assignments of `[Service]`.
    pub service: Vec<Assignment>,
    /// The links of `[Install]`, by which other units pull the image.
    pub links: Vec<Link>,
}

impl Image {
    /// The unit that imports the image `name`.
    #[must_use]
    pub fn service(name: &str) -> String {
        ["sdme-image@", name, ".service"].concat()
    }
}
