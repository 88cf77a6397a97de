// SPDX-License-Identifier: MIT
//! The journal's stream protocol: header lines with one field each, then the log itself. It is the
//! protocol of `sd_journal_stream_fd()` of libsystemd (systemd,
//! src/libsystemd/sd-journal/journal-send.c). Used by the launcher in containers, and by the
//! commands of a container's service on the host.

use std::fs::File;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use nix::sys::stat::fstat;
use nix::unistd::dup2_stderr;

use crate::contract::process::Log;

const SOCKET: &str = "/run/systemd/journal/stdout";

/// Opens a stream with this severity. None without a journal.
#[must_use]
pub fn open(log: &Log, level: u8) -> Option<File> {
    let mut stream = UnixStream::connect(SOCKET).ok()?;
    stream.shutdown(Shutdown::Read).ok()?;
    let prefix = u8::from(log.prefix);
    // The last three fields forward the stream to syslog, the kernel log and the console; 0 turns
    // that off.
    write!(stream, "{}\n{}\n{level}\n{prefix}\n0\n0\n0\n", log.identifier, log.unit).ok()?;
    Some(File::from(OwnedFd::from(stream)))
}

/// Writes an error message that the status of another unit also shows (systemd.journal-fields(7),
/// `OBJECT_SYSTEMD_UNIT=`). The text must be a single line.
pub fn about(unit: &str, text: &str) {
    let fields = format!("PRIORITY=3\nSYSLOG_IDENTIFIER=sdme-gen\nOBJECT_SYSTEMD_UNIT={unit}\nMESSAGE={text}\n");
    // Errors are ignored: without a journal there is no reader.
    let _ = UnixDatagram::unbound().and_then(|own| own.send_to(fields.as_bytes(), "/run/systemd/journal/socket"));
}

/// Whether `fd` is the journal stream that the service manager has opened for this process
/// (`$JOURNAL_STREAM`, systemd.exec(5)).
pub fn is_stream(fd: impl AsFd) -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    fstat(fd).is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Makes the journal parse the severity at the beginning of a line of standard error, such as `<4>`
/// (sd-daemon(3)), although the service of this process has `SyslogLevelPrefix=no`. Lines without a
/// severity are informational.
pub fn parse_severities(identifier: &str, unit: &str) {
    const INFORMATIONAL: u8 = 6;
    if !is_stream(std::io::stderr()) {
        return;
    }
    let log = Log { identifier: identifier.to_owned(), unit: unit.to_owned(), level: INFORMATIONAL, prefix: true };
    if let Some(stream) = open(&log, INFORMATIONAL) {
        // An error is ignored: the journal then shows the prefix as part of the text.
        let _ = dup2_stderr(stream);
    }
}
