// SPDX-License-Identifier: MIT
//! What a registry and its token service say about tokens (distribution, "Token Authentication Specification"). Pure.
//!
//! oci-client can exchange credentials for a token, but reads the first challenge only and keeps the status of a refusal for itself.

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::Url;
use reqwest::header::{self, HeaderMap};
use serde::Deserialize;

/// A token service, as a challenge names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its address.
    pub realm: Url,
    /// What it calls the registry; may be empty.
    pub name: String,
}

/// The token service that an answer of the registry at `base` names. Each challenge may have a header of its own (RFC 9110,
/// section 11.6.1), and the first one for tokens counts, wherever it stands. The service may be anywhere, as the registry says (Docker's
/// own is on another host), but credentials that were meant for an encrypted connection go over no other.
///
/// # Errors
/// When its address is no URL, or does not use HTTPS although the registry does.
pub fn service(answer: &HeaderMap, base: &Url) -> Result<Option<Service>> {
    let mut challenges = answer.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let Some((realm, name)) = challenges.find_map(bearer) else { return Ok(None) };
    let realm = Url::parse(&realm).context("the URL of the registry's token service")?;
    if realm.scheme() != "https" && (base.scheme() == "https" || realm.scheme() != "http") {
        bail!("the registry's token service does not use HTTPS");
    }
    Ok(Some(Service { realm, name }))
}

/// Realm and service of the bearer challenge in a header (RFC 6750, section 3), which may have others before it.
fn bearer(header: &str) -> Option<(String, String)> {
    let lower = header.to_ascii_lowercase();
    let at = lower.match_indices("bearer ").map(|(at, _)| at).find(|at| {
        let before = header.get(..*at).unwrap_or_default().trim_end();
        before.is_empty() || before.ends_with(',')
    })?;
    let rest = header.get(at..)?;
    let parameter = |name: &str| {
        let at = rest.to_ascii_lowercase().find(&format!("{name}=\""))? + name.len() + 2;
        rest.get(at..)?.split('"').next().map(str::to_owned)
    };
    Some((parameter("realm")?, parameter("service").unwrap_or_default()))
}

/// The token in an answer of the service: `token`, or `access_token` where that is missing or empty, as OAuth calls it.
///
/// # Errors
/// When there is neither. The message quotes nothing.
pub fn token(answer: &[u8]) -> Result<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let none = || anyhow!("the registry's token service sent no token");
    let Answer { token, access_token } = serde_json::from_slice(answer).map_err(|_| none())?;
    let given = |text: &String| !text.is_empty();
    token.filter(given).or(access_token.filter(given)).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(challenges: &[&str], base: &str) -> Result<Option<(String, String)>> {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        }
        let service = service(&headers, &Url::parse(base).unwrap())?;
        Ok(service.map(|service| (service.realm.into(), service.name)))
    }

    #[test]
    fn challenges() {
        let good = Some(("https://a/token".to_owned(), "b c".to_owned()));
        let bearer = r#"Bearer realm="https://a/token",service="b c",scope="x""#;
        for challenges in [
            &[bearer][..],
            &["Negotiate", bearer],
            &[r#"Basic realm="x""#, bearer],
            &[r#"Basic realm="Bearer x", Bearer service="b c", realm="https://a/token""#],
            &[r#"bearer Realm="https://a/token",Service="b c""#],
        ] {
            assert_eq!(found(challenges, "https://r/").unwrap(), good, "{challenges:?}");
        }
        for challenges in [&[][..], &[r#"Basic realm="x""#], &["Bearer"], &[r#"Bearer service="x""#]] {
            assert_eq!(found(challenges, "https://r/").unwrap(), None, "{challenges:?}");
        }
        let at = |realm: &str, base| found(&[&format!("Bearer realm=\"{realm}\"")], base);
        assert_eq!(at("http://a/t", "http://a/").unwrap().unwrap().0, "http://a/t");
        for (realm, base) in [("http://a/t", "https://a/"), ("ftp://a/t", "https://a/"), ("ftp://a/t", "http://a/")] {
            let error = at(realm, base).unwrap_err().to_string();
            assert_eq!(error, "the registry's token service does not use HTTPS", "{realm}");
        }
        assert!(at("nowhere", "https://a/").is_err());
    }

    #[test]
    fn answers() {
        for (answer, want) in [
            (r#"{"token":"a"}"#, Some("a")),
            (r#"{"access_token":"b","expires_in":300}"#, Some("b")),
            (r#"{"token":"a","access_token":"b"}"#, Some("a")),
            (r#"{"token":"","access_token":"b"}"#, Some("b")),
            (r#"{"token":null,"access_token":"b"}"#, Some("b")),
            (r#"{"token":""}"#, None),
            ("{}", None),
            ("secret", None),
        ] {
            assert_eq!(token(answer.as_bytes()).ok().as_deref(), want, "{answer}");
        }
        assert!(!token(b"secret").unwrap_err().to_string().contains("secret"));
    }
}
