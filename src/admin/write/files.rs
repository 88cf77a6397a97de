// SPDX-License-Identifier: MIT
//! Files below `/etc/sdme` that verbs write, change and remove. What a file leads to is looked at before it is written.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::compile;
use crate::config::keys::FileType;
use crate::config::names::{ContainerName, NetworkName, PodName};
use crate::diag::Diagnostic;
use crate::model::Facts;
use crate::rootdir::replace::{self, Content};
use crate::rootdir::tree::Tree;
use crate::runtime::systemd;
use crate::search::{SearchPath, search};

/// Where files are written.
pub const DIRECTORY: &str = "/etc/sdme";

/// The file name of `NAME` of a type.
#[must_use]
pub fn file_name(file_type: FileType, name: &str) -> String {
    format!("{name}.{}", file_type.extension())
}

/// The path of a file name below `root`.
#[must_use]
pub fn path(root: &Path, file: &str) -> PathBuf {
    root.join(relative(file))
}

fn relative(file: &str) -> String {
    format!("{}/{file}", DIRECTORY.trim_start_matches('/'))
}

/// The problems that the configuration has with `text` as the content of a file, and has not without.
#[must_use]
pub fn problems(root: &Path, file: &str, text: &str) -> Vec<Diagnostic> {
    added(root, &[(file, text)])
}

/// The wrong lines that the configuration has with several files changed, each a name and a text, and has not without. A file whose text
/// is empty is removed.
#[must_use]
pub fn errors_of_all(root: &Path, changes: &[(&str, &str)]) -> Vec<Diagnostic> {
    let mut added = added(root, changes);
    added.retain(Diagnostic::is_wrong);
    added
}

/// The problems that the configuration has with these changes, and has not without.
fn added(root: &Path, changes: &[(&str, &str)]) -> Vec<Diagnostic> {
    let place = SearchPath::from_environment(root);
    let before = diagnostics(&place);
    let with = |place: SearchPath, (file, text): &(&str, &str)| place.with_file(DIRECTORY, file, text);
    let mut after = diagnostics(&changes.iter().fold(place, with));
    after.retain(|problem| !before.contains(problem));
    after
}

fn diagnostics(place: &SearchPath) -> Vec<Diagnostic> {
    compile(&search(place), &Facts::default()).diagnostics
}

/// Writes a new file, and has systemd read it.
///
/// # Errors
/// When there is such a file, the configuration does not take it, or it cannot be written. Nothing is changed then.
pub fn add(root: &Path, file_type: FileType, name: &str, text: &str, dry_run: bool) -> Result<()> {
    let problem = match file_type {
        FileType::Pod => name.parse::<PodName>().err(),
        FileType::Network => name.parse::<NetworkName>().err(),
        _ => name.parse::<ContainerName>().err(),
    };
    if let Some(problem) = problem {
        bail!("{problem}");
    }
    let file = file_name(file_type, name);
    if path(root, &file).symlink_metadata().is_ok() {
        bail!("there is {DIRECTORY}/{file} already");
    }
    put(root, &file, text, dry_run)
}

/// Writes a file in one step, without a look at what it leads to.
///
/// # Errors
/// It cannot be written.
pub fn write(root: &Path, file: &str, text: &str) -> Result<()> {
    fs::create_dir_all(root)
        .and_then(|()| Tree::open(root))
        .and_then(|tree| replace::replace(&tree, &relative(file), Content::File(text.as_bytes())))
        .with_context(|| format!("cannot write {DIRECTORY}/{file}"))
}

/// Makes a symbolic link to a file beside it, in one step.
///
/// # Errors
/// It cannot be made.
pub fn link(root: &Path, file: &str, target: &str) -> Result<()> {
    fs::create_dir_all(root)
        .and_then(|()| Tree::open(root))
        .and_then(|tree| replace::replace(&tree, &relative(file), Content::Link(target)))
        .with_context(|| format!("cannot make the link {DIRECTORY}/{file}"))
}

/// Writes a file in one step, whether it is there or not, and has systemd read it.
///
/// # Errors
/// As for [`add`].
pub fn put(root: &Path, file: &str, text: &str, dry_run: bool) -> Result<()> {
    let problems: Vec<String> = problems(root, file, text).iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        return Err(anyhow!("{}", problems.join("\n")).context("nothing was written"));
    }
    if dry_run {
        return Ok(());
    }
    write(root, file, text)?;
    systemd::reload(root)
}

/// Looks whether the file of a pod or network can be removed: no other files (`users`) name it, and its unit, if it is active, does not
/// run. With `force`, stops the unit instead.
///
/// # Errors
/// It is in use and `force` is not set, or it cannot be stopped.
pub fn withdraw(
    root: &Path,
    name: &str,
    users: &[String],
    active: Option<&str>,
    force: bool,
    dry_run: bool,
) -> Result<()> {
    match active {
        _ if !force && !users.is_empty() => {
            bail!("{name} is used by {}; change them, or use --force", users.join(", "))
        }
        Some(unit) if !force && !ends(root, unit) => {
            bail!("{name} is started; run systemctl stop {unit}, or use --force")
        }
        Some(unit) if root == Path::new("/") && !dry_run => systemd::systemctl(&["stop", unit]),
        _ => Ok(()),
    }
}

/// Removes a file that nothing uses any more, and has systemd read that; with `dry_run`, nothing.
///
/// # Errors
/// As for [`remove`].
pub fn drop_file(root: &Path, file: &str, dry_run: bool) -> Result<()> {
    if dry_run {
        return Ok(());
    }
    remove(root, file)?;
    systemd::reload(root)
}

/// Whether a unit is about to end by itself: a network ends a moment after the last container in it.
fn ends(root: &Path, unit: &str) -> bool {
    systemd::is_live(root)
        && (0..30).any(|_| {
            let ended = !systemd::is_active(root, unit);
            if !ended {
                sleep(Duration::from_millis(100));
            }
            ended
        })
}

/// Removes a file; whoever calls has systemd read that.
///
/// # Errors
/// When it is not there or cannot be removed.
pub fn remove(root: &Path, file: &str) -> Result<()> {
    match Tree::open(root).and_then(|tree| replace::remove(&tree, &relative(file))) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("there is no {DIRECTORY}/{file}"),
        other => other.with_context(|| format!("cannot remove {DIRECTORY}/{file}")),
    }
}
