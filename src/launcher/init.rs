// SPDX-License-Identifier: MIT
//! The first process of the application's PID namespace: an init, for the children that applications leave to it. When it
//! ends, the kernel ends every process of the application.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use nix::libc;
use nix::sys::prctl::{set_child_subreaper, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, fork};
use sdme_gen::process::Process;

use super::confine::limit;
use super::environment::Environment;
use super::start::start;
use super::{CANNOT_START, mounts, status};

/// Runs the application and stays until it ends. All signals are blocked.
///
/// # Errors
/// The application cannot be started.
pub fn run(
    process: &Process,
    environment: &Environment,
    (out, err): (OwnedFd, OwnedFd),
    report: File,
) -> Result<Infallible> {
    // Without the service's own process, nobody would read what the application prints.
    set_pdeathsig(Signal::SIGKILL).context("cannot tie the application to its service")?;
    if process.private_pids {
        // Not the first process of the namespace, which is the service's own.
        set_child_subreaper(true).context("cannot become the parent of orphans")?;
    } else {
        mounts::proc(process)?;
    }
    // For the application, and for commands beside it, which have what this process has.
    limit(process.capabilities)?;
    // SAFETY: this process has a single thread.
    match unsafe { fork() }.context("cannot start a process")? {
        ForkResult::Child => {
            drop(report);
            let Err(error) = start(process, environment, out, err);
            eprintln!("{error:#}");
            status::leave(CANNOT_START.into())
        }
        ForkResult::Parent { child } => {
            drop((out, err));
            let status = supervise(child.as_raw());
            status::tell(report, status);
            status::leave(0)
        }
    }
}

/// Passes signals on to `child` and waits for every process that ends, until it is `child`; gives its status.
fn supervise(child: libc::pid_t) -> libc::c_int {
    loop {
        // SAFETY: both structures are plain data that the calls fill in; what an empty set is, sigfillset() does not care.
        let signal = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigwaitinfo(&raw const all, std::ptr::null_mut())
        };
        if signal == libc::SIGCHLD {
            if let Some(status) = reap(child) {
                return status;
            }
        } else if signal > 0 {
            // SAFETY: kill(2) takes any number, real-time signals among them, which nix has no name for.
            unsafe { libc::kill(child, signal) };
        }
    }
}

/// Waits for all that have ended.
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
