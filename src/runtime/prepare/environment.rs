// SPDX-License-Identifier: MIT
//! `EnvironmentFile=`: the files are read when the container starts, as in podman. The result can
//! be read by root only.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::config::values::envfile;
use crate::model::{App, EnvironmentFile};
use crate::unit::env_assignment;

/// Inserts the variables from the application's files at the beginning of the environment file at
/// `path`. Variables that are already in the file override them.
///
/// # Errors
/// A required file is missing, a file is invalid, or the environment file cannot be written.
pub fn add(app: &App, path: &Path) -> Result<()> {
    if app.environment_files.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for file in &app.environment_files {
        let EnvironmentFile { path, optional, at } = file;
        let bytes = match fs::read(path) {
            Err(e) if e.kind() == ErrorKind::NotFound && *optional => continue,
            other => other.with_context(|| format!("{at}: cannot read {path}"))?,
        };
        match envfile::parse(&bytes) {
            Ok(variables) => text.extend(variables.iter().map(|(name, value)| env_assignment(name, value))),
            Err((line, message)) => bail!("{path}:{line}: {message}"),
        }
    }
    let mut write = || {
        text += &fs::read_to_string(path)?;
        // The file is created again, so that it is never readable for others with the new content.
        fs::remove_file(path)?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
