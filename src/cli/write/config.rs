// SPDX-License-Identifier: MIT
//! `sdme-gen config`: the defaults of all containers and images.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::admin::write::defaults;
use crate::cli::print::print_json;

/// What to do with sdme.conf.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the keys that are set
    Get {
        /// Name of a key (default: all); exit with 1 if the key is not set
        key: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a key in /etc/sdme/sdme.conf
    Set {
        /// Name of the key
        key: String,
        /// Value; for a key that takes words, these as arguments or quoted as one; without a value, the key is removed
        #[arg(value_name = "VALUE")]
        values: Vec<String>,
        /// Check whether it is possible, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Translates the name that an earlier tool used for a key.
fn current(key: String) -> String {
    if key == "default_base_fs" { "BaseFs".to_owned() } else { key }
}

/// Runs the verb.
///
/// # Errors
/// The verb fails.
pub fn run(verb: Verb, root: &Path, out: &mut dyn Write) -> Result<ExitCode> {
    match verb {
        Verb::Get { key, json } => {
            let key = key.map(current);
            let mut all = defaults::get(root)?;
            if let Some(key) = &key {
                defaults::check(key)?;
                all.retain(|(name, _)| name == key);
            }
            if json {
                let map: serde_json::Map<_, _> = all.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
                print_json(&map, out)?;
            } else {
                for (name, value) in &all {
                    let line = if key.is_some() { value.clone() } else { format!("{name}={value}") };
                    writeln!(out, "{line}")?;
                }
            }
            Ok(if key.is_some() && all.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Verb::Set { key, values, dry_run } => {
            defaults::set(root, &current(key), &values, dry_run)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
