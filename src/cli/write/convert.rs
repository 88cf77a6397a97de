// SPDX-License-Identifier: MIT
//! `sdme-gen convert`: converts files of other tools that describe containers.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Subcommand;
use walkdir::WalkDir;

use super::{compose, kube, project};
use crate::admin::write::files;
use crate::convert::{Converted, Source, command_line, quadlet, script};
use crate::runtime::systemd;
use crate::text;

/// The file extensions of Quadlet.
const KINDS: [&str; 9] = ["container", "pod", "network", "volume", "image", "kube", "build", "artifact", "quadlets"];

/// What to convert.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Convert files of Podman's Quadlet; exit with 1 if a file was converted in part or not at all
    Quadlet {
        /// Files, or directories of them with their subdirectories
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Convert a command line of docker run, podman run or nerdctl run, or a file of several; exit with 3 if something was lost
    Run {
        /// Words of the command line; or a file with command lines (- for standard input)
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
        words: Vec<String>,
    },
    /// Convert a Compose project; exit with 3 if something was lost
    Compose(compose::Options),
    /// Convert Kubernetes manifests; exit with 3 if something was lost
    Kube(kube::Options),
}

/// Converts, lists the losses on standard error, and prints the files or writes them to
/// `/etc/sdme`.
///
/// # Errors
/// A file cannot be read, a file to be written exists already, or the configuration would get an
/// error.
pub fn run(verb: &Verb, root: &Path, write: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let (converted, summary) = match verb {
        Verb::Compose(options) => return compose::run(options, root, write, out),
        Verb::Kube(options) => return kube::run(options, root, write, out),
        Verb::Quadlet { files } => {
            let folder = quadlet(&read(files)?);
            let complete = folder.partly.is_empty() && folder.lost.is_empty();
            let summary = folder.summary();
            (folder.converted, Some((summary, complete)))
        }
        Verb::Run { words } => (command_lines(words)?, None),
    };
    for note in &converted.notes {
        eprintln!("{}", text::line(note));
    }
    if write {
        install(&converted, root, out)?;
    } else {
        for (name, text) in &converted.files {
            writeln!(out, "---{}/{name}---\n{}", files::DIRECTORY, text::lines(text))?;
        }
    }
    let Some((summary, complete)) = summary else {
        return Ok(if converted.notes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(project::LOST) });
    };
    eprintln!("{}", text::line(&summary));
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Converts a command line, or all command lines of a file. Relative paths begin at the working
/// directory.
fn command_lines(words: &[String]) -> Result<Converted> {
    let directory = std::env::current_dir().context("cannot find the working directory")?;
    let directory = directory.to_str().ok_or_else(|| anyhow!("{}: the path is not UTF-8", directory.display()))?;
    let text = match words {
        [word] if word == "-" => Some(std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?),
        [word] if Path::new(word).is_file() => {
            Some(fs::read_to_string(word).with_context(|| format!("cannot read {word}"))?)
        }
        _ => None,
    };
    let converted = match text {
        Some(text) => {
            // Variables that are not UTF-8 are skipped, because a configuration file cannot contain
            // them.
            let variables = std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
            script(&text, directory, &variables.collect())
        }
        None => command_line(words, directory),
    };
    converted.map_err(|message| anyhow!(message))
}

fn install(converted: &Converted, root: &Path, out: &mut dyn Write) -> Result<()> {
    if let Some(name) = converted.files.keys().find(|name| files::path(root, name).symlink_metadata().is_ok()) {
        bail!("there is {}/{name} already; nothing was written", files::DIRECTORY);
    }
    let changes: Vec<(&str, &str)> =
        converted.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let problems = files::errors_of_all(root, &changes);
    if !problems.is_empty() {
        let reasons: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bail!("nothing was written\n{}", reasons.join("\n"));
    }
    for (name, text) in &converted.files {
        files::write(root, name, text)?;
        writeln!(out, "write {}/{name}", files::DIRECTORY)?;
    }
    systemd::reload(root)
}

fn read(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut out = Vec::new();
    for path in paths {
        if !path.is_dir() {
            out.push(source(path, None)?);
            continue;
        }
        let entries = WalkDir::new(path).follow_links(true).sort_by_file_name();
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
            if !entry.file_type().is_file() {
                continue;
            }
            let extension = entry.path().extension().unwrap_or_default().to_string_lossy();
            let parent = entry.path().parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
            if parent.ends_with(".d") && extension == "conf" {
                out.push(source(entry.path(), Some(&parent))?);
            } else if KINDS.contains(&&*extension) {
                // Files with other extensions are files that the units use.
                out.push(source(entry.path(), None)?);
            }
        }
    }
    Ok(out)
}

/// Reads a file. `drop_in_of` is the name of its directory, if the file is a drop-in.
fn source(path: &Path, drop_in_of: Option<&str>) -> Result<Source> {
    let cannot = || format!("cannot read {}", path.display());
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let name = drop_in_of.map_or_else(|| file.to_string(), |directory| format!("{directory}/{file}"));
    let directory =
        fs::canonicalize(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    let directory = directory.with_context(cannot)?.to_string_lossy().into_owned();
    Ok(Source { name, directory, text: fs::read_to_string(path).with_context(cannot)? })
}
