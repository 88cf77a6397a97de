// SPDX-License-Identifier: MIT
//! `exec`, `logs` and `join`: each runs one of systemd's own programs for a container and its applications.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::cause::{self, Cause};
use crate::contract::beside::Beside;
use crate::contract::process::User;
use crate::contract::streams::Copies;
use crate::image::{Store, application_root, identify};
use crate::model::{App, Container, Identity};
use crate::plan::LAUNCHER;
use crate::runtime::ended::kept_journal;

/// The applications of `container`: none for an operating system or a clone of the host.
fn applications(container: &str) -> Result<Vec<App>> {
    let (model, facts) = crate::runtime::known(Path::new("/"));
    let Some(found) = model.containers.get(container) else {
        let rejected = model.rejected.iter().find(|r| r.name == container).and_then(|r| r.problems.first());
        return Err(
            rejected.map_or_else(|| anyhow!("there is no container {container}"), |problem| anyhow!("{problem}"))
        );
    };
    Ok(model.applications(found, &facts).to_vec())
}

/// The application called `name`, or the only one.
pub(super) fn one_of<'a>(applications: &'a [App], name: Option<&str>) -> Result<&'a App> {
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

/// Whether systemd-nspawn runs. A job is not active while it does, and may be active when it has ended. While commands of `ExecStop=`
/// run, the state is `stop`, and the container has not been asked to stop yet.
fn is_running(container: &str) -> Result<bool> {
    let unit = Container::unit(container);
    let output = Command::new("systemctl").args(["show", "-P", "SubState", &unit]).stdin(Stdio::null()).output();
    let output = output.context("cannot run systemctl")?;
    let state = String::from_utf8_lossy(&output.stdout);
    let state = state.trim();
    Ok(["start", "start-post", "running", "stop"].contains(&state)
        || state.starts_with("reload")
        || state.starts_with("refresh"))
}

/// How `exec` runs a command.
#[derive(Debug, Clone, Copy)]
pub struct Exec<'a> {
    /// The application, where there are several.
    pub app: Option<&'a str>,
    /// A user of the image, `NAME|UID[:GROUP|GID]`, in place of the application's.
    pub user: Option<&'a str>,
    /// Further variables, `NAME=VALUE`.
    pub environment: &'a [String],
    /// The working directory.
    pub workdir: Option<&'a str>,
}

impl Exec<'_> {
    fn beside(&self, app: &App) -> Result<Beside> {
        if let Some(wrong) =
            self.environment.iter().find(|variable| !variable.contains('=') || variable.starts_with('='))
        {
            bail!("{wrong:?} is not NAME=VALUE; the host's environment is not passed on");
        }
        if let Some(path) = self.workdir.filter(|path| !path.starts_with('/')) {
            bail!("{path} is not an absolute path; write /{path}");
        }
        let user = self.user.map(|user| user_of_image(&app.image, user)).transpose()?;
        Ok(Beside { environment: self.environment.to_vec(), cwd: self.workdir.map(str::to_owned), user })
    }
}

/// A user as the image has it, and not as the container may have changed it.
pub(super) fn user_of_image(image: &str, user: &str) -> Result<User> {
    let store = Store::open(Path::new("/"));
    let imported = store.lookup(image)?.with_context(|| format!("the image {image} is not imported"))?;
    let root = application_root(&imported.lower()).context("cannot open the image")?;
    let identity = Identity { user: Some(user.to_owned()), ..Identity::default() };
    identify(&root, "", &identity).with_context(|| format!("--user={user}"))
}

/// Runs a command beside an application, with its root, environment, user and namespaces. Gives the command's exit status, or
/// 128 and the number of the signal that ended the command.
///
/// The container gets no descriptor of the caller: a terminal is made in the container by systemd-run, and other streams are
/// copied through pipes.
///
/// # Errors
/// There is no such application, or it does not run.
pub fn exec(container: &str, options: &Exec<'_>, command: &[String]) -> Result<ExitCode> {
    let applications = applications(container)?;
    let app = one_of(&applications, options.app)?;
    let beside = options.beside(app)?;
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
        .args(["--", LAUNCHER]);
    // A container that has been running since an older version knows the plain form only.
    if beside == Beside::default() {
        run.arg("exec");
    } else {
        run.args(["exec-with", &serde_json::to_string(&beside)?]);
    }
    run.args([format!("{}.service", app.unit()), app.directory()]).args(command);
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
    /// What was logged from this time on (systemd.time(7)).
    pub since: Option<&'a str>,
    /// What was logged up to this time.
    pub until: Option<&'a str>,
    /// Lines that match.
    pub grep: Option<&'a str>,
    /// The form of the lines (journalctl(1)).
    pub output: Option<&'a str>,
}

/// Shows the log of a container's applications, of one of them, or of a container without any; of one that does not run
/// what its journal has kept.
///
/// # Errors
/// There is no such container or application.
pub fn logs(container: &str, what: Logs<'_>) -> Result<()> {
    let (show, cause) = shown(container, what)?;
    match show {
        // journalctl can take the place of this process if no cause is printed after its output.
        Some(mut show) if what.follow || cause.is_none() => Err(show.exec()).context("cannot run journalctl"),
        show => finish(show, cause),
    }
}

/// As [`logs`], and goes on afterwards.
///
/// # Errors
/// As for [`logs`].
pub fn show_logs(container: &str, what: Logs<'_>) -> Result<()> {
    let (show, cause) = shown(container, what)?;
    finish(show, cause)
}

/// Shows the journal, and below it why the container does not run.
fn finish(show: Option<Command>, cause: Option<Cause>) -> Result<()> {
    if let Some(mut show) = show {
        show.status().context("cannot run journalctl")?;
    }
    cause.map_or(Ok(()), |cause| Ok(writeln!(stdout(), "{}", cause.text)?))
}

/// The command that shows the journal, if there is one, and why the container does not run.
fn shown(container: &str, what: Logs<'_>) -> Result<(Option<Command>, Option<Cause>)> {
    let applications = applications(container)?;
    let mut show = Command::new("journalctl");
    let is_running = is_running(container)?;
    let cause = if is_running { None } else { cause::of(&Container::unit(container)) };
    if is_running {
        show.arg(format!("--machine={container}"));
    } else {
        let journal = match (kept_journal(container), &cause) {
            // It has never got as far as to log anything.
            (Err(_), Some(_)) => return Ok((None, cause)),
            (journal, _) => {
                journal.with_context(|| format!("{container} has no journal; start the container first"))?
            }
        };
        show.arg(journal);
    }
    let wanted = match what.app {
        Some(_) => vec![one_of(&applications, what.app)?],
        None => applications.iter().collect(),
    };
    for (number, app) in wanted.iter().enumerate() {
        show.args((number > 0).then_some("+")).args(messages_of(&app.unit()));
    }
    if what.follow {
        show.arg("--follow");
    }
    let lines = what.lines.map(|lines| lines.to_string());
    let options = [
        ("lines", lines.as_deref()),
        ("since", what.since),
        ("until", what.until),
        ("grep", what.grep),
        ("output", what.output),
    ];
    show.args(options.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?))));
    Ok((Some(show), cause))
}

/// What journalctl(1) is to show of an application: its own messages and those of its health checks, and of the service manager's
/// only why a start or a run has failed. Others, such as that `OnSuccess=` starts nothing while the container stops, accompany
/// every stop.
fn messages_of(unit: &str) -> Vec<String> {
    /// A program that could not be started, a service that has failed, and one that ran out of memory (sd-messages.h).
    const FAILURES: [&str; 3] =
        ["641257651c1b4ec9a8624d7a40a9e1e7", "d9b373ed55a64feb8242e02dbe79a49c", "fe6faa94e7774663a0da52717891d8ef"];
    let mut all: Vec<String> = Vec::new();
    for suffix in ["", "-health", "-health-gate"] {
        all.extend([format!("_SYSTEMD_UNIT={unit}{suffix}.service"), "+".to_owned()]);
    }
    all.push(format!("UNIT={unit}.service"));
    all.extend(FAILURES.map(|id| format!("MESSAGE_ID={id}")));
    // Errors of the service manager; those above have other severities.
    all.extend(["+".to_owned(), format!("UNIT={unit}.service"), "PRIORITY=3".to_owned()]);
    all
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
