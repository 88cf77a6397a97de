// SPDX-License-Identifier: MIT
//! Writes, changes and removes files below `/etc/sdme`. The effect of a file on the configuration
//! is checked before it is written.

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

/// The directory to which files are written.
pub const DIRECTORY: &str = "/etc/sdme";

/// The file name of `name` with the extension of a file type.
#[must_use]
pub fn file_name(file_type: FileType, name: &str) -> String {
    format!("{name}.{}", file_type.extension())
}

/// Finds a file below `/etc/sdme` by its name: in that directory itself, or where the configuration
/// found it (`configured`), which may be a subdirectory. Returns its path relative to `/etc/sdme`,
/// or nothing if there is no such file.
///
/// # Errors
/// `name` is configured by another file, which no command removes.
pub fn found(root: &Path, name: &str, file: &str, configured: Option<&str>) -> Result<Option<String>> {
    if path(root, file).symlink_metadata().is_ok() {
        return Ok(Some(file.to_owned()));
    }
    let Some(configured) = configured else { return Ok(None) };
    let below = configured.strip_prefix(DIRECTORY).and_then(|rest| rest.strip_prefix('/'));
    match below.filter(|path| path.rsplit('/').next() == Some(file)) {
        Some(path) => Ok(Some(path.to_owned())),
        None => bail!("{name} is configured by {configured}; remove that file"),
    }
}

/// The path of a file name below `root`.
#[must_use]
pub fn path(root: &Path, file: &str) -> PathBuf {
    root.join(relative(file))
}

fn relative(file: &str) -> String {
    format!("{}/{file}", DIRECTORY.trim_start_matches('/'))
}

/// The problems that are added to the configuration if `text` becomes the content of a file.
#[must_use]
pub fn problems(root: &Path, file: &str, text: &str) -> Vec<Diagnostic> {
    added(root, &[(file, text)])
}

/// The errors that are added to the configuration by changes to several files, each given as name
/// and text. An empty text removes the file.
#[must_use]
pub fn errors_of_all(root: &Path, changes: &[(&str, &str)]) -> Vec<Diagnostic> {
    let mut added = added(root, changes);
    added.retain(Diagnostic::is_wrong);
    added
}

/// The problems that these changes add to the configuration.
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

/// Writes a new file, and reloads systemd.
///
/// # Errors
/// The file exists, the configuration would get a problem, or the file cannot be written. Nothing
/// is changed then.
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

/// Writes a file atomically, without checking its effect.
///
/// # Errors
/// The file cannot be written.
pub fn write(root: &Path, file: &str, text: &str) -> Result<()> {
    fs::create_dir_all(root)
        .and_then(|()| Tree::open(root))
        .and_then(|tree| replace::replace(&tree, &relative(file), Content::File(text.as_bytes())))
        .with_context(|| format!("cannot write {DIRECTORY}/{file}"))
}

/// Makes a symbolic link to a file in the same directory, atomically.
///
/// # Errors
/// The link cannot be made.
pub fn link(root: &Path, file: &str, target: &str) -> Result<()> {
    fs::create_dir_all(root)
        .and_then(|()| Tree::open(root))
        .and_then(|tree| replace::replace(&tree, &relative(file), Content::Link(target)))
        .with_context(|| format!("cannot make the link {DIRECTORY}/{file}"))
}

/// Writes a new or existing file atomically, and reloads systemd.
///
/// # Errors
/// The configuration would get a problem, or the file cannot be written. Nothing is changed then.
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

/// Checks that the file of a pod or network can be removed: no other file (`users`) refers to it,
/// and its active unit (`active`) ends soon. With `force`, the unit is stopped instead.
///
/// # Errors
/// It is in use and `force` is not set, or the unit cannot be stopped.
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
        Some(unit) if systemd::is_live(root) && !dry_run => systemd::systemctl(&["stop", unit]),
        _ => Ok(()),
    }
}

/// Removes a file that nothing uses any more, and reloads systemd. Does nothing with `dry_run`.
/// Returns the path of the file.
///
/// # Errors
/// As for [`remove`].
pub fn drop_file(root: &Path, file: &str, dry_run: bool) -> Result<String> {
    if !dry_run {
        remove(root, file)?;
        systemd::reload(root)?;
    }
    Ok(format!("{DIRECTORY}/{file}"))
}

/// Whether a unit ends by itself within three seconds: a network ends shortly after its last
/// container.
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

/// Removes a file. The caller has to reload systemd.
///
/// # Errors
/// The file does not exist or cannot be removed.
pub fn remove(root: &Path, file: &str) -> Result<()> {
    match Tree::open(root).and_then(|tree| replace::remove(&tree, &relative(file))) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("there is no {DIRECTORY}/{file}"),
        other => other.with_context(|| format!("cannot remove {DIRECTORY}/{file}")),
    }
}
