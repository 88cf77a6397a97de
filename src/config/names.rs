// SPDX-License-Identifier: MIT
//! Names of containers, pods, networks, images, volumes, applications and secrets. Each kind has a
//! type, whose values follow the rule of that kind. Pure.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::diag::{Code, Fault, Problem};

/// Maximum length of the name of a machine in bytes. Linux allows no longer host name
/// (`HOST_NAME_MAX`, gethostname(2)).
const LONGEST_HOST_NAME: usize = 64;

/// Maximum length of the name of an application in bytes. The name becomes part of the name of a
/// unit.
const LONGEST_APPLICATION: usize = 64;

/// Maximum length of the name of a volume or a secret in bytes.
const LONGEST: usize = 128;

/// Maximum length of the name of an image in bytes. The name is a file name and part of the name of
/// a unit.
const LONGEST_IMAGE: usize = 200;

/// Declares types of names, each with the function that returns why a text is not a valid name, or
/// none if it is one.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $why:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
            #[serde(transparent)]
            pub struct $name(String);

            impl FromStr for $name {
                type Err = Problem;

                fn from_str(text: &str) -> Result<Self, Problem> {
                    match $why(text) {
                        None => Ok(Self(text.to_owned())),
                        Some(fault) => Err(Code::Name.of(fault)),
                    }
                }
            }

            impl $name {
                /// The name as text.
                #[must_use]
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl Deref for $name {
                type Target = str;

                fn deref(&self) -> &str {
                    &self.0
                }
            }

            impl Borrow<str> for $name {
                fn borrow(&self) -> &str {
                    &self.0
                }
            }

            impl PartialEq<str> for $name {
                fn eq(&self, other: &str) -> bool {
                    self.0 == other
                }
            }

            impl PartialEq<&str> for $name {
                fn eq(&self, other: &&str) -> bool {
                    self.0 == *other
                }
            }

            impl PartialEq<String> for $name {
                fn eq(&self, other: &String) -> bool {
                    self.0 == *other
                }
            }

            impl PartialEq<$name> for String {
                fn eq(&self, other: &$name) -> bool {
                    *self == other.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(&self.0)
                }
            }

            impl From<$name> for String {
                fn from(name: $name) -> Self {
                    name.0
                }
            }
        )*
    };
}

names! {
    /// The name of a container, which is also the name of its machine.
    ContainerName: |text| host_name("container", text);
    /// The name of a pod.
    PodName: |text| host_name("pod", text);
    /// The name of a network.
    NetworkName: |text| host_name("network", text);
    /// The name of an image, which is also a file name and the instance of a unit.
    ImageName: image;
    /// The name of a volume, which is also the name of its directory.
    VolumeName: |text| plain("volume", LONGEST, text);
    /// The name of an application in a container that has several applications.
    ApplicationName: |text| plain("application", LONGEST_APPLICATION, text);
    /// The name of a secret, which is also the name of a credential (systemd.exec(5),
    /// `ImportCredential=`).
    SecretName: secret;
}

/// A container with a private network that is in no pod gets a pod of one member, which has the
/// name of the container.
impl From<ContainerName> for PodName {
    fn from(name: ContainerName) -> Self {
        Self(name.0)
    }
}

impl NetworkName {
    /// The name of the network that `Network=bridge` selects, as text.
    pub const DEFAULT: &str = "bridge";

    /// Returns the name of the network that `Network=bridge` selects.
    #[must_use]
    pub fn usual() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl ContainerName {
    /// Converts the name of a container of Podman with [`machine_name`].
    ///
    /// # Errors
    /// The converted name is not a valid name of a container.
    pub fn of_podman(name: &str) -> Result<Self, Problem> {
        machine_name(name).parse()
    }
}

/// Converts a name of Podman to the name of a machine: underscores become hyphens, because a host
/// name has no underscores (hostname(7)).
#[must_use]
pub fn machine_name(name: &str) -> String {
    name.replace('_', "-")
}

/// Returns why `text` is not a valid name of a container, pod or network, all of which become host
/// names. Returns none for a valid name.
fn host_name(what: &str, text: &str) -> Option<Fault> {
    let alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let label = |label: &str| {
        alphanumeric(label.bytes().next())
            && alphanumeric(label.bytes().next_back())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.contains('@') {
        return Some(Fault::new(
            format!("{text:?} cannot be the name of a {what}: only templates and their instances have an @"),
            format!("write a name without @, or name the file NAME@.{what} and make links to it"),
        ));
    }
    let good = text.len() <= LONGEST_HOST_NAME && text.split('.').all(label);
    let rule = || {
        Fault::new(
            format!("{text:?} cannot be the name of a {what}, which becomes a host name"),
            format!("write at most {LONGEST_HOST_NAME} letters, digits, '-' and '.'"),
        )
    };
    (!good).then(rule)
}

/// Returns why `text` is not a valid name of an image, or none if it is.
fn image(text: &str) -> Option<Fault> {
    let good = is_plain(text, LONGEST_IMAGE);
    (!good).then(|| {
        Fault::new(
            format!("{text:?} cannot be the name of an image"),
            "rename the file with letters, digits, '.', '_' and '-' only",
        )
    })
}

/// Returns why `text` is not a valid name of a `what`, or none if it is. The name may have letters,
/// digits, points, underscores and hyphens.
fn plain(what: &str, longest: usize, text: &str) -> Option<Fault> {
    let article = if what.starts_with('a') { "an" } else { "a" };
    let rule = || {
        Fault::new(
            format!("{text:?} cannot be the name of {article} {what}"),
            format!("write at most {longest} letters, digits, '.', '_' and '-', and begin with a letter or a digit"),
        )
    };
    (!is_plain(text, longest)).then(rule)
}

/// Returns why `text` is not a valid name of a secret, or none if it is.
fn secret(text: &str) -> Option<Fault> {
    let good = !text.is_empty() && !text.starts_with('.') && text.len() <= LONGEST && has_plain_bytes(text);
    let rule = || {
        Fault::new(format!("{text:?} cannot be the name of a secret"), "write letters, digits, '.', '_' and '-' only")
    };
    (!good).then(rule)
}

/// Whether `text` begins with a letter or digit, has at most `longest` bytes, and has only plain
/// bytes.
fn is_plain(text: &str, longest: usize) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() <= longest && has_plain_bytes(text)
}

/// Whether `text` has only ASCII letters, digits, points, underscores and hyphens.
fn has_plain_bytes(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_follow_the_rule_of_their_kind() {
        for good in ["web", "a.b", "Web-1", "9"] {
            assert_eq!(&*good.parse::<ContainerName>().unwrap(), good);
        }
        for bad in ["", "-a", "a-", "a..b", "a_b", "ü", "a b", "a/b", "web@", "web@1", &"a".repeat(65)] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad}");
            assert!(bad.parse::<PodName>().is_err(), "{bad}");
        }
        assert_eq!(&*ContainerName::of_podman("my_web").unwrap(), "my-web");
        for bad in ["", ".a", "c++", "größe", "a b", "a@", "a\\x2d", "a:b"] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
            assert!(bad.parse::<VolumeName>().is_err(), "{bad}");
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
        assert!("php_8.3-fpm".parse::<ImageName>().is_ok());
        assert!(
            "a".repeat(64).parse::<ApplicationName>().is_ok() && "a".repeat(65).parse::<ApplicationName>().is_err()
        );
    }

    #[test]
    fn messages_name_the_kind() {
        let message = |text: &str| text.parse::<NetworkName>().unwrap_err().to_string();
        assert_eq!(
            message("a_b"),
            "\"a_b\" cannot be the name of a network, which becomes a host name; write at most 64 letters, digits, '-' and '.'"
        );
        assert!(message("a@1").ends_with("name the file NAME@.network and make links to it"));
        let message = "a/b".parse::<ApplicationName>().unwrap_err().to_string();
        assert!(message.starts_with("\"a/b\" cannot be the name of an application"), "{message}");
    }
}
