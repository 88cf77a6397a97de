// SPDX-License-Identifier: MIT
//! The codes of problems. They keep their meaning, while the words of messages may change; `catalogue` explains each of them.

use std::fmt;

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A file cannot be read.
    Unreadable,
    /// A file is not text.
    NotText,
    /// A file is not read.
    NotRead,
    /// A name cannot be that of what a file describes.
    Name,
    /// A section header is invalid.
    SectionHeader,
    /// A line is not an assignment.
    Assignment,
    /// A section is unknown.
    UnknownSection,
    /// A key is unknown.
    UnknownKey,
    /// A key is known and not supported.
    UnsupportedKey,
    /// Quotes or escapes do not end.
    Quoting,
    /// A value cannot be read.
    Value,
    /// A key does not accept a value.
    Choice,
    /// An image reference cannot be read.
    ImageReference,
    /// A port cannot be published.
    Port,
    /// A path is invalid.
    Path,
    /// A time, a number or a size is invalid.
    Quantity,
    /// Something cannot be mounted.
    Mount,
    /// A capability, a system call or a profile is unknown.
    Confinement,
    /// A variable or a label is not NAME=VALUE.
    Variable,
    /// A user or a group is invalid.
    User,
    /// A signal is unknown.
    Signal,
    /// An address or a domain is invalid.
    Address,
    /// An application cannot have a limit or a setting of the kernel.
    KernelSetting,
    /// A secret cannot be read.
    Secret,
    /// A health check cannot be read.
    HealthCheck,
    /// A signature policy cannot be read, or a key of ours that asks for signatures.
    SignaturePolicy,
    /// A reference leads to a file that does not exist.
    MissingFile,
    /// Another file that is needed cannot be used.
    UnusableFile,
    /// Files depend on each other in a circle.
    Circle,
    /// A file that sets a variable does not exist yet; the file with the variable is valid.
    Awaited,
    /// Keys need, or exclude, each other.
    Combination,
    /// sdme-gen makes a setting itself.
    OwnSetting,
    /// `[Install]` is invalid.
    Install,
    /// A setting is that of one application among several.
    OneApplication,
    /// Two files claim the same name, port or path.
    Conflict,
    /// No address is left.
    Exhausted,
    /// A key or option of Podman has no effect.
    NoEffect,
    /// A key or option of Podman has another effect.
    Differs,
    /// A unit is unknown.
    UnknownUnit,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "S101",
            Self::NotText => "S102",
            Self::NotRead => "S103",
            Self::Name => "S104",
            Self::SectionHeader => "S201",
            Self::Assignment => "S202",
            Self::UnknownSection => "S203",
            Self::UnknownKey => "S204",
            Self::UnsupportedKey => "S205",
            Self::Quoting => "S206",
            Self::Value => "S301",
            Self::Choice => "S302",
            Self::ImageReference => "S303",
            Self::Port => "S304",
            Self::Path => "S305",
            Self::Quantity => "S306",
            Self::Mount => "S307",
            Self::Confinement => "S308",
            Self::Variable => "S309",
            Self::User => "S310",
            Self::Signal => "S311",
            Self::Address => "S312",
            Self::KernelSetting => "S313",
            Self::Secret => "S314",
            Self::HealthCheck => "S315",
            Self::SignaturePolicy => "S316",
            Self::MissingFile => "S401",
            Self::UnusableFile => "S402",
            Self::Circle => "S403",
            Self::Awaited => "S404",
            Self::Combination => "S501",
            Self::OwnSetting => "S502",
            Self::Install => "S503",
            Self::OneApplication => "S504",
            Self::Conflict => "S601",
            Self::Exhausted => "S602",
            Self::NoEffect => "S701",
            Self::Differs => "S702",
            Self::UnknownUnit => "S703",
        })
    }
}
