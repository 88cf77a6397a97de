// SPDX-License-Identifier: MIT
//! `sdme-gen volume`: existing volumes.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::admin::leftovers;
use crate::admin::leftovers::Volume;
use crate::cli::print::{joined, print_json, print_table};
use crate::cli::remove;
use crate::text;

/// What to do with volumes.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List volumes with the containers that use them
    Ls {
        /// List only volumes that no container uses
        #[arg(long)]
        unused: bool,
        /// Print names only
        #[arg(long, short, conflicts_with = "json")]
        quiet: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove volumes that no container uses, with their content
    Rm {
        /// Names of the volumes
        #[arg(required = true)]
        names: Vec<String>,
        /// Print what would be removed without removing it
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs the verb.
///
/// # Errors
/// The verb fails.
pub fn run(verb: &Verb, root: &Path, out: &mut dyn Write) -> Result<ExitCode> {
    match verb {
        Verb::Ls { unused, quiet, json } => {
            let mut all = leftovers::volumes(root)?;
            all.retain(|volume| !unused || volume.users.is_empty());
            list(&all, *quiet, *json, out)?;
        }
        Verb::Rm { names, dry_run } => {
            remove::all(names, *dry_run, out, |name, check| leftovers::remove_volume(root, name, check))?;
            for file in names.iter().filter_map(|name| leftovers::file_of_volume(root, name)) {
                writeln!(out, "left: {} still configures the volume; remove that file, too", text::line(&file))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(all: &[Volume], quiet: bool, json: bool, out: &mut dyn Write) -> Result<()> {
    if json {
        let all: Vec<_> = all
            .iter()
            .map(
                |volume| serde_json::json!({"name": volume.name, "container": volume.anonymous, "users": volume.users}),
            )
            .collect();
        return print_json(&all, out);
    }
    let row = |volume: &Volume| {
        let name = volume.name.clone();
        if quiet { vec![name] } else { vec![name, joined(&volume.users)] }
    };
    let head = vec!["NAME".to_owned(), "USED BY".to_owned()];
    let rows: Vec<Vec<String>> = Some(head).filter(|_| !quiet).into_iter().chain(all.iter().map(row)).collect();
    print_table(&rows, out)
}
