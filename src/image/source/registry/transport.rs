// SPDX-License-Identifier: MIT
//! Sends requests to one registry, with authorization, redirects and retries.
//!
//! The authorization is sent only to the scheme, host and port of the registry itself, whatever
//! redirects say. Each answer is limited in size while it is read. This module must not know the
//! content of answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use oci_client::Reference;
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Url};

use super::super::Surroundings;
use super::credentials::{self, Credentials};
use super::error::{LOG_IN, RegistryError, said};
use super::proxy::{Proxies, is_localhost, is_loopback_address};
use super::{tls, tokens};
use crate::image::progress::Progress;
use crate::image::source::manifest::{ACCEPTED, MAX_MANIFEST};
use crate::image::store::digest::Digest;

/// Maximum number of redirects for one request.
const MAX_REDIRECTS: u32 = 5;
/// Maximum time to wait before a retry, whether the registry or this program sets it.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// Maximum size in bytes of an answer of a token service.
const MAX_TOKEN: u64 = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const USER_AGENT: &str = concat!("sdme-gen/", env!("CARGO_PKG_VERSION"));

/// The failure of a request.
#[derive(Debug)]
pub enum Failure {
    /// A transient failure, with the minimum time until a retry if the registry names one.
    Passing(anyhow::Error, Option<Duration>),
    /// A permanent failure.
    Final(anyhow::Error),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Final(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Final(error)
    }
}

/// The value of the `Authorization` header, or `None` for no header.
type Header = Option<String>;

/// The authorization that the registry requires; it is known after the registry was asked.
#[derive(Clone)]
struct Authorization(Header);

/// The client for one registry.
pub struct Transport<'a> {
    http: reqwest::Client,
    reference: Reference,
    /// The base URL, `https://HOST/` or `http://HOST/`.
    base: Url,
    credentials: Credentials,
    /// The current authorization, or `None` before the registry was asked.
    authorization: Mutex<Option<Authorization>>,
    retries: u32,
    delay: Duration,
    progress: &'a dyn Progress,
}

/// Whether a registry is on this machine, by its name or address as written. Nothing is resolved,
/// because a name server must not be able to disable encryption.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    is_localhost(host) || host.parse().is_ok_and(is_loopback_address)
}

impl<'a> Transport<'a> {
    /// Creates the client without sending a request. A mirror gets no credentials or certificates
    /// of the registry.
    ///
    /// # Errors
    /// Returns an error if credentials or certificates cannot be read.
    pub fn new(host: &str, reference: Reference, around: Surroundings<'a>, mirror: bool) -> Result<Self> {
        let own = (!mirror).then_some(around.access);
        let trusted = tls::prepare()?;
        let certificates = own.and_then(|access| access.cert_dir.as_deref()).map(|dir| tls::read(Path::new(dir)));
        let certificates = certificates.transpose()?;
        let verify = own.and_then(|access| access.tls_verify);
        // A registry on a loopback address uses plain HTTP, unless CertDir= or TLSVerify= is set.
        let plain = around.registries.insecure.iter().any(|insecure| insecure == host)
            || (is_loopback(host) && certificates.is_none() && verify.is_none());
        let certificates = certificates.unwrap_or_default();
        let http = http_client(host, &trusted, &certificates, verify != Some(false))?;
        let scheme = if plain { "http" } else { "https" };
        Ok(Self {
            http,
            base: Url::parse(&format!("{scheme}://{}/", reference.resolve_registry())).context("the registry's URL")?,
            credentials: credentials::find(host, reference.repository(), own)?,
            reference,
            authorization: Mutex::new(None),
            retries: around.access.retries,
            delay: Duration::from_millis(around.access.delay),
            progress: around.progress,
        })
    }

    /// Returns the name of the registry, for messages.
    #[must_use]
    pub fn host(&self) -> &str {
        self.reference.registry()
    }

    /// Returns the receiver of progress reports.
    #[must_use]
    pub fn progress(&self) -> &'a dyn Progress {
        self.progress
    }

    /// Returns a manifest or index: the one with this digest, or the one that the reference names.
    ///
    /// # Errors
    /// Returns an error if the document cannot be read or is too large.
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

    /// Returns a document of the repository, or `None` if it does not exist.
    ///
    /// # Errors
    /// Returns an error if the registry does not answer, or if the document is larger than `limit`
    /// bytes.
    pub async fn maybe(&self, place: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = format!("v2/{}/{place}", self.reference.repository());
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, ACCEPTED.join(", ").parse().context("the list of manifest types")?);
        self.repeat(async || {
            let answer = self.ask(&path, headers.clone()).await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            body(checked(answer).await?, limit, "the document").await.map(Some)
        })
        .await
    }

    /// Requests a blob, starting at the byte `from`, or at the beginning if the registry refuses
    /// that.
    ///
    /// # Errors
    /// Returns the failure of the request.
    pub async fn blob(&self, digest: &Digest, from: u64) -> Result<Response, Failure> {
        let path = format!("v2/{}/blobs/{digest}", self.reference.repository());
        let mut headers = HeaderMap::new();
        if from > 0 {
            headers.insert(header::RANGE, format!("bytes={from}-").parse().context("the range")?);
        }
        let answer = self.ask(&path, headers).await?;
        let status = answer.status();
        let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        if from > 0 && (status == StatusCode::NOT_IMPLEMENTED || (status.is_client_error() && !busy)) {
            // This registry, or the storage behind it, may refuse only ranges, so the whole blob is
            // requested.
            return self.get(&path, HeaderMap::new()).await;
        }
        checked(answer).await
    }

    /// Repeats `attempt` until it succeeds, fails permanently, or has failed too often.
    ///
    /// # Errors
    /// Returns the last failure.
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

    /// Returns the maximum number of retries.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Waits before a retry. `failures` is the number of earlier failures.
    pub async fn pause(&self, error: &anyhow::Error, wait: Option<Duration>, failures: u32) {
        let own = self.delay.saturating_mul(2_u32.saturating_pow(failures));
        let wait = wait.unwrap_or_default().max(own).min(MAX_WAIT);
        self.progress.warning(&format!("{error:#}; trying again in {} s", wait.as_millis().div_ceil(1000)));
        tokio::time::sleep(wait).await;
    }

    /// Sends a request that must succeed.
    async fn get(&self, path: &str, headers: HeaderMap) -> Result<Response, Failure> {
        checked(self.ask(path, headers).await?).await
    }

    /// Sends a request. Redirects are followed, and an expired authorization is renewed once.
    async fn ask(&self, path: &str, headers: HeaderMap) -> Result<Response, Failure> {
        let url = self.base.join(path).context("the request's URL")?;
        let first = self.authorization(None).await?;
        let answer = self.follow(url.clone(), headers.clone(), first.clone()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let second = self.authorization(Some(answer.headers())).await?;
        self.follow(url, headers, second).await
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
            let target = target.ok_or_else(|| said("redirects to nowhere"))?;
            let next = url.join(target).map_err(|_| said("redirects to what is no URL"))?;
            let secure = next.scheme() == "https" || (next.scheme() == "http" && self.base.scheme() == "http");
            if !secure {
                return Err(said("redirects away from HTTPS").into());
            }
            url = next;
        }
        Err(said(format!("redirects more than {MAX_REDIRECTS} times")).into())
    }

    /// Returns the value of the `Authorization` header. It is requested on the first call, and
    /// again after `refused`, the headers of an answer that denied access.
    async fn authorization(&self, refused: Option<&HeaderMap>) -> Result<Header, Failure> {
        let known = self.authorization.lock().map_err(|_| anyhow!("a download failed"))?.clone();
        if let Some(Authorization(known)) = known.filter(|_| refused.is_none()) {
            return Ok(known);
        }
        let named = refused.map(|headers| tokens::service(headers, &self.base)).transpose()?.flatten();
        let service = match named {
            Some(service) => Some(service),
            None => match self.token_service().await {
                // The answer to the request itself can still demand a token.
                Err(Failure::Passing(..)) if refused.is_none() => return Ok(None),
                found => found?,
            },
        };
        let found = match (&self.credentials, service) {
            (Credentials::Anonymous, None) => None,
            (Credentials::Password(user, password), None) => {
                let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                Some(format!("Basic {basic}"))
            }
            (Credentials::IdentityToken(_), None) => return Err(said("has no token service").into()),
            (credentials, Some(service)) => Some(format!("Bearer {}", self.exchange(credentials, service).await?)),
        };
        *self.authorization.lock().map_err(|_| anyhow!("a download failed"))? = Some(Authorization(found.clone()));
        Ok(found)
    }

    /// Exchanges credentials for a token.
    async fn exchange(&self, credentials: &Credentials, service: tokens::Service) -> Result<String, Failure> {
        let scope = format!("repository:{}:pull", self.reference.repository());
        let tokens::Service { realm, name } = service;
        let request = match credentials {
            Credentials::IdentityToken(token) => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("service", &name),
                    ("client_id", "sdme-gen"),
                    ("scope", &scope),
                    ("refresh_token", token),
                ];
                // The URL type can encode a form.
                let mut encoded = self.base.clone();
                encoded.query_pairs_mut().clear().extend_pairs(form);
                let form = encoded.query().unwrap_or_default().to_owned();
                self.http.post(realm).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
            Credentials::Password(user, password) => {
                self.http.get(realm).query(&[("scope", scope), ("service", name)]).basic_auth(user, Some(password))
            }
            Credentials::Anonymous => self.http.get(realm).query(&[("scope", scope), ("service", name)]),
        };
        let answer = request.send().await.map_err(connection)?;
        if matches!(answer.status().as_u16(), 400..=403) {
            return Err(self.denied().into());
        }
        let answer = body(checked(answer).await?, MAX_TOKEN, "the token").await?;
        Ok(tokens::token(&answer)?)
    }

    fn denied(&self) -> RegistryError {
        let what = if self.credentials == Credentials::Anonymous {
            "denies anonymous access, or there is no such image"
        } else {
            "refuses the credentials"
        };
        RegistryError::new(what).with_remedy(LOG_IN)
    }

    /// Returns the token service of the registry, if it has one.
    async fn token_service(&self) -> Result<Option<tokens::Service>, Failure> {
        let url = self.base.join("v2/").context("the registry's URL")?;
        let answer = self.http.get(url).send().await.map_err(connection)?;
        match answer.status().as_u16() {
            408 | 429 | 500..=599 => checked(answer).await.map(|_| None),
            _ => Ok(tokens::service(answer.headers(), &self.base)?),
        }
    }
}

/// Returns the proxies from the environment, selected by the rules of [`Proxies`] instead of those
/// of the HTTP client.
fn proxy() -> reqwest::Proxy {
    let proxies = Proxies::from_environment();
    reqwest::Proxy::custom(move |url| proxies.of(url))
}

fn http_client(
    registry: &str,
    trusted: &[Vec<u8>],
    certificates: &tls::Certificates,
    verify: bool,
) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .user_agent(USER_AGENT)
        .proxy(proxy())
        .tls_danger_accept_invalid_certs(!verify);
    let name = registry.split(':').next().unwrap_or_default();
    if is_localhost(name) {
        // Not every resolver knows these names, and none may map them to another address.
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        builder = builder.resolve_to_addrs(name, &loopback.map(|address| SocketAddr::new(address, 0)));
    }
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

/// Converts the status of an answer to a failure.
async fn checked(answer: Response) -> Result<Response, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let wait = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| retry_after(value, SystemTime::now()));
    let place = answer.url().path().to_owned();
    // The message of the registry, if there is one, is quoted.
    let message = body(answer, 4096, "the answer").await.ok().and_then(|bytes| message(&bytes)).unwrap_or_default();
    let error = |what: &str| RegistryError::new(what).with_request(&place, &format!("{status}{message}"));
    Err(match status.as_u16() {
        429 => Failure::Passing(error("limits the rate of requests").into(), wait),
        408 | 500..=599 => Failure::Passing(error("has a problem of its own").into(), wait),
        404 => error("has no such image").with_remedy("correct Image=").into(),
        401 | 403 => error("denies access, or there is no such image").with_remedy(LOG_IN).into(),
        _ => error("refuses the request").into(),
    })
}

/// Parses `Retry-After`: a number of seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let until = || httpdate::parse_http_date(value).ok().map(|date| date.duration_since(now).unwrap_or_default());
    value.parse().ok().map(Duration::from_secs).or_else(until)
}

/// Returns the first message of an error document, without control characters.
fn message(bytes: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = document.get("errors")?.get(0)?.get("message")?.as_str()?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    (!text.is_empty()).then(|| format!(" ({text})"))
}

/// Reads the whole body of an answer, which may have at most `limit` bytes.
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

/// Converts a connection error to a failure.
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
    let error = RegistryError::new(format!("cannot be reached: {text}"));
    let error = error.with_remedy("check the name of the registry and the network").into();
    // A certificate error is permanent.
    if text.contains("certificate") { Failure::Final(error) } else { Failure::Passing(error, None) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn loopback_names_and_addresses_are_recognized() {
        for yes in [
            "reg.localhost:80",
            "localhost",
            "LocalHost.:5000",
            "[::ffff:127.0.0.1]:5000",
            "localhost:5000",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]",
            "[::1]:5000",
        ] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["docker.io", "localhost.example.org", "10.0.0.1", "[::2]:5000", "127.example.org", "", "xlocalhost"]
        {
            assert!(!is_loopback(no), "{no}");
        }
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
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
    fn messages_of_a_registry_lose_control_characters() {
        assert_eq!(message(br#"{"errors":[{"code":"X","message":"not\u001b here"}]}"#).unwrap(), " (not here)");
        assert_eq!(message(b"<html>"), None);
    }
}
