// SPDX-License-Identifier: MIT
//! `sdme-gen fs`: the images that are there.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use super::print_json;
use crate::image::{Mode, ModeSetting, Store, shown, verify};
use crate::runtime::images;
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
        /// Replace what NAME.image says, and ask the source even if the image is there
        #[arg(long)]
        force: bool,
        /// Check name and source, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List imported images
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
    /// Check one image, or all and the kept downloads; exits with 1 if anything is wrong
    Verify {
        /// Name of the image
        name: Option<String>,
    },
}

/// Runs the verb.
///
/// # Errors
/// When it fails.
pub fn run(verb: Fs, root: &Path, out: &mut dyn Write) -> Result<ExitCode> {
    match verb {
        Fs::Import { name, source, base, app, force, dry_run } => {
            let mode = match (base, app) {
                (true, _) => ModeSetting::Base,
                (_, true) => ModeSetting::App,
                _ => ModeSetting::Auto,
            };
            if dry_run {
                images::planned(root, &name, &source, mode, force).context(name)?;
                return Ok(ExitCode::SUCCESS);
            }
            images::import(root, &name, &source, mode, force, &*shown()).context(name)?;
        }
        Fs::Ls { json } => return list(&Store::open(root), json, out),
        Fs::Rm { name, dry_run } => images::remove(root, &name, dry_run)?,
        Fs::Verify { name } => {
            let problems = verify(&Store::open(root), name.as_deref())?;
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
                serde_json::json!({
                    "name": i.name, "mode": mode(i.image.mode), "reference": i.image.reference,
                    "digest": i.image.manifest, "installed": i.image.installed, "architecture": i.image.architecture, "tree": i.tree,
                    "layers": i.below
                })
            })
            .collect();
        print_json(&all, out)?;
        return Ok(code);
    }
    let width = found.iter().map(|i| i.name.len()).max().unwrap_or(0).max(4);
    for image in &found {
        let digest: String = image.image.manifest.chars().take(19).collect();
        let row = format!("{:width$}  {:4}  {digest}  {}", image.name, mode(image.image.mode), image.image.reference);
        writeln!(out, "{}", text::line(&row))?;
    }
    Ok(code)
}
