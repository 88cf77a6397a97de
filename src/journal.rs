// SPDX-License-Identifier: MIT
//! The journal's stream protocol: a line of text, a field each, then the log itself; what `sd_journal_stream_fd()` of
//! libsystemd speaks (systemd, src/libsystemd/sd-journal/journal-send.c).

use std::fs::File;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::stat::fstat;
use sdme_gen::process::Log;

const SOCKET: &str = "/run/systemd/journal/stdout";

/// Opens a stream of this severity. Without a journal there is none.
pub fn open(log: &Log, level: u8) -> Option<File> {
    let mut stream = UnixStream::connect(SOCKET).ok()?;
    stream.shutdown(Shutdown::Read).ok()?;
    let prefix = u8::from(log.prefix);
    // The last three: not to syslog, the kernel's log or the console, too.
    write!(stream, "{}\n{}\n{level}\n{prefix}\n0\n0\n0\n", log.identifier, log.unit).ok()?;
    Some(File::from(OwnedFd::from(stream)))
}

/// Whether `fd` is the stream that the service manager has opened for us (`$JOURNAL_STREAM`, systemd.exec(5)).
pub fn is_stream(fd: impl AsFd) -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    fstat(fd).is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}
