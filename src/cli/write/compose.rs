// SPDX-License-Identifier: MIT
//! `sdme-gen convert compose`: reads the files of a project, and writes, compares or prints the
//! converted files.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;

use super::project;
use crate::compose::{Files, Kind, Request, resolve, with_override};
use crate::convert::compose::{TOOL, compose};
use crate::diag::Fault;

/// Which project, and what to do.
#[allow(clippy::doc_markdown, reason = "these texts are shown by --help")]
#[derive(Debug, Args)]
pub struct Options {
    /// File of the project, with compose.override.yaml beside it (default: compose.yaml or docker-compose.yml, here or above)
    #[arg(value_name = "FILE")]
    path: Option<PathBuf>,
    /// File of the project; several are merged (default: COMPOSE_FILE)
    #[arg(short, long, value_name = "FILE", conflicts_with = "path")]
    file: Vec<PathBuf>,
    /// Name of the project (default: COMPOSE_PROJECT_NAME, name: of the files, or the directory)
    #[arg(short, long, value_name = "NAME")]
    project_name: Option<String>,
    /// Directory that relative paths begin at (default: the directory of the first file)
    #[arg(long, value_name = "DIR")]
    project_directory: Option<PathBuf>,
    /// Profile whose services start with the project; may be repeated (default: COMPOSE_PROFILES)
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// File of variables instead of .env; may be repeated
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Print what would be written and changed without changing it
    #[arg(long)]
    dry_run: bool,
    /// Print the files, losses and remarks as JSON
    #[arg(long)]
    json: bool,
}

/// Access to the files of this host.
struct Host;

impl Files for Host {
    fn read(&self, path: &str) -> Result<Option<String>, Fault> {
        match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes)
                .map(Some)
                .map_err(|_| Fault::new(format!("{path}: the file is not UTF-8"), "save it as UTF-8")),
            Err(error)
                if [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::IsADirectory].contains(&error.kind()) =>
            {
                Ok(None)
            }
            Err(error) => Err(Fault::new(format!("{path}: {error}"), "make the file readable")),
        }
    }

    fn kind(&self, path: &str) -> Kind {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Kind::Directory,
            Ok(_) => Kind::File,
            Err(_) => Kind::Missing,
        }
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

/// Converts a project, and lists the losses on standard error.
///
/// # Errors
/// The project cannot be resolved or converted, or the files cannot be written.
pub fn run(options: &Options, root: &Path, write: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let resolved = resolve(&request(options)?, &Host)?;
    let outcome = compose(&resolved, &Host)?;
    project::finish(&outcome, TOOL, project::Wish { json: options.json, dry_run: options.dry_run, write }, root, out)
}

fn request(options: &Options) -> Result<Request> {
    let directory = std::env::current_dir().context("cannot find the working directory")?;
    let text = |path: &PathBuf| {
        path.to_str().map(str::to_owned).ok_or_else(|| anyhow!("{}: the path is not UTF-8", path.display()))
    };
    let texts = |paths: &[PathBuf]| paths.iter().map(text).collect::<Result<Vec<_>>>();
    let directory = text(&directory)?;
    let mut paths = texts(&options.file)?;
    if let Some(path) = &options.path {
        let path = crate::compose::absolute(&directory, &text(path)?);
        paths = with_override(&path, &Host);
    }
    // Variables of the environment that are not UTF-8 are skipped, because a configuration file
    // cannot contain them.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(Request {
        directory,
        files: paths,
        env_files: texts(&options.env_file)?,
        project_directory: options.project_directory.as_ref().map(text).transpose()?,
        name: options.project_name.clone(),
        profiles: options.profile.clone(),
        environment: environment.collect(),
    })
}
