// SPDX-License-Identifier: MIT
//! How systemd is installed into a base image without systemd: the setting, the families of
//! distributions, and their commands. Pure.

use crate::config::keys::{KeyName, key};
use std::collections::BTreeMap;

/// Whether packages are installed into a base image (`InstallPackages=`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InstallSetting {
    /// Packages are installed into an image without systemd.
    #[default]
    Auto,
    /// Packages are also installed into an image that has systemd but no message bus.
    Yes,
    /// No packages are installed.
    No,
}

impl InstallSetting {
    /// Converts a value that was checked against the table of keys. Other values mean `auto`.
    #[must_use]
    pub fn from_choice(word: &str) -> Self {
        match word {
            "yes" => Self::Yes,
            "no" => Self::No,
            _ => Self::Auto,
        }
    }
}

/// A family of distributions that install packages in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Debian, Ubuntu and their derivatives.
    Debian,
    /// Fedora, Red Hat Enterprise Linux and their derivatives.
    Fedora,
    /// Arch Linux.
    Arch,
    /// openSUSE and SUSE Linux Enterprise.
    Suse,
}

impl Family {
    /// All families, with their identifiers in os-release(5), the keys for their commands in
    /// `sdme.conf`, and the default commands. The commands remove the caches of the package
    /// manager, because they would only enlarge the image.
    const ALL: [(Self, &'static [&'static str], KeyName, &'static str); 4] = [
        (
            Self::Debian,
            &["debian", "ubuntu"],
            key::INSTALL_DEBIAN,
            "apt-get -q update && apt-get -qy -o Dpkg::Use-Pty=0 --no-install-recommends install systemd systemd-sysv \
             dbus login && apt-get clean && rm -rf /var/lib/apt/lists/*",
        ),
        (
            Self::Fedora,
            &["fedora", "rhel", "centos"],
            key::INSTALL_FEDORA,
            "dnf=$(command -v dnf || command -v microdnf || command -v yum) && \
             $dnf -y --setopt=install_weak_deps=0 install systemd dbus util-linux && $dnf clean all",
        ),
        (
            Self::Arch,
            &["arch", "archlinux"],
            key::INSTALL_ARCH,
            "pacman -Syu --noconfirm --needed systemd systemd-sysvcompat dbus && rm -rf /var/cache/pacman/pkg/*",
        ),
        (
            Self::Suse,
            &["suse", "opensuse", "sles"],
            key::INSTALL_SUSE,
            "zypper --non-interactive --gpg-auto-import-keys refresh && \
             zypper --non-interactive install --no-recommends systemd dbus-1 util-linux && zypper clean --all",
        ),
    ];

    /// Returns the keys of `sdme.conf` that set the commands, each with its family.
    pub fn keys() -> impl Iterator<Item = (Self, KeyName)> {
        Self::ALL.iter().map(|(family, _, key, _)| (*family, *key))
    }

    /// Returns the family of the distribution with this os-release(5) file.
    ///
    /// # Errors
    /// The reason why systemd cannot be installed: the distribution has no systemd, or is of no
    /// known family.
    pub fn of(os_release: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let mut lines = os_release.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            lines.next_back().unwrap_or_default().trim_matches(['"', '\'', ' ']).to_ascii_lowercase()
        };
        let (id, like) = (value("ID"), value("ID_LIKE"));
        for word in std::iter::once(id.as_str()).chain(like.split_whitespace()) {
            if word == "alpine" {
                return Err("Alpine Linux has no systemd: there is none for its C library and its init; use it with \
                            Mode=app, or another distribution as the base"
                    .to_owned());
            }
            let known =
                |words: &[&str]| words.contains(&word) || word.split_once('-').is_some_and(|w| words.contains(&w.0));
            if let Some((family, ..)) = Self::ALL.iter().find(|(_, words, ..)| known(words)) {
                return Ok(*family);
            }
        }
        let id: String = id.chars().filter(|c| !c.is_control()).take(50).collect();
        Err(format!(
            "its distribution ({}) is of none of the families Debian, Fedora, Arch and SUSE; install systemd when you \
             build the image, or set Mode=app if it is an application",
            if id.is_empty() { "os-release does not name it" } else { &id }
        ))
    }
}

/// The commands that install systemd and the message bus. The `/bin/sh` of the image runs them as
/// root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installers {
    /// The commands that `sdme.conf` sets. They replace the default ones.
    pub own: BTreeMap<Family, String>,
}

impl Installers {
    /// Returns the command of a family.
    #[must_use]
    pub fn command(&self, family: Family) -> &str {
        let usual = || Family::ALL.iter().find(|(f, ..)| *f == family).map_or("false", |(.., command)| *command);
        self.own.get(&family).map_or_else(usual, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn families_are_found_in_os_release() {
        for (text, want) in [
            ("ID=debian\n", Family::Debian),
            ("NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Family::Debian),
            ("ID=\"rhel\"\nID_LIKE=\"fedora\"\n", Family::Fedora),
            ("ID='rocky'\nID_LIKE='rhel centos fedora'\n", Family::Fedora),
            ("ID=arch\n", Family::Arch),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", Family::Suse),
            ("ID=opensuse-tumbleweed\n", Family::Suse),
        ] {
            assert_eq!(Family::of(text).unwrap(), want, "{text}");
        }
        assert!(Family::of("ID=alpine\n").unwrap_err().contains("C library"));
        assert!(Family::of("ID=postmarketos\nID_LIKE=alpine\n").unwrap_err().contains("Mode=app"));
        assert!(Family::of("ID=void\n").unwrap_err().contains("(void)"));
        assert!(Family::of("VERSION_ID=3\n").unwrap_err().contains("does not name it"));
    }

    #[test]
    fn commands_of_sdme_conf_replace_the_default_ones() {
        let mut installers = Installers::default();
        assert!(Family::keys().all(|(family, _)| installers.command(family).contains("systemd")));
        installers.own.insert(Family::Arch, "true".into());
        assert_eq!(installers.command(Family::Arch), "true");
        assert!(installers.command(Family::Debian).starts_with("apt-get"));
    }
}
