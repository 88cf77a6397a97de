// SPDX-License-Identifier: MIT
//! The parent side: copies what the application prints to the journal, passes signals on, and ends as it ended.
//!
//! The journal gives services a socket, and a socket cannot be opened through `/dev/stdout`. A pipe can, by its owner;
//! so the application gets pipes that belong to its user.

use std::convert::Infallible;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, dup2_stderr, dup2_stdout, fchown, fork, pipe2};

/// A pipe from the application, and where it leads.
struct Stream {
    from: Option<File>,
    to: File,
}

/// Runs `child` in a child process whose output belongs to the given user, and ends as the child does.
///
/// # Errors
/// The child cannot be set up; it has not run then.
pub fn supervise(uid: Uid, gid: Gid, child: impl FnOnce() -> Result<Infallible>) -> Result<Infallible> {
    let (out_read, out_write) = pipe(uid, gid)?;
    let (err_read, err_write) = pipe(uid, gid)?;
    let all = SigSet::all();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).context("cannot block signals")?;
    // SAFETY: this process has a single thread.
    match unsafe { fork() }.context("cannot start a process")? {
        ForkResult::Child => {
            dup2_stdout(out_write).and_then(|()| dup2_stderr(err_write)).context("cannot redirect the output")?;
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).context("cannot unblock signals")?;
            child()
        }
        ForkResult::Parent { child } => {
            drop((out_write, err_write));
            let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
            let streams = [
                Stream { from: Some(out_read), to: copy(std::io::stdout().as_fd())? },
                Stream { from: Some(err_read), to: copy(std::io::stderr().as_fd())? },
            ];
            relay(child, streams, &all)
        }
    }
}

fn pipe(uid: Uid, gid: Gid) -> Result<(File, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).context("cannot make a pipe")?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("cannot set up a pipe")?;
    fchown(&write, Some(uid), Some(gid)).context("cannot give a pipe to the application")?;
    Ok((File::from(read), write))
}

fn relay(child: Pid, mut streams: [Stream; 2], signals: &SigSet) -> Result<Infallible> {
    let signals = SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("cannot receive signals")?;
    loop {
        let mut wanted = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let open = streams.iter().filter_map(|s| s.from.as_ref());
        wanted.extend(open.map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN)));
        match poll(&mut wanted, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
        for stream in &mut streams {
            stream.pump();
        }
        while let Some(info) = signals.read_signal().context("cannot receive a signal")? {
            let Some(signal) = i32::try_from(info.ssi_signo).ok() else { continue };
            if signal == Signal::SIGCHLD as i32 {
                if let Some(status) = ended(child) {
                    // What the application printed last is in the pipes already.
                    for stream in &mut streams {
                        stream.pump();
                    }
                    finish(status);
                }
            } else {
                // SAFETY: kill(2) takes any number; nix's own wrapper knows no real-time signals. The child may be
                // gone, which the next SIGCHLD tells.
                unsafe { nix::libc::kill(child.as_raw(), signal) };
            }
        }
    }
}

/// The child's end, if it ended; orphans of the application are the service manager's.
fn ended(child: Pid) -> Option<WaitStatus> {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
        Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => Some(status),
        _ => None,
    }
}

/// Ends with the child's exit status, or by the signal that ended it.
fn finish(status: WaitStatus) -> ! {
    let code = match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => {
            let mut only = SigSet::empty();
            only.add(signal);
            let _ = raise(signal).and_then(|()| sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None));
            // Still here: the signal's default is not to end a process.
            128 + signal as i32
        }
        _ => 1,
    };
    // SAFETY: _exit(2) runs no handlers; nothing of ours is left to be flushed.
    unsafe { nix::libc::_exit(code) }
}

impl Stream {
    /// Copies what is there. Standard output's buffer is not used: it would hold back incomplete lines.
    fn pump(&mut self) {
        let mut buffer = [0; 8192];
        while let Some(from) = &mut self.from {
            match from.read(&mut buffer) {
                Ok(0) => self.from = None,
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    // A journal that is gone must not stop the application: its output is then lost, as it would be.
                    let _ = self.to.write_all(bytes);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.from = None,
            }
        }
    }
}
