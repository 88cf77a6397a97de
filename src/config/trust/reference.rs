// SPDX-License-Identifier: MIT
//! Image references in signatures and policies, in full or as short names of Docker. Pure.
//!
//! The grammar is that of the distribution project (`reference`), which decides whether a signature
//! is for an image. It distinguishes a reference without a tag from one with the tag `latest`. The
//! references of the configuration ([`crate::config::values::source`]) cannot be used here, because
//! they do not make this difference.

use std::fmt;

/// A repository, and optionally a tag and a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The host and the repository: `docker.io/library/nginx`.
    pub name: String,
    /// The tag, if the reference has one.
    pub tag: Option<String>,
    /// The digest, if the reference has one.
    pub digest: Option<String>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl Named {
    /// Reads a reference, in which short names are expanded.
    ///
    /// # Errors
    /// The text is not a reference.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an image reference");
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let (domain, rest) = match text.split_once('/') {
            Some((first, rest)) if is_like_host(first) => (first, rest),
            _ => ("docker.io", text),
        };
        let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag.to_owned())),
            None => (rest, None),
        };
        let path =
            if domain == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        let name = format!("{domain}/{path}");
        let right = name.len() <= 255
            && is_domain(domain)
            && path.split('/').all(is_component)
            && tag.as_deref().is_none_or(is_tag)
            && digest.as_deref().is_none_or(is_digest);
        if right { Ok(Self { name, tag, digest }) } else { Err(wrong()) }
    }

    /// Whether the reference has neither a tag nor a digest.
    #[must_use]
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }
}

/// Docker's rule: the first component is a host if it has a dot or a port, is `localhost`, or
/// cannot be a repository because of its capital letters.
fn is_like_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
}

/// Whether `text` is `HOST` or `HOST:PORT`.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether `text` is a component of a repository: lower-case letters and digits, with one dot, one
/// or two underscores, or any number of dashes between them.
#[must_use]
pub fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else { return false };
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|part| !part.is_empty());
    word(first)
        && word(last)
        && separators.into_iter().all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(text: &str) -> bool {
    let length = match text.split_once(':') {
        Some(("sha256", _)) => 64,
        Some(("sha384", _)) => 96,
        Some(("sha512", _)) => 128,
        _ => return false,
    };
    let hex = text.get(7..).unwrap_or_default();
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references_are_expanded_or_rejected() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, want) in [
            ("nginx", "docker.io/library/nginx"),
            ("docker.io/nginx:1", "docker.io/library/nginx:1"),
            ("index.docker.io/a/b", "docker.io/a/b"),
            ("a/b", "docker.io/a/b"),
            ("localhost/b", "localhost/b"),
            ("localhost:5000", "docker.io/library/localhost:5000"),
            ("quay.io:443/a/b__c.d---e:T_1", "quay.io:443/a/b__c.d---e:T_1"),
            ("UP/a", "UP/a"),
            (&format!("a.b/c:1@{digest}"), &format!("a.b/c:1@{digest}")),
        ] {
            let named = Named::parse(text).unwrap();
            assert_eq!(named.to_string(), want);
            assert_eq!(Named::parse(want).unwrap(), named);
        }
        let hex = "a".repeat(64);
        let long = format!("a.b/{}", "x".repeat(255));
        for bad in [
            "",
            ":1",
            "a:",
            "Nginx",
            "a//b",
            "a/b_",
            "a/b..c",
            "a/b___c",
            "a@sha256:1",
            "a b",
            "-a.b/c",
            "a.b:x/c",
            &hex,
            &long,
        ] {
            assert!(Named::parse(bad).is_err(), "{bad}");
        }
    }
}
