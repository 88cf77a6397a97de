// SPDX-License-Identifier: MIT
//! Becomes the application.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;

use anyhow::{Context as _, Result, bail};
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{Gid, Uid, chdir, dup2_stderr, dup2_stdout, execve, setgid, setgroups, setsid, setuid};
use sdme_gen::contract::process::Process;

use super::confine::{hand_on, outlast_root};
use super::environment::{DEFAULT_PATH, Environment};

/// Executes the program, with its output into the two pipes.
///
/// # Errors
/// It cannot be executed. What is printed then goes into the pipes, too.
pub fn start(process: &Process, environment: &Environment, out: OwnedFd, err: OwnedFd) -> Result<Infallible> {
    // Of its own session: a program that signals its process group does not mean the launcher.
    setsid().context("cannot make a session")?;
    dup2_stdout(&out).and_then(|()| dup2_stderr(&err)).context("cannot redirect the output")?;
    drop((out, err));
    // From the launcher's own environment: the image cannot set a variable there.
    let passed = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    execute(process, environment, passed)
}

/// A program that the kernel does not execute.
#[derive(Debug)]
pub struct NotExecuted {
    program: String,
    /// Why.
    pub error: nix::Error,
}

impl std::fmt::Display for NotExecuted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot start {}: {}", self.program, self.error.desc())
    }
}

impl std::error::Error for NotExecuted {}

/// Executes the program as the process asks for, in the root and with the streams of the caller. The program gets the
/// first `passed` sockets of those that the service manager passes.
///
/// # Errors
/// It cannot be executed; [`NotExecuted`] if the kernel refuses.
pub fn execute(process: &Process, environment: &Environment, passed: u16) -> Result<Infallible> {
    let program = process.args.first().context("the image names no program; write Exec= in the .container file")?;
    let strings = environment.strings()?;
    close_descriptors(passed);
    let denied = match enter(&process.cwd) {
        // Root without the capability to enter every directory, as for a command beside an application that lacks it.
        Err(error) if error.downcast_ref() == Some(&nix::Error::EACCES) => true,
        entered => entered.map(|()| false)?,
    };
    if let Some(kept) = process.kept {
        outlast_root()?;
        become_user(process)?;
        hand_on(kept)?;
    } else {
        become_user(process)?;
    }
    if denied {
        enter(&process.cwd)?;
    }
    default_signals()?;

    let search = environment.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
    let arguments: Vec<CString> = process.args.iter().map(|a| CString::new(a.as_str())).collect::<Result<_, _>>()?;
    let mut last = nix::Error::ENOENT;
    for candidate in candidates(program, search) {
        match execve(&candidate?, &arguments, &strings) {
            Ok(never) => match never {},
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR) => {}
            Err(error) => last = error,
        }
    }
    Err(NotExecuted { program: program.clone(), error: last }.into())
}

/// Closes every descriptor except the standard streams and as many sockets as the service manager passes
/// (`sd_listen_fds(3)`). A working directory may be a symbolic link to `/proc/self/fd/N`, which must not lead to a
/// descriptor of the launcher. Close-on-exec would be too late, because the directory is entered before.
fn close_descriptors(passed: u16) {
    let first = 3 + libc::c_uint::from(passed);
    // SAFETY: this process uses none of these descriptors again.
    if unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) } != 0 {
        // A seccomp profile may deny close_range(2). The launcher has opened few files, so that their numbers are low.
        for number in (first..first + 1024).filter_map(|number| libc::c_int::try_from(number).ok()) {
            // SAFETY: as above.
            unsafe { libc::close(number) };
        }
    }
}

/// Enters the working directory. A missing directory is created, as Docker does.
fn enter(directory: &str) -> Result<()> {
    let entered = if directory.is_empty() || chdir(directory).is_ok() { Ok(()) } else { create(directory) };
    entered.and_then(|()| inside_root()).with_context(|| format!("cannot enter the working directory {directory}"))
}

/// Creates what is missing of a directory and enters it, one component after the other: nothing is created in a directory
/// that is outside of the root.
fn create(directory: &str) -> Result<()> {
    if directory.starts_with('/') {
        chdir("/")?;
    }
    for part in directory.split('/').filter(|part| !part.is_empty()) {
        match chdir(part) {
            Err(nix::Error::ENOENT) => {
                std::fs::DirBuilder::new().mode(0o755).create(part)?;
                chdir(part)?;
            }
            entered => entered?,
        }
        inside_root()?;
    }
    Ok(())
}

/// Checks that the current directory is inside the root. A path cannot tell: a component of the path may be a link in `/proc`
/// that leads anywhere. The kernel returns a path that begins with `/` only if the root is above the directory (getcwd(2)).
fn inside_root() -> Result<()> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // The system call itself, because C libraries replace "(unreachable)" with a path that they look up.
    // SAFETY: the kernel writes no more than the length of the buffer.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    if length < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    if path.first() != Some(&b'/') {
        bail!("the directory is outside of the application's root");
    }
    Ok(())
}

/// Becomes the application's user without executing anything, with no descriptors but the standard streams.
///
/// # Errors
/// The kernel refuses.
pub fn be_the_user(process: &Process) -> Result<()> {
    close_descriptors(0);
    become_user(process)?;
    default_signals()
}

fn become_user(process: &Process) -> Result<()> {
    let user = &process.user;
    let groups: Vec<Gid> = user.additional_gids.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).context("cannot set the supplementary groups")?;
    setgid(Gid::from_raw(user.gid)).with_context(|| format!("cannot become group {}", user.gid))?;
    setuid(Uid::from_raw(user.uid)).with_context(|| format!("cannot become user {}", user.uid))
}

/// Undoes what this program, its language's runtime and the service manager (`IgnoreSIGPIPE=`) have done to signals.
fn default_signals() -> Result<()> {
    // The kernel's structure, whichever its order: no handler, no flags, no mask. The C library would keep two signals
    // for itself.
    let default = [0_u64; 4];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads no more than this, and runs no code of ours for it. Signals that cannot be set are what
        // they should be already.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).context("cannot unblock signals")
}

/// Where the program may be (execvp(3)).
fn candidates<'a>(
    program: &'a str,
    search: &'a OsStr,
) -> impl Iterator<Item = Result<CString, std::ffi::NulError>> + use<'a> {
    let directories = if program.contains('/') { b"".as_slice() } else { search.as_bytes() };
    directories.split(|b| *b == b':').map(move |directory| {
        let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        CString::new([directory, slash, program.as_bytes()].concat())
    })
}
