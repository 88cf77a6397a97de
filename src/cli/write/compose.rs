// SPDX-License-Identifier: MIT
//! `sdme-gen convert compose`: reads the files of a project, and writes, compares or prints what it is converted to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;

use crate::admin::files;
use crate::cli::print_json;
use crate::compose::{Files, Kind, Request, resolve, with_override};
use crate::convert::compose::{Origin, Outcome, compose, origin};
use crate::resolve::model::Container;
use crate::runtime::systemd;
use crate::text;

/// Where the service manager looks for credentials by name (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "/etc/credstore";

/// The exit status when something was lost.
pub const LOST: u8 = 3;

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
    /// File of variables, in place of .env; may be repeated
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Show what would be written and changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the files, what was lost and what else is worth knowing as JSON
    #[arg(long)]
    json: bool,
}

/// The files of this host.
struct Host;

impl Files for Host {
    fn read(&self, path: &str) -> Result<Option<String>, String> {
        match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| format!("{path}: the file is not UTF-8")),
            Err(error)
                if [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::IsADirectory].contains(&error.kind()) =>
            {
                Ok(None)
            }
            Err(error) => Err(format!("{path}: {error}")),
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

/// Converts a project; lists what was lost on standard error.
///
/// # Errors
/// The project cannot be resolved or converted, or the files cannot be written.
pub fn run(options: &Options, root: &Path, write: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let resolved = resolve(&request(options)?, &Host).map_err(|message| anyhow!(message))?;
    let outcome = compose(&resolved, &Host).map_err(|message| anyhow!(message))?;
    if options.json {
        let lost = |lost: &crate::convert::compose::Lost| serde_json::json!({"subject": lost.subject, "key": lost.key, "reason": lost.reason});
        let document = serde_json::json!({
            "project": outcome.project, "files": outcome.files, "links": outcome.links, "directories": outcome.directories,
            "credentials": outcome.credentials.keys().collect::<Vec<_>>(), "start": outcome.start,
            "lost": outcome.lost.iter().map(lost).collect::<Vec<_>>(), "remarks": outcome.remarks,
        });
        print_json(&document, out)?;
    } else {
        for line in outcome.lost.iter().map(ToString::to_string).chain(outcome.remarks.iter().cloned()) {
            eprintln!("{}", text::line(&line));
        }
    }
    if write || options.dry_run {
        install(&outcome, root, options.dry_run, &mut *out_unless(options.json, out))?;
    } else if !options.json {
        for (name, text) in &outcome.files {
            writeln!(out, "---{}/{name}---\n{}", files::DIRECTORY, text::lines(text))?;
        }
        for (name, target) in &outcome.links {
            writeln!(out, "---{}/{name} -> {target}---", files::DIRECTORY)?;
        }
        for name in outcome.credentials.keys() {
            writeln!(out, "---{CREDENTIALS}/{}---\n# The value is not shown; --write writes it.\n", text::line(name))?;
        }
    }
    Ok(if outcome.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(LOST) })
}

/// Where lines for people go: nowhere beside a JSON document.
fn out_unless<'a>(json: bool, out: &'a mut dyn Write) -> Box<dyn Write + 'a> {
    if json { Box::new(std::io::sink()) } else { Box::new(out) }
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
        paths = with_override(&path, &Host).map_err(|message| anyhow!(message))?;
    }
    // Variables of the environment that are not UTF-8 cannot be in a file of ours either.
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

/// What becomes of one file of `/etc/sdme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Update,
    Remove,
    Keep,
}

/// Writes the files of a project, removes those that an earlier conversion of it wrote and that are not needed any more, and leaves
/// alone what a person has written or changed.
fn install(outcome: &Outcome, root: &Path, dry_run: bool, out: &mut dyn Write) -> Result<()> {
    let present = present(root)?;
    let links = outcome.links.iter().map(|(name, target)| (name.clone(), link(target)));
    let wanted: BTreeMap<String, String> = outcome.files.clone().into_iter().chain(links).collect();
    // A link is ours if the file is that it leads to.
    let ours = |text: &str| {
        let file = text.strip_prefix(LINK).map_or(Some(text), |target| present.get(target).map(String::as_str));
        file.map_or(Origin::Other, origin)
    };
    let mut steps: BTreeMap<&str, Step> = BTreeMap::new();
    for (name, text) in &wanted {
        let step = match present.get(name) {
            None => Step::Write,
            Some(known) if known == text => continue,
            // Whoever has written it describes the network.
            Some(_) if outcome.shared.contains(name) => continue,
            Some(known) => match ours(known) {
                Origin::Converted(project) if project == outcome.project => Step::Update,
                // The project describes this network, and until now others only referred to it.
                Origin::Shared => Step::Update,
                _ => Step::Keep,
            },
        };
        steps.insert(name, step);
    }
    for (name, text) in present.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
        if ours(text) == Origin::Converted(outcome.project.clone()) {
            steps.insert(name, Step::Remove);
        }
    }
    let text_of = |name: &str| wanted.get(name).map(String::as_str).unwrap_or_default();
    // What a link shows is the file that it leads to.
    let shown = |name: &str| {
        let text = text_of(name);
        text.strip_prefix(LINK).map_or(text, text_of)
    };
    let changes: Vec<(&str, &str)> =
        steps.iter().filter(|(_, step)| **step != Step::Keep).map(|(name, _)| (*name, shown(name))).collect();
    let problems = files::errors_of_all(root, &changes);
    if !problems.is_empty() {
        let reasons: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bail!("nothing was written\n{}", reasons.join("\n"));
    }
    for directory in outcome.directories.iter().filter(|directory| !below(root, directory).exists()) {
        writeln!(out, "make {}", text::line(directory))?;
        if !dry_run {
            fs::create_dir_all(below(root, directory)).with_context(|| format!("cannot make {directory}"))?;
        }
    }
    for (name, step) in &steps {
        let text = text_of(name);
        let known = present.get(*name).map(String::as_str).unwrap_or_default();
        let path = format!("{}/{name}", files::DIRECTORY);
        match step {
            Step::Keep => {
                eprintln!("{path}: somebody else wrote or changed this file, so it is left alone");
                continue;
            }
            Step::Write => writeln!(out, "write {path}")?,
            Step::Update => writeln!(out, "update {path}")?,
            Step::Remove => writeln!(out, "remove {path}")?,
        }
        if dry_run {
            difference(known, text, out)?;
        } else if *step == Step::Remove {
            files::remove(root, name)?;
        } else if let Some(target) = text.strip_prefix(LINK) {
            files::link(root, name, target)?;
        } else {
            files::write(root, name, text)?;
        }
    }
    let credentials = credentials(outcome, root, dry_run, out)?;
    if dry_run {
        return Ok(());
    }
    systemd::reload(root)?;
    let wrote = credentials || steps.values().any(|step| *step != Step::Keep);
    if wrote && !outcome.start.is_empty() {
        let units: Vec<String> = outcome.start.iter().map(|name| Container::unit(name)).collect();
        writeln!(out, "start the project with: systemctl start {}", units.join(" "))?;
    }
    Ok(())
}

/// Writes the values of secrets and configs that the project has; gives whether there was one to write. A value that is there already
/// is left alone.
fn credentials(outcome: &Outcome, root: &Path, dry_run: bool, out: &mut dyn Write) -> Result<bool> {
    let mut any = false;
    for (name, value) in &outcome.credentials {
        let shown = format!("{CREDENTIALS}/{name}");
        let path = below(root, &shown);
        match fs::read(&path) {
            Ok(present) if present == value.as_bytes() => continue,
            Ok(_) => {
                eprintln!(
                    "{shown}: the file has another value, so it is left alone; remove it and convert again to replace it"
                );
                continue;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
        }
        any = true;
        writeln!(out, "write {}", text::line(&shown))?;
        if dry_run {
            continue;
        }
        let directory = below(root, CREDENTIALS);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.with_context(|| format!("cannot make {CREDENTIALS}"))?;
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(value.as_bytes()));
        written.with_context(|| format!("cannot write {shown}"))?;
    }
    Ok(any)
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// What the text of a symbolic link begins with, as no file of ours does.
const LINK: &str = "-> ";

fn link(target: &str) -> String {
    format!("{LINK}{target}")
}

/// The files of `/etc/sdme` by name. Those that are no UTF-8 count as empty: nobody converted them.
fn present(root: &Path) -> Result<BTreeMap<String, String>> {
    let directory = below(root, files::DIRECTORY);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    let mut all = BTreeMap::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", directory.display()))?;
        let text = match entry.file_type() {
            Ok(kind) if kind.is_file() => fs::read_to_string(entry.path()).unwrap_or_default(),
            Ok(kind) if kind.is_symlink() => {
                fs::read_link(entry.path()).map(|target| link(&target.to_string_lossy())).unwrap_or_default()
            }
            _ => String::new(),
        };
        all.insert(entry.file_name().to_string_lossy().into_owned(), text);
    }
    Ok(all)
}

/// Prints the lines that go and those that come.
fn difference(before: &str, after: &str, out: &mut dyn Write) -> Result<()> {
    let only = |one: &str, other: &str| -> Vec<String> {
        let mut rest: Vec<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| match rest.iter().position(|known| known == line) {
            Some(index) => {
                rest.remove(index);
                false
            }
            None => true,
        });
        lines.map(text::line).collect()
    };
    for line in only(before, after) {
        writeln!(out, "  -{line}")?;
    }
    for line in only(after, before) {
        writeln!(out, "  +{line}")?;
    }
    Ok(())
}
