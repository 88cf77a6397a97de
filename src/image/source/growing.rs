// SPDX-License-Identifier: MIT
//! The state of a download, shared by the thread that downloads and the thread that reads the
//! partial file.
//!
//! The data that is read from a partial file is not verified. The caller must discard its results
//! if the download turns out to be wrong.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    done: u64,
    failed: bool,
}

/// The state of one download.
#[derive(Debug, Default)]
pub struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

impl Growth {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is two plain values, so a poisoned lock cannot leave it inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that `done` bytes of the file are available. The number decreases if a download
    /// starts over.
    pub fn reached(&self, done: u64) {
        self.state().done = done;
        self.changed.notify_all();
    }

    /// Waits until more than `position` bytes are available, and returns how many.
    ///
    /// # Errors
    /// Returns an error if the download has failed.
    pub fn beyond(&self, position: u64) -> io::Result<u64> {
        let waiting = |state: &mut State| !state.failed && state.done <= position;
        let state = self.changed.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner);
        if state.failed { Err(io::Error::other("its download has failed")) } else { Ok(state.done) }
    }
}

/// Owner of a download's state. A download that is dropped before it is complete counts as failed.
#[derive(Debug, Default)]
pub struct Growing {
    growth: Arc<Growth>,
    complete: bool,
}

impl Growing {
    /// Returns the shared state of the download.
    pub fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    /// Marks the download as complete and verified.
    pub fn complete(mut self) {
        self.complete = true;
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if !self.complete {
            self.growth.state().failed = true;
            self.growth.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn readers_wait_for_data_and_get_the_failure() {
        let growing = Growing::default();
        let growth = Arc::clone(growing.growth());
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| (growth.beyond(0).unwrap(), growth.beyond(5).unwrap()));
            growing.growth().reached(5);
            growing.growth().reached(0);
            growing.growth().reached(7);
            let (first, second) = reader.join().unwrap();
            assert!((first == 5 || first == 7) && second == 7);
            let reader = scope.spawn(|| growth.beyond(7).unwrap_err().to_string());
            drop(growing);
            assert_eq!(reader.join().unwrap(), "its download has failed");
        });
        let growing = Growing::default();
        let growth = Arc::clone(growing.growth());
        growth.reached(1);
        growing.complete();
        assert_eq!(growth.beyond(0).unwrap(), 1);
    }
}
