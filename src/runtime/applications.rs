// SPDX-License-Identifier: MIT
//! Commands of every day about a container and its applications: each becomes one of systemd's own programs.

use std::fs::File;
use std::io::{IsTerminal as _, stderr, stdin, stdout};
use std::os::fd::{AsFd as _, BorrowedFd, IntoRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::paths::container_state;
use crate::plan::LAUNCHER;
use crate::resolve::model::{App, Container};
use crate::rootdir::tree::Tree;
use crate::streams::Copies;

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
    let unit = Container::unit(container);
    let output = Command::new("systemctl").args(["show", "-P", "SubState", &unit]).stdin(Stdio::null()).output();
    let output = output.context("cannot run systemctl")?;
    let state = String::from_utf8_lossy(&output.stdout);
    let state = state.trim();
    Ok(["start", "start-post", "running"].contains(&state)
        || state.starts_with("reload")
        || state.starts_with("refresh"))
}

/// Runs a command beside an application, with its root, environment, user and namespaces. Gives the command's exit status, or
/// 128 and the number of the signal that ended the command.
///
/// The container gets no descriptor of the caller: a terminal is made in the container by systemd-run, and other streams are
/// copied through pipes.
///
/// # Errors
/// There is no such application, or it does not run.
pub fn exec(container: &str, app: Option<&str>, command: &[String]) -> Result<ExitCode> {
    let applications = applications(container)?;
    let app = one_of(&applications, app)?;
    if !is_running(container)? {
        bail!("{container} is not running; run systemctl start systemd-nspawn@{container}");
    }
    let interactive = stdin().is_terminal();
    let terminal = interactive && stdout().is_terminal();
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
    if terminal {
        return Err(run.exec()).context("cannot run systemd-run");
    }
    relay(run, !interactive)
}

/// Runs `systemd-run` with pipes as its streams. A terminal is not read: with the output going elsewhere, such as to a pager, the
/// keys are for that.
fn relay(mut run: Command, read: bool) -> Result<ExitCode> {
    let run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = run.spawn().context("cannot run systemd-run")?;
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let mut copies = Copies::default();
    if let Some(to) = child.stdin.take().filter(|_| read) {
        copies.input(own(stdin().as_fd())?, OwnedFd::from(to).into());
    }
    if let Some(from) = child.stdout.take() {
        copies.output(OwnedFd::from(from).into(), own(stdout().as_fd())?);
    }
    if let Some(from) = child.stderr.take() {
        copies.output(OwnedFd::from(from).into(), own(stderr().as_fd())?);
    }
    let status = child.wait().context("cannot wait for systemd-run")?;
    copies.finish();
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
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
        // The container may have made any of these directories a symbolic link.
        let upper = Path::new(&container_state(container)).join("upper");
        let journal = Tree::open(&upper)
            .and_then(|tree| tree.open_dir(b"var/log/journal"))
            .with_context(|| format!("{container} has no journal; start the container first"))?;
        fcntl(&journal, FcntlArg::F_SETFD(FdFlag::empty()))?;
        // journalctl(1) takes the descriptor over.
        show.arg(format!("--directory=/proc/self/fd/{}", journal.into_raw_fd()));
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
