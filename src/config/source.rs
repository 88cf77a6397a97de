// SPDX-License-Identifier: MIT
//! Where an image comes from, what it is taken for and when it is pulled: values of `.image` files, parsed. Pure.

use std::fmt;

/// A parsed image source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageSource {
    /// An image in a registry, fully qualified: `docker.io/library/nginx:1.27`.
    Registry(RegistryRef),
    /// An OCI layout directory on this machine: `oci:/srv/images/nginx[:TAG]`.
    Layout {
        /// Absolute path of the layout directory.
        path: String,
        /// `org.opencontainers.image.ref.name` to choose by, when the index holds several images.
        tag: Option<String>,
    },
}

/// A registry reference with Docker Hub's shorthand already expanded. At least one of `tag` and `digest` is set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryRef {
    /// Host, with `:port` if one was given: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// Repository below the registry: `library/nginx`.
    pub repository: String,
    /// Tag, `latest` when neither tag nor digest was written.
    pub tag: Option<String>,
    /// Digest, `sha256:` and 64 hex digits.
    pub digest: Option<String>,
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = |f: &mut fmt::Formatter<'_>, mark: char, text: &Option<String>| match text {
            Some(text) => write!(f, "{mark}{text}"),
            None => Ok(()),
        };
        match self {
            Self::Registry(r) => {
                write!(f, "{}/{}", r.registry, r.repository)?;
                suffix(f, ':', &r.tag)?;
                suffix(f, '@', &r.digest)
            }
            Self::Layout { path, tag } => {
                write!(f, "oci:{path}")?;
                suffix(f, ':', tag)
            }
        }
    }
}

impl std::str::FromStr for ImageSource {
    type Err = String;

    /// Reads `[docker://][HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]` (the grammar of the OCI distribution
    /// specification and of Docker's short names) or `oci:PATH[:TAG]`.
    fn from_str(value: &str) -> Result<Self, String> {
        if let Some(rest) = value.strip_prefix("oci:") {
            return layout(rest);
        }
        for transport in ["oci-archive:", "docker-archive:", "dir:", "docker-daemon:", "containers-storage:"] {
            if value.starts_with(transport) {
                return Err(format!("{transport} sources are not supported yet; use a registry reference or oci:PATH"));
            }
        }
        registry(value.strip_prefix("docker://").unwrap_or(value)).map(Self::Registry)
    }
}

fn layout(rest: &str) -> Result<ImageSource, String> {
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
        _ => (rest, None),
    };
    if !path.starts_with('/') || path.split('/').any(|c| c == "..") {
        return Err(format!("{path:?} is not an absolute path; write oci:/PATH or oci:/PATH:TAG"));
    }
    if tag.as_deref().is_some_and(|t| !is_tag(t)) {
        return Err(format!("invalid tag in {rest:?}; write oci:/PATH:TAG"));
    }
    Ok(ImageSource::Layout { path: path.to_owned(), tag })
}

fn registry(value: &str) -> Result<RegistryRef, String> {
    let (rest, digest) = match value.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (value, None),
    };
    if digest.is_some_and(|d| !is_digest(d)) {
        return Err(format!("invalid digest in {value:?}; write @sha256: and 64 hexadecimal digits"));
    }
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|t| !is_tag(t)) {
        return Err(format!("invalid tag in {value:?}; write NAME:TAG with letters, digits, '.', '_' and '-'"));
    }
    // Docker's rule: the first component is a host if it has a dot or a port or is "localhost".
    let (host, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    if !is_host(host) {
        return Err(format!("invalid registry host {host:?} in {value:?}"));
    }
    if !repository.split('/').all(is_component) {
        let hint = if repository.chars().any(char::is_uppercase) { "; repository names are lower case" } else { "" };
        return Err(format!("invalid image reference {value:?}{hint}; write [HOST/]REPOSITORY[:TAG]"));
    }
    let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
    Ok(RegistryRef { registry: host.to_owned(), repository, tag, digest: digest.map(str::to_owned) })
}

fn is_component(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_digest(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("sha256:").is_some_and(|d| d.len() == 64 && d.bytes().all(hex))
}

fn is_host(text: &str) -> bool {
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    let port = |s: &str| s.parse::<u16>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else { return false };
        let port_ok = after.is_empty() || after.strip_prefix(':').is_some_and(port);
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port_ok;
    }
    match text.split_once(':') {
        Some((host, p)) => plain(host) && port(p),
        None => plain(text),
    }
}

/// What an image is taken for (`Mode=`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModeSetting {
    /// Decided by the image itself when it is imported.
    #[default]
    Auto,
    /// A base operating system.
    Base,
    /// An application.
    App,
}

/// When an image is pulled (`Pull=`, `Policy=`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pull {
    /// When it is not there, or was pulled from another source.
    #[default]
    Missing,
    /// At every start; nothing is downloaded when the registry still has the same digest.
    Always,
    /// Not at all: it must have been imported.
    Never,
}

impl ModeSetting {
    /// Reads a value that the key table has already checked.
    #[must_use]
    pub fn from_choice(word: &str) -> Self {
        match word {
            "base" => Self::Base,
            "app" => Self::App,
            _ => Self::Auto,
        }
    }
}

impl Pull {
    /// Reads a value that the key table has already checked.
    #[must_use]
    pub fn from_choice(word: &str) -> Self {
        match word {
            "always" => Self::Always,
            "never" => Self::Never,
            _ => Self::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references_are_normalised() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (written, canonical) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("docker://nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
            ("bitnami/redis", "docker.io/bitnami/redis:latest".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1".to_owned()),
            ("[::1]:5000/a", "[::1]:5000/a:latest".to_owned()),
            ("quay.io/a/b_c", "quay.io/a/b_c:latest".to_owned()),
            (&format!("nginx@{digest}"), format!("docker.io/library/nginx@{digest}")),
            (&format!("r.io:443/n:1@{digest}"), format!("r.io:443/n:1@{digest}")),
            ("oci:/srv/nginx", "oci:/srv/nginx".to_owned()),
            ("oci:/srv/nginx:1.27", "oci:/srv/nginx:1.27".to_owned()),
            ("oci:/srv/a:b/nginx", "oci:/srv/a:b/nginx".to_owned()),
        ] {
            let parsed: ImageSource = written.parse().unwrap();
            assert_eq!(parsed.to_string(), canonical, "{written}");
            assert_eq!(parsed.to_string().parse::<ImageSource>().unwrap(), parsed);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for written in [
            "",
            "Nginx",
            "a//b",
            "/a",
            "a/",
            "nginx:",
            "nginx:a b",
            "nginx@sha256:12",
            "nginx@md5:x",
            "-a",
            "a b",
            "host:99999/a",
            "[::1/a",
            "oci:",
            "oci:relative",
            "oci:/a/../b",
            "oci-archive:/x.tar",
            "a:b:c",
            "..",
        ] {
            assert!(written.parse::<ImageSource>().is_err(), "{written}");
        }
        assert!("Nginx".parse::<ImageSource>().unwrap_err().contains("lower case"));
    }
}
