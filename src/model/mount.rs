// SPDX-License-Identifier: MIT
//! Mounts and their targets. Pure.

use crate::config::values::mount::{self, Options};
use crate::config::values::secret::Form;
use crate::config::values::secret::Secret;
use crate::diag::Location;
use crate::diag::Spanned;
use crate::model::{App, Container, Facts, ImageFacts, Stack};
use crate::paths;
use crate::unit::escape_path;

/// A mount of an application or of an operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount point, as a path in the application's root.
    pub target: String,
    /// The source of the mount.
    pub what: What,
    /// The mount options.
    pub options: Options,
    /// The subdirectory of the volume that is mounted, a path below the volume. The container may
    /// have changed what is there.
    pub part: Option<String>,
    /// The location of the setting. None for a volume that the image declares.
    pub at: Option<Location>,
}

/// The source of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A path on the host.
    Host(String),
    /// The volume with this name.
    Volume(String),
    /// A tmpfs with these options.
    Tmpfs(String),
    /// A secret, in this file of the host. The file exists after the start of the container.
    Secret(String),
}

impl Mount {
    /// The path on the host that has to exist. None for a tmpfs.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match &self.what {
            What::Host(path) | What::Secret(path) => Some(path.clone()),
            What::Volume(name) => Some(paths::volume(name)),
            What::Tmpfs(_) => None,
        }
    }

    /// Whether the mount is made on the host first. systemd-nspawn has none of these options, and
    /// would follow a symbolic link of the container on the way to a subdirectory of a volume. A
    /// secret is on a file system of the host that is mounted with these options.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        let Options { no_devices, no_exec, no_suid, .. } = self.options;
        matches!(self.what, What::Host(_) | What::Volume(_))
            && (no_devices || no_exec || no_suid || self.part.is_some())
    }
}

/// A mount with its application.
#[derive(Debug, Clone)]
pub struct Placed<'a> {
    /// The application. None in an operating system.
    pub app: Option<&'a App>,
    /// The mount.
    pub mount: Mount,
    /// The number of the mount among those that are made on the host first. None if the mount is
    /// not one of them.
    pub restricted: Option<usize>,
}

impl Placed<'_> {
    /// Whether the application's service mounts `/run` or another file system in memory over a
    /// parent directory of this target. A mount point in the application's root would be hidden by
    /// that.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        let below = |path: &str| self.mount.target.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.app.is_some_and(|app| below("/run") || app.startup.in_memory().keys().any(|path| below(path)))
    }

    /// The path at which systemd-nspawn mounts it. systemd-nspawn follows symbolic links from the
    /// container's root directory, and the application can make links below its own root. So
    /// systemd-nspawn mounts it in a directory that the application cannot change, and the
    /// application's service binds it from there: the service manager follows links within
    /// `RootDirectory=` only.
    #[must_use]
    pub fn place(&self) -> String {
        match self.app {
            Some(app) => format!("{}/mounts/{}", app.directory(), escape_path(&self.mount.target)),
            None => self.mount.target.clone(),
        }
    }

    /// Whether systemd-nspawn has nothing to mount, because the application's service makes file
    /// systems in memory itself.
    #[must_use]
    pub fn is_of_service(&self) -> bool {
        self.app.is_some() && matches!(self.mount.what, What::Tmpfs(_))
    }
}

impl Container {
    /// All mounts that the file asks for, independent of what its images turn out to be.
    pub fn written_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().chain(self.apps.iter().flat_map(|a| &a.mounts))
    }

    /// The mounts of an application: those of its settings, its secrets, and the volumes that its
    /// image declares.
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
        // Symbolic links of the image are followed here, so that the order of nested mounts is
        // known. Any other link is refused.
        for mount in &mut out {
            if let Some(target) = image.links.get(&mount.target) {
                mount.target.clone_from(target);
            }
        }
        out
    }

    /// The secrets of all applications, with their numbers.
    pub fn secrets(&self) -> impl Iterator<Item = (usize, &App, &Spanned<Secret>)> {
        let all = self.apps.iter().flat_map(|app| app.secrets.iter().map(move |secret| (app, secret)));
        all.enumerate().map(|(number, (app, secret))| (number, app, secret))
    }

    /// All mounts of the container with their applications.
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

/// The name of the anonymous volume for one target of one application. A name in a file cannot
/// contain `@`, so the name is unique.
#[must_use]
pub fn anonymous(container: &str, further: Option<&str>, target: &str) -> String {
    let app = further.map(|app| format!("@{app}")).unwrap_or_default();
    format!("{container}{app}@{}", escape_path(target))
}
