// SPDX-License-Identifier: MIT
//! `sdme-gen convert kube`: reads manifests, and writes, compares or prints the converted files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use walkdir::WalkDir;

use super::project;
use crate::convert::kube::{TOOL, kube};
use crate::kube::read;

/// Maximum size in bytes of a file that is read. A cluster accepts no larger object.
const LARGEST: u64 = 16 << 20;

/// Which manifests, and what to do.
#[derive(Debug, Args)]
pub struct Options {
    /// Files, or directories of *.yaml, *.yml and *.json files with their subdirectories; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Name by which a later conversion knows the files of this one (default: the name of the first file or directory)
    #[arg(short, long, value_name = "NAME")]
    project_name: Option<String>,
    /// Print what would be written and changed without changing it
    #[arg(long)]
    dry_run: bool,
    /// Print the files, losses and remarks as JSON
    #[arg(long)]
    json: bool,
}

/// Converts manifests, and lists the losses on standard error.
///
/// # Errors
/// A file cannot be read or has an error, or the converted files cannot be written.
pub fn run(options: &Options, root: &Path, write: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let project = match &options.project_name {
        Some(name) => name.clone(),
        None => name_of(options.files.first().map_or(Path::new("-"), PathBuf::as_path))?,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if project.is_empty() || project.starts_with('.') || !project.chars().all(plain) {
        bail!(
            "{project:?} is no name of a project; write --project-name with letters, digits, hyphens, points and underscores"
        );
    }
    let mut texts = Vec::new();
    for path in &options.files {
        add(path, &mut texts)?;
    }
    let outcome = match kube(&read(&texts), &project) {
        Ok(outcome) => outcome,
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("nothing was converted\n{}", problems.join("\n"));
        }
    };
    let wish = project::Wish { json: options.json, dry_run: options.dry_run, write };
    project::finish(&outcome, TOOL, wish, root, out)
}

/// The default name of a project, from the name of its first file.
fn name_of(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return Ok("kube".to_owned());
    }
    let full = fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = if full.is_dir() { full.file_name() } else { full.file_stem() };
    Ok(crate::convert::plain_name(&name.unwrap_or_default().to_string_lossy()))
}

/// Reads a file, or the files of a directory in the order of their names.
fn add(path: &Path, texts: &mut Vec<(String, String)>) -> Result<()> {
    if path == Path::new("-") {
        let text = std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?;
        texts.push(("-".to_owned(), text));
        return Ok(());
    }
    if !path.is_dir() {
        return one(path, texts);
    }
    for entry in WalkDir::new(path).follow_links(true).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
        let extension = entry.path().extension().unwrap_or_default();
        if entry.file_type().is_file() && ["yaml", "yml", "json"].iter().any(|known| extension == *known) {
            one(entry.path(), texts)?;
        }
    }
    Ok(())
}

fn one(path: &Path, texts: &mut Vec<(String, String)>) -> Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    let size = fs::metadata(path).with_context(cannot)?.len();
    if size > LARGEST {
        bail!("{} has {size} bytes, which is more than manifests have; name the right file", path.display());
    }
    let text = fs::read_to_string(path).with_context(cannot)?;
    texts.push((path.display().to_string(), text));
    Ok(())
}
