// SPDX-License-Identifier: MIT
//! `sdme-gen fs`: the images that are there.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use super::print_json;
use crate::admin::images;
use crate::image::{Mode, ModeSetting, Store, now, shown, verify};
use crate::text;

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum Fs {
    /// Write /etc/sdme/NAME.image and import the image
    Import {
        /// Name of the image
        name: String,
        /// Where it comes from: a registry reference, or oci:, oci-archive:, docker-archive:, dir: or rootfs: and a path
        source: String,
        /// It is an operating system
        #[arg(long, conflicts_with = "app")]
        base: bool,
        /// It is an application
        #[arg(long)]
        app: bool,
        /// Imported image below the application: the NAME of NAME.image, or host
        #[arg(long, value_name = "NAME", conflicts_with = "base")]
        base_fs: Option<String>,
        /// The former form of --base and --app
        #[arg(long, hide = true, value_name = "MODE", conflicts_with_all = ["base", "app"])]
        oci_mode: Option<OciMode>,
        /// The progress is always shown
        #[arg(long, short, hide = true)]
        verbose: bool,
        /// Replace what NAME.image says, and ask the source even if the image is there
        #[arg(long)]
        force: bool,
        /// Check name and source, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Ask the source of an image again, as its .image file or Image= names it
    Pull {
        /// Name of the image
        name: String,
    },
    /// List imported images and the former versions of them that are kept
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an image that nothing uses
    Rm {
        /// Name of the image
        name: String,
        /// Check it, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Check the files and the signatures of one image, or of all and the kept downloads; exits with 1 if anything is wrong
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
/// When it fails.
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
        Fs::Ls { json } => return list(&Store::open(root), json, out),
        Fs::Rm { name, dry_run } => images::remove(root, &name, dry_run)?,
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

fn list(store: &Store, json: bool, out: &mut dyn Write) -> Result<ExitCode> {
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
    let mode = |mode| if mode == Mode::Base { "base" } else { "app" };
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
                    "name": i.name, "mode": mode(i.image.mode), "reference": i.image.reference,
                    "digest": i.image.manifest, "accepted": i.image.accepted, "installed": i.image.installed, "architecture": i.image.architecture, "tree": i.tree,
                    "layers": i.below
                })
            })
            .collect();
        print_json(&all, out)?;
        return Ok(code);
    }
    let width = found.iter().map(|i| i.name.len()).max().unwrap_or(0).max(4);
    for image in &found {
        let former = store.former_versions(&image.name)?;
        let update = store.updates(&image.name, &image.image.reference).word(image);
        let update =
            update.map(|word| format!("  (new version {word})").replace("(new version rolled back)", "(rolled back)"));
        let current = std::iter::once((image, update.unwrap_or_default()));
        for (version, note) in current.chain(former.iter().map(|version| (version, "  (former version)".to_owned()))) {
            let record = &version.image;
            let digest: String = record.manifest.chars().take(19).collect();
            let age = version
                .imported_at()
                .map_or_else(|| "-".to_owned(), |time| crate::cli::show::ps::duration(now().saturating_sub(time)));
            let keys: BTreeSet<&str> = record.accepted.iter().map(|accepted| accepted.key.as_str()).collect();
            let keys = keys.into_iter().collect::<Vec<_>>().join(", ");
            let signed = if keys.is_empty() { keys } else { format!("  (signed by {keys})") };
            let row = format!(
                "{:width$}  {:4}  {digest}  {age:>8}  {}{signed}{note}",
                image.name,
                mode(record.mode),
                record.reference
            );
            writeln!(out, "{}", text::line(&row))?;
        }
    }
    Ok(code)
}
