// SPDX-License-Identifier: MIT
//! `sdme-gen update`, `rollback` and `lock`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::print::print_json;
use crate::config::values::source::AutoUpdate;
use crate::text;
use crate::update::{self, Options, lock, rollback};

/// What to do.
#[allow(clippy::doc_markdown, reason = "these texts are shown by --help")]
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Update images and restart the containers that use them, one after the other; go back if a container fails. Exit with 1 if
    /// something fails
    Update {
        /// Containers, pods, templates or images (default: those with AutoUpdate=)
        names: Vec<String>,
        /// Report new versions and change nothing
        #[arg(long, conflicts_with = "download")]
        check: bool,
        /// Download new versions and do not use them
        #[arg(long)]
        download: bool,
        /// Print what would be done without doing it
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Return the images of a container to their former version and restart the container; no registry is asked
    Rollback {
        /// Container, pod, template or image
        name: String,
        /// Digest of the version to go back to, or its first digits (default: the version before the last update)
        #[arg(long, value_name = "DIGEST")]
        to: Option<String>,
        /// Print what would be done without doing it
        #[arg(long)]
        dry_run: bool,
    },
    /// Write the digests of all imported images to /etc/sdme/sdme.lock; starts and imports then use these digests
    Lock {
        /// Print the digests without writing them
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs the verb.
///
/// # Errors
/// The verb fails.
pub fn run(verb: &Verb, out: &mut dyn Write) -> Result<ExitCode> {
    match verb {
        Verb::Update { names, check, download, dry_run, json } => {
            update::needs_live()?;
            let most = match (check, download) {
                (true, _) => AutoUpdate::Check,
                (_, true) => AutoUpdate::Download,
                _ => AutoUpdate::Registry,
            };
            let report = update::update(names, Options { most, dry_run: *dry_run })?;
            if *json {
                print_json(&report, out)?;
            } else {
                print(&report, out)?;
            }
            Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Verb::Rollback { name, to, dry_run } => {
            update::needs_live()?;
            let (changes, outcome) = rollback::rollback(name, to.as_deref(), *dry_run)?;
            let would = if *dry_run { "would go" } else { "went" };
            for change in &changes {
                let (from, to) = (&change.from.image.manifest, &change.to.image.manifest);
                let row = format!("{}: {would} back from {from} to {to}", change.image.name);
                writeln!(out, "{}", text::line(&row))?;
            }
            let would = if *dry_run { "would be restarted" } else { "was restarted" };
            for name in &outcome.updated {
                writeln!(out, "{}", text::line(&format!("{name}: {would}")))?;
            }
            if let Some((name, why)) = &outcome.failed {
                eprintln!("sdme-gen: {}", text::line(&format!("{name} does not run on its former version: {why}")));
                return Ok(ExitCode::FAILURE);
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Lock { dry_run } => {
            let root = Path::new("/");
            let lock = lock::lock(root, &crate::runtime::model(root), *dry_run)?;
            for ((reference, _), locked) in &lock.images {
                writeln!(out, "{}", text::line(&format!("{}  {reference}", locked.digest)))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(report: &update::Report, out: &mut dyn Write) -> Result<()> {
    let short = |digest: &Option<String>| match digest {
        Some(digest) => crate::image::short(digest),
        None => "-".to_owned(),
    };
    for image in &report.images {
        let versions = match &image.latest {
            Some(latest) if image.current.as_ref() != Some(latest) => {
                format!("{} -> {}", short(&image.current), short(&image.latest))
            }
            _ => short(&image.current),
        };
        let reason = image.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let row = format!("image {}  {}  {versions}{reason}", image.reference, image.status);
        writeln!(out, "{}", text::line(&row))?;
    }
    for container in &report.containers {
        let reason = container.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let row = format!("container {}  {}{reason}", container.name, container.status);
        writeln!(out, "{}", text::line(&row))?;
    }
    Ok(())
}
