// SPDX-License-Identifier: MIT
//! The application's directory, which the service manager opens and hands over (systemd.service(5), `OpenFile=`). No path in the
//! application's root leads there; and what is mounted over parts of the root does not cover what it holds.

use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use sdme_gen::process::HANDED_OVER;

/// The first descriptor that is handed over (`sd_listen_fds(3)`).
const FIRST: RawFd = 3;

/// The directory. It is closed when a program is executed.
pub struct Directory(OwnedFd);

impl Directory {
    /// Takes it from among what is handed over; the rest is the application's, numbered as if it had not been there.
    ///
    /// # Errors
    /// It is not there.
    pub fn take() -> Result<Self> {
        let missing = || format!("no directory is handed over by the name {HANDED_OVER}");
        let names = std::env::var("LISTEN_FDNAMES").ok().with_context(missing)?;
        let mut names: Vec<&str> = names.split(':').collect();
        let index = names.iter().position(|name| *name == HANDED_OVER).with_context(missing)?;
        names.remove(index);
        let number =
            |index: usize| RawFd::try_from(index).map(|index| FIRST + index).context("too much is handed over");
        let own = number(index)?;
        let last = number(names.len())?;
        // SAFETY: the service manager has opened these descriptors for us, and nothing else has taken them.
        let taken = unsafe { fcntl(BorrowedFd::borrow_raw(own), FcntlArg::F_DUPFD_CLOEXEC(last + 1)) };
        // SAFETY: it is new, and nobody else's.
        let taken = unsafe { OwnedFd::from_raw_fd(taken.with_context(missing)?) };
        for number in own..last {
            // SAFETY: dup2(2) takes numbers; what is there moves down by one.
            unsafe { libc::dup2(number + 1, number) };
        }
        // SAFETY: what was the last one is a copy by now, or the directory itself.
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
        Ok(Self(taken))
    }

    /// A path for this process, as long as the value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
