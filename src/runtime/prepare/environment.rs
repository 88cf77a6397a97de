// SPDX-License-Identifier: MIT
//! `EnvironmentFile=`: read when the container starts, as Podman does. Only root can read the variables afterwards.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::config::values::envfile;
use crate::model::{App, EnvironmentFile};
use crate::unit::env_assignment;

/// Puts the variables of the application's files in front of what the environment at `path` has already, which counts.
///
/// # Errors
/// A file is missing or is none, or the environment cannot be written.
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
        // Made anew: with its first byte it is for root alone.
        fs::remove_file(path)?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
