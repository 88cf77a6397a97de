// SPDX-License-Identifier: MIT
//! Copies a stream of a command to a stream of its caller, so that neither has a descriptor of the other's.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, poll};

/// As much as a pipe holds.
const BUFFER: usize = 64 << 10;

/// How often a stream that is silent is asked whether the command has ended, in milliseconds.
const INTERVAL: u16 = 100;

/// Copies until `from` ends, until nobody reads `to` any more, or until `ended` is set and nothing is left to be read: a process
/// that the command has left behind may keep the stream open. Both ends are closed then.
pub fn copy(mut from: File, mut to: File, ended: &AtomicBool) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let last = ended.load(Ordering::Relaxed);
        let mut wanted = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, if last { 0 } else { INTERVAL }) {
            Ok(0) if last => return,
            Ok(0) | Err(nix::Error::EINTR) => continue,
            _ => {}
        }
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                if to.write_all(buffer.get(..length).unwrap_or_default()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
