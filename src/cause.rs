// SPDX-License-Identifier: MIT
//! Causes of failed units: one file per unit in `/run/sdme/failed`, written by the commands of the
//! unit itself, and the same text as the unit's status line, which `systemctl status` shows near
//! the top.
//!
//! A start removes the file of its unit, so that the file exists only if the last start or run of
//! the unit has failed. The lines of the file are a keyword for tables (`no image`, `port taken`,
//! `failed 3`), the reason, the invocation ID of the failed run, and the remedy if there is one.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use anyhow::Error;
use serde::{Serialize, Serializer};

use crate::diag::Fault;
use crate::paths::{FAILED, FAILED_IMPORTS};
use crate::text;

/// Maximum length of a reason in bytes. A status line, which has the reason and the remedy, has at
/// most 4096 bytes (`sd_notify(3)`).
const MAX_REASON: usize = 2560;

/// Maximum length of a remedy in bytes.
const MAX_REMEDY: usize = 1024;

/// Maximum number of bytes that are read of a file. The service that imports images parses
/// untrusted archives and may write its own files.
const LIMIT: u64 = 1 << 13;

/// The exit status of a container's service if its start was refused: `EX_CONFIG`, a configuration
/// error (systemd.exec(5), "Process Exit Codes"). The unit file lists it in
/// `RestartPreventExitStatus=`.
pub const REFUSED: u8 = 78;

/// The cause of a failed unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// A keyword of one or two words for a column of a table.
    pub word: String,
    /// What happened, on one line.
    pub reason: String,
    /// What to do about it, on one line. Empty if the reason does not lead to a remedy.
    pub remedy: String,
}

impl Cause {
    /// Makes a cause. Control characters are escaped, because the reason may come from a container
    /// or a registry.
    #[must_use]
    pub fn new(word: &str, reason: &str, remedy: &str) -> Self {
        Self { word: text::line(word), reason: line(reason, MAX_REASON), remedy: line(remedy, MAX_REMEDY) }
    }

    /// Makes a cause from a fault.
    #[must_use]
    pub fn of_fault(word: &str, fault: &Fault) -> Self {
        Self::new(word, &fault.cause, &fault.remedy)
    }

    /// The error with this reason and this remedy.
    #[must_use]
    pub fn into_error(self) -> Error {
        if self.remedy.is_empty() { Error::msg(self.reason) } else { Fault::new(self.reason, self.remedy).into() }
    }

    /// Makes a cause from an error. The remedy is that of the [`Fault`] in the chain of the error.
    #[must_use]
    pub fn of_error(word: &str, error: &Error) -> Self {
        let (reason, remedy) = parts(error);
        Self::new(word, &reason, &remedy)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, remedy, .. } = self;
        if remedy.is_empty() { f.write_str(reason) } else { write!(f, "{reason}; {remedy}") }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The messages of an error, from the outermost to the innermost, and the remedy of the [`Fault`]
/// among them, or an empty text.
#[must_use]
pub fn parts(error: &Error) -> (String, String) {
    let mut remedy = "";
    let messages = error.chain().map(|error| match fault(error) {
        Some(fault) => {
            remedy = &fault.remedy;
            fault.cause.clone()
        }
        None => error.to_string(),
    });
    let reason = messages.collect::<Vec<_>>().join(": ");
    (reason, remedy.to_owned())
}

/// The fault that `error` is, or that an I/O error consists of.
fn fault<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Fault> {
    let within = || error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref();
    error.downcast_ref().or_else(within)
}

/// One line of at most `longest` bytes.
fn line(text: &str, longest: usize) -> String {
    let mut text = text::line(text.trim());
    if let Some((end, _)) = text.char_indices().find(|(at, c)| at + c.len_utf8() > longest) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn directory(unit: &str) -> &'static Path {
    Path::new(if unit.starts_with("sdme-image@") { FAILED_IMPORTS } else { FAILED })
}

fn path(unit: &str) -> PathBuf {
    directory(unit).join(unit)
}

/// The cause in the file of `unit`, and the invocation ID of the run that failed.
fn read(unit: &str) -> Option<(Cause, String)> {
    // These flags refuse symbolic links and never block, because the service that imports images
    // controls its files.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path(unit)).ok()?;
    let mut text = Vec::new();
    file.take(LIMIT).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    let (word, reason) = (lines.next()?, lines.next()?);
    let run = lines.next().unwrap_or_default().to_owned();
    // In a file of an earlier version, the second line has the remedy, too.
    Some((Cause::new(word, reason, lines.next().unwrap_or_default()), run))
}

/// The recorded cause of `unit`, if it has failed and its commands have recorded a cause.
#[must_use]
pub fn of(unit: &str) -> Option<Cause> {
    Some(read(unit)?.0)
}

/// The recorded cause of `unit`, if it is from the run that this process belongs to
/// (`$INVOCATION_ID`, systemd.exec(5)).
#[must_use]
pub fn of_this_run(unit: &str) -> Option<Cause> {
    let (cause, run) = read(unit)?;
    (run == invocation()).then_some(cause)
}

fn invocation() -> String {
    std::env::var("INVOCATION_ID").unwrap_or_default()
}

/// Records the cause of `unit`. Called by a command of the unit; the text also becomes the unit's
/// status line.
///
/// # Errors
/// The file cannot be written.
pub fn record(unit: &str, cause: &Cause) -> io::Result<()> {
    tell(&cause.to_string());
    write(unit, cause)
}

/// Records the cause of `unit` without changing its status line. A command can record a cause in
/// advance and remove it on success, so that the cause stays if the command is killed.
///
/// # Errors
/// The file cannot be written.
pub fn write(unit: &str, cause: &Cause) -> io::Result<()> {
    let directory = directory(unit);
    let (new, place) = (directory.join(format!(".{unit}")), path(unit));
    fs::create_dir_all(directory)?;
    fs::write(&new, format!("{}\n{}\n{}\n{}\n", cause.word, cause.reason, invocation(), cause.remedy))?;
    fs::rename(new, place)
}

/// Removes the recorded cause of `unit`.
///
/// # Errors
/// The file cannot be removed.
pub fn forget(unit: &str) -> io::Result<()> {
    match fs::remove_file(path(unit)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Sets the status line of the unit that this process is a command of (`sd_notify(3)`). The unit
/// needs `NotifyAccess=exec`.
pub fn tell(status: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|path| Path::new(path).is_absolute()) else { return };
    // Errors are ignored: without a service manager there is no status line.
    let _ = UnixDatagram::unbound().and_then(|own| own.send_to(format!("STATUS={status}").as_bytes(), socket));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_one_short_line() {
        let cause = Cause::new("failed 3", " cannot read\n\x1b[2J ", "");
        assert_eq!((cause.word.as_str(), cause.to_string().as_str()), ("failed 3", "cannot read\\n\\u{1b}[2J"));
        let long = Cause::new("", &"ä".repeat(4000), &"ö".repeat(4000)).to_string();
        assert!(long.len() < 3600 && long.contains("ä…; ö") && long.ends_with('…'));
        assert_eq!(of("no-such-unit.service"), None);
        assert!(forget("no-such-unit.service").is_ok());
    }

    #[test]
    fn the_remedy_is_that_of_the_fault_in_the_chain() {
        let error = Error::new(Fault::new("x; is not there", "make it")).context("cannot start");
        let cause = Cause::of_error("refused", &error);
        assert_eq!((cause.reason.as_str(), cause.remedy.as_str()), ("cannot start: x; is not there", "make it"));
        assert_eq!(cause.to_string(), format!("{error:#}"));
        let io = Error::new(io::Error::other(Fault::new("late", "wait"))).context("cannot read");
        assert_eq!(parts(&io), ("cannot read: late".to_owned(), "wait".to_owned()));
        let plain = Cause::of_error("refused", &Error::msg("no; remedy"));
        assert_eq!((plain.reason.as_str(), plain.remedy.as_str()), ("no; remedy", ""));
    }
}
