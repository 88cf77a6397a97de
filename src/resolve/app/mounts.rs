// SPDX-License-Identifier: MIT
//! The mounts of an application (`Volume=`, `Mount=`), its secrets and its environment files, with
//! all references resolved. Pure.

use crate::model::{EnvironmentFile, Mount, What, anonymous};
use std::sync::Arc;

use crate::config::keys::{FileType, key};
use crate::config::settings::Settings;
use crate::config::values;
use crate::config::values::mount::{self, Source, Written};
use crate::config::values::secret::{self, Form, Secret};
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned};
use crate::resolve::references::{Names, existing};
use crate::resolve::volume::Volumes;

/// The container or pod whose settings are read.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The name of the container or pod.
    pub container: &'a str,
    /// The path of its file.
    pub file: &'a Arc<str>,
    /// The names of all files.
    pub names: &'a Names,
    /// The volumes that have a file.
    pub volumes: &'a Volumes,
}

impl Place<'_> {
    /// Reads the mounts of an application. `further` is the name of an additional application. It
    /// is None for the first application, and for a container without applications.
    pub fn mounts(&self, settings: &Settings, further: Option<&str>, problems: &mut Vec<Diagnostic>) -> Vec<Mount> {
        let volumes =
            settings.lines("Container", key::VOLUME).into_iter().map(|v| ("Volume", mount::volume(&v.value), v.at));
        let long = settings.words("Container", key::MOUNT).into_iter().map(|m| ("Mount", mount::mount(&m.value), m.at));
        let in_memory: Vec<(String, Location)> = settings
            .words("Container", key::TMPFS)
            .into_iter()
            .filter_map(|word| Some((values::tmpfs(&word.value).ok()?.path, word.at)))
            .collect();
        let mut out: Vec<Mount> = Vec::new();
        let long_and_short = [key::VOLUME, key::MOUNT].map(|key| settings.lines("Container", key));
        for Spanned { value, at } in long_and_short.iter().flatten() {
            let remarks = mount::remarks(value).map(|(code, fault)| Diagnostic::warning(at, code.of(fault).of(value)));
            problems.extend(remarks);
        }
        for (key, written, at) in volumes.chain(long) {
            let written = written.map_err(|fault| Code::Mount.of(fault));
            if let Ok(Written { source: Source::Named(name), .. }) = &written {
                let remark = self.volumes.remark(name).map(|problem| problem.of(&format!("{key}=")));
                problems.extend(remark.map(|problem| Diagnostic::warning(&at, problem)));
            }
            let resolved = written.and_then(|written| self.resolve(written, further, at.clone())).and_then(|mount| {
                let same = in_memory.iter().find(|(path, _)| *path == mount.target).map(|(_, at)| at);
                match same.or(out.iter().find(|m| m.target == mount.target).and_then(|m| m.at.as_ref())) {
                    Some(other) => {
                        let problem = Code::Conflict.problem(
                            format!("{} is already the target of {other}", mount.target),
                            "remove one of them",
                        );
                        Err(problem)
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

    /// Reads the secrets of an application. `mounts` are its mounts, whose targets a secret cannot
    /// have.
    pub fn secrets(
        &self,
        settings: &Settings,
        mounts: &[Mount],
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<Spanned<Secret>> {
        let mut out: Vec<Spanned<Secret>> = Vec::new();
        for Spanned { value, at } in settings.words("Container", key::SECRET) {
            let read = secret::secret(&value).map_err(|fault| Code::Secret.of(fault)).and_then(|secret| {
                let mounted = |m: &&Mount| matches!(&secret.form, Form::File { target, .. } if *target == m.target);
                let other = mounts.iter().find(mounted).and_then(|m| m.at.as_ref());
                match other.or(out.iter().find(|s| same_place(&s.value, &secret)).map(|s| &s.at)) {
                    Some(other) => {
                        let problem = Code::Conflict
                            .problem(format!("{other} already has the same target"), "remove one of them");
                        Err(problem)
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

    /// Reads the environment files of an application.
    pub fn environment_files(&self, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<EnvironmentFile> {
        let mut out = Vec::new();
        for Spanned { value, at } in settings.words("Container", key::ENVIRONMENT_FILE) {
            let (written, optional) = value.strip_prefix('-').map_or((value.as_str(), false), |path| (path, true));
            // A relative path begins in the directory of the configuration file
            // (podman-systemd.unit(5)).
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
                What::Volume(volume.name.to_string())
            }
            Source::Named(name) => {
                let volume = self.volumes.by_name(&name)?;
                options.copy &= volume.is_none_or(|v| v.copy);
                What::Volume(volume.map_or(name, |v| v.name.to_string()))
            }
            Source::Anonymous => What::Volume(anonymous(self.container, further, &target)),
            Source::Tmpfs(options) => What::Tmpfs(options),
        };
        Ok(Mount { target, what, options, part, at: Some(at) })
    }

    /// A path of the host, without empty components, `.` and `..`. A path that begins with a dot is
    /// relative to the directory of the configuration file.
    ///
    /// # Errors
    /// The path is neither absolute nor begins with a dot.
    pub fn path(&self, written: &str) -> Result<String, Problem> {
        let directory = self.file.rsplit_once('/').map_or("", |(directory, _)| directory);
        let path = if written.starts_with('.') { format!("{directory}/{written}") } else { written.to_owned() };
        if !path.starts_with('/') {
            return Err(
                Code::Path.problem(format!("{written} is not a path"), format!("write /{written} or ./{written}"))
            );
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

/// Whether two secrets have the same target file or the same variable.
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
    fn relative_paths_begin_in_the_directory_of_the_file() {
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
    fn anonymous_volumes_are_named_after_their_mount_point() {
        assert_eq!(anonymous("web", None, "/var/lib/my-sql"), "web@var-lib-my\\x2dsql");
        assert_eq!(anonymous("web", Some("redis"), "/data"), "web@redis@data");
    }
}
