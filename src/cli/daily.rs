// SPDX-License-Identifier: MIT
//! `sdme-gen ps`, `stats`, `metrics`, `exec`, `logs`, `restart` and `join`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Error, Result, anyhow, bail};
use clap::Subcommand;

use crate::admin::applications;
use crate::admin::applications::{Exec, Logs};
use crate::admin::changed;
use crate::admin::changed::Outdated;
use crate::cli::show::usage;
use crate::model::Container;
use crate::runtime::systemd;
use crate::text;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List containers with their state, health and open ports, and the cause and remedy of each problem
    Ps(crate::cli::show::ps::Options),
    /// Run a command beside an application, with its root, environment, user and namespaces
    Exec {
        /// Name of the container
        container: String,
        /// Application, if the container has several
        #[arg(long, value_name = "NAME")]
        app: Option<String>,
        /// User of the image, by name or number (default: the application's user)
        #[arg(long, short, value_name = "USER[:GROUP]")]
        user: Option<String>,
        /// Environment variable to set
        #[arg(long, short, value_name = "NAME=VALUE")]
        env: Vec<String>,
        /// Working directory (default: the application's)
        #[arg(long, short, value_name = "PATH")]
        workdir: Option<String>,
        /// No effect: standard input is always passed on
        #[arg(long, short)]
        interactive: bool,
        /// No effect: on a terminal, the command always has a terminal
        #[arg(long, short)]
        tty: bool,
        /// Command and its arguments
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// Print the log of the applications of containers
    Logs {
        /// Names of the containers
        #[arg(required = true)]
        containers: Vec<String>,
        /// Application (default: all)
        #[arg(long, value_name = "NAME")]
        app: Option<String>,
        /// Wait for new lines and print them
        #[arg(long, short)]
        follow: bool,
        /// Number of lines to print, counted from the end
        #[arg(long, short = 'n', visible_alias = "tail", value_name = "COUNT")]
        lines: Option<u32>,
        /// Print lines since this time: a time of systemd.time(7), such as '10 minutes ago', or 10m
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Print lines until this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Print lines that match this regular expression
        #[arg(long, short, value_name = "PATTERN")]
        grep: Option<String>,
        /// Output format of journalctl(1), such as cat or json
        #[arg(long, short, value_name = "FORMAT")]
        output: Option<String>,
        /// No effect: lines begin with the time unless --output has another format
        #[arg(long, short)]
        timestamps: bool,
    },
    /// Restart the containers and pods that run on older files, images or bases than a start would use now
    Restart {
        /// Restart only containers and pods that have changed (required)
        #[arg(long)]
        changed: bool,
        /// Print what would be restarted without restarting it
        #[arg(long)]
        dry_run: bool,
        /// Containers and pods (default: all)
        names: Vec<String>,
    },
    /// Print the resources that running containers use: processor (during a second), memory, tasks, network and disk
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Containers (default: all that run)
        names: Vec<String>,
    },
    /// Print the states and resources of all containers for a monitoring system, in the text format of OpenMetrics
    #[allow(clippy::doc_markdown, reason = "this text is shown by --help")]
    Metrics,
    /// Open a shell in the operating system around the applications of a container
    Join {
        /// Name of the container
        container: String,
    },
    /// Containers are started by systemctl; says how
    #[command(hide = true)]
    Start { names: Vec<String> },
    /// Containers are stopped by systemctl; says how
    #[command(hide = true)]
    Stop { names: Vec<String> },
    /// The state of a container is shown by systemctl; says how
    #[command(hide = true)]
    Status { names: Vec<String> },
}

/// Runs the verb. `exec`, `logs` and `join` may replace this process with another program.
///
/// # Errors
/// The verb fails.
pub fn run(verb: &Verb, out: &mut dyn Write) -> Result<ExitCode> {
    match verb {
        Verb::Ps(options) => return crate::cli::show::ps::run(options, out),
        Verb::Exec { container, app, user, env, workdir, interactive: _, tty: _, command } => {
            let (app, user, workdir) = (app.as_deref(), user.as_deref(), workdir.as_deref());
            return applications::exec(container, &Exec { app, user, environment: env, workdir }, command);
        }
        Verb::Logs { containers, app, follow, lines, since, until, grep, output, timestamps: _ } => {
            let (since, until) = (since.as_deref().map(time), until.as_deref().map(time));
            let what = Logs {
                app: app.as_deref(),
                follow: *follow,
                lines: *lines,
                since: since.as_deref(),
                until: until.as_deref(),
                grep: grep.as_deref(),
                output: output.as_deref(),
            };
            return logs(containers, what, out);
        }
        Verb::Restart { changed: false, names, .. } => return Err(by_systemctl("restart", names)),
        Verb::Start { names } => return Err(by_systemctl("start", names)),
        Verb::Stop { names } => return Err(by_systemctl("stop", names)),
        Verb::Status { names } => return Err(by_systemctl("status", names)),
        Verb::Restart { changed: true, dry_run, names } => return restart(names, *dry_run, out),
        Verb::Stats { json, names } => usage::stats(names, *json, out)?,
        Verb::Metrics => usage::metrics(out)?,
        Verb::Join { container } => applications::join(container)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// An error that names the systemctl command to use: the service manager starts and stops
/// containers and shows their state.
fn by_systemctl(verb: &str, names: &[String]) -> Error {
    let all: Vec<String> =
        names.iter().map(|name| Container::unit(name).trim_end_matches(".service").to_owned()).collect();
    let units = if all.is_empty() { "systemd-nspawn@NAME".to_owned() } else { all.join(" ") };
    let changed = if verb == "restart" { "; sdme-gen restart --changed restarts what has changed" } else { "" };
    anyhow!("containers are units: run systemctl {verb} {units}{changed}")
}

/// Converts a time to the syntax of journalctl(1). In Docker and podman, `10m` means ten minutes
/// ago.
fn time(written: &str) -> String {
    let is_span = written.starts_with(|c: char| c.is_ascii_digit())
        && written.ends_with(['s', 'm', 'h', 'd'])
        && written.chars().all(|c| c.is_ascii_alphanumeric());
    if is_span { format!("-{written}") } else { written.to_owned() }
}

/// Shows the logs of several containers one after the other, each below the container's name.
fn logs(containers: &[String], what: Logs<'_>, out: &mut dyn Write) -> Result<ExitCode> {
    if let [container] = containers {
        applications::logs(container, what)?;
        return Ok(ExitCode::SUCCESS);
    }
    if what.follow {
        bail!("--follow is for one container; journalctl --follow --machine=NAME follows another one beside it");
    }
    let mut code = ExitCode::SUCCESS;
    for container in containers {
        writeln!(out, "==> {container} <==")?;
        out.flush()?;
        if let Err(error) = applications::show_logs(container, what) {
            eprintln!("sdme-gen: {}", text::line(&format!("{error:#}")));
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Restarts the units that have changed; networks are reloaded. A unit whose file is rejected or
/// missing keeps running and is reported, unless it was a network that has ended because its last
/// member has left it.
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
