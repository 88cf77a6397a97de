// SPDX-License-Identifier: MIT
//! The first process of the application's PID namespace: an init, which becomes the parent of
//! orphaned processes. When the init ends, the kernel kills every process of the application.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use anyhow::{Context as _, Result};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_child_subreaper, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, fork};
use sdme_gen::contract::capability::Capabilities;
use sdme_gen::contract::process::Process;

use super::confine::{keep_only, limit};
use super::environment::Environment;
use super::protect::protect;
use super::start::start;
use super::{mounts, session};
use crate::{CANNOT_START, status};

/// Runs the application, and exits when the application has ended. All signals are blocked.
///
/// # Errors
/// The application cannot be started.
pub fn run(
    process: &Process,
    environment: &Environment,
    (out, err): (OwnedFd, OwnedFd),
    report: File,
    commands: Option<UnixListener>,
) -> Result<Infallible> {
    // Without the service's main process, nothing would read the application's output.
    set_pdeathsig(Signal::SIGKILL).context("cannot tie the application to its service")?;
    if process.private_pids {
        // With PrivatePIDs=, the first process of the namespace is the service's main process, not
        // this one.
        set_child_subreaper(true).context("cannot become the parent of orphans")?;
    } else {
        mounts::proc(process)?;
        protect(process)?;
    }
    // The application and the commands that run next to it inherit the bounding set.
    limit(process.capabilities)?;
    // SAFETY: this process has a single thread.
    match unsafe { fork() }.context("cannot start a process")? {
        ForkResult::Child => {
            drop((report, commands));
            let Err(error) = start(process, environment, out, err);
            eprintln!("{error:#}");
            status::leave(CANNOT_START.into())
        }
        ForkResult::Parent { child } => {
            drop((out, err));
            // A command next to the application changes to the application's user. With
            // no-new-privileges, root does not regain at execve(2) what this process has given up,
            // so the application's capabilities are kept here.
            keep_only(process.capabilities.with(Capabilities::of(&["KILL", "SETGID", "SETUID"])))?;
            let status = supervise(child.as_raw(), commands, process, environment)?;
            status::send(report, status);
            status::leave(0)
        }
    }
}

/// Passes signals on to `child`, starts commands next to the application, and reaps every process
/// that ends. Returns the status of `child`, as of wait(2), when `child` has ended.
fn supervise(
    child: libc::pid_t,
    mut commands: Option<UnixListener>,
    process: &Process,
    environment: &Environment,
) -> Result<libc::c_int> {
    let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("cannot receive signals")?;
    loop {
        let mut wanted = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        wanted.extend(commands.as_ref().map(|commands| PollFd::new(commands.as_fd(), PollFlags::POLLIN)));
        match poll(&mut wanted, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
        let requested = wanted.get(1).is_some_and(|commands| commands.any().unwrap_or(false));
        while let Some(info) = signals.read_signal().context("cannot receive a signal")? {
            let Some(signal) = i32::try_from(info.ssi_signo).ok() else { continue };
            if signal != libc::SIGCHLD {
                // SAFETY: kill(2) takes any number, including those of real-time signals, which nix
                // has no names for.
                unsafe { libc::kill(child, signal) };
            } else if let Some(status) = reap(child) {
                return Ok(status);
            }
        }
        if requested
            && let Some(listener) = &commands
            && let Err(error) = session::open(listener, process, environment)
        {
            eprintln!("<4>sdme-gen exec and health checks are not possible: {error:#}");
            commands = None;
        }
    }
}

/// Reaps every process that has ended. Returns the status of `child` if `child` is one of them.
fn reap(child: libc::pid_t) -> Option<libc::c_int> {
    let mut found = None;
    loop {
        let mut status = 0;
        // SAFETY: waitpid(2) writes the status and nothing else.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid == child {
            found = Some(status);
        } else if pid <= 0 {
            return found;
        }
    }
}
