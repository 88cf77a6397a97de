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
    /// The name it is imported under: a file name and an instance name at once.
    pub name: String,
    /// The `.image` file, or none for an image given as a reference.
    pub file: Option<Arc<str>>,
    /// Where it comes from.
    pub source: ImageSource,
    /// What it is taken for.
    pub mode: ModeSetting,
    /// When it is pulled.
    pub pull: Pull,
    /// `AutoUpdate=` of the file.
    pub auto_update: Option<AutoUpdate>,
    /// Whether systemd is installed into it.
    pub install: InstallSetting,
    /// The platform to choose.
    pub platform: PlatformSetting,
    /// How its registry is spoken to.
    pub access: Access,
    /// `Base=` of the file.
    pub base: Option<Base>,
    /// What decides whether it is accepted. Of a file that is being read, only what the file says.
    pub trust: Trust,
    /// The digest that `sdme.lock` holds it to.
    pub locked: Option<String>,
    /// `[Unit]`, file references translated to units.
    pub unit: Vec<Assignment>,
    /// `[Service]`.
    pub service: Vec<Assignment>,
    /// Links that pull it with other units.
    pub links: Vec<Link>,
}

impl Image {
    /// The unit that imports the image `name`.
    #[must_use]
    pub fn service(name: &str) -> String {
        ["sdme-image@", name, ".service"].concat()
    }
}
