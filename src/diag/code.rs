// SPDX-License-Identifier: MIT
//! The codes of problems. The meaning of a code never changes, while the texts of messages may
//! change. `catalogue` explains each code.

use std::fmt;

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A file cannot be read.
    Unreadable,
    /// A file is not text.
    NotText,
    /// A file is ignored because of its name or its type.
    NotRead,
    /// The name of a file is not valid as the name of the object that the file describes.
    Name,
    /// A section header is invalid.
    SectionHeader,
    /// A line is not an assignment.
    Assignment,
    /// A section is unknown.
    UnknownSection,
    /// A key is unknown.
    UnknownKey,
    /// A key is known, but not supported.
    UnsupportedKey,
    /// A quote or an escape sequence is not complete.
    Quoting,
    /// A value cannot be read.
    Value,
    /// A value is not one of those that the key accepts.
    Choice,
    /// An image reference cannot be read.
    ImageReference,
    /// A published port is invalid, or the port cannot be published.
    Port,
    /// A path is invalid.
    Path,
    /// A time, a number or a size is invalid.
    Quantity,
    /// A mount is invalid.
    Mount,
    /// A capability, a system call or a profile is unknown.
    Confinement,
    /// A variable or a label does not have the form NAME=VALUE.
    Variable,
    /// A user or a group is invalid.
    User,
    /// A signal is unknown.
    Signal,
    /// An address or a domain is invalid.
    Address,
    /// A resource limit or a kernel setting is not available to applications.
    KernelSetting,
    /// A secret cannot be read.
    Secret,
    /// A health check cannot be read.
    HealthCheck,
    /// A signature policy, or a key such as `VerifyKey=`, cannot be read.
    SignaturePolicy,
    /// A reference names a file that does not exist.
    MissingFile,
    /// Another file that this file needs cannot be used.
    UnusableFile,
    /// Files depend on each other in a cycle.
    Circle,
    /// A variable has no value, because the file that may set it does not exist yet. The file with
    /// the variable is valid.
    Awaited,
    /// Keys require or exclude each other.
    Combination,
    /// sdme-gen makes a setting itself, so it cannot be set.
    OwnSetting,
    /// The section `[Install]` is invalid.
    Install,
    /// In a container with several applications, a setting or a name does not identify one of them.
    OneApplication,
    /// Two files claim the same name, port or path.
    Conflict,
    /// A range of addresses has no free address left.
    Exhausted,
    /// A key or an option of Podman has no effect.
    NoEffect,
    /// A key or an option of Podman has another effect than with Podman.
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
