// SPDX-License-Identifier: MIT
//! Requests to one registry: authorization, redirects, repetition.
//!
//! The authorization goes to the registry's own scheme, host and port and nowhere else, whatever redirects say. Every
//! answer is bounded while it is read. Must not know what is in it.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::token_cache::RegistryToken;
use oci_client::{Client, Reference, RegistryOperation};
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Url};

use super::super::Surroundings;
use super::credentials::{self, Credentials};
use super::tls;
use crate::image::digest::Digest;
use crate::image::manifest::{ACCEPTED, MAX_MANIFEST};
use crate::image::progress::Progress;

/// Redirects followed for one request.
const MAX_REDIRECTS: u32 = 5;
/// Longest wait that a registry can impose, and longest of our own.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// Answers of token services.
const MAX_TOKEN: u64 = 1 << 20;
/// Why there can be no token.
const NO_TOKENS: &str = "the registry has no token service";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const USER_AGENT: &str = concat!("sdme-gen/", env!("CARGO_PKG_VERSION"));

/// Why a request failed.
#[derive(Debug)]
pub enum Failure {
    /// It may work in a moment: not before the time given, if one was given.
    Passing(anyhow::Error, Option<Duration>),
    /// It will not.
    Final(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Final(error)
    }
}

/// Value of the `Authorization` header; there may be none.
type Header = Option<String>;

/// An answered question.
#[derive(Clone)]
struct Authorization(Header);

/// The way to one registry.
pub struct Transport<'a> {
    http: reqwest::Client,
    tokens: Client,
    reference: Reference,
    /// `https://HOST/`
    base: Url,
    credentials: Credentials,
    /// What the registry was last told about us, once it has been asked what it wants.
    authorization: Mutex<Option<Authorization>>,
    retries: u32,
    delay: Duration,
    progress: &'a dyn Progress,
}

/// Whether a registry is on this machine, by the name or address as written: nothing is resolved, because a name server
/// must not be able to turn encryption off.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl<'a> Transport<'a> {
    /// Sets up the clients; sends nothing. A mirror gets no credentials or certificates that are meant for the registry.
    ///
    /// # Errors
    /// When credentials or certificates cannot be read.
    pub fn new(host: &str, reference: Reference, around: Surroundings<'a>, mirror: bool) -> Result<Self> {
        let own = (!mirror).then_some(around.access);
        let trusted = tls::prepare()?;
        let certificates = own.and_then(|access| access.cert_dir.as_deref()).map(|dir| tls::read(Path::new(dir)));
        let certificates = certificates.transpose()?;
        let verify = own.and_then(|access| access.tls_verify);
        // A registry on a loopback address speaks plain HTTP unless something was said about its encryption.
        let plain = around.registries.insecure.iter().any(|insecure| insecure == host)
            || (is_loopback(host) && certificates.is_none() && verify.is_none());
        let certificates = certificates.unwrap_or_default();
        let http = http_client(&trusted, &certificates, verify != Some(false))?;
        let authority = |data: &Vec<u8>| Certificate { encoding: CertificateEncoding::Pem, data: data.clone() };
        let root = |data| Certificate { encoding: CertificateEncoding::Der, data };
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            accept_invalid_certificates: verify == Some(false),
            extra_root_certificates: certificates.authorities.iter().map(authority).collect(),
            tls_certs_only: trusted.into_iter().map(root).collect(),
            platform_resolver: None,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let scheme = if plain { "http" } else { "https" };
        Ok(Self {
            http,
            tokens: Client::try_from(config).context("setting up the registry client")?,
            base: Url::parse(&format!("{scheme}://{}/", reference.resolve_registry())).context("the registry's URL")?,
            credentials: credentials::find(host, reference.repository(), own)?,
            reference,
            authorization: Mutex::new(None),
            retries: around.access.retries,
            delay: Duration::from_millis(around.access.delay),
            progress: around.progress,
        })
    }

    /// The registry's name, for messages.
    #[must_use]
    pub fn host(&self) -> &str {
        self.reference.registry()
    }

    /// Who is told.
    #[must_use]
    pub fn progress(&self) -> &'a dyn Progress {
        self.progress
    }

    /// A manifest or index: the one the reference names, or another of its repository.
    ///
    /// # Errors
    /// When it cannot be had or is too large.
    pub async fn manifest(&self, digest: Option<&Digest>) -> Result<Vec<u8>> {
        let what = match digest {
            Some(digest) => digest.to_string(),
            None => self.reference.digest().or(self.reference.tag()).unwrap_or_default().to_owned(),
        };
        let path = format!("v2/{}/manifests/{what}", self.reference.repository());
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, ACCEPTED.join(", ").parse().context("the list of manifest types")?);
        self.repeat(async || {
            let answer = self.get(&path, headers.clone()).await?;
            body(answer, MAX_MANIFEST, "the manifest").await
        })
        .await
    }

    /// Asks for a blob, from the byte `from` on.
    ///
    /// # Errors
    /// As for every request.
    pub async fn blob(&self, digest: &Digest, from: u64) -> Result<Response, Failure> {
        let path = format!("v2/{}/blobs/{digest}", self.reference.repository());
        let mut headers = HeaderMap::new();
        if from > 0 {
            headers.insert(header::RANGE, format!("bytes={from}-").parse().context("the range")?);
        }
        self.get(&path, headers).await
    }

    /// Does something until it succeeds, fails for good, or has failed too often.
    ///
    /// # Errors
    /// The last failure.
    pub async fn repeat<T>(&self, attempt: impl AsyncFn() -> Result<T, Failure>) -> Result<T> {
        let mut failures = 0;
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, wait)) => {
                    if failures >= self.retries {
                        return Err(error);
                    }
                    self.pause(&error, wait, failures).await;
                    failures += 1;
                }
            }
        }
    }

    /// How often something may be repeated.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Waits before the repetition after so many `failures` before this one.
    pub async fn pause(&self, error: &anyhow::Error, wait: Option<Duration>, failures: u32) {
        let own = self.delay.saturating_mul(2_u32.saturating_pow(failures));
        let wait = wait.unwrap_or_default().max(own).min(MAX_WAIT);
        self.progress.warning(&format!("{error:#}; trying again in {} s", wait.as_millis().div_ceil(1000)));
        tokio::time::sleep(wait).await;
    }

    /// One request, with redirects followed and, if the authorization has expired, a new one.
    async fn get(&self, path: &str, headers: HeaderMap) -> Result<Response, Failure> {
        let url = self.base.join(path).context("the request's URL")?;
        let first = self.authorization(false).await?;
        let answer = self.follow(url.clone(), headers.clone(), first.clone()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return checked(answer).await;
        }
        let second = self.authorization(true).await?;
        checked(self.follow(url, headers, second).await?).await
    }

    async fn follow(
        &self,
        mut url: Url,
        headers: HeaderMap,
        authorization: Option<String>,
    ) -> Result<Response, Failure> {
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.http.get(url.clone()).headers(headers.clone());
            if let Some(authorization) = &authorization
                && url.origin() == self.base.origin()
            {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            let answer = request.send().await.map_err(connection)?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let target = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let target = target.context("the registry redirects to nowhere")?;
            let next = url.join(target).context("the registry redirects to what is no URL")?;
            let secure = next.scheme() == "https" || (next.scheme() == "http" && self.base.scheme() == "http");
            if !secure {
                return Err(Failure::Final(anyhow!("the registry redirects away from HTTPS")));
            }
            url = next;
        }
        Err(Failure::Final(anyhow!("the registry redirects more than {MAX_REDIRECTS} times")))
    }

    /// The value of the `Authorization` header, asked for once, or once more.
    async fn authorization(&self, again: bool) -> Result<Header, Failure> {
        let known = self.authorization.lock().map_err(|_| anyhow!("a download failed"))?.clone();
        if let Some(Authorization(known)) = known.filter(|_| !again) {
            return Ok(known);
        }
        let found = match &self.credentials {
            Credentials::IdentityToken(token) => Some(format!("Bearer {}", self.refresh(token).await?)),
            Credentials::Anonymous => self.exchange(&RegistryAuth::Anonymous).await?,
            Credentials::Password(user, password) => {
                // oci-client would send the password to any address.
                self.token_service().await?;
                let auth = RegistryAuth::Basic(user.clone(), password.clone());
                let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                self.exchange(&auth).await?.or(Some(format!("Basic {basic}")))
            }
        };
        *self.authorization.lock().map_err(|_| anyhow!("a download failed"))? = Some(Authorization(found.clone()));
        Ok(found)
    }

    /// The token exchange of the distribution specification; nothing if the registry has no token service.
    async fn exchange(&self, auth: &RegistryAuth) -> Result<Option<String>, Failure> {
        match self.tokens.auth(&self.reference, auth, RegistryOperation::Pull).await {
            Ok(token) => Ok(token.map(|token| format!("Bearer {token}"))),
            Err(OciDistributionError::RequestError(error)) => Err(connection(error)),
            Err(OciDistributionError::AuthenticationFailure(_)) => Err(self.refusal(auth).await),
            Err(error) => Err(Failure::Final(anyhow!(error).context("the registry's token service"))),
        }
    }

    fn denied(&self) -> &'static str {
        if self.credentials == Credentials::Anonymous {
            "the registry denies anonymous access, or there is no such image"
        } else {
            "the registry refuses the credentials"
        }
    }

    /// Why the token service gave no token. oci-client keeps the status of its answer for itself, so it is asked once more.
    async fn refusal(&self, auth: &RegistryAuth) -> Failure {
        let ask = async || {
            let (realm, service) = self.token_service().await?.context(NO_TOKENS)?;
            let mut request = self.http.get(realm).query(&[("scope", self.scope()), ("service", service)]);
            if let RegistryAuth::Basic(user, password) = auth {
                request = request.basic_auth(user, Some(password));
            }
            checked(request.send().await.map_err(connection)?).await
        };
        match ask().await {
            Err(Failure::Final(_)) => Failure::Final(anyhow!(self.denied())),
            Err(passing) => passing,
            Ok(_) => Failure::Passing(anyhow!("the registry's token service failed for a moment"), None),
        }
    }

    fn scope(&self) -> String {
        format!("repository:{}:pull", self.reference.repository())
    }

    /// Where the registry's token service is, and what it is called, if it has one. It may be anywhere, as the registry says
    /// (distribution, "Token Authentication Specification"; Docker's own is on another host), but credentials that were meant
    /// for an encrypted connection go over no other.
    async fn token_service(&self) -> Result<Option<(Url, String)>, Failure> {
        let url = self.base.join("v2/").context("the registry's URL")?;
        let answer = self.http.get(url).send().await.map_err(connection)?;
        let challenge = answer.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let Some((realm, service)) = challenge.and_then(bearer) else { return Ok(None) };
        Ok(Some((token_address(&realm, &self.base)?, service)))
    }

    /// A token for a refresh token, which oci-client does not know how to get.
    async fn refresh(&self, token: &str) -> Result<String, Failure> {
        let (realm, service) = self.token_service().await?.context(NO_TOKENS)?;
        let scope = self.scope();
        let form = [
            ("grant_type", "refresh_token"),
            ("service", &service),
            ("client_id", "sdme-gen"),
            ("scope", &scope),
            ("refresh_token", token),
        ];
        // The URL type knows how to encode a form.
        let mut encoded = self.base.clone();
        encoded.query_pairs_mut().clear().extend_pairs(form);
        let answer = self
            .http
            .post(realm)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encoded.query().unwrap_or_default().to_owned())
            .send()
            .await
            .map_err(connection)?;
        if matches!(answer.status().as_u16(), 400..=403) {
            return Err(Failure::Final(anyhow!(self.denied())));
        }
        let bytes = body(checked(answer).await?, MAX_TOKEN, "the token").await?;
        let token: RegistryToken =
            serde_json::from_slice(&bytes).map_err(|_| anyhow!("the registry's token service sent no token"))?;
        Ok(token.token().to_owned())
    }
}

fn http_client(trusted: &[Vec<u8>], certificates: &tls::Certificates, verify: bool) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .user_agent(USER_AGENT)
        .tls_danger_accept_invalid_certs(!verify);
    let mut roots = Vec::new();
    for der in trusted {
        roots.push(reqwest::Certificate::from_der(der).context("a certificate of this system")?);
    }
    for pem in &certificates.authorities {
        roots.push(reqwest::Certificate::from_pem(pem).context("a certificate of CertDir=")?);
    }
    builder = builder.tls_certs_only(roots);
    if let Some(pem) = &certificates.identity {
        builder = builder.identity(reqwest::Identity::from_pem(pem).context("the client certificate of CertDir=")?);
    }
    builder.build().context("setting up the HTTP client")
}

/// The address of the token service of the registry at `base`.
fn token_address(realm: &str, base: &Url) -> Result<Url> {
    let realm = Url::parse(realm).context("the URL of the registry's token service")?;
    if realm.scheme() != "https" && (base.scheme() == "https" || realm.scheme() != "http") {
        bail!("the registry's token service does not use HTTPS");
    }
    Ok(realm)
}

/// Realm and service of a bearer challenge (RFC 6750, section 3).
fn bearer(challenge: &str) -> Option<(String, String)> {
    let (scheme, rest) = challenge.trim().split_once(' ')?;
    let parameter = |name: &str| {
        let at = rest.find(&format!("{name}=\""))? + name.len() + 2;
        rest.get(at..)?.split('"').next().map(str::to_owned)
    };
    let realm = parameter("realm").filter(|_| scheme.eq_ignore_ascii_case("bearer"))?;
    Some((realm, parameter("service").unwrap_or_default()))
}

/// Sorts the status codes.
async fn checked(answer: Response) -> Result<Response, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let wait = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| retry_after(value, SystemTime::now()));
    let place = answer.url().path().to_owned();
    // A few words of the registry's own, if it has any.
    let said = body(answer, 4096, "the answer").await.ok().and_then(|bytes| said(&bytes)).unwrap_or_default();
    let error = |text: &str| anyhow!("{text}: {place}: {status}{said}");
    Err(match status.as_u16() {
        429 => Failure::Passing(error("the registry limits the rate of requests"), wait),
        408 | 500..=599 => Failure::Passing(error("the registry has a problem of its own"), wait),
        404 => Failure::Final(error("the registry has no such image")),
        401 | 403 => Failure::Final(error("the registry denies access, or there is no such image")),
        _ => Failure::Final(error("the registry refuses the request")),
    })
}

/// How long to wait: a number of seconds, or until a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let until = || httpdate::parse_http_date(value).ok().map(|date| date.duration_since(now).unwrap_or_default());
    value.parse().ok().map(Duration::from_secs).or_else(until)
}

/// The first message of a registry's error document, made harmless for a terminal.
fn said(bytes: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = document.get("errors")?.get(0)?.get("message")?.as_str()?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    (!text.is_empty()).then(|| format!(" ({text})"))
}

/// Reads all of an answer, refusing more than `limit` bytes while reading.
async fn body(mut answer: Response, limit: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(connection)? {
        if bytes.len() as u64 + chunk.len() as u64 > limit {
            return Err(Failure::Final(anyhow!("{what} is larger than {limit} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What a failed connection means.
pub fn connection(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut causes: Vec<String> = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(this) = cause {
        causes.push(this.to_string());
        cause = this.source();
    }
    causes.dedup();
    let text = causes.join(": ");
    let error = anyhow!("the registry cannot be reached: {text}");
    // A certificate does not get better by asking again.
    if text.contains("certificate") { Failure::Final(error) } else { Failure::Passing(error, None) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn loopback() {
        for yes in ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:5000"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["docker.io", "localhost.example.org", "10.0.0.1", "[::2]:5000", "127.example.org", "", "xlocalhost"]
        {
            assert!(!is_loopback(no), "{no}");
        }
    }

    #[test]
    fn waits() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, want) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:49:38 GMT", Some(1)),
            ("Sun Nov  6 08:49:36 1994", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), want.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn challenges() {
        let found = bearer(r#"Bearer realm="https://a/token",service="b c",scope="x""#).unwrap();
        assert_eq!(found, ("https://a/token".into(), "b c".into()));
        let address = |realm, base| token_address(realm, &Url::parse(base).unwrap()).map(String::from);
        let elsewhere = "https://auth.example.org/token";
        assert_eq!(address(elsewhere, "https://example.org/").unwrap(), elsewhere);
        assert_eq!(address("http://a/t", "http://a/").unwrap(), "http://a/t");
        for (realm, base) in [("http://a/t", "https://a/"), ("ftp://a/t", "https://a/"), ("ftp://a/t", "http://a/")] {
            let error = address(realm, base).unwrap_err().to_string();
            assert_eq!(error, "the registry's token service does not use HTTPS", "{realm}");
        }
        assert_eq!(bearer(r#"Basic realm="x""#), None);
        assert_eq!(said(br#"{"errors":[{"code":"X","message":"not\u001b here"}]}"#).unwrap(), " (not here)");
        assert_eq!(said(b"<html>"), None);
    }
}
