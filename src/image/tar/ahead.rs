// SPDX-License-Identifier: MIT
//! Reading ahead on a thread of its own, so that decompression and unpacking go on at the same time.
//!
//! At most [`CHUNKS`] pieces are in memory, whatever the size of the stream. Must not know what is read.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

/// Bytes of one piece.
const CHUNK: usize = 256 << 10;
/// Pieces between the two threads.
const CHUNKS: usize = 8;

/// The first bytes of a buffer that is used again and again, so that it is cleared only once.
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

/// What the thread has read.
#[derive(Debug)]
pub struct Ahead {
    full: Receiver<io::Result<Piece>>,
    /// Used buffers go back to be filled again.
    empty: Sender<Vec<u8>>,
    piece: Piece,
    at: usize,
}

/// Starts reading `reader` to its end. The thread ends early when what is returned here is dropped.
pub fn ahead<'scope, R: Read + Send + 'scope>(scope: &'scope Scope<'scope, '_>, reader: R) -> Ahead {
    let (sender, full) = sync_channel(CHUNKS);
    let (empty, returned) = channel();
    scope.spawn(move || fill(reader, &sender, &returned));
    Ahead { full, empty, piece: Piece::default(), at: 0 }
}

impl Ahead {
    /// Has a thread look at each piece in between, and refuse it.
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
        // What came before a failure is of no use: the layer is refused anyway.
        if full.send(result.map(|length| Piece { buffer, length })).is_err() || !more {
            return;
        }
    }
}

/// Fills `buffer` as far as there is something to read. Gives how much there was.
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
            // The thread may be done.
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
    fn everything_arrives_in_order() {
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
    fn failures_arrive_and_a_reader_that_leaves_ends_the_thread() {
        std::thread::scope(|scope| {
            let mut reader = ahead(scope, Broken(100));
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap_err().to_string(), "broken");
            let mut reader = ahead(scope, Broken(u64::MAX)).seen_by(scope, |_: &[u8]| Err(io::Error::other("refused")));
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap_err().to_string(), "refused");
            // All of these threads end, or the scope would not.
            drop(ahead(scope, Broken(u64::MAX)).seen_by(scope, |_: &[u8]| Ok(())));
        });
    }
}
