// SPDX-License-Identifier: MIT
//! What is mounted, and where. Pure.

use crate::config::values::mount::{self, Options};
use crate::config::values::secret::Form;
use crate::config::values::secret::Secret;
use crate::diag::Location;
use crate::diag::Spanned;
use crate::model::{App, Container, Facts, ImageFacts, Stack};
use crate::paths;
use crate::unit::escape_path;

/// Something mounted into an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it appears, as the application sees it.
    pub target: String,
    /// What it is.
    pub what: What,
    /// How.
    pub options: Options,
    /// The part of the volume that is mounted: a path below it, which a container may have changed.
    pub part: Option<String>,
    /// Where it was written; nowhere for what the image declares.
    pub at: Option<Location>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A path of the host.
    Host(String),
    /// The volume of this name.
    Volume(String),
    /// An empty file system in memory, with its options.
    Tmpfs(String),
    /// A secret, which is in this file of the host once the container starts.
    Secret(String),
}

impl Mount {
    /// The path on the host that has to be there, unless it is made of memory.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match &self.what {
            What::Host(path) | What::Secret(path) => Some(path.clone()),
            What::Volume(name) => Some(paths::volume(name)),
            What::Tmpfs(_) => None,
        }
    }

    /// Whether it takes a mount of its own on the host: systemd-nspawn knows none of these options, and would follow a symbolic link of
    /// the container's on the way to a part of a volume. A secret is on a file system
    /// of the host that has them.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        let Options { no_devices, no_exec, no_suid, .. } = self.options;
        matches!(self.what, What::Host(_) | What::Volume(_))
            && (no_devices || no_exec || no_suid || self.part.is_some())
    }
}

/// A mount and the application it is for.
#[derive(Debug, Clone)]
pub struct Placed<'a> {
    /// The application; none in an operating system.
    pub app: Option<&'a App>,
    /// What is mounted.
    pub mount: Mount,
    /// Its number among those that are mounted on the host first.
    pub restricted: Option<usize>,
}

impl Placed<'_> {
    /// Whether the application's service mounts over the application's root at a path above this target: `/run`, or another
    /// file system in memory. A mount point in the root would not be seen.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        let below = |path: &str| self.mount.target.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.app.is_some_and(|app| below("/run") || app.startup.in_memory().keys().any(|path| below(path)))
    }

    /// Where systemd-nspawn mounts it. systemd-nspawn follows symbolic links from the container's root directory, and the
    /// application can make links below its own root. So what is for an application is mounted in a directory that the
    /// application cannot change, and the application's service binds it from there: the service manager follows links
    /// within `RootDirectory=` only.
    #[must_use]
    pub fn place(&self) -> String {
        match self.app {
            Some(app) => format!("{}/mounts/{}", app.directory(), escape_path(&self.mount.target)),
            None => self.mount.target.clone(),
        }
    }

    /// Whether systemd-nspawn has nothing to mount: the application's service makes file systems in memory itself.
    #[must_use]
    pub fn is_of_service(&self) -> bool {
        self.app.is_some() && matches!(self.mount.what, What::Tmpfs(_))
    }
}

impl Container {
    /// Everything a file asks to be mounted, whatever its images turn out to be.
    pub fn written_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().chain(self.apps.iter().flat_map(|a| &a.mounts))
    }

    /// What is mounted into an application: what its settings say, its secrets, and the volumes its image declares.
    #[must_use]
    pub fn mounts_of(&self, app: &App, image: Option<&ImageFacts>) -> Vec<Mount> {
        let mut out = app.mounts.clone();
        for (number, owner, Spanned { value, at }) in self.secrets() {
            if let Form::File { target, .. } = &value.form
                && owner.name == app.name
            {
                let options = Options { read_only: true, copy: false, ..Options::default() };
                let what = What::Secret(format!("{}/{number}", paths::secrets(&self.name)));
                out.push(Mount { target: target.clone(), what, options, part: None, at: Some(at.clone()) });
            }
        }
        let Some(image) = image else { return out };
        for target in image.volumes.iter().filter_map(|path| mount::target(path).ok()) {
            if out.iter().all(|m| m.target != target) && !app.startup.tmpfs.contains_key(&target) {
                let further = (!app.first).then_some(app.name.as_str());
                let what = What::Volume(anonymous(&self.name, further, &target));
                out.push(Mount { target, what, options: Options::default(), part: None, at: None });
            }
        }
        // Links of the image are followed here, so that it is known what is below what, and any other link is refused.
        for mount in &mut out {
            if let Some(target) = image.links.get(&mount.target) {
                mount.target.clone_from(target);
            }
        }
        out
    }

    /// The secrets of all applications, numbered.
    pub fn secrets(&self) -> impl Iterator<Item = (usize, &App, &Spanned<Secret>)> {
        let all = self.apps.iter().flat_map(|app| app.secrets.iter().map(move |secret| (app, secret)));
        all.enumerate().map(|(number, (app, secret))| (number, app, secret))
    }

    /// Everything that is mounted, and where.
    #[must_use]
    pub fn placed<'a>(&'a self, stack: Stack<'_>, facts: &Facts) -> Vec<Placed<'a>> {
        let applications = matches!(stack, Stack::Application(..));
        let own = self.mounts.iter().map(|mount| (None, mount.clone()));
        let of_apps = self.apps.iter().flat_map(|app| {
            let mounts = self.mounts_of(app, facts.images.get(&app.image));
            mounts.into_iter().map(move |mount| (Some(app).filter(|_| applications), mount))
        });
        let mut numbers = 0..;
        let number = |(app, mount): (_, Mount)| {
            let restricted = if mount.is_restricted() { numbers.next() } else { None };
            Placed { app, mount, restricted }
        };
        own.chain(of_apps).map(number).collect()
    }
}

/// The name of a volume for one place of one application. No name that can be written has an `@`.
#[must_use]
pub fn anonymous(container: &str, further: Option<&str>, target: &str) -> String {
    let app = further.map(|app| format!("@{app}")).unwrap_or_default();
    format!("{container}{app}@{}", escape_path(target))
}
