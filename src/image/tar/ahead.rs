// SPDX-License-Identifier: MIT
//! Reads ahead in a separate thread, so that decompression and unpacking run in parallel.
//!
//! At most [`CHUNKS`] pieces wait between two threads, whatever the size of the stream. This module
//! must not know the content.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

/// Size of a piece in bytes.
const CHUNK: usize = 256 << 10;
/// Maximum number of pieces between two threads.
const CHUNKS: usize = 8;

/// The first `length` bytes of a buffer. Buffers are reused, so that they are zeroed only once.
#[derive(Debug, Default)]
struct Piece {
    buffer: Vec<u8>,
    length: usize,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

/// The stream of the pieces that the thread has read.
#[derive(Debug)]
pub struct Ahead {
    full: Receiver<io::Result<Piece>>,
    /// Used buffers are sent back to be filled again.
    empty: Sender<Vec<u8>>,
    piece: Piece,
    at: usize,
}

/// Starts reading `reader` to its end. The thread ends early when the result is dropped.
pub fn ahead<'scope, R: Read + Send + 'scope>(scope: &'scope Scope<'scope, '_>, reader: R) -> Ahead {
    let (sender, full) = sync_channel(CHUNKS);
    let (empty, returned) = channel();
    scope.spawn(move || fill(reader, &sender, &returned));
    Ahead { full, empty, piece: Piece::default(), at: 0 }
}

impl Ahead {
    /// Passes each piece to `look` in another thread. An error of `look` ends the stream.
    #[must_use]
    pub fn seen_by<'scope, F: FnMut(&[u8]) -> io::Result<()> + Send + 'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        mut look: F,
    ) -> Self {
        let (sender, seen) = sync_channel(CHUNKS);
        let full = self.full;
        scope.spawn(move || {
            for piece in full {
                let piece = piece.and_then(|piece| look(piece.bytes()).map(|()| piece));
                let failed = piece.is_err();
                if sender.send(piece).is_err() || failed {
                    break;
                }
            }
        });
        Self { full: seen, ..self }
    }
}

fn fill(mut reader: impl Read, full: &SyncSender<io::Result<Piece>>, returned: &Receiver<Vec<u8>>) {
    loop {
        let mut buffer = returned.try_recv().unwrap_or_default();
        buffer.resize(CHUNK, 0);
        let result = read_whole(&mut reader, &mut buffer);
        let more = result.as_ref().is_ok_and(|length| *length == CHUNK);
        // The data before a failure is not used, because the layer is refused anyway.
        if full.send(result.map(|length| Piece { buffer, length })).is_err() || !more {
            return;
        }
    }
}

/// Fills `buffer` as far as possible. Returns the number of bytes, which is smaller only at the end
/// of the stream.
pub(crate) fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.piece.length {
            let used = std::mem::take(&mut self.piece);
            // The thread may have ended already.
            let _ = self.empty.send(used.buffer);
            self.at = 0;
            match self.full.recv() {
                Ok(piece) => self.piece = piece?,
                Err(_) => return Ok(0),
            }
        }
        let rest = self.piece.bytes().get(self.at..).unwrap_or_default();
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
    fn all_bytes_arrive_in_order() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 20 * CHUNK + 7] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let (mut out, mut seen) = (Vec::new(), Vec::new());
            std::thread::scope(|scope| {
                let look = |piece: &[u8]| {
                    seen.extend_from_slice(piece);
                    Ok(())
                };
                ahead(scope, bytes.as_slice()).seen_by(scope, look).read_to_end(&mut out).unwrap();
            });
            assert!(out == bytes && seen == bytes, "{length}");
        }
    }

    #[test]
    fn errors_are_passed_on_and_a_dropped_reader_ends_the_thread() {
        std::thread::scope(|scope| {
            let mut reader = ahead(scope, Broken(100));
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap_err().to_string(), "broken");
            let mut reader = ahead(scope, Broken(u64::MAX)).seen_by(scope, |_: &[u8]| Err(io::Error::other("refused")));
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap_err().to_string(), "refused");
            // All of these threads end, otherwise the scope would not return.
            drop(ahead(scope, Broken(u64::MAX)).seen_by(scope, |_: &[u8]| Ok(())));
        });
    }
}
