// SPDX-License-Identifier: MIT
//! Sets of capabilities (capabilities(7)). Pure.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::diag::{Fault, did_you_mean};

/// Names without the prefix `CAP_`. The index of a name is the number of the capability in
/// `linux/capability.h`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities: bit N is the capability with the number N, as in `/proc/PID/status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// All capabilities in `NAMES`.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);
    /// The default capabilities of Docker (moby, `oci/caps/defaults.go`).
    pub const DOCKER: Self = Self(
        1 | 1 << 1
            | 1 << 3
            | 1 << 4
            | 1 << 5
            | 1 << 6
            | 1 << 7
            | 1 << 8
            | 1 << 10
            | 1 << 13
            | 1 << 18
            | 1 << 27
            | 1 << 29
            | 1 << 31,
    );

    /// Parses a name, with or without `CAP_` and in upper or lower case, or `all`.
    ///
    /// # Errors
    /// When no capability has that name. The message suggests a similar name.
    pub fn parse(word: &str) -> Result<Self, Fault> {
        let upper = word.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if name == "ALL" {
            return Ok(Self::ALL);
        }
        let number = NAMES.iter().position(|known| *known == name);
        number.map(|number| Self(1 << number)).ok_or_else(|| {
            let near = did_you_mean(name, NAMES);
            let remedy = near.unwrap_or_else(|| "write a name of capabilities(7)".to_owned());
            Fault::new(format!("{word:?} is not a capability"), remedy)
        })
    }

    /// The set of these names, which have no prefix and are constants of this program. An unknown
    /// name is ignored.
    #[must_use]
    pub fn of(names: &[&str]) -> Self {
        let number = |name: &&str| NAMES.iter().position(|known| known == name);
        names.iter().filter_map(number).fold(Self::NONE, |set, number| set.with(Self(1 << number)))
    }

    /// The union of both sets.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The capabilities of this set that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The intersection of both sets.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the capabilities, with the prefix `CAP_`.
    pub fn names(self) -> impl Iterator<Item = String> {
        let bits = self.0;
        NAMES.iter().enumerate().filter(move |(index, _)| bits >> index & 1 == 1).map(|(_, name)| format!("CAP_{name}"))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}

/// A set is written as a list of names, as in the OCI runtime specification.
impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names
            .iter()
            .try_fold(Self::NONE, |all, name| Self::parse(name).map(|one| all.with(one)))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(Capabilities::parse("cap_sys_admin").unwrap(), Capabilities(1 << 21));
        assert_eq!(Capabilities::parse("CHECKPOINT_RESTORE").unwrap(), Capabilities(1 << 40));
        assert_eq!(
            Capabilities::parse("NET_ADMN").unwrap_err().to_string(),
            "\"NET_ADMN\" is not a capability; did you mean NET_ADMIN?"
        );
        // As in the documentation of Docker, "Runtime privilege and Linux capabilities".
        let docker = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID \
             SETPCAP SETUID SYS_CHROOT";
        let names: Vec<&str> = docker.split_whitespace().collect();
        assert_eq!(Capabilities::DOCKER, Capabilities::of(&names));
        let json = serde_json::to_string(&Capabilities(3)).unwrap();
        assert_eq!(json, "[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\"]");
        assert_eq!(serde_json::from_str::<Capabilities>(&json).unwrap(), Capabilities(3));
    }
}
