// SPDX-License-Identifier: MIT
//! `exec`, `logs` and `join`: each of them runs one of systemd's own programs for a container and
//! its applications.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::cause::{self, Cause};
use crate::config::keys::FileType;
use crate::contract::beside::Beside;
use crate::contract::process::User;
use crate::contract::streams::Copies;
use crate::image::{Store, application_root, identify};
use crate::model::{App, Container, Identity};
use crate::plan::LAUNCHER;
use crate::runtime::ended::kept_journal;

/// The applications of `container`. The list is empty for an operating system and for a clone of
/// the host.
fn applications(container: &str) -> Result<Vec<App>> {
    let (model, facts) = crate::runtime::known(Path::new("/"));
    let Some(found) = model.containers.get(container) else {
        let rejected = model.rejection(FileType::Container, container);
        return Err(
            rejected.map_or_else(|| anyhow!("there is no container {container}"), |problem| anyhow!("{problem}"))
        );
    };
    Ok(model.applications(found, &facts).to_vec())
}

/// The application called `name`, or the only application if `name` is none.
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

/// Whether systemd-nspawn runs. The active state does not tell: a running job is not active yet,
/// and an ended job may be active. While commands of `ExecStop=` run, the substate is `stop`, and
/// the container has not been asked to stop yet.
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

/// The options of `exec`.
#[derive(Debug, Clone, Copy)]
pub struct Exec<'a> {
    /// The name of the application; required if there are several.
    pub app: Option<&'a str>,
    /// A user of the image, `NAME|UID[:GROUP|GID]`, instead of the application's user.
    pub user: Option<&'a str>,
    /// Additional variables, `NAME=VALUE`.
    pub environment: &'a [String],
    /// The working directory, if it is not the application's.
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

/// Looks up a user in the image. The container may have changed its own user database, so that is
/// not used.
pub(super) fn user_of_image(image: &str, user: &str) -> Result<User> {
    let store = Store::open(Path::new("/"));
    let imported = store.lookup(image)?.with_context(|| format!("the image {image} is not imported"))?;
    let root = application_root(&imported.lower()).context("cannot open the image")?;
    let identity = Identity { user: Some(user.to_owned()), ..Identity::default() };
    identify(&root, "", &identity).with_context(|| format!("--user={user}"))
}

/// Runs a command next to an application, with its root, environment, user and namespaces. Returns
/// the command's exit status, or 128 plus the number of the signal that ended the command.
///
/// The container gets no descriptor of the caller: systemd-run makes a terminal in the container,
/// and other streams are copied through pipes.
///
/// # Errors
/// There is no such application, or its container does not run.
pub fn exec(container: &str, options: &Exec<'_>, command: &[String]) -> Result<ExitCode> {
    let applications = applications(container)?;
    let app = one_of(&applications, options.app)?;
    let beside = options.beside(app)?;
    if !is_running(container)? {
        bail!("{container} is not running; run systemctl start systemd-nspawn@{container}");
    }
    let interactive = stdin().is_terminal();
    let terminal = interactive && stdout().is_terminal();
    let property = |assignment: &str| format!("--property={assignment}");
    let mut run = Command::new("systemd-run");
    run.arg(format!("--machine={container}"))
        .args(["--quiet", "--collect", "--wait", "--service-type=exec", "--expand-environment=no"])
        .arg(if terminal { "--pty" } else { "--pipe" })
        .arg(format!("--description=Command beside {}", app.unit()))
        // The journal does not need the messages about the start and the end of the command.
        .arg(property("LogLevelMax=notice"))
        // With default dependencies, the first command would start sysinit.target in the container,
        // with a dozen services that no application needs.
        .args(["DefaultDependencies=no", "Conflicts=shutdown.target", "Before=shutdown.target"].map(property))
        .args(["--", LAUNCHER]);
    // A container that has been running since an older version has a launcher without `exec-with`.
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

/// Runs `systemd-run` with pipes as its streams. Standard input is left alone unless `read` is set:
/// if it is a terminal and the output goes to a pager, the keys are meant for the pager.
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

/// The options of `logs`.
#[derive(Debug, Clone, Copy)]
pub struct Logs<'a> {
    /// The only application whose messages are shown.
    pub app: Option<&'a str>,
    /// Whether to wait for new lines and print them.
    pub follow: bool,
    /// Maximum number of lines, counted from the end.
    pub lines: Option<u32>,
    /// Only messages since this time (systemd.time(7)).
    pub since: Option<&'a str>,
    /// Only messages until this time (systemd.time(7)).
    pub until: Option<&'a str>,
    /// A regular expression that the messages must match (journalctl(1)).
    pub grep: Option<&'a str>,
    /// The output format (journalctl(1)).
    pub output: Option<&'a str>,
}

/// Shows the log of a container's applications, or of a single application. For a container without
/// applications, shows its whole log. For a stopped container, reads the journal in its upper
/// layer.
///
/// # Errors
/// There is no such container or application.
pub fn logs(container: &str, what: Logs<'_>) -> Result<()> {
    let (show, cause) = shown(container, what)?;
    match show {
        // journalctl can replace this process if no cause is printed after its output.
        Some(mut show) if what.follow || cause.is_none() => Err(show.exec()).context("cannot run journalctl"),
        show => finish(show, cause),
    }
}

/// Like [`logs`], but always returns.
///
/// # Errors
/// As for [`logs`].
pub fn show_logs(container: &str, what: Logs<'_>) -> Result<()> {
    let (show, cause) = shown(container, what)?;
    finish(show, cause)
}

/// Shows the journal, followed by the reason why the container does not run.
fn finish(show: Option<Command>, cause: Option<Cause>) -> Result<()> {
    if let Some(mut show) = show {
        show.status().context("cannot run journalctl")?;
    }
    cause.map_or(Ok(()), |cause| Ok(writeln!(stdout(), "{cause}")?))
}

/// The command that shows the journal, if there is a journal, and the reason why the container does
/// not run.
fn shown(container: &str, what: Logs<'_>) -> Result<(Option<Command>, Option<Cause>)> {
    let applications = applications(container)?;
    let mut show = Command::new("journalctl");
    let is_running = is_running(container)?;
    let cause = if is_running { None } else { cause::of(&Container::unit(container)) };
    if is_running {
        show.arg(format!("--machine={container}"));
    } else {
        let journal = match (kept_journal(container), &cause) {
            // The container failed before it could log anything.
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

/// The arguments of journalctl(1) for the messages of an application: its own messages, those of
/// its health checks, and those messages of the service manager that explain a failed start or run.
/// Other messages of the service manager accompany every stop, for example that `OnSuccess=` starts
/// nothing while the container stops.
fn messages_of(unit: &str) -> Vec<String> {
    /// The message IDs of: a program could not be started, a service has failed, a service ran out
    /// of memory (sd-messages.h).
    const FAILURES: [&str; 3] =
        ["641257651c1b4ec9a8624d7a40a9e1e7", "d9b373ed55a64feb8242e02dbe79a49c", "fe6faa94e7774663a0da52717891d8ef"];
    let mut all: Vec<String> = Vec::new();
    for suffix in ["", "-health", "-health-gate"] {
        all.extend([format!("_SYSTEMD_UNIT={unit}{suffix}.service"), "+".to_owned()]);
    }
    all.push(format!("UNIT={unit}.service"));
    all.extend(FAILURES.map(|id| format!("MESSAGE_ID={id}")));
    // Errors of the service manager. The messages with the IDs above can have other severities.
    all.extend(["+".to_owned(), format!("UNIT={unit}.service"), "PRIORITY=3".to_owned()]);
    all
}

/// Opens a shell in a container, outside of its applications.
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
