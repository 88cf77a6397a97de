// SPDX-License-Identifier: MIT
//! Copies the streams between a command and its caller, so that neither has a descriptor of the other's.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

use nix::poll::{PollFd, PollFlags, poll};

/// As much as a pipe holds.
const BUFFER: usize = 64 << 10;

/// How often a stream that is silent is asked whether the command has ended, in milliseconds.
const INTERVAL: u16 = 100;

/// The streams of one command, each copied by a thread.
#[derive(Debug, Default)]
pub struct Copies {
    ended: Arc<AtomicBool>,
    outputs: Vec<JoinHandle<()>>,
}

impl Copies {
    /// Copies input of the caller's to the command, for as long as this process lives.
    pub fn input(&self, from: File, to: File) {
        drop(self.start(from, to));
    }

    /// Copies output of the command's to the caller.
    pub fn output(&mut self, from: File, to: File) {
        let copying = self.start(from, to);
        self.outputs.push(copying);
    }

    fn start(&self, from: File, to: File) -> JoinHandle<()> {
        let ended = Arc::clone(&self.ended);
        spawn(move || copy(from, to, &ended))
    }

    /// The command has ended: waits until what it has written is copied.
    pub fn finish(self) {
        self.ended.store(true, Ordering::Relaxed);
        for output in self.outputs {
            // A thread that has failed has nothing left to copy.
            let _ = output.join();
        }
    }
}

/// Copies until `from` ends, until `to` has no reader any more, or until `ended` is set and nothing is left to be read: a process
/// that the command has left behind may keep the stream open. Both ends are closed then.
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
