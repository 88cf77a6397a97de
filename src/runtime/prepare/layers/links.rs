// SPDX-License-Identifier: MIT
//! The images that a container runs on, and the links to them. While a link exists, its image is not pruned.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::base::host_base;
use crate::image::{Store, mark};
use crate::model::{App, Base, Container, Mode, Stack};
use crate::paths::RUNTIME;

/// The directories of an image that has to be there, the topmost first.
fn imported(store: &Store, name: &str, mode: Mode) -> Result<Vec<PathBuf>> {
    let Some(found) = store.lookup(name).inspect_err(|_| mark::forget(store, name))? else {
        bail!("the image {name} is not imported; run systemctl start sdme-image@{name}.service");
    };
    match (found.image.mode, mode) {
        (Mode::App, Mode::Base) => bail!("the image {name} is an application, not a base operating system"),
        (Mode::Base, Mode::App) => bail!("the image {name} is a base operating system, not an application"),
        _ => Ok(found.lower()),
    }
}

/// The directories of the application, the topmost first, and that of the base. The links `app` and `base` lead to the
/// first of them.
///
/// # Errors
/// When an image is not there, or of the other kind.
pub fn layers(store: &Store, stack: Stack<'_>) -> Result<(Vec<PathBuf>, PathBuf)> {
    let base = |image| imported(store, image, Mode::Base).and_then(|lower| own(&lower).cloned());
    let app = |image| imported(store, image, Mode::App);
    Ok(match stack {
        Stack::Clone => (vec![empty()?], PathBuf::from("/")),
        Stack::System(image) => (vec![empty()?], base(image)?),
        Stack::Application(image, Base::Host) => (app(image)?, host_base()?),
        Stack::Application(image, Base::Image(below)) => (app(image)?, base(below)?),
    })
}

/// The topmost directory of an image, which is its own.
fn own(lower: &[PathBuf]) -> Result<&PathBuf> {
    lower.first().context("the image has no files")
}

/// The applications that are not a layer of the root, and their images' directories.
///
/// # Errors
/// As for [`layers`].
pub fn further<'a>(store: &Store, apps: &'a [App]) -> Result<Vec<(&'a str, Vec<PathBuf>)>> {
    let further = apps.iter().filter(|app| !app.first);
    further.map(|app| Ok((app.name.as_str(), imported(store, &app.image, Mode::App)?))).collect()
}

/// All applications of a container and their images' directories, the topmost first, of what [`layers`] and [`further`] give.
#[must_use]
pub fn of_applications<'a>(
    container: &'a Container,
    application: &'a [PathBuf],
    further: &'a [(&'a str, Vec<PathBuf>)],
) -> Vec<(&'a str, &'a [PathBuf])> {
    let first = container.apps.iter().find(|app| app.first).map(|app| (app.name.as_str(), application));
    first.into_iter().chain(further.iter().map(|(app, lower)| (*app, lower.as_slice()))).collect()
}

/// The directories below the topmost one of each application.
#[must_use]
pub fn below<'a>(applications: &[(&'a str, &[PathBuf])]) -> BTreeMap<&'a str, Vec<String>> {
    let paths = |lower: &[PathBuf]| lower.iter().skip(1).map(|path| path.display().to_string()).collect();
    applications.iter().map(|(app, lower)| (*app, paths(lower))).collect()
}

/// Points the links in `directory` at what the container runs on. The caller holds off pruning until then.
///
/// # Errors
/// When one of them cannot be made.
pub fn keep(directory: &Path, application: &[PathBuf], base: &Path, further: &[(&str, Vec<PathBuf>)]) -> Result<()> {
    link(&directory.join("app"), own(application)?)?;
    link(&directory.join("base"), base)?;
    link_further(&directory.join("apps"), further)
}

/// Points the links of those applications at them. A link of one that is no longer there would keep its image for ever.
fn link_further(directory: &Path, further: &[(&str, Vec<PathBuf>)]) -> Result<()> {
    if further.is_empty() {
        return remove(directory).context("cannot remove the links of former applications");
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", directory.display()))?;
        if !further.iter().any(|(app, _)| entry.file_name() == *app) {
            remove(&entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    further.iter().try_for_each(|(app, lower)| link(&directory.join(app), own(lower)?))
}

/// A layer for where there is none: the mount has the same three in every case.
fn empty() -> Result<PathBuf> {
    let path = Path::new(RUNTIME).join("empty");
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&path).context("cannot make the empty layer")?;
    Ok(path)
}

/// Replaces a symbolic link in one step.
fn link(path: &Path, target: &Path) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    // No application's name ends like this.
    temporary.push("~");
    let temporary = PathBuf::from(temporary);
    remove(&temporary)
        .and_then(|()| symlink(target, &temporary))
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot make the link {}", path.display()))
}

/// Removes whatever is at `path`, if anything is.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
}
