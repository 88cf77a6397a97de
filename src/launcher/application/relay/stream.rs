// SPDX-License-Identifier: MIT
//! Copies one output of the application to the journal.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};

/// How long the application waits for the journal. After that, its output is dropped and counted
/// until the journal reads again.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Size of the buffer in bytes: the capacity of a pipe (pipe(7)), so that large outputs need the
/// fewest system calls.
const BUFFER: usize = 64 << 10;

/// Number of buffers that one stream may copy before the other stream continues.
const TURN: usize = 16;

/// A pipe and its destination. Neither of them ever blocks.
pub struct Stream<'a> {
    from: Option<File>,
    to: Option<File>,
    /// Opens a new `to` after the old one has failed.
    reopen: Box<dyn Fn() -> Option<File> + 'a>,
    buffer: Box<[u8]>,
    /// The part of the buffer that is still to be written.
    pending: std::ops::Range<usize>,
    /// When the journal stopped reading, if it is not reading now.
    waiting: Option<Instant>,
    timeout: Duration,
    /// Number of bytes that were dropped and not reported yet.
    lost: usize,
    last: bool,
}

impl<'a> Stream<'a> {
    pub fn new(from: File, to: File, reopen: impl Fn() -> Option<File> + 'a) -> Self {
        let mut stream = Self {
            from: Some(from),
            to: None,
            reopen: Box::new(reopen),
            buffer: vec![0; BUFFER].into(),
            pending: 0..0,
            waiting: None,
            timeout: TIMEOUT,
            lost: 0,
            last: false,
        };
        stream.to = nonblocking(to);
        stream
    }

    /// The descriptors and events to wait for.
    pub fn wants(&self) -> impl Iterator<Item = PollFd<'_>> {
        let to = self.to.as_ref().filter(|_| self.is_pending() || self.lost > 0);
        let from = self.from.as_ref().filter(|_| !self.is_pending());
        let to = to.map(|to| PollFd::new(to.as_fd(), PollFlags::POLLOUT));
        to.into_iter().chain(from.map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN)))
    }

    /// The maximum time to wait.
    pub fn timeout(&self) -> Option<Duration> {
        self.waiting.map(|since| self.timeout.saturating_sub(since.elapsed()))
    }

    /// Notes that no process can write into the pipe any more.
    pub fn last(&mut self) {
        self.last = true;
    }

    /// Whether the pipe has ended and everything is copied.
    pub fn is_done(&self) -> bool {
        self.from.is_none() && !self.is_pending()
    }

    fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Copies as much as possible without blocking.
    pub fn advance(&mut self) {
        for _ in 0..TURN {
            if !self.is_pending() && !self.read() {
                // There is no new output, but lost output may still have to be reported.
                self.report_loss();
                return;
            }
            if !self.report_loss() {
                self.drop();
            } else if !self.write() {
                match self.waiting {
                    Some(since) if since.elapsed() >= self.timeout => self.drop(),
                    Some(_) => return,
                    None => self.waiting = Some(Instant::now()),
                }
            }
        }
    }

    /// Fills the buffer. Returns whether the buffer has content.
    fn read(&mut self) -> bool {
        let Some(from) = &mut self.from else { return false };
        match from.read(&mut self.buffer) {
            Ok(0) => self.from = None,
            Ok(length) => self.pending = 0..length,
            Err(e) if e.kind() == ErrorKind::WouldBlock && !self.last => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.from = None,
        }
        self.is_pending()
    }

    /// Reports lost output, if there is any. Returns whether no lost output remains to be reported.
    fn report_loss(&mut self) -> bool {
        if self.lost > 0 {
            let notice = format!("\n{} bytes of output were lost: the journal did not read them\n", self.lost);
            if put(&mut self.to, &self.reopen, notice.as_bytes()).is_some_and(|length| length > 0) {
                self.lost = 0;
            }
        }
        self.lost == 0
    }

    /// Writes as much of the buffer as possible. Returns false if the journal accepts nothing now.
    fn write(&mut self) -> bool {
        let bytes = self.buffer.get(self.pending.clone()).unwrap_or_default();
        match put(&mut self.to, &self.reopen, bytes) {
            Some(0) => return false,
            Some(length) => self.pending.start += length,
            None => self.drop(),
        }
        self.waiting = None;
        true
    }

    fn drop(&mut self) {
        self.lost += self.pending.len();
        self.pending = 0..0;
        self.waiting = None;
    }
}

/// Writes as much as possible without blocking, and opens a new stream after an error. None if the
/// journal is gone.
fn put(to: &mut Option<File>, reopen: &dyn Fn() -> Option<File>, bytes: &[u8]) -> Option<usize> {
    for _ in 0..2 {
        match to.as_mut().map(|to| to.write(bytes)) {
            Some(Ok(length)) => return Some(length),
            Some(Err(e)) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Some(0),
            // The journal has closed its end, for example because it was restarted.
            Some(Err(_)) | None => *to = reopen().and_then(nonblocking),
        }
    }
    None
}

fn nonblocking(file: File) -> Option<File> {
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL).ok()?);
    fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::pipe;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn file(from: impl Into<OwnedFd>) -> File {
        File::from(from.into())
    }

    /// A stream, the application's end of the pipe, and the journal's end of the socket.
    fn stream(reopen: impl Fn() -> Option<File> + 'static) -> (Stream<'static>, File, UnixStream) {
        let (read, write) = pipe().unwrap();
        let (to, journal) = UnixStream::pair().unwrap();
        journal.set_nonblocking(true).unwrap();
        (Stream::new(nonblocking(file(read)).unwrap(), file(to), reopen), nonblocking(file(write)).unwrap(), journal)
    }

    fn all(journal: &mut UnixStream) -> String {
        let mut text = Vec::new();
        let _ = journal.read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_is_written_arrives_with_its_last_line() {
        let (mut stream, mut application, mut journal) = stream(|| None);
        application.write_all(b"one\ntwo").unwrap();
        stream.advance();
        assert_eq!(all(&mut journal), "one\ntwo");
        application.write_all(b"end").unwrap();
        drop(application);
        stream.last();
        stream.advance();
        assert!(stream.is_done());
        assert_eq!(all(&mut journal), "end");
    }

    #[test]
    fn a_journal_that_does_not_read_is_waited_for_and_then_left_behind() {
        let (mut stream, mut application, mut journal) = stream(|| None);
        let mut written = 0;
        // Fill the journal's socket, the buffer of the stream and the pipe.
        for _ in 0..100 {
            while let Ok(length) = application.write(&[b'x'; 4096]) {
                written += length;
            }
            stream.advance();
        }
        assert!(stream.timeout().is_some() && application.write(b"x").is_err());
        stream.timeout = Duration::ZERO;
        let mut more = 0;
        for _ in 0..100 {
            stream.advance();
            more += application.write(&[b'x'; 4096]).unwrap();
        }
        stream.advance();
        let read = all(&mut journal);
        let lost = written + more - read.len();
        assert!(lost > 0 && read.bytes().all(|b| b == b'x'));
        stream.timeout = TIMEOUT;
        application.write_all(b"again").unwrap();
        stream.advance();
        assert_eq!(
            all(&mut journal),
            format!("\n{lost} bytes of output were lost: the journal did not read them\nagain")
        );
        // The stream waits only for more output.
        assert_eq!((stream.wants().count(), stream.timeout()), (1, None));
    }

    #[test]
    fn a_journal_that_is_new_is_connected_to() {
        let (new, mut journal) = UnixStream::pair().unwrap();
        journal.set_nonblocking(true).unwrap();
        let (mut stream, mut application, old) = stream(move || new.try_clone().ok().map(file));
        drop(old);
        application.write_all(b"kept").unwrap();
        stream.advance();
        assert_eq!(all(&mut journal), "kept");
    }

    #[test]
    fn without_a_journal_nobody_waits() {
        let (mut stream, mut application, journal) = stream(|| None);
        drop(journal);
        for _ in 0..1000 {
            application.write_all(&[b'x'; 4096]).unwrap();
            stream.advance();
        }
        assert_eq!((stream.lost, stream.is_done()), (4_096_000, false));
    }
}
