// SPDX-License-Identifier: MIT
//! The configuration after all references are resolved: what is planned from. Data only. Pure.

mod application;
mod container;
mod facts;
mod health;
mod image;
mod mount;
mod network;
mod security;
mod startup;
mod volume;

pub use application::{App, EnvironmentFile, Reload};
pub use container::{Base, Container, Resolver, Stack};
pub use facts::{Facts, ImageFacts, Mode, Profiles};
pub use health::{HealthSettings, Notify};
pub use image::Image;
pub use mount::{Mount, Placed, What, anonymous};
pub use network::named::{Named, Subnet};
pub use network::pod::{Pod, VethPair};
pub use network::port::{Port, Protocol, Wanted};
pub use network::{Attachment, Connection, Network};
pub use security::{Preset, Security};
pub use startup::{Identity, Startup};
pub use volume::{Account, Device, Owner, Volume};

use crate::config::keys::FileType;
use crate::config::lock::Lock;
use crate::config::names::{ContainerName, NetworkName, PodName, VolumeName};
use crate::config::trust::Verify;
use crate::config::trust::policy::PolicyFile;
use crate::config::update::SETTLE;
use crate::config::values::access::Registries;
use crate::config::values::install::Installers;
use crate::config::values::source::AutoUpdate;
use crate::config::values::source::ModeSetting;
use crate::diag::Diagnostic;
use crate::diag::Location;
use crate::diag::Spanned;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A key and its value, for sections that are passed through.
pub type Assignment = (String, String);

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Containers that can be planned, by name. Boxed: the map's nodes are half empty after additions in order.
    pub containers: BTreeMap<ContainerName, Box<Container>>,
    /// Pods that can be planned, by name; those of one container among them.
    pub pods: BTreeMap<PodName, Pod>,
    /// Networks with names that can be planned, by name.
    pub networks: BTreeMap<NetworkName, Named>,
    /// Volumes that have a file, by their names.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Images, by the name they are imported under.
    pub images: BTreeMap<String, Image>,
    /// How registries are spoken to.
    pub registries: Registries,
    /// `AutoUpdate=` of `sdme.conf`, for containers and images whose files have no such key.
    pub auto_update: Option<AutoUpdate>,
    /// How systemd is installed into bases that lack it.
    pub installers: Installers,
    /// `UpdateSettle=` of `sdme.conf`, in milliseconds.
    pub update_settle: Option<u64>,
    /// `UpdateSnapshot=` of `sdme.conf`.
    pub update_snapshot: Option<Spanned<bool>>,
    /// `VerifyKey=` and `VerifyIdentity=` of `sdme.conf`.
    pub verify: Verify,
    /// The machine's signature policy.
    pub policy: Option<Arc<PolicyFile>>,
    /// `sdme.lock`, or what is wrong with it.
    pub lock: Option<Result<Lock, Diagnostic>>,
    /// Files that cannot be used.
    pub rejected: Vec<Rejected>,
    /// Warnings about files that can.
    pub warnings: Vec<Diagnostic>,
}

/// A link of `[Install]`: `UNIT.DIRECTORY/` gets a link to the unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The unit that starts it.
    pub unit: String,
    /// `wants`, `requires` or `upholds`.
    pub directory: &'static str,
}

/// A file that cannot be used. It still gets a unit, one that fails with the reason.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Its type.
    pub file_type: FileType,
    /// Its name.
    pub name: String,
    /// Its path.
    pub file: Arc<str>,
    /// Why, one or more.
    pub problems: Vec<Diagnostic>,
    /// Links that would have started it, where they can be read.
    pub install: Vec<Link>,
}

impl Model {
    /// What is done about a new version of one of a container's images. What the container says is about the images that it names
    /// itself, not about the operating system below them.
    #[must_use]
    pub fn auto_update(&self, container: &Container, image: &str) -> AutoUpdate {
        let own = container.auto_update.filter(|_| container.apps.iter().any(|app| app.image == image));
        let of_image = || self.images.get(image).and_then(|image| image.auto_update);
        own.or_else(of_image).or(self.auto_update).unwrap_or(AutoUpdate::No)
    }

    /// How long a container has to run after an update, in milliseconds.
    #[must_use]
    pub fn update_settle(&self, container: &Container) -> u64 {
        container.update_settle.or(self.update_settle).unwrap_or(SETTLE)
    }

    /// The place of the `UpdateSnapshot=yes` that counts for a container, if its volumes are copied before an update.
    #[must_use]
    pub fn update_snapshot<'a>(&'a self, container: &'a Container) -> Option<&'a Location> {
        let written = container.update_snapshot.as_ref().or(self.update_snapshot.as_ref());
        written.filter(|written| written.value).map(|written| &written.at)
    }

    /// The first problem of a file that cannot be used.
    #[must_use]
    pub fn rejection(&self, file_type: FileType, name: &str) -> Option<&Diagnostic> {
        let rejected = self.rejected.iter().find(|r| r.file_type == file_type && r.name == name);
        rejected.and_then(|rejected| rejected.problems.first())
    }

    /// What the root of `container` is made of, as far as `facts` tell. An image that nobody has seen yet counts as
    /// an application unless `Mode=base` says otherwise.
    #[must_use]
    pub fn stack<'a>(&self, container: &'a Container, facts: &Facts) -> Stack<'a> {
        let Some(image) = container.apps.first().map(|a| a.image.as_str()) else { return Stack::Clone };
        let setting = self.images.get(image).map(|i| i.mode).unwrap_or_default();
        let mode = match setting {
            ModeSetting::Base => Mode::Base,
            ModeSetting::App => Mode::App,
            ModeSetting::Auto => facts.images.get(image).map_or(Mode::App, |f| f.mode),
        };
        match mode {
            Mode::Base => Stack::System(image),
            Mode::App => Stack::Application(image, &container.base),
        }
    }

    /// The applications of `container`, of which an operating system or a clone of the host has none.
    #[must_use]
    pub fn applications<'a>(&self, container: &'a Container, facts: &Facts) -> &'a [App] {
        match self.stack(container, facts) {
            Stack::Application(..) => &container.apps,
            Stack::Clone | Stack::System(_) => &[],
        }
    }
}
