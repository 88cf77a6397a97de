// SPDX-License-Identifier: MIT
//! How far a download has come: told by the thread that fetches, waited for by the one that reads what is there already.
//!
//! What is read that way has not been verified. Whoever hands it out sees to it that nothing comes of it if it turns out
//! not to be what it should.

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
        // Two plain values: there is no half-changed state to be afraid of.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes of the file are there; fewer than before when a download starts over.
    pub fn reached(&self, done: u64) {
        self.state().done = done;
        self.changed.notify_all();
    }

    /// Waits until more than `position` bytes are there, and says how many.
    ///
    /// # Errors
    /// When that will not be, because the download has failed.
    pub fn beyond(&self, position: u64) -> io::Result<u64> {
        let waiting = |state: &mut State| !state.failed && state.done <= position;
        let state = self.changed.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner);
        if state.failed { Err(io::Error::other("its download has failed")) } else { Ok(state.done) }
    }

    /// Whether the download has failed.
    pub fn failed(&self) -> bool {
        self.state().failed
    }
}

/// The end of a download that was not called complete is its failure, however it comes about.
#[derive(Debug, Default)]
pub struct Growing {
    growth: Arc<Growth>,
    complete: bool,
}

impl Growing {
    /// What is to be told.
    pub fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    /// All of it is there, and is what it should be.
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
    fn readers_wait_for_what_comes_and_are_told_of_failure() {
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
        assert!(growth.failed());
        let growing = Growing::default();
        let growth = Arc::clone(growing.growth());
        growth.reached(1);
        growing.complete();
        assert_eq!(growth.beyond(0).unwrap(), 1);
        assert!(!growth.failed());
    }
}
