// SPDX-License-Identifier: MIT
//! Descriptors from the service manager: the application's directory, which the service manager
//! opens (systemd.service(5), `OpenFile=`), and the socket that accepts commands for the
//! application. No path in the application's root leads to that directory, and mounts over parts of
//! the root do not hide its content.

use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use sdme_gen::contract::process::{COMMANDS, HANDED_OVER};

/// The first descriptor that the service manager passes (`sd_listen_fds(3)`).
const FIRST: RawFd = 3;

/// The application's directory. The descriptor is closed when a program is executed.
pub struct Directory(OwnedFd);

impl Directory {
    /// Takes the directory from the descriptors that the service manager passes.
    ///
    /// # Errors
    /// The service manager has not passed the directory.
    pub fn take() -> Result<Self> {
        take(HANDED_OVER)?.map(Self).with_context(|| format!("no directory is handed over by the name {HANDED_OVER}"))
    }

    /// A path to the directory for this process, valid as long as the value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// Takes the socket that accepts commands for the application. The descriptor is closed when a
/// program is executed.
///
/// # Errors
/// The descriptors cannot be rearranged.
pub fn commands() -> Result<Option<UnixListener>> {
    Ok(take(COMMANDS)?.map(UnixListener::from))
}

/// Takes the descriptor called `name` out of the list. The application gets the other descriptors,
/// numbered as if this one had not been passed.
fn take(name: &str) -> Result<Option<OwnedFd>> {
    let Ok(names) = std::env::var("LISTEN_FDNAMES") else { return Ok(None) };
    let mut names: Vec<&str> = names.split(':').collect();
    let Some(index) = names.iter().position(|other| *other == name) else { return Ok(None) };
    names.remove(index);
    let number = |index: usize| RawFd::try_from(index).map(|index| FIRST + index).context("too much is handed over");
    let own = number(index)?;
    let last = number(names.len())?;
    // SAFETY: the service manager has opened these descriptors for us, and nothing else has taken them.
    let taken = unsafe { fcntl(BorrowedFd::borrow_raw(own), FcntlArg::F_DUPFD_CLOEXEC(last + 1)) };
    let taken = taken.with_context(|| format!("the descriptor {name} is not open"))?;
    // SAFETY: the descriptor is new, and nothing else owns it.
    let taken = unsafe { OwnedFd::from_raw_fd(taken) };
    for number in own..last {
        // SAFETY: dup2(2) takes numbers; what is there moves down by one.
        unsafe { libc::dup2(number + 1, number) };
    }
    // SAFETY: the last descriptor has been copied by now.
    drop(unsafe { File::from_raw_fd(last) });
    // SAFETY: this process has a single thread.
    unsafe {
        if names.is_empty() {
            std::env::remove_var("LISTEN_FDS");
            std::env::remove_var("LISTEN_FDNAMES");
        } else {
            std::env::set_var("LISTEN_FDS", names.len().to_string());
            std::env::set_var("LISTEN_FDNAMES", names.join(":"));
        }
    }
    Ok(Some(taken))
}
