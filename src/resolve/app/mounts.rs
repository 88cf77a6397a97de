// SPDX-License-Identifier: MIT
//! `Volume=` and `Mount=`: what is mounted into an application, every reference resolved. Pure.

use std::sync::Arc;

use crate::config::keys::{FileType, key};
use crate::config::settings::Settings;
use crate::config::values;
use crate::config::values::mount::{self, Options, Source, Written};
use crate::config::values::secret::{self, Form, Secret};
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned};
use crate::paths;
use crate::resolve::model::{App, Container, EnvironmentFile, Facts, ImageFacts, Stack};
use crate::resolve::references::{Names, existing};
use crate::resolve::volume::Volumes;
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

/// Whose settings are read.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The container.
    pub container: &'a str,
    /// Its file.
    pub file: &'a Arc<str>,
    /// The files there are.
    pub names: &'a Names,
    /// The volumes that have a file.
    pub volumes: &'a Volumes,
}

impl Place<'_> {
    /// Reads what is mounted into an application; `further` is its name unless it is the first one, or there is none.
    pub fn mounts(&self, settings: &Settings, further: Option<&str>, problems: &mut Vec<Diagnostic>) -> Vec<Mount> {
        let volumes =
            settings.lines("Container", key::VOLUME).into_iter().map(|v| ("Volume", mount::volume(&v.value), v.at));
        let long = settings.words("Container", key::MOUNT).into_iter().map(|m| ("Mount", mount::mount(&m.value), m.at));
        let in_memory: Vec<(String, Location)> = settings
            .words("Container", key::TMPFS)
            .into_iter()
            .filter_map(|word| Some((values::tmpfs(&word.value).ok()?.0, word.at)))
            .collect();
        let mut out: Vec<Mount> = Vec::new();
        let long_and_short = [key::VOLUME, key::MOUNT].map(|key| settings.lines("Container", key));
        for Spanned { value, at } in long_and_short.iter().flatten() {
            let remarks = mount::remarks(value)
                .map(|remark| Diagnostic::warning(at, Code::NoEffect.problem(format!("{value}: {remark}"))));
            problems.extend(remarks);
        }
        for (key, written, at) in volumes.chain(long) {
            let written = written.map_err(|message| Code::Mount.problem(message));
            let resolved = written.and_then(|written| self.resolve(written, further, at.clone())).and_then(|mount| {
                let same = in_memory.iter().find(|(path, _)| *path == mount.target).map(|(_, at)| at);
                match same.or(out.iter().find(|m| m.target == mount.target).and_then(|m| m.at.as_ref())) {
                    Some(other) => {
                        let text = format!("{} is the target of {other} already; remove one of them", mount.target);
                        Err(Code::Conflict.problem(text))
                    }
                    None => Ok(mount),
                }
            });
            match resolved {
                Ok(mount) => out.push(mount),
                Err(problem) => problems.push(Diagnostic::error(&at, problem.of(&format!("{key}=")))),
            }
        }
        out
    }

    /// Reads the secrets of an application that has these mounts.
    pub fn secrets(
        &self,
        settings: &Settings,
        mounts: &[Mount],
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<Spanned<Secret>> {
        let mut out: Vec<Spanned<Secret>> = Vec::new();
        for Spanned { value, at } in settings.words("Container", key::SECRET) {
            let read = secret::secret(&value).map_err(|text| Code::Secret.problem(text)).and_then(|secret| {
                let mounted = |m: &&Mount| matches!(&secret.form, Form::File { target, .. } if *target == m.target);
                let other = mounts.iter().find(mounted).and_then(|m| m.at.as_ref());
                match other.or(out.iter().find(|s| same_place(&s.value, &secret)).map(|s| &s.at)) {
                    Some(other) => {
                        let text = format!("{other} is about the same place already; remove one of them");
                        Err(Code::Conflict.problem(text))
                    }
                    None => Ok(secret),
                }
            });
            match read {
                Ok(value) => out.push(Spanned { value, at }),
                Err(problem) => problems.push(Diagnostic::error(&at, problem.of("Secret="))),
            }
        }
        out
    }

    /// Reads the files of variables of an application.
    pub fn environment_files(&self, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<EnvironmentFile> {
        let mut out = Vec::new();
        for Spanned { value, at } in settings.words("Container", key::ENVIRONMENT_FILE) {
            let (written, optional) = value.strip_prefix('-').map_or((value.as_str(), false), |path| (path, true));
            // A path that is not absolute begins in the directory of the file (podman-systemd.unit(5)).
            let relative = if written.starts_with(['/', '.']) { written.to_owned() } else { format!("./{written}") };
            match self.path(&relative) {
                Ok(path) => out.push(EnvironmentFile { path, optional, at }),
                Err(problem) => problems.push(Diagnostic::error(&at, problem.of("EnvironmentFile="))),
            }
        }
        out
    }

    fn resolve(&self, written: Written, further: Option<&str>, at: Location) -> Result<Mount, Problem> {
        let Written { source, target, mut options, part } = written;
        let what = match source {
            Source::Path(path) => What::Host(self.path(&path)?),
            Source::File(file) => {
                existing(FileType::Volume, &file, self.names)?;
                let volume = self.volumes.of_file(&file)?;
                options.copy &= volume.copy;
                What::Volume(volume.name.clone())
            }
            Source::Named(name) => {
                options.copy &= self.volumes.by_name(&name)?.is_none_or(|v| v.copy);
                What::Volume(name)
            }
            Source::Anonymous => What::Volume(anonymous(self.container, further, &target)),
            Source::Tmpfs(options) => What::Tmpfs(options),
        };
        Ok(Mount { target, what, options, part, at: Some(at) })
    }

    /// A path of the host, taken from the directory of the file when it begins with a dot.
    ///
    /// # Errors
    /// The path is not absolute.
    pub fn path(&self, written: &str) -> Result<String, Problem> {
        let directory = self.file.rsplit_once('/').map_or("", |(directory, _)| directory);
        let path = if written.starts_with('.') { format!("{directory}/{written}") } else { written.to_owned() };
        if !path.starts_with('/') {
            return Err(Code::Path.problem(format!("{written} is not a path; write /{written} or ./{written}")));
        }
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Ok(format!("/{}", parts.join("/")))
    }
}

/// The name of a volume for one place of one application. No name that can be written has an `@`.
fn anonymous(container: &str, further: Option<&str>, target: &str) -> String {
    let app = further.map(|app| format!("@{app}")).unwrap_or_default();
    format!("{container}{app}@{}", escape_path(target))
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

/// Whether two secrets are one file or one variable.
fn same_place(one: &Secret, other: &Secret) -> bool {
    match (&one.form, &other.form) {
        (Form::File { target: one, .. }, Form::File { target: other, .. })
        | (Form::Variable(one), Form::Variable(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths() {
        let file = Arc::from("/etc/sdme/sub/web.container");
        let place = Place { container: "web", file: &file, names: &Names::default(), volumes: &Volumes::default() };
        for (written, path) in [
            ("/srv//www/", "/srv/www"),
            ("./www", "/etc/sdme/sub/www"),
            ("../www/./x", "/etc/sdme/www/x"),
            ("../../../../x", "/x"),
            ("./100%", "/etc/sdme/sub/100%"),
        ] {
            assert_eq!(place.path(written).unwrap(), path);
        }
        assert!(place.path("%v/x").is_err());
    }

    #[test]
    fn names_of_volumes_without_one() {
        assert_eq!(anonymous("web", None, "/var/lib/my-sql"), "web@var-lib-my\\x2dsql");
        assert_eq!(anonymous("web", Some("redis"), "/data"), "web@redis@data");
    }
}
