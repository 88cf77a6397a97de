// SPDX-License-Identifier: MIT
//! The one table of keys: it drives the parser, the diagnostics and the documentation. Pure.

pub mod key;
mod table;

use crate::diag::{Code, Problem, did_you_mean};

pub use key::KeyName;

/// The file types, told apart by their extension.
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
    /// All types, in the order they are described.
    pub const ALL: [Self; 6] = [Self::Container, Self::Image, Self::Pod, Self::Network, Self::Volume, Self::Defaults];

    /// The extension, also the name of the type-wide drop-in directory (`container.d`).
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

    /// The section of its own.
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

    /// Sections whose assignments go to the unit as they are.
    #[must_use]
    pub fn passed_through(self) -> &'static [&'static str] {
        match self {
            Self::Container => &["Unit", "Service", "App", "Install"],
            Self::Image | Self::Pod | Self::Network | Self::Volume => &["Unit", "Service", "Install"],
            Self::Defaults => &[],
        }
    }
}

/// How a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Free text; the last assignment counts.
    Text,
    /// A boolean as in systemd.syntax(7); the last assignment counts.
    Flag,
    /// One of these words; the last assignment counts.
    Choice(&'static [&'static str]),
    /// Words with systemd's quoting; assignments add up, an empty one starts over.
    Words,
    /// A command line, in words as above; the last assignment counts.
    Line,
    /// The whole value, quotes around it removed; assignments add up, an empty one starts over.
    Lines,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It can.
    Supported,
    /// It can, but has no effect, for this reason; a warning says so, and names this remedy.
    Without(&'static str, &'static str),
    /// It is refused, with this remedy.
    Never(&'static str),
}

/// Whom a key of `[Container]` concerns when the container has several applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The container as a whole; it has no place in `[Container NAME]`.
    Container,
    /// Every application; `[Container NAME]` adds to it or overrides it for one of them.
    Applications,
    /// One process: in a container with several applications it has to say which, in `[Container NAME]`.
    Process,
}

/// A key of a section of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name as written before the `=`.
    pub name: KeyName,
    /// How its value is read.
    pub kind: Kind,
    /// Whether it can be used.
    pub status: Status,
    /// Whether Quadlet has it, with the same meaning.
    pub quadlet: bool,
    /// Whom it concerns.
    pub scope: Scope,
    /// One line of description.
    pub help: &'static str,
}

impl Key {
    /// What the documentation says about the key: its help, and the remedy if it has no effect.
    #[must_use]
    pub fn description(&self) -> String {
        match self.status {
            Status::Without(why, remedy) => format!("{why}; {remedy}"),
            Status::Supported | Status::Never(_) => self.help.to_owned(),
        }
    }

    /// The same key, for every application of a container.
    const fn applications(self) -> Self {
        Self { scope: Scope::Applications, ..self }
    }

    /// The same key, for one process.
    const fn process(self) -> Self {
        Self { scope: Scope::Process, ..self }
    }
}

/// The keys of the own section of `file_type`.
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

/// Sections of a `.container` file that an application's name can be added to: `[Container NAME]`, `[App NAME]`.
const NAMED: [&str; 2] = ["Container", "App"];

/// The section and the application's name in `[SECTION NAME]`.
pub(in crate::config) fn application(file_type: FileType, header: &str) -> Option<(&'static str, &str)> {
    let (section, name) = header.split_once(' ').filter(|_| file_type == FileType::Container)?;
    let section = NAMED.into_iter().find(|s| *s == section)?;
    Some((section, name.trim_start()))
}

/// Whom the key `name` of `[Container]` concerns.
#[must_use]
pub fn scope(name: &str) -> Scope {
    table::CONTAINER.iter().find(|k| k.name == name).map_or(Scope::Container, |k| k.scope)
}

/// Looks up a key that may be used.
///
/// # Errors
/// The message for a key that is unknown, or has no place here.
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

/// Settings of systemd that are often written into the wrong section.
const PASSED: [(&str, &str); 3] = [
    (
        "Unit",
        "After Before BindsTo Conflicts Description Documentation OnFailure PartOf Requires StartLimitBurst Wants",
    ),
    (
        "Service",
        "CPUQuota CPUWeight ExecStartPost ExecStartPre ExecStop ExecStopPost IOWeight MemoryHigh MemoryMax Nice Restart \
         RestartSec Slice TasksMax TimeoutSec TimeoutStartSec TimeoutStopSec",
    ),
    ("Install", "RequiredBy UpheldBy WantedBy"),
];

/// Whether `name` is a setting of systemd that belongs into `[Service]`, and no key.
#[must_use]
pub fn is_of_service(file_type: FileType, name: &str) -> bool {
    let of_service = |(section, all): &(&str, &str)| *section == "Service" && all.split_whitespace().any(|s| s == name);
    PASSED.iter().any(of_service) && !keys(file_type).iter().any(|key| key.name == name)
}

fn unknown(file_type: FileType, name: &str) -> Problem {
    let near = did_you_mean(name, keys(file_type).iter().map(|k| k.name.text()));
    let elsewhere = FileType::ALL.iter().find(|t| **t != file_type && keys(**t).iter().any(|k| k.name == name));
    let passed = PASSED.iter().find(|(section, all)| {
        file_type.passed_through().contains(section) && all.split(' ').any(|setting| setting == name)
    });
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
        // The counts of Quadlet 5.8's manual and source: 94, 29, 18, 18 and 16 keys.
        let quadlet = |t| keys(t).iter().filter(|k| k.quadlet).count();
        assert_eq!(quadlet(FileType::Container), 94);
        assert_eq!(quadlet(FileType::Pod), 29);
        assert_eq!(quadlet(FileType::Image), 18);
        assert_eq!(quadlet(FileType::Network), 18);
        assert_eq!(quadlet(FileType::Volume), 16);
    }

    /// Keys that are accepted and that nothing reads, with the reason.
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
    fn every_key_that_can_be_used_is_read() {
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
    fn messages() {
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
