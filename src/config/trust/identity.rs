// SPDX-License-Identifier: MIT
//! `signedIdentity` of containers-policy.json(5): whether a signature for a reference is valid for
//! an image. Pure.

use super::json::Json;
use super::reference::{Named, is_component, is_domain};

/// The reference that a signature must contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// `matchExact`: the requested reference.
    Exact,
    /// `matchRepoDigestOrExact`: the requested reference. For an image that is requested by its
    /// digest, the reference only has to be in the same repository.
    RepoDigestOrExact,
    /// `matchRepository`: any reference in the same repository.
    Repository,
    /// `exactReference`: this reference.
    ExactReference(Named),
    /// `exactRepository`: any reference in this repository.
    ExactRepository(Named),
    /// `remapIdentity`: as `matchRepoDigestOrExact`, after the prefix of the requested reference is
    /// replaced.
    Remap {
        /// The prefix of the requested reference.
        prefix: String,
        /// The prefix that signatures have instead of `prefix`.
        signed_prefix: String,
    },
    /// Any reference, because the digest of the image in the signature suffices. Only
    /// `VerifyIdentity=digest` selects this.
    Digest,
}

impl Identity {
    /// Reads a `signedIdentity`.
    ///
    /// # Errors
    /// The type is unknown, or a field is missing, unknown or invalid.
    pub fn parse(json: &Json) -> Result<Self, String> {
        let of = |key: &str, name: &str| -> Result<String, String> {
            let fields = json.exact_fields(&["type", key])?;
            let text = fields.get(key).map_or(Ok(""), |value| value.text())?;
            if text.is_empty() { Err(format!("{name} needs {key}")) } else { Ok(text.to_owned()) }
        };
        let plain = |identity: Self| json.exact_fields(&["type"]).map(|_| identity);
        match json.members()?.get("type").map(|value| value.text()).transpose()? {
            Some("matchExact") => plain(Self::Exact),
            Some("matchRepoDigestOrExact") => plain(Self::RepoDigestOrExact),
            Some("matchRepository") => plain(Self::Repository),
            Some("exactReference") => Self::exact_reference(&of("dockerReference", "exactReference")?),
            Some("exactRepository") => {
                Ok(Self::ExactRepository(Named::parse(&of("dockerRepository", "exactRepository")?)?))
            }
            Some("remapIdentity") => {
                let fields = json.exact_fields(&["type", "prefix", "signedPrefix"])?;
                let text = |key: &str| fields.get(key).map_or(Ok(""), |value| value.text());
                Self::remap(text("prefix")?, text("signedPrefix")?)
            }
            Some(other) => Err(format!("unknown signedIdentity {other:?}")),
            None => Err("signedIdentity has no \"type\"".to_owned()),
        }
    }

    fn exact_reference(text: &str) -> Result<Self, String> {
        let named = Named::parse(text)?;
        if named.is_name_only() {
            return Err(format!("{text:?} has neither a tag nor a digest"));
        }
        Ok(Self::ExactReference(named))
    }

    fn remap(prefix: &str, signed_prefix: &str) -> Result<Self, String> {
        for text in [prefix, signed_prefix] {
            let (domain, path) = text.split_once('/').map_or((text, None), |(domain, path)| (domain, Some(path)));
            if !is_domain(domain) || path.is_some_and(|path| !path.split('/').all(is_component)) {
                return Err(format!("{text:?} is not the beginning of a reference"));
            }
        }
        Ok(Self::Remap { prefix: prefix.to_owned(), signed_prefix: signed_prefix.to_owned() })
    }

    /// Reads the words of `VerifyIdentity=`.
    ///
    /// # Errors
    /// The words are neither the name of a kind of match, nor a reference, nor two prefixes of
    /// references.
    pub fn from_words(words: &[String]) -> Result<Self, String> {
        match words {
            [word] => match word.as_str() {
                "matchExact" => Ok(Self::Exact),
                "matchRepoDigestOrExact" => Ok(Self::RepoDigestOrExact),
                "matchRepository" => Ok(Self::Repository),
                "digest" => Ok(Self::Digest),
                // A word without `/`, `:` and `@` is more likely a misspelt kind of match than a
                // repository.
                text if text.contains(['/', ':', '@']) => Named::parse(text).map(|named| {
                    if named.is_name_only() { Self::ExactRepository(named) } else { Self::ExactReference(named) }
                }),
                text => Err(format!("unknown word {text:?}")),
            },
            [prefix, signed_prefix] => Self::remap(prefix, signed_prefix),
            _ => Err("one or two words are needed".to_owned()),
        }
    }

    /// Whether a signature for the reference `signed` is valid for the image. `asked` is the
    /// requested reference, which has a tag or a digest. It is none for images in files that have
    /// no reference.
    #[must_use]
    pub fn accepts(&self, asked: Option<&Named>, signed: &Named) -> bool {
        match self {
            Self::Digest => true,
            Self::ExactReference(wanted) => !signed.is_name_only() && signed == wanted,
            Self::ExactRepository(wanted) => signed.name == wanted.name,
            Self::Exact => asked.is_some_and(|asked| !signed.is_name_only() && asked == signed),
            Self::Repository => asked.is_some_and(|asked| asked.name == signed.name),
            Self::RepoDigestOrExact => asked.is_some_and(|asked| repo_digest_or_exact(asked, signed)),
            Self::Remap { prefix, signed_prefix } => asked.is_some_and(|asked| {
                let rest = asked.name.strip_prefix(prefix.as_str());
                let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
                let name = rest.map_or_else(|| asked.name.clone(), |rest| format!("{signed_prefix}{rest}"));
                repo_digest_or_exact(&Named { name, ..asked.clone() }, signed)
            }),
        }
    }

    /// Describes the identity in the words of the policy, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Exact => "matchExact".to_owned(),
            Self::RepoDigestOrExact => "matchRepoDigestOrExact".to_owned(),
            Self::Repository => "matchRepository".to_owned(),
            Self::ExactReference(named) => format!("exactReference {named}"),
            Self::ExactRepository(named) => format!("exactRepository {}", named.name),
            Self::Remap { prefix, signed_prefix } => format!("remapIdentity {prefix} to {signed_prefix}"),
            Self::Digest => "digest".to_owned(),
        }
    }
}

/// Decides `matchRepoDigestOrExact`. A signed reference without a tag and a digest never matches,
/// because it does not tell which image of the repository was signed. For an image that is
/// requested by its digest, the same repository suffices, because the digest in the signature is
/// compared with the digest of the image.
fn repo_digest_or_exact(asked: &Named, signed: &Named) -> bool {
    if signed.is_name_only() {
        false
    } else if asked.tag.is_some() {
        asked == signed
    } else {
        asked.digest.is_some() && asked.name == signed.name
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn identity(text: &str) -> Result<Identity, String> {
        Identity::parse(&Json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn invalid_identities_are_rejected() {
        for bad in [
            r#"{"type": "matchExact", "dockerReference": "a"}"#,
            r#"{"type": "exactReference"}"#,
            r#"{"type": "exactReference", "dockerReference": "a.b/c"}"#,
            r#"{"type": "exactRepository", "dockerRepository": ""}"#,
            r#"{"type": "exactRepository", "dockerReference": "a"}"#,
            r#"{"type": "remapIdentity", "prefix": "a.b"}"#,
            r#"{"type": "remapIdentity", "prefix": "a.b", "signedPrefix": "c:x"}"#,
            r#"{"type": "remapIdentity", "prefix": "a.b/", "signedPrefix": "c"}"#,
            r#"{"type": "matchAll"}"#,
            "{}",
            "[]",
        ] {
            assert!(identity(bad).is_err(), "{bad}");
        }
        let words = |text: &str| Identity::from_words(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(words("matchRepository").unwrap(), Identity::Repository);
        assert_eq!(words("a.b/c:1").unwrap().describe(), "exactReference a.b/c:1");
        assert_eq!(words("a.b/c").unwrap().describe(), "exactRepository a.b/c");
        assert_eq!(words("a.b c.d/e").unwrap().describe(), "remapIdentity a.b to c.d/e");
        assert!(words("matchrepository").is_err() && words("a b c").is_err() && Identity::from_words(&[]).is_err());
    }

    #[test]
    fn signatures_match_by_the_rule_of_their_identity() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let by_digest = format!("r.io/a/b@{digest}");
        let remap = r#"{"type": "remapIdentity", "prefix": "r.io/a", "signedPrefix": "vendor.io/x"}"#;
        let exact = r#"{"type": "exactReference", "dockerReference": "v.io/c:2"}"#;
        let repository = r#"{"type": "exactRepository", "dockerRepository": "v.io/c"}"#;
        for (text, asked, signed, want) in [
            (r#"{"type": "matchExact"}"#, "r.io/a/b:1", "r.io/a/b:1", true),
            (r#"{"type": "matchExact"}"#, "r.io/a/b:1", "r.io/a/b:2", false),
            (r#"{"type": "matchExact"}"#, "r.io/a/b:1", "r.io/a/b", false),
            (r#"{"type": "matchExact"}"#, by_digest.as_str(), "r.io/a/b:1", false),
            (r#"{"type": "matchExact"}"#, &by_digest, &by_digest, true),
            (r#"{"type": "matchRepoDigestOrExact"}"#, "r.io/a/b:1", "r.io/a/b:1", true),
            (r#"{"type": "matchRepoDigestOrExact"}"#, "r.io/a/b:1", "r.io/a/b:2", false),
            (r#"{"type": "matchRepoDigestOrExact"}"#, "r.io/a/b:1", "r.io/a/b", false),
            (r#"{"type": "matchRepoDigestOrExact"}"#, &by_digest, "r.io/a/b:2", true),
            (r#"{"type": "matchRepoDigestOrExact"}"#, &by_digest, "r.io/a/b", false),
            (r#"{"type": "matchRepoDigestOrExact"}"#, &by_digest, "r.io/a/c:2", false),
            (r#"{"type": "matchRepository"}"#, "r.io/a/b:1", "r.io/a/b", true),
            (r#"{"type": "matchRepository"}"#, "r.io/a/b:1", "r.io/a/b:2", true),
            (r#"{"type": "matchRepository"}"#, "r.io/a/b:1", "r.io/a/bb:1", false),
            (exact, "r.io/a/b:1", "v.io/c:2", true),
            (exact, "r.io/a/b:1", "v.io/c:3", false),
            (exact, "r.io/a/b:1", "v.io/c", false),
            (repository, "r.io/a/b:1", "v.io/c", true),
            (repository, "r.io/a/b:1", "v.io/d", false),
            (remap, "r.io/a/b:1", "vendor.io/x/b:1", true),
            (remap, "r.io/a/b:1", "r.io/a/b:1", false),
            (remap, "r.io/ab:1", "r.io/ab:1", true),
            (remap, &by_digest, "vendor.io/x/b:7", true),
        ] {
            let (asked, signed) = (Named::parse(asked).unwrap(), Named::parse(signed).unwrap());
            assert_eq!(identity(text).unwrap().accepts(Some(&asked), &signed), want, "{text} {asked} {signed}");
        }
        let signed = Named::parse("v.io/c:2").unwrap();
        assert!(identity(exact).unwrap().accepts(None, &signed) && !Identity::Repository.accepts(None, &signed));
        assert!(Identity::Digest.accepts(None, &signed));
    }
}
