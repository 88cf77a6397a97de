// SPDX-License-Identifier: MIT
//! `sdme-gen pod`: networks that containers share.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::admin::write::pods;
use crate::admin::write::pods::Listed;
use crate::cli::print::{joined, print_json, print_table};
use crate::cli::remove;

/// What to do with pods.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write /etc/sdme/NAME.pod
    New {
        /// Name of the pod
        name: String,
        /// Members reach other machines
        #[arg(long)]
        uplink: bool,
        /// Publish a port: [[IP:]HOST-PORT:]CONTAINER-PORT[/PROTOCOL]
        #[arg(long, short, value_name = "PORT")]
        publish: Vec<String>,
        /// Check whether it is possible, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List pods, and containers with a network of their own
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove /etc/sdme/NAME.pod of pods that no container refers to and that are stopped
    Rm {
        /// Names of the pods
        #[arg(required = true)]
        names: Vec<String>,
        /// Stop the pods first, and remove the files in any case
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
        Verb::New { name, uplink, publish, dry_run } => pods::new(root, &name, uplink, &publish, dry_run)?,
        Verb::Ls { json } => list(&pods::list(root), json, out)?,
        Verb::Rm { names, force, dry_run } => {
            remove::all(&names, dry_run, out, |name, check| pods::remove(root, name, force, check))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(all: &[Listed], json: bool, out: &mut dyn Write) -> Result<()> {
    let state = |listed: &Listed| if listed.active { "active" } else { "inactive" };
    let network = |listed: &Listed| if listed.pod.wanted.uplink { "uplink" } else { "private" };
    let ports = |listed: &Listed| listed.pod.wanted.ports.iter().map(ToString::to_string).collect::<Vec<_>>();
    if json {
        let all: Vec<_> = all
            .iter()
            .map(|listed| {
                serde_json::json!({
                    "name": listed.pod.name, "file": &*listed.pod.file, "state": state(listed),
                    "network": network(listed), "address": listed.pod.veth_pair.as_ref().map(|c| c.pod.to_string()),
                    "ports": ports(listed), "members": listed.pod.members
                })
            })
            .collect();
        print_json(&all, out)?;
        return Ok(());
    }
    let row = |listed: &Listed| {
        let members = &listed.pod.members;
        [
            listed.pod.name.to_string(),
            state(listed).to_owned(),
            network(listed).to_owned(),
            joined(members),
            joined(ports(listed)),
        ]
    };
    let head = ["NAME", "STATE", "NETWORK", "MEMBERS", "PORTS"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(all.iter().map(row)).collect();
    print_table(&rows, out)
}
