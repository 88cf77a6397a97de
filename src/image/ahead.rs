// SPDX-License-Identifier: MIT
//! Reading ahead on a thread of its own, so that decompression and unpacking go on at the same time.
//!
//! At most [`CHUNKS`] pieces are in memory, whatever the size of the stream. Must not know what is read.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Bytes of one piece.
const CHUNK: usize = 256 << 10;
/// Pieces between the two threads.
const CHUNKS: usize = 8;

/// What the thread has read.
#[derive(Debug)]
pub struct Ahead {
    full: Receiver<io::Result<Vec<u8>>>,
    /// Used pieces go back to be filled again.
    empty: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

/// Starts reading `reader` to its end. The thread gives it back when it is done; it ends early when what is returned here
/// is dropped.
pub fn ahead<'scope, R: Read + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    reader: R,
) -> (Ahead, ScopedJoinHandle<'scope, R>) {
    let (sender, full) = sync_channel(CHUNKS);
    let (empty, returned) = channel();
    let thread = scope.spawn(move || fill(reader, &sender, &returned));
    (Ahead { full, empty, piece: Vec::new(), at: 0 }, thread)
}

fn fill<R: Read>(mut reader: R, full: &SyncSender<io::Result<Vec<u8>>>, returned: &Receiver<Vec<u8>>) -> R {
    loop {
        let mut piece = returned.try_recv().unwrap_or_default();
        piece.clear();
        let result = reader.by_ref().take(CHUNK as u64).read_to_end(&mut piece);
        let end = result.as_ref().is_ok_and(|read| *read < CHUNK);
        let failed = result.is_err();
        // What came before a failure is of no use: the layer is refused anyway.
        if full.send(result.map(|_| piece)).is_err() || end || failed {
            return reader;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.piece.len() {
            let used = std::mem::take(&mut self.piece);
            // The thread may be done.
            let _ = self.empty.send(used);
            self.at = 0;
            match self.full.recv() {
                Ok(piece) => self.piece = piece?,
                Err(_) => return Ok(0),
            }
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Broken(u64);

    impl Read for Broken {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("broken"))?;
            buf.fill(b'x');
            Ok(buf.len())
        }
    }

    #[test]
    fn everything_arrives_in_order() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 20 * CHUNK + 7] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let mut out = Vec::new();
            std::thread::scope(|scope| {
                let (mut reader, thread) = ahead(scope, bytes.as_slice());
                reader.read_to_end(&mut out).unwrap();
                assert!(thread.join().unwrap().is_empty());
            });
            assert!(out == bytes, "{length}");
        }
    }

    #[test]
    fn failures_arrive_and_a_reader_that_leaves_ends_the_thread() {
        std::thread::scope(|scope| {
            let (mut reader, _) = ahead(scope, Broken(100));
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap_err().to_string(), "broken");
            let (reader, thread) = ahead(scope, Broken(u64::MAX));
            drop(reader);
            thread.join().unwrap();
        });
    }
}
