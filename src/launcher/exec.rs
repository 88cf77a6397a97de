// SPDX-License-Identifier: MIT
//! The client of a command that runs beside an application: asks the application's init to start it ([`super::application::session`]),
//! relays its streams, and ends as the command does.

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
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Gid, Uid, dup2_stderr, dup2_stdout, fchown, isatty};
use sdme_gen::contract::beside::Beside;
use sdme_gen::contract::process::{COMMAND_SOCKETS, User};
use sdme_gen::contract::streams::Copies;

use super::application::session::{READY, Request};
use super::manager::Run;

/// How long the application's init may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs a command beside the application of `unit`, whose files are in `directory`, and ends as it ends; 128 and the
/// signal's number if a signal ended it.
///
/// # Errors
/// The application does not run or takes no commands.
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
        // The terminal was made in this container for this command (systemd-run(1), --pty).
        give_up_terminal();
        give(stdin().as_fd(), &user)?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).context("cannot block signals")?;
        send(&connection, &request, [stdin().as_fd(), stdout().as_fd(), stderr().as_fd()])?;
        return wait(connection);
    }
    let (to_command, input) = pair(&user)?;
    let (output, from_command) = pair(&user)?;
    let (errors, errors_of_command) = pair(&user)?;
    // For the threads, too.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).context("cannot block signals")?;
    send(&connection, &request, [to_command.as_fd(), from_command.as_fd(), errors_of_command.as_fd()])?;
    drop((to_command, from_command, errors_of_command));
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let mut copies = Copies::default();
    copies.input(own(stdin().as_fd())?, input);
    copies.output(output, own(stdout().as_fd())?);
    copies.output(errors, own(stderr().as_fd())?);
    // A reader that closes these streams is to be noticed by the command.
    close_outputs()?;
    let code = wait(connection);
    copies.finish();
    code
}

/// As [`exec`], with what is different about the command, in JSON.
///
/// # Errors
/// As for [`exec`].
pub fn with(beside: &str, unit: &str, directory: &str, command: &[&str]) -> Result<ExitCode> {
    let beside = serde_json::from_str(beside).context("the description of the command is damaged")?;
    exec(unit, directory, beside, command)
}

/// Has a probe, in JSON, put from where the application of `unit` runs. What is wrong goes to the standard error output.
///
/// # Errors
/// The application takes no commands.
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

/// A pipe that the command's user may open again, as `/dev/stdout`.
fn pair(user: &User) -> Result<(File, File)> {
    let (read, write) = pipe().context("cannot make a pipe")?;
    give(write.as_fd(), user)?;
    Ok((File::from(OwnedFd::from(read)), File::from(OwnedFd::from(write))))
}

fn give(stream: BorrowedFd<'_>, user: &User) -> Result<()> {
    fchown(stream, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
        .context("cannot give a stream to the application's user")
}

/// Lets the command have the terminal as its controlling one. Without one, there is nothing to give up.
fn give_up_terminal() {
    // SAFETY: SIG_IGN runs no code of ours, and the request takes no argument.
    unsafe {
        // The kernel sends this signal to the process that gives the terminal up.
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::ioctl(stdin().as_raw_fd(), libc::TIOCNOTTY);
        libc::signal(libc::SIGHUP, libc::SIG_DFL);
    }
}

/// Puts `/dev/null` in place of the outputs: the copying threads have the only descriptors then.
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

/// Passes signals on and waits for the command's end.
fn wait(mut connection: UnixStream) -> Result<ExitCode> {
    let mut to_init = connection.try_clone()?;
    thread::spawn(move || {
        loop {
            let Ok(signal) = SigSet::all().wait() else { continue };
            if to_init.write_all(&[u8::try_from(signal as i32).unwrap_or(0)]).is_err() {
                break;
            }
        }
    });
    let mut status = [0; size_of::<libc::c_int>()];
    if connection.read_exact(&mut status).is_err() {
        // The application has ended, and the kernel has killed what ran beside it.
        return Ok(ExitCode::from(137));
    }
    let status = libc::c_int::from_ne_bytes(status);
    let code = if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
