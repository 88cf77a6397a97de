// SPDX-License-Identifier: MIT
//! Writes, compares or prints the files that a Compose or Kubernetes project is converted to. Files
//! of other projects, and files that a person has written or changed, are left alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use super::beside::{self, CREDENTIALS, below, difference};
use crate::admin::write::files;
use crate::cli::print::print_json;
use crate::convert::{FILES, Lost, Origin, Outcome, origin};
use crate::model::Container;
use crate::runtime::systemd;
use crate::text;

/// The exit status if a conversion has lost something.
pub const LOST: u8 = 3;

/// The options for the result of a conversion.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Print the result as JSON.
    pub json: bool,
    /// Print what would be written, and change nothing.
    pub dry_run: bool,
    /// Write the files.
    pub write: bool,
}

/// Lists the losses on standard error, and prints, compares or writes the files. `tool` is the verb
/// of `convert`.
///
/// # Errors
/// The configuration would get an error, or the files cannot be written.
pub fn finish(outcome: &Outcome, tool: &str, wish: Wish, root: &Path, out: &mut dyn Write) -> Result<ExitCode> {
    if wish.json {
        print_json(&document(outcome), out)?;
    } else {
        for line in outcome.lost.iter().map(ToString::to_string).chain(outcome.remarks.iter().cloned()) {
            eprintln!("{}", text::line(&line));
        }
    }
    if wish.write || wish.dry_run {
        install(outcome, tool, root, wish.dry_run, &mut *out_unless(wish.json, out))?;
    } else if !wish.json {
        show(outcome, out)?;
    }
    Ok(if outcome.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(LOST) })
}

fn document(outcome: &Outcome) -> serde_json::Value {
    let lost = |lost: &Lost| serde_json::json!({"subject": lost.subject, "key": lost.key, "reason": lost.reason});
    let credentials: Vec<&String> = outcome.credentials.keys().chain(outcome.secrets.keys()).collect();
    serde_json::json!({
        "project": outcome.project, "files": outcome.files, "links": outcome.links, "directories": outcome.directories,
        "credentials": credentials, "mounted": outcome.mounted.keys().collect::<Vec<_>>(), "units": outcome.units,
        "start": outcome.start, "start_units": outcome.start_units,
        "lost": outcome.lost.iter().map(lost).collect::<Vec<_>>(), "remarks": outcome.remarks,
    })
}

fn show(outcome: &Outcome, out: &mut dyn Write) -> Result<()> {
    for (name, text) in &outcome.files {
        writeln!(out, "---{}/{name}---\n{}", files::DIRECTORY, text::lines(text))?;
    }
    for (name, target) in &outcome.links {
        writeln!(out, "---{}/{name} -> {target}---", files::DIRECTORY)?;
    }
    for (name, text) in &outcome.units {
        writeln!(out, "---{}/{name}---\n{}", beside::UNITS, text::lines(text))?;
    }
    for (path, file) in &outcome.mounted {
        let content = String::from_utf8_lossy(&file.content);
        writeln!(out, "---{FILES}/{}/{}---\n{}", outcome.project, text::line(path), text::lines(&content))?;
    }
    for name in outcome.credentials.keys() {
        writeln!(out, "---{CREDENTIALS}/{}---\n# The value is not shown; --write writes it.\n", text::line(name))?;
    }
    for name in outcome.secrets.keys() {
        let name = text::line(name);
        writeln!(
            out,
            "---{}/{name}---\n# The value is not shown; --write encrypts and writes it.\n",
            beside::ENCRYPTED
        )?;
    }
    Ok(())
}

/// The output for text that people read. It is discarded if a JSON document is printed.
fn out_unless<'a>(json: bool, out: &'a mut dyn Write) -> Box<dyn Write + 'a> {
    if json { Box::new(std::io::sink()) } else { Box::new(out) }
}

/// The action for a file of `/etc/sdme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Update,
    Remove,
    Keep,
}

/// Writes the files of a project, and removes files of an earlier conversion of the project that
/// are not needed any more. Files that a person has written or changed are left alone.
fn install(outcome: &Outcome, tool: &str, root: &Path, dry_run: bool, out: &mut dyn Write) -> Result<()> {
    let present = present(root)?;
    let links = outcome.links.iter().map(|(name, target)| (name.clone(), link(target)));
    let wanted: BTreeMap<String, String> = outcome.files.clone().into_iter().chain(links).collect();
    // A link was written by a conversion if its target was.
    let ours = |text: &str| {
        let file = text.strip_prefix(LINK).map_or(Some(text), |target| present.get(target).map(String::as_str));
        file.map_or(Origin::Other, |text| origin(tool, text))
    };
    let mut steps: BTreeMap<&str, Step> = BTreeMap::new();
    for (name, text) in &wanted {
        let step = match present.get(name) {
            None => Step::Write,
            Some(known) if known == text => continue,
            // Another project already describes this shared network.
            Some(_) if outcome.shared.contains(name) => continue,
            Some(known) => match ours(known) {
                Origin::Converted(project) if project == outcome.project => Step::Update,
                // Until now, other projects have only referred to this network, and this project
                // describes it.
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
    // The content of a link is the file that it leads to.
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
    let beside = beside::write(outcome, tool, root, dry_run, out)?;
    let credentials = credentials(outcome, root, dry_run, out)? || beside;
    if dry_run {
        return Ok(());
    }
    systemd::reload(root)?;
    let wrote = credentials || steps.values().any(|step| *step != Step::Keep);
    let units = outcome.start.iter().map(|name| Container::unit(name)).chain(outcome.start_units.iter().cloned());
    let units: Vec<String> = units.collect();
    if wrote && !units.is_empty() {
        writeln!(out, "start the project with: systemctl start {}", units.join(" "))?;
    }
    Ok(())
}

/// Writes the values of the project's secrets and configs. Returns whether there was a value to
/// write. An existing value is left alone.
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

/// The beginning of the text that stands for a symbolic link. No configuration file begins like
/// that.
const LINK: &str = "-> ";

fn link(target: &str) -> String {
    format!("{LINK}{target}")
}

/// The text of the files in `/etc/sdme`, by their names. Files that are not UTF-8 have an empty
/// text, because no conversion wrote them.
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
