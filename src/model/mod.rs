// SPDX-License-Identifier: MIT
//! The configuration with all references resolved, which is the input of the planner. Data only.
//! Pure.

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
pub use facts::{Facts, ImageFacts, Mode, Profiles, UnusableProfile};
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

/// A key and its value, for sections that are passed through to systemd.
pub type Assignment = (String, String);

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Containers that can be planned, by name. They are boxed, because the nodes of the map stay
    /// half empty when entries are added in order.
    pub containers: BTreeMap<ContainerName, Box<Container>>,
    /// Pods that can be planned, by name, including the pods of single containers.
    pub pods: BTreeMap<PodName, Pod>,
    /// Named networks that can be planned, by name.
    pub networks: BTreeMap<NetworkName, Named>,
    /// Volumes that have a file, by their names.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Images, by the names they are imported under.
    pub images: BTreeMap<String, Image>,
    /// How registries are accessed.
    pub registries: Registries,
    /// `AutoUpdate=` of `sdme.conf`, the default for containers and images whose files do not have
    /// the key.
    pub auto_update: Option<AutoUpdate>,
    /// How systemd is installed into base images that lack it.
    pub installers: Installers,
    /// `UpdateSettle=` of `sdme.conf`, in milliseconds.
    pub update_settle: Option<u64>,
    /// `UpdateSnapshot=` of `sdme.conf`.
    pub update_snapshot: Option<Spanned<bool>>,
    /// `VerifyKey=` and `VerifyIdentity=` of `sdme.conf`.
    pub verify: Verify,
    /// The machine's signature policy.
    pub policy: Option<Arc<PolicyFile>>,
    /// `sdme.lock`, or the diagnostic about an invalid file.
    pub lock: Option<Result<Lock, Diagnostic>>,
    /// Files that are rejected.
    pub rejected: Vec<Rejected>,
    /// Warnings about files that are not rejected.
    pub warnings: Vec<Diagnostic>,
}

/// A link of `[Install]`: `UNIT.DIRECTORY/` gets a link to the unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The unit that starts the linked unit.
    pub unit: String,
    /// `wants`, `requires` or `upholds`.
    pub directory: &'static str,
}

/// A file that is rejected. It still becomes a unit, which fails with the reason.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The type of the file.
    pub file_type: FileType,
    /// The name that the file defines.
    pub name: String,
    /// The path of the file.
    pub file: Arc<str>,
    /// The reasons, at least one.
    pub problems: Vec<Diagnostic>,
    /// The links of `[Install]`, as far as they can be read.
    pub install: Vec<Link>,
}

impl Model {
    /// The action for a new version of an image of a container. The container's setting applies to
    /// the images of its applications, not to the operating system below them.
    #[must_use]
    pub fn auto_update(&self, container: &Container, image: &str) -> AutoUpdate {
        let own = container.auto_update.filter(|_| container.apps.iter().any(|app| app.image == image));
        let of_image = || self.images.get(image).and_then(|image| image.auto_update);
        own.or_else(of_image).or(self.auto_update).unwrap_or(AutoUpdate::No)
    }

    /// The time that a container must run after an update, in milliseconds.
    #[must_use]
    pub fn update_settle(&self, container: &Container) -> u64 {
        container.update_settle.or(self.update_settle).unwrap_or(SETTLE)
    }

    /// The location of the `UpdateSnapshot=yes` that applies to the container. None if its volumes
    /// are not copied before an update.
    #[must_use]
    pub fn update_snapshot<'a>(&'a self, container: &'a Container) -> Option<&'a Location> {
        let written = container.update_snapshot.as_ref().or(self.update_snapshot.as_ref());
        written.filter(|written| written.value).map(|written| &written.at)
    }

    /// The first problem of a rejected file.
    #[must_use]
    pub fn rejection(&self, file_type: FileType, name: &str) -> Option<&Diagnostic> {
        let rejected = self.rejected.iter().find(|r| r.file_type == file_type && r.name == name);
        rejected.and_then(|rejected| rejected.problems.first())
    }

    /// The layers of the container's root, as far as `facts` determine them. An image that is not
    /// imported yet counts as an application unless its file has `Mode=base`.
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

    /// The applications of `container`. The list is empty for an operating system and for a clone
    /// of the host.
    #[must_use]
    pub fn applications<'a>(&self, container: &'a Container, facts: &Facts) -> &'a [App] {
        match self.stack(container, facts) {
            Stack::Application(..) => &container.apps,
            Stack::Clone | Stack::System(_) => &[],
        }
    }
}
