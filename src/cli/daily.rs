// SPDX-License-Identifier: MIT
//! Commands of every day: `sdme-gen ps`, `exec`, `logs`, `restart` and `join`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::print_json;
use crate::runtime::applications::{self, Logs};
use crate::runtime::changed::{self, Outdated};
use crate::runtime::ps::{self, Listed};
use crate::text;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List containers with their state, health and ports
    Ps {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
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
        Verb::Ps { json } => list(&ps::list()?, *json, out)?,
        Verb::Exec { container, app, command } => return applications::exec(container, app.as_deref(), command),
        Verb::Logs { container, app, follow, lines } => {
            applications::logs(container, Logs { app: app.as_deref(), follow: *follow, lines: *lines })?;
        }
        Verb::Restart { changed: _, dry_run, names } => return restart(names, *dry_run, out),
        Verb::Join { container } => applications::join(container)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Restarts what has changed. What cannot be restarted, because its file is rejected or gone, runs on.
fn restart(names: &[String], dry_run: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let (refused, outdated): (Vec<_>, Vec<_>) =
        changed::outdated(names)?.into_iter().partition(|outdated| outdated.problem.is_some());
    for Outdated { name, unit, older, .. } in &outdated {
        let older: Vec<&str> = older.iter().copied().collect();
        writeln!(out, "{name}: {} changed; restart {unit}", older.join(" and "))?;
    }
    for Outdated { name, problem, .. } in &refused {
        eprintln!("sdme-gen: {name} runs on: {}", text::line(problem.as_deref().unwrap_or_default()));
    }
    if !dry_run && !outdated.is_empty() {
        changed::restart(&outdated)?;
    }
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(all: &[Listed], json: bool, out: &mut dyn Write) -> Result<()> {
    if json {
        print_json(all, out)?;
        return Ok(());
    }
    let head = ["NAME", "STATE", "UP", "HEALTH", "POD", "USERS", "PORTS", "IMAGE"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(all.iter().map(row)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..8).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", text::line(cells.join("  ").trim_end()))?;
    }
    Ok(())
}

fn row(listed: &Listed) -> [String; 8] {
    let dash = |text: Option<String>| text.filter(|t| !t.is_empty()).unwrap_or_else(|| "-".to_owned());
    let health = match listed.health.iter().collect::<Vec<_>>().as_slice() {
        [(_, only)] if listed.images.len() == 1 => (*only).clone(),
        several => several.iter().map(|(app, word)| format!("{app}:{word}")).collect::<Vec<_>>().join(","),
    };
    let exposed = listed.exposed.iter().map(|port| format!("({port})"));
    let ports: Vec<String> = listed.published.iter().cloned().chain(exposed).collect();
    [
        listed.name.clone(),
        listed.state.clone(),
        dash(listed.uptime.map(duration)),
        dash(Some(health)),
        dash(listed.pod.clone()),
        dash(listed.users.map(|(first, count)| format!("{first}:{count}"))),
        dash(Some(ports.join(","))),
        dash(Some(listed.images.join(","))),
    ]
}

/// The two largest units of a time in seconds.
fn duration(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(3);
    let largest = parts.iter().skip(first).take(2);
    largest.fold(String::new(), |text, (number, unit)| text + &number.to_string() + unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1min1s"), (90_061, "1d1h"), (3600, "1h0min")] {
            assert_eq!(duration(seconds), text);
        }
        let mut listed = Listed { name: "web".into(), images: vec!["a".into()], ..Listed::default() };
        listed.health.insert("app".into(), "healthy".into());
        listed.exposed = vec!["80/tcp".into()];
        listed.published = vec!["8080:80/tcp".into()];
        listed.users = Some((65536, 65536));
        assert_eq!(row(&listed), ["web", "", "-", "healthy", "-", "65536:65536", "8080:80/tcp,(80/tcp)", "a"]);
        listed.images.push("b".into());
        assert_eq!(row(&listed).get(3).map(String::as_str), Some("app:healthy"));
    }
}
