// SPDX-License-Identifier: MIT
//! Runs a command next to the application for a client in the container's root (see
//! [`super::exec`]). The application's init forks for each connection, so that the command is
//! confined exactly as the application is: it inherits namespaces, system call filters, bounding
//! set and limits.
//!
//! The client sends a [`Request`] with three descriptors, then one byte per signal to pass on. The
//! client receives [`READY`], then the command's status as of wait(2). When the connection ends,
//! the command is killed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, isatty, setsid};
use sdme_gen::contract::beside::Beside;
use sdme_gen::contract::probe::Probe;
use sdme_gen::contract::process::Process;
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::probe;
use super::start::{NotExecuted, become_user_only, execute};
use crate::{CANNOT_START, status};

/// The first byte that the client receives.
pub const READY: u8 = b'+';

/// The exit status of shells and container engines for a program that cannot be executed.
const NOT_EXECUTABLE: i32 = 126;

/// Variables that are meant for the application only.
const NOT_SHARED: [&str; 5] = ["FDSTORE", "LISTEN_FDNAMES", "LISTEN_FDS", "NOTIFY_SOCKET", "WATCHDOG_USEC"];

/// The request to run a command next to the application.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `TERM`, if the command has a terminal.
    pub term: Option<String>,
    /// A probe that is sent instead of running a command.
    pub probe: Option<Probe>,
    /// How the command differs from the application.
    #[serde(default)]
    pub beside: Beside,
}

/// Accepts a connection and serves it in a new process.
///
/// # Errors
/// The socket accepts no connections.
pub fn open(listener: &UnixListener, process: &Process, environment: &Environment) -> Result<()> {
    let connection = match listener.accept() {
        Ok((connection, _)) => connection,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
        Err(error) => return Err(error).context("cannot accept a connection"),
    };
    // SAFETY: this process has a single thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            // After an error, the client only sees the end of the connection.
            let _ = serve(connection, process, environment);
            status::leave(0)
        }
        // If no process can be made, the client sees the end of the connection. The next connection
        // may succeed.
        Ok(ForkResult::Parent { .. }) | Err(_) => Ok(()),
    }
}

fn serve(mut connection: UnixStream, process: &Process, environment: &Environment) -> Result<()> {
    connection.write_all(&[READY])?;
    let (request, streams) = receive(&mut connection)?;
    let mut environment = environment.without(&NOT_SHARED);
    if let Some(term) = request.term {
        environment.set("TERM".into(), term.into());
    }
    let Beside { environment: more, cwd, user } = request.beside;
    if let Some(user) = &user {
        environment.set("HOME".into(), user.home.clone().into());
    }
    for (name, value) in more.iter().filter_map(|variable| variable.split_once('=')) {
        environment.set(name.into(), value.into());
    }
    let (cwd, user) = (cwd.unwrap_or_else(|| process.cwd.clone()), user.unwrap_or_else(|| process.user.clone()));
    let process = Process { args: request.args, cwd, user, ..process.clone() };
    // SAFETY: this process has a single thread.
    match unsafe { fork() }.context("cannot start a process")? {
        ForkResult::Child if request.probe.is_some() => {
            let asked = redirect(&streams).and_then(|()| become_user_only(&process));
            let asked = asked.and_then(|()| request.probe.as_ref().map_or(Ok(()), probe::send));
            if let Err(error) = &asked {
                eprintln!("{error:#}");
            }
            status::leave(i32::from(asked.is_err()))
        }
        ForkResult::Child => {
            let Err(error) = become_command(&streams, &process, &environment);
            eprintln!("{error:#}");
            let refused = error.downcast_ref::<NotExecuted>().is_some_and(|reason| reason.error == Errno::EACCES);
            status::leave(if refused { NOT_EXECUTABLE } else { CANNOT_START.into() })
        }
        ForkResult::Parent { child } => {
            drop(streams);
            let status = watch(&mut connection, child.as_raw())?;
            Ok(connection.write_all(&status.to_ne_bytes())?)
        }
    }
}

/// Reads the request and the three descriptors, which are attached to its first byte.
fn receive(connection: &mut UnixStream) -> Result<(Request, [OwnedFd; 3])> {
    let mut length = [0; size_of::<u32>()];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 3]);
    let mut streams = Vec::new();
    let read = {
        let mut into = [std::io::IoSliceMut::new(&mut length)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(connection.as_raw_fd(), &mut into, Some(&mut space), flags)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                // SAFETY: the kernel has just made these descriptors for this process.
                streams.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
        message.bytes
    };
    connection.read_exact(length.get_mut(read..).unwrap_or_default())?;
    let mut text = vec![0; usize::try_from(u32::from_ne_bytes(length))?];
    connection.read_exact(&mut text)?;
    let Ok(streams) = <[OwnedFd; 3]>::try_from(streams) else { bail!("a request needs three descriptors") };
    Ok((serde_json::from_slice(&text)?, streams))
}

fn become_command(
    streams: &[OwnedFd; 3],
    process: &Process,
    environment: &Environment,
) -> Result<std::convert::Infallible> {
    redirect(streams)?;
    // The sockets of the service manager are for the application only.
    execute(process, environment, 0)
}

/// Starts a session with these standard streams.
fn redirect([input, output, errors]: &[OwnedFd; 3]) -> Result<()> {
    setsid().context("cannot make a session")?;
    if isatty(input).unwrap_or(false) {
        // Errors are ignored: without a controlling terminal, only job control is missing.
        // SAFETY: the request takes a number.
        unsafe { libc::ioctl(input.as_raw_fd(), libc::TIOCSCTTY, 0) };
    }
    dup2_stdin(input)
        .and_then(|()| dup2_stdout(output))
        .and_then(|()| dup2_stderr(errors))
        .context("cannot redirect the output")
}

/// Waits for the end of the command and passes signals on to it. Kills the command when the client
/// closes the connection. Returns the status as of wait(2).
fn watch(connection: &mut UnixStream, child: libc::pid_t) -> Result<libc::c_int> {
    let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("cannot receive signals")?;
    loop {
        let mut status = 0;
        // SAFETY: waitpid(2) writes the status and nothing else.
        if unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == child {
            return Ok(status);
        }
        let mut wanted =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(connection.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
        let [_, asked] = wanted.map(|fd| fd.any().unwrap_or(false));
        while signals.read_signal().context("cannot receive a signal")?.is_some() {}
        if asked {
            let mut signal = [0];
            if connection.read_exact(&mut signal).is_ok() {
                let [signal] = signal;
                // SAFETY: kill(2) takes any number.
                unsafe { libc::kill(child, signal.into()) };
            } else {
                // The command is the leader of its session and of its process group.
                // SAFETY: as above.
                unsafe { libc::kill(-child, libc::SIGKILL) };
                bail!("the client has gone");
            }
        }
    }
}
