// SPDX-License-Identifier: MIT
//! The table of keys, on which the parser, the diagnostics and the documentation are based. Pure.

pub mod key;
mod table;

use crate::diag::{Code, Problem, did_you_mean};

pub use key::KeyName;

/// The types of configuration files. The extension of a file determines its type, but only
/// `sdme.conf` has the type of the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// `NAME.container`
    Container,
    /// `NAME.image`
    Image,
    /// `NAME.pod`
    Pod,
    /// `NAME.network`
    Network,
    /// `NAME.volume`
    Volume,
    /// `sdme.conf`
    Defaults,
}

impl FileType {
    /// All file types, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Container, Self::Image, Self::Pod, Self::Network, Self::Volume, Self::Defaults];

    /// Returns the extension. A drop-in directory with the name of the extension, such as
    /// `container.d`, applies to all files of the type; `sdme.conf` has no such directory.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Pod => "pod",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Defaults => "conf",
        }
    }

    /// Returns the section with the keys of the file type.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            Self::Container => "Container",
            Self::Image => "Image",
            Self::Pod => "Pod",
            Self::Network => "Network",
            Self::Volume => "Volume",
            Self::Defaults => "Defaults",
        }
    }

    /// Returns the sections with settings of systemd. They are passed on, and are not checked
    /// against the table of keys.
    #[must_use]
    pub fn passed_through(self) -> &'static [&'static str] {
        match self {
            Self::Container => &["Unit", "Service", "App", "Install"],
            Self::Image | Self::Pod | Self::Network | Self::Volume => &["Unit", "Service", "Install"],
            Self::Defaults => &[],
        }
    }
}

/// The syntax of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Free text. The last assignment applies.
    Text,
    /// A boolean as in systemd.syntax(7). The last assignment applies.
    Flag,
    /// One of these words. The last assignment applies.
    Choice(&'static [&'static str]),
    /// A list of words with the quoting of systemd. Assignments append, and an empty one resets the
    /// list.
    Words,
    /// A command line, which is split into words with the quoting of systemd. The last assignment
    /// applies.
    Line,
    /// A list of whole values, without the quotes around them. Assignments append, and an empty one
    /// resets the list.
    Lines,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The key can be used.
    Supported,
    /// The key can be used, but has no effect. The texts are the reason and the remedy, which a
    /// warning shows.
    Without(&'static str, &'static str),
    /// The key is rejected. The text is the remedy.
    Never(&'static str),
}

/// The part of a container to which a key of `[Container]` applies if there are several
/// applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The container as a whole. The key is invalid in `[Container NAME]`.
    Container,
    /// Every application. In `[Container NAME]`, the key extends or overrides the value for one
    /// application.
    Applications,
    /// One process. In a container with several applications, the key must be in
    /// `[Container NAME]`.
    Process,
}

/// A key of the section that [`FileType::section`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name, as it is written before the `=`.
    pub name: KeyName,
    /// The syntax of the value.
    pub kind: Kind,
    /// Whether the key can be used.
    pub status: Status,
    /// Whether Quadlet has a key of this name.
    pub quadlet: bool,
    /// The part of a container to which the key applies.
    pub scope: Scope,
    /// The description in the documentation: one line without a final period.
    pub help: &'static str,
}

impl Key {
    /// Returns the description in the documentation: the help, or, for a key without effect, the
    /// reason and the remedy.
    #[must_use]
    pub fn description(&self) -> String {
        match self.status {
            Status::Without(why, remedy) => format!("{why}; {remedy}"),
            Status::Supported | Status::Never(_) => self.help.to_owned(),
        }
    }

    /// Returns the same key with the scope of every application.
    const fn applications(self) -> Self {
        Self { scope: Scope::Applications, ..self }
    }

    /// Returns the same key with the scope of one process.
    const fn process(self) -> Self {
        Self { scope: Scope::Process, ..self }
    }
}

/// Returns the keys of the section of `file_type`.
#[must_use]
pub fn keys(file_type: FileType) -> &'static [Key] {
    match file_type {
        FileType::Container => table::CONTAINER,
        FileType::Image => table::IMAGE,
        FileType::Pod => table::POD,
        FileType::Network => table::NETWORK,
        FileType::Volume => table::VOLUME,
        FileType::Defaults => table::DEFAULTS,
    }
}

/// Sections of a `.container` file whose header can have the name of an application:
/// `[Container NAME]` and `[App NAME]`.
const NAMED: [&str; 2] = ["Container", "App"];

/// Splits the header `[SECTION NAME]` into the section and the name of the application.
pub(in crate::config) fn application(file_type: FileType, header: &str) -> Option<(&'static str, &str)> {
    let (section, name) = header.split_once(' ').filter(|_| file_type == FileType::Container)?;
    let section = NAMED.into_iter().find(|s| *s == section)?;
    Some((section, name.trim_start()))
}

/// Returns the scope of the key `name` of `[Container]`.
#[must_use]
pub fn scope(name: &str) -> Scope {
    table::CONTAINER.iter().find(|k| k.name == name).map_or(Scope::Container, |k| k.scope)
}

/// Looks up a key that can be used in the section of `file_type`.
///
/// # Errors
/// The key is unknown, or is a key of Quadlet that is not supported.
pub fn supported(file_type: FileType, name: &str) -> Result<&'static Key, Problem> {
    let Some(key) = keys(file_type).iter().find(|k| k.name == name) else {
        return Err(unknown(file_type, name));
    };
    match key.status {
        Status::Supported | Status::Without(..) => Ok(key),
        Status::Never(remedy) => {
            Err(Code::UnsupportedKey.problem(format!("{name}= is a key of Quadlet that is not supported here"), remedy))
        }
    }
}

/// Settings of systemd that are often written into the wrong section, by their correct section.
const PASSED: [(&str, &[&str]); 3] = [
    (
        "Unit",
        &[
            "After",
            "Before",
            "BindsTo",
            "Conflicts",
            "Description",
            "Documentation",
            "OnFailure",
            "PartOf",
            "Requires",
            "StartLimitBurst",
            "Wants",
        ],
    ),
    (
        "Service",
        &[
            "CPUQuota",
            "CPUWeight",
            "ExecStartPost",
            "ExecStartPre",
            "ExecStop",
            "ExecStopPost",
            "IOWeight",
            "MemoryHigh",
            "MemoryMax",
            "Nice",
            "Restart",
            "RestartSec",
            "Slice",
            "TasksMax",
            "TimeoutSec",
            "TimeoutStartSec",
            "TimeoutStopSec",
        ],
    ),
    ("Install", &["RequiredBy", "UpheldBy", "WantedBy"]),
];

/// Whether `name` is one of the settings in `PASSED` that belong in `[Service]`, and is not a key.
#[must_use]
pub fn is_of_service(file_type: FileType, name: &str) -> bool {
    let of_service = |(section, all): &(&str, &[&str])| *section == "Service" && all.contains(&name);
    PASSED.iter().any(of_service) && !keys(file_type).iter().any(|key| key.name == name)
}

fn unknown(file_type: FileType, name: &str) -> Problem {
    let near = did_you_mean(name, keys(file_type).iter().map(|k| k.name.text()));
    let elsewhere = FileType::ALL.iter().find(|t| **t != file_type && keys(**t).iter().any(|k| k.name == name));
    let passed =
        PASSED.iter().find(|(section, all)| file_type.passed_through().contains(section) && all.contains(&name));
    let remedy = match (passed.map(|(section, _)| *section), near, elsewhere) {
        (Some(section), ..) => format!("move it to [{section}]"),
        (None, Some(near), _) => near,
        (None, None, Some(FileType::Defaults)) => "write it in [Defaults] of sdme.conf".to_owned(),
        (None, None, Some(other)) => format!("write it in [{}] of a .{} file", other.section(), other.extension()),
        (None, None, None) => "remove it, or correct its name".to_owned(),
    };
    Code::UnknownKey.problem(format!("unknown key {name}= in [{}]", file_type.section()), remedy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_key_is_described_once() {
        for file_type in FileType::ALL {
            let all = keys(file_type);
            for (index, key) in all.iter().enumerate() {
                assert!(!key.help.is_empty() && !key.help.ends_with('.'), "{}", key.name);
                assert!(!all.iter().skip(index + 1).any(|k| k.name == key.name), "{} twice", key.name);
            }
        }
        // The expected numbers are those of the keys in the manual and the source of Quadlet 5.8.
        let quadlet = |t| keys(t).iter().filter(|k| k.quadlet).count();
        assert_eq!(quadlet(FileType::Container), 94);
        assert_eq!(quadlet(FileType::Pod), 29);
        assert_eq!(quadlet(FileType::Image), 18);
        assert_eq!(quadlet(FileType::Network), 18);
        assert_eq!(quadlet(FileType::Volume), 16);
    }

    /// Supported keys that no code reads, with the reason.
    const UNREAD: [(KeyName, &str); 8] = [
        (key::EXPOSE_HOST_PORT, "metadata of an image"),
        (key::HEALTH_MAX_LOG_COUNT, "the journal has its own limits"),
        (key::HEALTH_MAX_LOG_SIZE, "the journal has its own limits"),
        (key::IPAM_DRIVER, "its only value is what is done anyway"),
        (key::OS, "its only value is what is done anyway"),
        (key::RUN_INIT, "every application runs under an init"),
        (key::SECURITY_LABEL_DISABLE, "the container gets no SELinux label anyway"),
        (key::SECURITY_LABEL_NESTED, "the container gets no SELinux label anyway"),
    ];

    #[test]
    fn every_supported_key_is_read() {
        let mut text = String::new();
        for folder in ["config", "resolve", "search"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
            for entry in walkdir::WalkDir::new(folder) {
                let path = entry.unwrap().into_path();
                if path.extension().is_some_and(|ext| ext == "rs")
                    && !path.components().any(|part| part.as_os_str() == "keys")
                {
                    text += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
        let is_read = |constant: &str| {
            let constant = format!("key::{constant}");
            let mut behind = text.split(&constant).skip(1);
            behind.any(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        };
        let usable = |name: KeyName| {
            let mut all = FileType::ALL.into_iter().flat_map(keys);
            all.any(|key| key.name == name && key.status == Status::Supported)
        };
        let unread: Vec<&str> = key::ALL
            .iter()
            .filter(|(constant, name)| usable(*name) && !is_read(constant))
            .map(|(_, name)| name.text())
            .filter(|name| !UNREAD.iter().any(|(unread, _)| unread == name))
            .collect();
        assert_eq!(unread, [""; 0], "keys that nothing reads");
        assert!(UNREAD.iter().all(|(unread, _)| !key::ALL.iter().any(|(c, name)| name == unread && is_read(c))));
    }

    #[test]
    fn invalid_keys_get_a_remedy() {
        let message = |name| supported(FileType::Container, name).unwrap_err().to_string();
        assert_eq!(message("Imagge"), "unknown key Imagge= in [Container]; did you mean Image?");
        assert!(
            message("Rootfs")
                .starts_with("Rootfs= is a key of Quadlet that is not supported here; write Image=rootfs:PATH")
        );
        assert_eq!(message("BaseFs"), "unknown key BaseFs= in [Container]; did you mean Base?");
        assert_eq!(message("Wants"), "unknown key Wants= in [Container]; move it to [Unit]");
        assert!(is_of_service(FileType::Container, "Restart") && !is_of_service(FileType::Container, "Memory"));
        assert!(supported(FileType::Container, "Image").is_ok());
    }
}
