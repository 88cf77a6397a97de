// SPDX-License-Identifier: MIT
//! The client side of a command that runs next to an application: asks the application's init to
//! start the command ([`super::application::session`]), relays its streams, and ends with the
//! command's exit status.

use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _, pipe, stderr, stdin, stdout};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Gid, Uid, dup2_stderr, dup2_stdout, fchown, isatty};
use sdme_gen::contract::beside::Beside;
use sdme_gen::contract::process::{COMMAND_SOCKETS, User};
use sdme_gen::contract::streams::Copies;

use super::application::session::{READY, Request};
use super::manager::Run;

/// Timeout for the answer of the application's init.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs a command next to the application of `unit`, whose files are in `directory`. Returns the
/// command's exit status, or 128 plus the signal's number if a signal ended the command.
///
/// # Errors
/// The application does not run, or does not accept commands.
pub fn exec(unit: &str, directory: &str, beside: Beside, command: &[&str]) -> Result<ExitCode> {
    if Run::of(unit)?.is_none() {
        bail!("{unit} is not running");
    }
    let user = match &beside.user {
        Some(user) => user.clone(),
        None => super::description(Path::new(directory))?.user,
    };
    let connection = connect(unit)?;
    let terminal = isatty(stdin()).unwrap_or(false) && isatty(stdout()).unwrap_or(false);
    let term = std::env::var("TERM").ok().filter(|_| terminal);
    let request = Request { args: command.iter().map(|&word| word.to_owned()).collect(), term, probe: None, beside };
    if terminal {
        // The terminal was made in this container for this command only (systemd-run(1), --pty).
        give_up_terminal();
        give(stdin().as_fd(), &user)?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).context("cannot block signals")?;
        send(&connection, &request, [stdin().as_fd(), stdout().as_fd(), stderr().as_fd()])?;
        return wait(connection);
    }
    let (to_command, input) = pair(&user)?;
    let (output, from_command) = pair(&user)?;
    let (errors, errors_of_command) = pair(&user)?;
    // The threads inherit the mask, so signals are blocked before they start.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).context("cannot block signals")?;
    send(&connection, &request, [to_command.as_fd(), from_command.as_fd(), errors_of_command.as_fd()])?;
    drop((to_command, from_command, errors_of_command));
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let mut copies = Copies::default();
    copies.input(own(stdin().as_fd())?, input);
    copies.output(output, own(stdout().as_fd())?);
    copies.output(errors, own(stderr().as_fd())?);
    // These descriptors are closed here so that the command notices when a reader closes the
    // streams.
    close_outputs()?;
    let code = wait(connection);
    copies.finish();
    code
}

/// Like [`exec`], but `beside` describes in JSON how the command differs from the application.
///
/// # Errors
/// As for [`exec`].
pub fn with(beside: &str, unit: &str, directory: &str, command: &[&str]) -> Result<ExitCode> {
    let beside = serde_json::from_str(beside).context("the description of the command is damaged")?;
    exec(unit, directory, beside, command)
}

/// Sends a probe, given in JSON, from the namespaces of the application of `unit`. An error of the
/// probe is written to standard error.
///
/// # Errors
/// The application does not accept commands.
pub fn probe(unit: &str, probe: &str) -> Result<ExitCode> {
    let probe = serde_json::from_str(probe).context("the description of the probe is damaged")?;
    let connection = connect(unit)?;
    let request = Request { args: Vec::new(), term: None, probe: Some(probe), beside: Beside::default() };
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).context("cannot block signals")?;
    send(&connection, &request, [stdin().as_fd(), stdout().as_fd(), stderr().as_fd()])?;
    wait(connection)
}

/// Connects to the application's init and waits until it answers.
fn connect(unit: &str) -> Result<UnixStream> {
    let path = Path::new(COMMAND_SOCKETS).join(unit.strip_suffix(".service").unwrap_or(unit));
    let mut connection = UnixStream::connect(&path).with_context(|| format!("{unit} takes no commands"))?;
    connection.set_read_timeout(Some(LIMIT))?;
    let mut ready = [0];
    let answer = connection.read_exact(&mut ready);
    answer.with_context(|| format!("{unit} does not answer; its seccomp profile may not allow accept4(2)"))?;
    if ready != [READY] {
        bail!("{unit} gives an unknown answer");
    }
    connection.set_read_timeout(None)?;
    Ok(connection)
}

/// A pipe that the command's user can open again through `/dev/stdout`.
fn pair(user: &User) -> Result<(File, File)> {
    let (read, write) = pipe().context("cannot make a pipe")?;
    give(write.as_fd(), user)?;
    Ok((File::from(OwnedFd::from(read)), File::from(OwnedFd::from(write))))
}

fn give(stream: BorrowedFd<'_>, user: &User) -> Result<()> {
    fchown(stream, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
        .context("cannot give a stream to the application's user")
}

/// Gives up the controlling terminal, so that the command can have it. An error means that there is
/// no controlling terminal.
fn give_up_terminal() {
    // SAFETY: SIG_IGN runs no code of ours, and the request takes no argument.
    unsafe {
        // The kernel sends SIGHUP to the process that gives up the terminal.
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::ioctl(stdin().as_raw_fd(), libc::TIOCNOTTY);
        libc::signal(libc::SIGHUP, libc::SIG_DFL);
    }
}

/// Replaces standard output and standard error with `/dev/null`. The copying threads then have the
/// only descriptors of these streams.
fn close_outputs() -> Result<()> {
    let null = File::options().write(true).open("/dev/null").context("cannot open /dev/null")?;
    dup2_stdout(&null).and_then(|()| dup2_stderr(&null)).context("cannot close the outputs")
}

fn send(connection: &UnixStream, request: &Request, streams: [BorrowedFd<'_>; 3]) -> Result<()> {
    let text = serde_json::to_vec(request)?;
    let length = u32::try_from(text.len()).context("the command is too long")?.to_ne_bytes();
    let numbers = streams.map(|stream| stream.as_raw_fd());
    let (data, control) = ([IoSlice::new(&length)], [ControlMessage::ScmRights(&numbers)]);
    sendmsg::<()>(connection.as_raw_fd(), &data, &control, MsgFlags::MSG_NOSIGNAL, None)
        .map_err(Into::into)
        .and_then(|_| (&*connection).write_all(&text))
        .context("cannot send the command")
}

/// Passes signals on to the command and waits for its end.
fn wait(mut connection: UnixStream) -> Result<ExitCode> {
    let mut to_init = connection.try_clone()?;
    let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC).context("cannot receive signals")?;
    thread::spawn(move || {
        while let Ok(info) = signals.read_signal() {
            let number = info.and_then(|info| u8::try_from(info.ssi_signo).ok());
            if number.is_some_and(|number| to_init.write_all(&[number]).is_err()) {
                break;
            }
        }
    });
    let mut status = [0; size_of::<libc::c_int>()];
    if connection.read_exact(&mut status).is_err() {
        // The application has ended, and the kernel has killed the commands next to it: 128 plus
        // SIGKILL.
        return Ok(ExitCode::from(137));
    }
    let status = libc::c_int::from_ne_bytes(status);
    let code = if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
