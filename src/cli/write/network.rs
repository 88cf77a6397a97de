// SPDX-License-Identifier: MIT
//! `sdme-gen network`: named networks.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::admin::write::networks;
use crate::admin::write::networks::Listed;
use crate::cli::print::{joined, print_json, print_table};
use crate::cli::remove;

/// What to do with networks.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write /etc/sdme/NAME.network
    New {
        /// Name of the network
        name: String,
        /// Subnet: ADDRESS/LENGTH
        #[arg(long, value_name = "RANGE")]
        subnet: Vec<String>,
        /// Add a subnet of IPv6
        #[arg(long)]
        ipv6: bool,
        /// No connections to other networks
        #[arg(long)]
        internal: bool,
        /// Check whether it is possible, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List networks
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove /etc/sdme/NAME.network of networks that no file refers to and that are stopped
    Rm {
        /// Names of the networks
        #[arg(required = true)]
        names: Vec<String>,
        /// Stop the networks and their members first, and remove the files in any case
        #[arg(long, short)]
        force: bool,
        /// Print what would be removed without removing it
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs the verb.
///
/// # Errors
/// The verb fails.
pub fn run(verb: Verb, root: &Path, out: &mut dyn Write) -> Result<ExitCode> {
    match verb {
        Verb::New { name, subnet, ipv6, internal, dry_run } => {
            let mut keys: Vec<(&str, String)> = subnet.into_iter().map(|range| ("Subnet", range)).collect();
            keys.extend(
                [(ipv6, "IPv6"), (internal, "Internal")].iter().filter(|f| f.0).map(|f| (f.1, "yes".to_owned())),
            );
            networks::new(root, &name, &keys, dry_run)?;
        }
        Verb::Ls { json } => list(&networks::list(root), json, out)?,
        Verb::Rm { names, force, dry_run } => {
            remove::all(&names, dry_run, out, |name, check| networks::remove(root, name, force, check))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(all: &[Listed], json: bool, out: &mut dyn Write) -> Result<()> {
    let state = |listed: &Listed| if listed.active { "active" } else { "inactive" };
    let subnets = |listed: &Listed| listed.network.subnets.iter().map(ToString::to_string).collect::<Vec<_>>();
    if json {
        let all: Vec<_> = all
            .iter()
            .map(|listed| {
                let network = &listed.network;
                serde_json::json!({
                    "name": network.name, "file": &*network.file, "state": state(listed), "interface": network.interface,
                    "subnets": subnets(listed), "internal": network.internal, "members": network.members
                })
            })
            .collect();
        return print_json(&all, out);
    }
    let row = |listed: &Listed| {
        let way = if listed.network.internal { "internal" } else { "uplink" };
        let name = listed.network.name.to_string();
        [name, state(listed).to_owned(), way.to_owned(), subnets(listed).join(","), joined(&listed.network.members)]
    };
    let head = ["NAME", "STATE", "KIND", "SUBNETS", "MEMBERS"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(all.iter().map(row)).collect();
    print_table(&rows, out)
}
