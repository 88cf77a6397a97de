// SPDX-License-Identifier: MIT
//! Commands of every day: `sdme-gen ps`, `stats`, `metrics`, `exec`, `logs`, `restart` and `join`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::admin::applications;
use crate::admin::applications::Logs;
use crate::admin::changed;
use crate::admin::changed::Outdated;
use crate::cli::show::usage;
use crate::runtime::systemd;
use crate::text;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List containers with their state, health and open ports, and what to do about those that are not as configured
    Ps(crate::cli::show::ps::Options),
    /// Run a command beside an application, with its root, environment, user and namespaces
    Exec {
        /// The container
        container: String,
        /// The application, where there are several
        #[arg(long, value_name = "NAME")]
        app: Option<String>,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Show the log of a container's applications
    Logs {
        /// The container
        container: String,
        /// One application only
        #[arg(long, value_name = "NAME")]
        app: Option<String>,
        /// Go on with what comes
        #[arg(long, short)]
        follow: bool,
        /// The last lines only
        #[arg(long, short = 'n', value_name = "COUNT")]
        lines: Option<u32>,
    },
    /// Restart the containers and pods that run on older files, image or base than a start would give them now
    Restart {
        /// Only what has changed
        #[arg(long, required = true)]
        changed: bool,
        /// Say what would be restarted, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Only these containers and pods
        names: Vec<String>,
    },
    /// Show what running containers use: processor (during a second), memory, tasks, network and disk
    Stats {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Only these containers
        names: Vec<String>,
    },
    /// Print the states of all containers and what they use for a monitoring system, in the text format of OpenMetrics
    #[allow(clippy::doc_markdown, reason = "this text is shown by --help")]
    Metrics,
    /// Open a shell in a container, beside its applications
    Join {
        /// The container
        container: String,
    },
}

/// Runs the verb. `logs` and `join` end as the program they become.
///
/// # Errors
/// When it fails.
pub fn run(verb: &Verb, out: &mut dyn Write) -> Result<ExitCode> {
    match verb {
        Verb::Ps(options) => return crate::cli::show::ps::run(options, out),
        Verb::Exec { container, app, command } => return applications::exec(container, app.as_deref(), command),
        Verb::Logs { container, app, follow, lines } => {
            applications::logs(container, Logs { app: app.as_deref(), follow: *follow, lines: *lines })?;
        }
        Verb::Restart { changed: _, dry_run, names } => return restart(names, *dry_run, out),
        Verb::Stats { json, names } => usage::stats(names, *json, out)?,
        Verb::Metrics => usage::metrics(out)?,
        Verb::Join { container } => applications::join(container)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Restarts what has changed; networks are reloaded. What cannot be restarted, because its file is rejected or gone, runs on, unless it
/// was a network and its last member has left it by that.
fn restart(names: &[String], dry_run: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let (mut refused, outdated): (Vec<_>, Vec<_>) =
        changed::outdated(names)?.into_iter().partition(|outdated| outdated.problem.is_some());
    for one in &outdated {
        let (Outdated { name, unit, older, .. }, verb) = (one, one.verb());
        let older: Vec<&str> = older.iter().copied().collect();
        writeln!(out, "{name}: {} changed; {verb} {unit}", older.join(" and "))?;
    }
    let restarted = if dry_run || outdated.is_empty() { Ok(()) } else { changed::restart(&outdated) };
    refused.retain(|outdated| systemd::stays(&outdated.unit));
    for Outdated { name, problem, .. } in &refused {
        eprintln!("sdme-gen: {name} runs on: {}", text::line(problem.as_deref().unwrap_or_default()));
    }
    restarted?;
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
