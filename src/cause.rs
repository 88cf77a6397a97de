// SPDX-License-Identifier: MIT
//! Causes of failed units: one file per unit in `/run/sdme/failed`, written by the commands of the
//! unit itself, and the same text as the unit's status line, which `systemctl status` shows near
//! the top.
//!
//! A start removes the file of its unit, so that the file exists only if the last start or run of
//! the unit has failed. The first line of the file is a keyword for tables (`no image`, `port
//! taken`, `failed 3`), the second line is the cause and the remedy, and the third line is the
//! invocation ID of the failed run.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::paths::{FAILED, FAILED_IMPORTS};
use crate::text;

/// Maximum length of a cause in bytes. A status line has at most 4096 bytes (`sd_notify(3)`).
const LONGEST: usize = 3584;

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
    /// The cause and, after a semicolon, the remedy, on one line.
    pub text: String,
}

impl Cause {
    /// Makes a cause. Control characters are escaped, because the text may come from a container or
    /// a registry.
    #[must_use]
    pub fn new(word: &str, text: &str) -> Self {
        let mut text = text::line(text.trim());
        if let Some((end, _)) = text.char_indices().find(|(at, c)| at + c.len_utf8() > LONGEST) {
            text.truncate(end);
            text.push('…');
        }
        Self { word: text::line(word), text }
    }
}

fn directory(unit: &str) -> &'static Path {
    Path::new(if unit.starts_with("sdme-image@") { FAILED_IMPORTS } else { FAILED })
}

fn path(unit: &str) -> PathBuf {
    directory(unit).join(unit)
}

fn lines(unit: &str) -> Option<[String; 3]> {
    // These flags refuse symbolic links and never block, because the service that imports images
    // controls its files.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path(unit)).ok()?;
    let mut text = Vec::new();
    file.take(LIMIT).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::to_owned);
    Some([lines.next()?, lines.next()?, lines.next().unwrap_or_default()])
}

/// The recorded cause of `unit`, if it has failed and its commands have recorded a cause.
#[must_use]
pub fn of(unit: &str) -> Option<Cause> {
    let [word, text, _] = lines(unit)?;
    Some(Cause::new(&word, &text))
}

/// The recorded cause of `unit`, if it is from the run that this process belongs to
/// (`$INVOCATION_ID`, systemd.exec(5)).
#[must_use]
pub fn of_this_run(unit: &str) -> Option<Cause> {
    let [word, text, run] = lines(unit)?;
    (run == invocation()).then(|| Cause::new(&word, &text))
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
    tell(&cause.text);
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
    fs::write(&new, format!("{}\n{}\n{}\n", cause.word, cause.text, invocation()))?;
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
        let cause = Cause::new("failed 3", " cannot read\n\x1b[2J ");
        assert_eq!((cause.word.as_str(), cause.text.as_str()), ("failed 3", "cannot read\\n\\u{1b}[2J"));
        let long = Cause::new("", &"ä".repeat(4000)).text;
        assert!(long.len() < 4000 && long.ends_with('…'));
        assert_eq!(of("no-such-unit.service"), None);
        assert!(forget("no-such-unit.service").is_ok());
    }
}
