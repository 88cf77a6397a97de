// SPDX-License-Identifier: MIT
//! The images that a container runs on, and the symbolic links to them. While a link to an image
//! exists, the image is not pruned.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::base::host_base;
use crate::diag::Fault;
use crate::image::{Store, mark};
use crate::model::{App, Base, Container, Mode, Stack};
use crate::paths::RUNTIME;

/// The directories of an image that must be imported, with the topmost layer first.
fn imported(store: &Store, name: &str, mode: Mode) -> Result<Vec<PathBuf>> {
    let Some(found) = store.lookup(name).inspect_err(|_| mark::forget(store, name))? else {
        bail!(Fault::new(
            format!("the image {name} is not imported"),
            format!("run systemctl start sdme-image@{name}.service")
        ));
    };
    match (found.image.mode, mode) {
        (Mode::App, Mode::Base) => bail!("the image {name} is an application, not a base operating system"),
        (Mode::Base, Mode::App) => bail!("the image {name} is a base operating system, not an application"),
        _ => Ok(found.lower()),
    }
}

/// The directories of the application with the topmost layer first, and the directory of the base.
/// The links `app` and `base` lead to the topmost layers.
///
/// # Errors
/// An image is not imported, or is of the wrong kind.
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

/// The topmost directory of an image, which no other image shares.
fn own(lower: &[PathBuf]) -> Result<&PathBuf> {
    lower.first().context("the image has no files")
}

/// The applications that are not a layer of the root, with the directories of their images.
///
/// # Errors
/// As for [`layers`].
pub fn additional<'a>(store: &Store, apps: &'a [App]) -> Result<Vec<(&'a str, Vec<PathBuf>)>> {
    let additional = apps.iter().filter(|app| !app.first);
    additional.map(|app| Ok((app.name.as_str(), imported(store, &app.image, Mode::App)?))).collect()
}

/// All applications of a container with the directories of their images, the topmost layer first.
/// The arguments are the results of [`layers`] and [`additional`].
#[must_use]
pub fn of_applications<'a>(
    container: &'a Container,
    application: &'a [PathBuf],
    additional: &'a [(&'a str, Vec<PathBuf>)],
) -> Vec<(&'a str, &'a [PathBuf])> {
    let first = container.apps.iter().find(|app| app.first).map(|app| (app.name.as_str(), application));
    first.into_iter().chain(additional.iter().map(|(app, lower)| (*app, lower.as_slice()))).collect()
}

/// The directories of the layers below the topmost one, for each application.
#[must_use]
pub fn below<'a>(applications: &[(&'a str, &[PathBuf])]) -> BTreeMap<&'a str, Vec<String>> {
    let paths = |lower: &[PathBuf]| lower.iter().skip(1).map(|path| path.display().to_string()).collect();
    applications.iter().map(|(app, lower)| (*app, paths(lower))).collect()
}

/// Points the links in `directory` at the images that the container runs on. The caller prevents
/// pruning until this has returned.
///
/// # Errors
/// A link cannot be made.
pub fn keep(directory: &Path, application: &[PathBuf], base: &Path, additional: &[(&str, Vec<PathBuf>)]) -> Result<()> {
    link(&directory.join("app"), own(application)?)?;
    link(&directory.join("base"), base)?;
    link_additional(&directory.join("apps"), additional)
}

/// Points the links of these applications at their images. A link of a removed application would
/// keep its image for ever, so such links are removed.
fn link_additional(directory: &Path, additional: &[(&str, Vec<PathBuf>)]) -> Result<()> {
    if additional.is_empty() {
        return remove(directory).context("cannot remove the links of former applications");
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", directory.display()))?;
        if !additional.iter().any(|(app, _)| entry.file_name() == *app) {
            remove(&entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    additional.iter().try_for_each(|(app, lower)| link(&directory.join(app), own(lower)?))
}

/// An empty directory that stands in for a missing layer, so that the mount always has three
/// layers.
fn empty() -> Result<PathBuf> {
    let path = Path::new(RUNTIME).join("empty");
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&path).context("cannot make the empty layer")?;
    Ok(path)
}

/// Replaces a symbolic link atomically.
fn link(path: &Path, target: &Path) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    // The name of an application cannot end with `~`.
    temporary.push("~");
    let temporary = PathBuf::from(temporary);
    remove(&temporary)
        .and_then(|()| symlink(target, &temporary))
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot make the link {}", path.display()))
}

/// Removes the file, link or directory tree at `path`, if it exists.
///
/// # Errors
/// The path cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
}
