// SPDX-License-Identifier: MIT
//! Parses challenges and answers of token services (distribution, "Token Authentication
//! Specification"). Pure.
//!
//! Challenges may be quoted, escaped and combined in one header, so http-auth parses them, which is
//! a dependency of oci-client. oci-client itself can exchange credentials for a token, but reads
//! only the first challenge and does not return the status of a refusal.

use anyhow::{Context as _, Result, bail};
use http_auth::ChallengeParser;
use reqwest::Url;
use reqwest::header::{self, HeaderMap};
use serde_json::Value;

use crate::image::source::json::respell;

/// The context of errors about the URL in a challenge.
const URL: &str = "the URL of the registry's token service";

/// A token service that a challenge names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The URL of the service.
    pub realm: Url,
    /// The name of the registry at the service; may be empty.
    pub name: String,
}

/// Returns the token service that an answer of the registry at `base` names. Each challenge may
/// have its own header (RFC 9110, section 11.6.1), and the first bearer challenge is used, wherever
/// it is. The service may be on any host, as with Docker Hub, but credentials for an encrypted
/// connection are never sent over an unencrypted one.
///
/// # Errors
/// Returns an error if the address is not a URL, or if it does not use HTTPS although the registry
/// does.
pub fn service(answer: &HeaderMap, base: &Url) -> Result<Option<Service>> {
    let mut challenges = answer.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let Some((realm, name)) = challenges.find_map(bearer) else { return Ok(None) };
    let realm = Url::parse(&realm).context(URL)?;
    if realm.scheme() != "https" && (base.scheme() == "https" || realm.scheme() != "http") {
        bail!("the registry's token service does not use HTTPS");
    }
    Ok(Some(Service { realm, name }))
}

/// Returns realm and service of the bearer challenge in a header (RFC 6750, section 3), which may
/// follow other challenges. Nothing after an invalid challenge is read.
fn bearer(header: &str) -> Option<(String, String)> {
    let mut challenges = ChallengeParser::new(header).map_while(Result::ok);
    challenges.find_map(|challenge| {
        if !challenge.scheme.eq_ignore_ascii_case("Bearer") {
            return None;
        }
        let parameter = |name: &str| {
            let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        Some((parameter("realm")?, parameter("service").unwrap_or_default()))
    })
}

/// Returns the token in an answer of the service: `token`, or `access_token` (the name in OAuth) if
/// `token` is missing or empty.
///
/// # Errors
/// Returns an error if both are missing. The message does not quote the answer.
pub fn token(answer: &[u8]) -> Result<String> {
    let keys = ["token", "access_token"];
    let mut document: Value = serde_json::from_slice(answer).unwrap_or_default();
    respell(&mut document, &keys);
    let mut given = keys.iter().filter_map(|key| document.get(key)?.as_str()).filter(|text| !text.is_empty());
    given.next().map(str::to_owned).context("the registry's token service sent no token")
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
    fn the_first_bearer_challenge_names_the_service() {
        let good = Some(("https://a/token".to_owned(), "b c".to_owned()));
        let bearer = r#"Bearer realm="https://a/token",service="b c",scope="x""#;
        for challenges in [
            &[bearer][..],
            &["Negotiate", bearer],
            &[r#"Basic realm="x""#, bearer],
            &[r#"Basic realm="Bearer x", Bearer service="b c", realm="https://a/token""#],
            &[r#"bearer Realm="https://a/token",Service="b c""#],
            &[r#"Basic realm="x", Bearer realm="https://a/token", service="b c""#],
            &[r#"Digest realm="a, Bearer realm=\"https://evil/\"", nonce=x"#, bearer],
            &[r#"Bearer service="b\ c" , realm = "https://a/token""#],
            &[r#"Bearer xrealm="https://evil/",realm="https://a/token",service="b c""#],
        ] {
            assert_eq!(found(challenges, "https://r/").unwrap(), good, "{challenges:?}");
        }
        for challenges in [&[][..], &[r#"Basic realm="x""#], &["Bearer"], &[r#"Bearer service="x""#]] {
            assert_eq!(found(challenges, "https://r/").unwrap(), None, "{challenges:?}");
        }
        assert_eq!(found(&["Bearer service=s,realm=x"], "https://r/").unwrap_err().to_string(), URL);
        let at = |realm: &str, base| found(&[&format!("Bearer realm=\"{realm}\"")], base);
        assert_eq!(at("http://a/t", "http://a/").unwrap().unwrap().0, "http://a/t");
        for (realm, base) in [("http://a/t", "https://a/"), ("ftp://a/t", "https://a/"), ("ftp://a/t", "http://a/")] {
            let error = at(realm, base).unwrap_err().to_string();
            assert_eq!(error, "the registry's token service does not use HTTPS", "{realm}");
        }
        assert!(at("nowhere", "https://a/").is_err());
    }

    #[test]
    fn a_token_is_read_from_an_answer() {
        for (answer, want) in [
            (r#"{"token":"a"}"#, Some("a")),
            (r#"{"access_token":"b","expires_in":300}"#, Some("b")),
            (r#"{"token":"a","access_token":"b"}"#, Some("a")),
            (r#"{"token":"","access_token":"b"}"#, Some("b")),
            (r#"{"token":null,"access_token":"b"}"#, Some("b")),
            (r#"{"Token":"","Access_Token":"b"}"#, Some("b")),
            (r#"{"token":""}"#, None),
            (r#"{"token":1}"#, None),
            ("{}", None),
            ("secret", None),
        ] {
            assert_eq!(token(answer.as_bytes()).ok().as_deref(), want, "{answer}");
        }
        assert!(!token(b"secret").unwrap_err().to_string().contains("secret"));
    }
}
