// SPDX-License-Identifier: MIT
//! Messages about updates in the journal. The ID of each kind of message stays the same in all
//! versions (`MESSAGE_ID=`, systemd.journal-fields(7)); docs/updates.md lists the IDs.

use std::fmt::Write as _;
use std::os::unix::net::UnixDatagram;

use crate::{journal, text};

/// The socket on which the journal receives messages with fields (systemd, "Native Journal
/// Protocol").
const SOCKET: &str = "/run/systemd/journal/socket";

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The source of an image has another version.
    Available,
    /// A version was downloaded and verified.
    Downloaded,
    /// The source of an image does not answer, or the version cannot be downloaded.
    Unavailable,
    /// A version is skipped, because it failed before or an administrator went back from it.
    Refused,
    /// A version is not used, because the signature policy does not accept it.
    NotAccepted,
    /// An image was switched to another version; restarts follow.
    Switched,
    /// A container runs on the new version and has passed its checks.
    Updated,
    /// A container has failed on the new version.
    Failed,
    /// A container runs on its former version again.
    RolledBack,
    /// A container has failed on its former version, too.
    RollbackFailed,
    /// An interrupted update was undone.
    Undone,
    /// An update is not made, because volumes cannot be copied before it.
    NoSnapshot,
    /// A volume was restored to its content before an update.
    Restored,
}

impl Event {
    /// All events, in the order in which the documentation lists them.
    pub const ALL: [Self; 13] = [
        Self::Available,
        Self::Downloaded,
        Self::Unavailable,
        Self::Refused,
        Self::NotAccepted,
        Self::Switched,
        Self::Updated,
        Self::Failed,
        Self::RolledBack,
        Self::RollbackFailed,
        Self::Undone,
        Self::NoSnapshot,
        Self::Restored,
    ];

    /// The message ID.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Available => "eb704701d89c4b5998414a5ef3398ce5",
            Self::Downloaded => "e4e1357e9e69436badd20c9ee6ce5299",
            Self::Unavailable => "18828e8eb9e74b26be02ceb7aa87d552",
            Self::Refused => "6a56235ad13f40c78e558815a410315d",
            Self::NotAccepted => "8f8e25dc0b76470f8ceb2b39b3bc4539",
            Self::Switched => "f2a6346fa43d49a2bcf5cbd786713e32",
            Self::Updated => "067196f0fc754860bc062a18528579ed",
            Self::Failed => "13e68fc8e5f54713bfe8e84a08330c5b",
            Self::RolledBack => "588fdef37ac3415aa9a4653f4ee6581a",
            Self::RollbackFailed => "8d087cfd6e894e449a3638a49a0a10b8",
            Self::Undone => "cafd1df7e7b249b68b736c0c5cba3679",
            Self::NoSnapshot => "9bdc2ace5734405dae7c03067cb4ec8a",
            Self::Restored => "78c7904f57394ea0942be06dcac31c31",
        }
    }

    /// The severity (syslog(3)).
    fn priority(self) -> u8 {
        match self {
            Self::RollbackFailed => 2,
            Self::Unavailable | Self::NotAccepted | Self::Failed | Self::NoSnapshot => 3,
            Self::RolledBack | Self::Undone | Self::Restored => 4,
            Self::Available | Self::Downloaded | Self::Refused | Self::Switched | Self::Updated => 5,
        }
    }
}

/// The subject of a message. Empty fields are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// `SDME_IMAGE=`: the name of an image, or several names.
    pub image: &'a str,
    /// `SDME_CONTAINER=`: the name of a container. The journal shows the message also among those
    /// of the container's service.
    pub container: &'a str,
    /// `SDME_FROM=`: the digest before the event.
    pub from: &'a str,
    /// `SDME_TO=`: the digest after the event.
    pub to: &'a str,
}

/// Sends a message to the journal.
pub fn record(event: Event, about: About<'_>, message: &str) {
    let unit = if about.container.is_empty() {
        String::new()
    } else {
        // Processes of root may set this field, so that `journalctl --unit` shows the message
        // (systemd.journal-fields(7)).
        ["systemd-nspawn@", about.container, ".service"].concat()
    };
    let priority = event.priority().to_string();
    let fields = [
        ("MESSAGE", message),
        ("MESSAGE_ID", event.id()),
        ("PRIORITY", &priority),
        ("SYSLOG_IDENTIFIER", "sdme-gen"),
        ("SDME_IMAGE", about.image),
        ("SDME_CONTAINER", about.container),
        ("SDME_FROM", about.from),
        ("SDME_TO", about.to),
        ("OBJECT_SYSTEMD_UNIT", &unit),
    ];
    let mut text = String::new();
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        // A value without newlines needs no length field. Writing to a String cannot fail.
        let _ = writeln!(text, "{name}={}", text::line(value));
    }
    // Errors are ignored: without a journal there is no reader.
    let _ = UnixDatagram::unbound().and_then(|own| own.send_to(text.as_bytes(), SOCKET));
}

/// Sends a message to the journal, and to standard error unless that is the journal.
pub fn announce(event: Event, about: About<'_>, message: &str) {
    record(event, about, message);
    if !journal::is_stream(std::io::stderr()) {
        eprintln!("sdme-gen: {}", text::line(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_documented() {
        let page = include_str!("../docs/updates.md");
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert!(event.id().len() == 32 && page.contains(event.id()), "{event:?}");
            assert!(Event::ALL.iter().skip(index + 1).all(|other| other.id() != event.id()), "{event:?}");
        }
    }
}
