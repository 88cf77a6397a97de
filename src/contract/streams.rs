// SPDX-License-Identifier: MIT
//! Copies the streams between a command and its caller, so that neither process has a descriptor of
//! the other.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

use nix::poll::{PollFd, PollFlags, poll};

/// Size of the buffer in bytes: the capacity of a pipe (pipe(7)).
const BUFFER: usize = 64 << 10;

/// Interval in which a thread with a silent stream checks whether the command has ended, in
/// milliseconds.
const INTERVAL: u16 = 100;

/// The streams of one command, each copied by a thread.
#[derive(Debug, Default)]
pub struct Copies {
    ended: Arc<AtomicBool>,
    outputs: Vec<JoinHandle<()>>,
}

impl Copies {
    /// Copies the caller's input to the command, until the input ends or this process exits.
    pub fn input(&self, from: File, to: File) {
        drop(self.start(from, to));
    }

    /// Copies the command's output to the caller.
    pub fn output(&mut self, from: File, to: File) {
        let copying = self.start(from, to);
        self.outputs.push(copying);
    }

    fn start(&self, from: File, to: File) -> JoinHandle<()> {
        let ended = Arc::clone(&self.ended);
        spawn(move || copy(from, to, &ended))
    }

    /// Waits until everything that the command has written is copied. Call this after the command
    /// has ended.
    pub fn finish(self) {
        self.ended.store(true, Ordering::Relaxed);
        for output in self.outputs {
            // A thread that has failed has nothing left to copy.
            let _ = output.join();
        }
    }
}

/// Copies until `from` ends, until `to` has no reader, or until `ended` is set and nothing is left
/// to read: a process that the command has left behind may keep the stream open. Both files are
/// closed at the end.
fn copy(mut from: File, mut to: File, ended: &AtomicBool) {
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
