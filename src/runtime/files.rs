// SPDX-License-Identifier: MIT
//! Files below `/etc/sdme` that verbs write, change and remove. What a file leads to is looked at before it is written.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use super::systemd;
use crate::compile;
use crate::config::keys::FileType;
use crate::diag::Diagnostic;
use crate::resolve::model::Facts;
use crate::rootdir::replace::{self, Content};
use crate::rootdir::tree::Tree;
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
    let place = SearchPath::from_environment(root);
    let diagnostics = |place: &SearchPath| compile(&search(place), &Facts::default()).diagnostics;
    let before = diagnostics(&place);
    let mut after = diagnostics(&place.clone().with_file(DIRECTORY, file, text));
    after.retain(|problem| !before.contains(problem));
    after
}

/// Writes a new file, and has systemd read it.
///
/// # Errors
/// When there is such a file, the configuration does not take it, or it cannot be written. Nothing is changed then.
pub fn add(root: &Path, file_type: FileType, name: &str, text: &str, dry_run: bool) -> Result<()> {
    if let Some(message) = crate::resolve::bad_name(name) {
        bail!("{}", message.replace("container", file_type.extension()));
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
