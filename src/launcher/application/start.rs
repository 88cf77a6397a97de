// SPDX-License-Identifier: MIT
//! Replaces this process with the application.

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

use super::confine::{keep_across_setuid, make_ambient};
use super::environment::{DEFAULT_PATH, Environment};

/// Executes the program, with its output connected to the two pipes.
///
/// # Errors
/// The program cannot be executed. The message can still be written to the pipes.
pub fn start(process: &Process, environment: &Environment, out: OwnedFd, err: OwnedFd) -> Result<Infallible> {
    // The program gets its own session, so that signals to its process group do not reach the
    // launcher.
    setsid().context("cannot make a session")?;
    dup2_stdout(&out).and_then(|()| dup2_stderr(&err)).context("cannot redirect the output")?;
    drop((out, err));
    // The count comes from the launcher's environment, where the image cannot set variables.
    let passed = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    execute(process, environment, passed)
}

/// The error of a program that the kernel does not execute.
#[derive(Debug)]
pub struct NotExecuted {
    program: String,
    /// The error of execve(2).
    pub error: nix::Error,
}

impl std::fmt::Display for NotExecuted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot start {}: {}", self.program, self.error.desc())
    }
}

impl std::error::Error for NotExecuted {}

/// Executes the program that `process` describes, in the root and with the standard streams of the
/// caller. The program gets the first `passed` sockets of the service manager.
///
/// # Errors
/// The program cannot be executed; the error is [`NotExecuted`] if execve(2) fails.
pub fn execute(process: &Process, environment: &Environment, passed: u16) -> Result<Infallible> {
    let program = process.args.first().context("the image names no program; write Exec= in the .container file")?;
    let strings = environment.strings()?;
    close_descriptors(passed);
    let denied = match enter(&process.cwd) {
        // Root lacks the capability to enter every directory, for example in a command next to an
        // application without it. The application's user may still be able to enter.
        Err(error) if error.downcast_ref() == Some(&nix::Error::EACCES) => true,
        entered => entered.map(|()| false)?,
    };
    if let Some(kept) = process.kept {
        keep_across_setuid()?;
        become_user(process)?;
        make_ambient(kept)?;
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

/// Closes every descriptor except the standard streams and the first `passed` sockets of the
/// service manager (`sd_listen_fds(3)`). A working directory may be a symbolic link to
/// `/proc/self/fd/N`, which must not lead to a descriptor of the launcher. Close-on-exec would be
/// too late, because the working directory is entered before.
fn close_descriptors(passed: u16) {
    let first = 3 + libc::c_uint::from(passed);
    // SAFETY: this process uses none of these descriptors again.
    if unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) } != 0 {
        // A seccomp profile may deny close_range(2). The launcher has opened few files, so that
        // their numbers are low.
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

/// Creates the missing components of a directory and enters them, one after the other. Nothing is
/// created in a directory that is outside of the root.
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

/// Checks that the current directory is inside the root. The path does not show that: one of its
/// components may be a link in `/proc` that leads anywhere. The kernel returns a path that begins
/// with `/` only if the root is above the directory (getcwd(2)).
fn inside_root() -> Result<()> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // The system call is used directly, because C libraries replace "(unreachable)" with a path
    // that they look up.
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

/// Changes to the application's user without executing a program. Only the standard streams stay
/// open.
///
/// # Errors
/// The kernel refuses.
pub fn become_user_only(process: &Process) -> Result<()> {
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

/// Resets the signal settings of this program, of Rust's runtime and of the service manager
/// (`IgnoreSIGPIPE=`).
fn default_signals() -> Result<()> {
    // All zeros mean no handler, no flags and no mask, whatever the field order of the kernel's
    // structure is. The functions of the C library would not change the two signals that the
    // library reserves for itself.
    let default = [0_u64; 4];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads only this structure, and no handler of this program runs. Errors
        // are ignored: SIGKILL and SIGSTOP always have their default action.
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

/// The possible paths of the program (execvp(3)).
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
