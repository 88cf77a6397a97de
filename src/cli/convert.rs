// SPDX-License-Identifier: MIT
//! `sdme-gen convert`: files of ours from what others describe containers with.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Subcommand;

use crate::convert::{Converted, Project, command_line, compose, quadlet};
use crate::runtime::{files, systemd};

/// What to convert.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Files of Podman's Quadlet
    Quadlet {
        /// Files, or directories of them
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// A command line of docker run or podman run
    Run {
        /// The words of the command line
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
        words: Vec<String>,
    },
    /// A Compose file
    Compose {
        /// The file; variables are taken from the environment and from .env beside it
        #[arg(default_value = "compose.yaml")]
        file: PathBuf,
    },
}

/// Converts, lists what has no counterpart on standard error, and prints the files, or writes them to /etc/sdme.
///
/// # Errors
/// When something cannot be read, or a file is there already.
pub fn run(verb: &Verb, root: &Path, write: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let converted = match verb {
        Verb::Quadlet { files } => quadlet(&read(files)?).map_err(|message| anyhow!(message))?,
        Verb::Run { words } => command_line(words).map_err(|message| anyhow!(message))?,
        Verb::Compose { file } => of_compose(file)?,
    };
    for note in &converted.notes {
        eprintln!("{note}");
    }
    if !write {
        for (name, text) in &converted.files {
            writeln!(out, "---{}/{name}---\n{text}", files::DIRECTORY)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    install(&converted, root, out)?;
    Ok(ExitCode::SUCCESS)
}

fn install(converted: &Converted, root: &Path, out: &mut dyn Write) -> Result<()> {
    if let Some(name) = converted.files.keys().find(|name| files::path(root, name).symlink_metadata().is_ok()) {
        bail!("there is {}/{name} already; nothing was written", files::DIRECTORY);
    }
    for (name, text) in &converted.files {
        files::write(root, name, text)?;
        writeln!(out, "write {}/{name}", files::DIRECTORY)?;
    }
    systemd::reload(root)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for path in paths {
        let mut all = vec![path.clone()];
        if path.is_dir() {
            let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
            all = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
            all.sort();
        }
        for path in all {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            out.push((name, text(&path)?));
        }
    }
    Ok(out)
}

fn of_compose(file: &Path) -> Result<Converted> {
    let content = text(file)?;
    let full = fs::canonicalize(file).with_context(|| format!("cannot find {}", file.display()))?;
    let directory = full.parent().unwrap_or(Path::new("/"));
    let beside = fs::read_to_string(directory.join(".env")).unwrap_or_default();
    let beside: BTreeMap<&str, &str> = beside
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim().trim_matches(['"', '\''])))
        .collect();
    let variable = |name: &str| std::env::var(name).ok().or_else(|| beside.get(name).map(|value| (*value).to_owned()));
    let project = Project { directory: &directory.display().to_string(), variable: &variable };
    compose(&content, &project).map_err(|message| anyhow!("{}: {message}", file.display()))
}
