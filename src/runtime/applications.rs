// SPDX-License-Identifier: MIT
//! Commands of every day about a container and its applications: each becomes one of systemd's own programs.

use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::paths::container_state;
use crate::plan::LAUNCHER;
use crate::resolve::model::App;

/// What `container` runs: none for an operating system or a clone of the host.
fn applications(container: &str) -> Result<Vec<App>> {
    let (model, facts) = super::known(Path::new("/"));
    let Some(found) = model.containers.get(container) else {
        let rejected = model.rejected.iter().find(|r| r.name == container).and_then(|r| r.problems.first());
        return Err(
            rejected.map_or_else(|| anyhow!("there is no container {container}"), |problem| anyhow!("{problem}"))
        );
    };
    Ok(model.applications(found, &facts).to_vec())
}

/// The application called `name`, or the only one.
fn one_of<'a>(applications: &'a [App], name: Option<&str>) -> Result<&'a App> {
    let names = || applications.iter().map(|app| app.name.as_str()).collect::<Vec<_>>().join(", ");
    match (applications, name) {
        ([], _) => bail!("the container runs no application; sdme-gen join leads into it"),
        (_, Some(name)) => applications
            .iter()
            .find(|app| app.name == name || (app.first && name == App::FIRST))
            .with_context(|| format!("there is no application {name}; there are {}", names())),
        ([only], None) => Ok(only),
        (_, None) => bail!("name one of the applications with --app: {}", names()),
    }
}

/// Whether systemd-nspawn runs. A job is not active while it does, and may be active when it has ended.
fn is_running(container: &str) -> Result<bool> {
    let unit = format!("systemd-nspawn@{container}.service");
    let output = Command::new("systemctl").args(["show", "-P", "SubState", &unit]).stdin(Stdio::null()).output();
    let output = output.context("cannot run systemctl")?;
    let state = String::from_utf8_lossy(&output.stdout);
    let state = state.trim();
    Ok(["start", "start-post", "running"].contains(&state)
        || state.starts_with("reload")
        || state.starts_with("refresh"))
}

/// Runs a command beside an application, with its root, environment, user and namespaces, and ends as the command does.
///
/// # Errors
/// There is no such application, or it does not run.
pub fn exec(container: &str, app: Option<&str>, command: &[String]) -> Result<()> {
    let applications = applications(container)?;
    let app = one_of(&applications, app)?;
    if !is_running(container)? {
        bail!("{container} is not running; run systemctl start systemd-nspawn@{container}");
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut run = Command::new("systemd-run");
    run.arg(format!("--machine={container}"))
        .args(["--quiet", "--collect", "--wait", "--service-type=exec", "--expand-environment=no"])
        .arg(if terminal { "--pty" } else { "--pipe" })
        .arg(format!("--description=Command beside {}", app.unit()))
        // That it started and ended is not for the journal.
        .arg("--property=LogLevelMax=notice")
        .args(["--", LAUNCHER, "exec"])
        .args([format!("{}.service", app.unit()), app.directory()])
        .args(command);
    Err(run.exec()).context("cannot run systemd-run")
}

/// What `logs` shows.
#[derive(Debug, Clone, Copy)]
pub struct Logs<'a> {
    /// One application only.
    pub app: Option<&'a str>,
    /// To go on with what comes.
    pub follow: bool,
    /// No more than this many of the last lines.
    pub lines: Option<u32>,
}

/// Shows the log of a container's applications, of one of them, or of a container without any; of one that does not run
/// what its journal has kept.
///
/// # Errors
/// There is no such container or application.
pub fn logs(container: &str, what: Logs<'_>) -> Result<()> {
    let applications = applications(container)?;
    let mut show = Command::new("journalctl");
    if is_running(container)? {
        show.arg(format!("--machine={container}"));
    } else {
        show.arg(format!("--directory={}/upper/var/log/journal", container_state(container)));
    }
    let wanted = match what.app {
        Some(_) => vec![one_of(&applications, what.app)?],
        None => applications.iter().collect(),
    };
    for app in wanted {
        show.arg(format!("--unit={}.service", app.unit())).arg(format!("--unit={}-health.service", app.unit()));
    }
    if what.follow {
        show.arg("--follow");
    }
    if let Some(lines) = what.lines {
        show.arg(format!("--lines={lines}"));
    }
    Err(show.exec()).context("cannot run journalctl")
}

/// Opens a shell in a container, beside its applications.
///
/// # Errors
/// There is no such container, or it does not run.
pub fn join(container: &str) -> Result<()> {
    applications(container)?;
    if !is_running(container)? {
        bail!("{container} is not running; run systemctl start systemd-nspawn@{container}");
    }
    Err(Command::new("machinectl").args(["--quiet", "shell", container]).exec()).context("cannot run machinectl")
}
