// SPDX-License-Identifier: MIT
//! The service's main process: copies the application's output to the journal, passes signals on,
//! and ends with the application's status.
//!
//! The journal gives services a socket, and a socket cannot be opened through `/dev/stdout`. A pipe
//! can be opened, so the application gets pipes that belong to its user. The journal splits a
//! stream into lines. Standard output and standard error are separate streams, because they have
//! different severities.

mod stream;

use std::convert::Infallible;
use std::fs::File;
use std::io::{pipe, stderr, stdout};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use anyhow::{Context as _, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fchown, fork};
use sdme_gen::contract::capability::Capabilities;
use sdme_gen::contract::process::{Process, User};
use sdme_gen::journal;

use self::stream::Stream;
use super::confine::keep_only;
use super::environment::Environment;
use super::init;
use crate::{CANNOT_START, status};

/// Runs the application and ends with its status.
///
/// # Errors
/// The application cannot be set up; then no process of the application has run.
pub fn supervise(process: &Process, environment: &Environment, commands: Option<UnixListener>) -> Result<Infallible> {
    let (out_read, out_write) = output(&process.user)?;
    let (err_read, err_write) = output(&process.user)?;
    let (report_read, report_write) = pipe().context("cannot make a pipe")?;
    let (report_read, report_write) = (File::from(OwnedFd::from(report_read)), File::from(OwnedFd::from(report_write)));
    let all = SigSet::all();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).context("cannot block signals")?;
    if !process.private_pids {
        unshare(CloneFlags::CLONE_NEWPID).context("cannot make a PID namespace, which needs CAP_SYS_ADMIN")?;
    }
    // SAFETY: this process has a single thread.
    match unsafe { fork() }.context("cannot start a process")? {
        ForkResult::Child => {
            drop((out_read, err_read, report_read));
            let Err(error) = init::run(process, environment, (out_write, err_write), report_write, commands);
            eprintln!("{error:#}");
            status::leave(CANNOT_START.into())
        }
        ForkResult::Parent { child } => {
            drop((out_write, err_write, report_write, commands));
            // From now on this process only passes signals on.
            keep_only(Capabilities::of(&["KILL"]))?;
            let log = &process.log;
            let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
            let more_severe = log.level.saturating_sub(1);
            let own = if journal::is_stream(stderr()) { journal::open(log, more_severe) } else { None };
            let err_sink = own.map_or_else(|| copy(stderr().as_fd()), Ok)?;
            let out = Stream::new(out_read, copy(stdout().as_fd())?, || journal::open(log, log.level));
            let err = Stream::new(err_read, err_sink, || journal::open(log, more_severe));
            relay(child, [out, err], &all, report_read)
        }
    }
}

/// A pipe for the application's output. Every process that sees the pipe may open it, and only
/// processes of the application see it: many start as root, change to another user, and then open
/// `/dev/stdout`.
fn output(user: &User) -> Result<(File, OwnedFd)> {
    let (read, write) = pipe().context("cannot make a pipe")?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("cannot set up a pipe")?;
    fchown(&write, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
        .context("cannot give a pipe to the application")?;
    fchmod(&write, Mode::from_bits_truncate(0o666)).context("cannot set up a pipe")?;
    Ok((File::from(OwnedFd::from(read)), OwnedFd::from(write)))
}

fn relay(init: Pid, mut streams: [Stream<'_>; 2], signals: &SigSet, report: File) -> Result<Infallible> {
    let signals = SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("cannot receive signals")?;
    let mut ended = None;
    let mut passed_on = 0;
    loop {
        wait(&signals, &streams)?;
        for stream in &mut streams {
            stream.advance();
        }
        while let Some(info) = signals.read_signal().context("cannot receive a signal")? {
            let Some(signal) = i32::try_from(info.ssi_signo).ok() else { continue };
            if signal != libc::SIGCHLD {
                passed_on = signal;
                // SAFETY: kill(2) takes any number; nix's wrapper accepts no real-time signals. If
                // the init has ended already, the next SIGCHLD tells.
                unsafe { libc::kill(init.as_raw(), signal) };
            } else if let Some(status) = gone(init) {
                ended = Some(status);
                // No process is left that could write to the pipes. Earlier output may still be in
                // the pipes.
                for stream in &mut streams {
                    stream.last();
                }
            }
        }
        if let Some(status) = ended
            && streams.iter().all(Stream::is_done)
        {
            let status = status::receive(report, init).unwrap_or(status);
            if journal::is_stream(stderr())
                && let Some(text) = status::describe(status, passed_on)
            {
                // The application's last line may lack its newline, so a newline comes first. The
                // journal drops empty lines.
                eprintln!("\n{text}");
            }
            status::finish(status);
        }
    }
}

/// Waits for a signal or until a stream can make progress.
fn wait(signals: &SignalFd, streams: &[Stream<'_>]) -> Result<()> {
    let mut wanted = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    wanted.extend(streams.iter().flat_map(Stream::wants));
    let timeout = streams.iter().filter_map(Stream::timeout).min();
    // One millisecond more, so that the time is really over afterwards.
    let timeout = timeout
        .map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time.as_millis() + 1).unwrap_or(PollTimeout::MAX));
    match poll(&mut wanted, timeout) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait"),
    }
}

/// The status of the init, if it has ended. The kernel lets the init end only after every other
/// process of its namespace.
fn gone(init: Pid) -> Option<WaitStatus> {
    match waitpid(init, Some(WaitPidFlag::WNOHANG)) {
        Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => Some(status),
        _ => None,
    }
}
