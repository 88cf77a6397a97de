// SPDX-License-Identifier: MIT
//! `sdme-gen fs`: imported images.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use super::print::{joined, print_json, print_table};
use super::remove;
use crate::admin::images;
use crate::admin::show::usage::sizes;
use crate::cli::show::ps::duration;
use crate::cli::show::usage;
use crate::image::{Imported, Mode, ModeSetting, Store, now, short, shown, verify};
use crate::text;

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum Fs {
    /// Write /etc/sdme/NAME.image and import the image
    Import {
        /// Name of the image
        name: String,
        /// Source of the image: a registry reference, or oci:, oci-archive:, docker-archive:, dir: or rootfs: and a path
        source: String,
        /// Import the image as an operating system
        #[arg(long, conflicts_with = "app")]
        base: bool,
        /// Import the image as an application
        #[arg(long)]
        app: bool,
        /// Operating system below the application: the name of an imported image, or host
        #[arg(long, value_name = "NAME", conflicts_with = "base")]
        base_fs: Option<String>,
        /// The former form of --base and --app
        #[arg(long, hide = true, value_name = "MODE", conflicts_with_all = ["base", "app"])]
        oci_mode: Option<OciMode>,
        /// The progress is always shown
        #[arg(long, short, hide = true)]
        verbose: bool,
        /// Replace the content of NAME.image, and ask the source even if the image exists
        #[arg(long)]
        force: bool,
        /// Check name and source, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Ask the source of an image for a new version
    Pull {
        /// Name of the image
        name: String,
    },
    /// List imported images and former versions with age, size and the containers that use them
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove images that no container and no other image uses
    Rm {
        /// Names of the images
        #[arg(required = true)]
        names: Vec<String>,
        /// Print what would be removed without removing it
        #[arg(long)]
        dry_run: bool,
    },
    /// Verify the files and signatures of one image, or of all images and downloads; exit with 1 if there is a problem
    Verify {
        /// Name of the image
        name: Option<String>,
    },
}

/// The values of `--oci-mode`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum OciMode {
    /// The image decides.
    Auto,
    /// An operating system.
    Base,
    /// An application.
    App,
}

/// Runs the verb.
///
/// # Errors
/// The verb fails.
pub fn run(verb: Fs, root: &Path, out: &mut dyn Write) -> Result<ExitCode> {
    match verb {
        Fs::Import { name, source, base, app, base_fs, oci_mode, verbose: _, force, dry_run } => {
            let mode = match (base, app, oci_mode) {
                (true, ..) | (.., Some(OciMode::Base)) => ModeSetting::Base,
                (_, true, _) | (.., Some(OciMode::App)) => ModeSetting::App,
                _ => ModeSetting::Auto,
            };
            let wanted = images::Wanted { source: &source, mode, base: base_fs.as_deref(), force };
            if dry_run {
                images::planned(root, &name, &wanted).context(name)?;
                return Ok(ExitCode::SUCCESS);
            }
            images::import(root, &name, &wanted, &*shown()).context(name)?;
        }
        Fs::Pull { name } => images::pull_again(root, &name, &*shown())?,
        Fs::Ls { json } => return list(root, json, out),
        Fs::Rm { names, dry_run } => {
            remove::all(&names, dry_run, out, |name, check| images::remove(root, name, check))?;
        }
        Fs::Verify { name } => {
            let mut problems = verify(&Store::open(root), name.as_deref())?;
            problems.extend(images::unaccepted(root, name.as_deref())?);
            for problem in &problems {
                writeln!(out, "{}", text::line(problem))?;
            }
            return Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(root: &Path, json: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let store = &Store::open(root);
    let mut code = ExitCode::SUCCESS;
    let mut found = Vec::new();
    for name in store.names()? {
        match store.lookup(&name) {
            Ok(Some(image)) => found.push(image),
            Ok(None) => {}
            Err(error) => {
                eprintln!("sdme-gen: {}", text::line(&format!("{name}: {error:#}")));
                code = ExitCode::FAILURE;
            }
        }
    }
    if json {
        let all: Vec<_> = found
            .iter()
            .map(|i| {
                let former = store.former_versions(&i.name).unwrap_or_default();
                let updates = store.updates(&i.name, &i.image.reference);
                let former: Vec<&str> = former.iter().map(|version| version.image.manifest.as_str()).collect();
                serde_json::json!({
                    "former": former, "imported": i.imported_at(), "checked": (updates.checked > 0).then_some(updates.checked),
                    "latest": updates.latest, "update": updates.word(i),
                    "name": i.name, "mode": kind(i.image.mode), "reference": i.image.reference,
                    "digest": i.image.manifest, "accepted": i.image.accepted, "installed": i.image.installed, "architecture": i.image.architecture, "tree": i.tree,
                    "layers": i.below
                })
            })
            .collect();
        print_json(&all, out)?;
        return Ok(code);
    }
    let rows = rows(store, &found, &images::used_by(root)?)?;
    let all: Vec<[String; 7]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    print_table(&all, out)?;
    Ok(code)
}

/// The columns of the list.
const HEAD: [&str; 7] = ["NAME", "KIND", "DIGEST", "AGE", "SIZE", "USED BY", "REFERENCE"];

/// The rows of each image and of each of its former versions.
fn rows(store: &Store, found: &[Imported], used_by: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<[String; 7]>> {
    let former = found.iter().map(|image| store.former_versions(&image.name)).collect::<Result<Vec<_>>>()?;
    let all = found.iter().zip(&former).flat_map(|(image, former)| std::iter::once(image).chain(former));
    let all: Vec<&Imported> = all.collect();
    let trees: BTreeSet<String> =
        all.iter().flat_map(|image| image.lower()).map(|tree| tree.display().to_string()).collect();
    let sizes = sizes(&trees);
    let current: BTreeSet<&Path> = found.iter().map(|image| image.dir.as_path()).collect();
    let row = |image: &&Imported| {
        let record = &image.image;
        let is_current = current.contains(image.dir.as_path());
        let updates = store.updates(&image.name, &record.reference);
        let note = match updates.word(image) {
            _ if !is_current && updates.refused.contains(&record.manifest) => "  (failed or rolled back)".to_owned(),
            _ if !is_current => "  (former version)".to_owned(),
            Some("rolled back") => "  (in use after a rollback)".to_owned(),
            Some(word) => format!("  (new version {word})"),
            None => String::new(),
        };
        let keys: BTreeSet<&str> = record.accepted.iter().map(|accepted| accepted.key.as_str()).collect();
        let keys = keys.into_iter().collect::<Vec<_>>().join(", ");
        let signed = if keys.is_empty() { keys } else { format!("  (signed by {keys})") };
        let size: Option<u64> = image.lower().iter().map(|tree| sizes.get(&tree.display().to_string()).copied()).sum();
        let imported = image.imported_at();
        let entry = image.dir.file_name().and_then(|entry| entry.to_str());
        let running = entry.and_then(|entry| used_by.get(entry)).into_iter();
        let users = running.chain(used_by.get(&image.name).filter(|_| is_current)).flatten().cloned();
        let users: BTreeSet<String> = users.collect();
        let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        [
            image.name.clone(),
            kind(record.mode).to_owned(),
            short(&record.manifest),
            dash(imported.map(|time| duration(now().saturating_sub(time))).unwrap_or_default()),
            dash(size.map(usage::size).unwrap_or_default()),
            joined(users),
            format!("{}{signed}{note}", record.reference),
        ]
    };
    Ok(all.iter().map(row).collect())
}

fn kind(mode: Mode) -> &'static str {
    if mode == Mode::Base { "base" } else { "app" }
}
