// SPDX-License-Identifier: MIT
//! Probes: requests to an application that need no program of its image. `HealthHttp=` and
//! `HealthTcp=` define them, and the launcher sends them. Pure.
//!
//! A host is an IP address or `localhost`, because the launcher resolves no names. The launcher
//! does not support TLS, which would need a library.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::diag::Fault;

/// The name for the loopback addresses of the application's network namespace.
const LOCALHOST: &str = "localhost";
/// Maximum length of a path in bytes; web servers usually have a similar limit.
const MAX_PATH: usize = 2048;

/// A probe of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// An IP address, or `localhost`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The path of the HTTP request. None: a TCP connection is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Probe {
    /// Parses `[[http://]HOST][:PORT][/PATH]`, a URL with defaults: `localhost`, port 80 and the
    /// path `/`.
    ///
    /// # Errors
    /// When the text is not such a URL, or asks for TLS. The message follows `KEY=VALUE: ` in a
    /// diagnostic.
    pub fn http(text: &str) -> Result<Self, Fault> {
        if text.starts_with("https://") {
            let remedy = "write HealthTcp= for the port alone, or HealthCmd= and a program of the image";
            return Err(Fault::new("a probe does not speak TLS", remedy));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if authority.is_empty() && rest.len() != text.len() {
            return Err(Fault::new("the host is missing behind http://", "write http://localhost:PORT/PATH"));
        }
        if path.len() > MAX_PATH || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(Fault::new(
                "the path of the URL is too long, or has characters that a path cannot have",
                "write a path of ASCII characters without blanks and #",
            ));
        }
        let (host, port) = split(authority);
        Ok(Self { host: self::host(host)?, port: self::port(port.unwrap_or("80"))?, path: Some(path.to_owned()) })
    }

    /// Parses `[HOST:]PORT`; the default host is `localhost`.
    ///
    /// # Errors
    /// As for [`Self::http`].
    pub fn tcp(text: &str) -> Result<Self, Fault> {
        let (host, port) = match split(text) {
            (host, Some(port)) => (host, port),
            (port, None) => ("", port),
        };
        Ok(Self { host: self::host(host)?, port: self::port(port)?, path: None })
    }

    /// The addresses that are tried, in this order, until one answers.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let hosts = match self.host.parse() {
            Ok(address) => vec![address],
            Err(_) => vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)],
        };
        hosts.into_iter().map(|host| SocketAddr::new(host, self.port)).collect()
    }

    /// The host as in a URL and in the `Host` field: with the port, unless that is the default port
    /// of HTTP.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 && self.path.is_some() { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "GET http://{}{path}", self.authority()),
            None => write!(f, "connection to {}", self.authority()),
        }
    }
}

/// Splits into host and port. The host of an IPv6 address loses its brackets.
fn split(authority: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':'));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

fn host(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.eq_ignore_ascii_case(LOCALHOST) {
        return Ok(LOCALHOST.to_owned());
    }
    match text.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Ok(address.to_string()),
        _ => Err(Fault::new(format!("{text:?} is neither localhost nor an address"), "write localhost or an address")),
    }
}

fn port(text: &str) -> Result<u16, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let wrong = || Fault::new(format!("{text:?} is not a port"), "write a number from 1 to 65535");
    text.parse().ok().filter(|port| digits && *port > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls() {
        for (text, want) in [
            ("/", "GET http://localhost/"),
            ("/healthz?full=1", "GET http://localhost/healthz?full=1"),
            (":8080", "GET http://localhost:8080/"),
            (":8080/x", "GET http://localhost:8080/x"),
            ("http://localhost:80/x", "GET http://localhost/x"),
            ("http://LOCALHOST", "GET http://localhost/"),
            ("127.0.0.1:81/x", "GET http://127.0.0.1:81/x"),
            ("http://[::1]:8080/x", "GET http://[::1]:8080/x"),
            ("http://[0::1]/x:y", "GET http://[::1]/x:y"),
        ] {
            assert_eq!(Probe::http(text).unwrap().to_string(), want, "{text}");
        }
        for (text, why) in [
            ("https://localhost/", "does not speak TLS"),
            ("http://", "the host is missing behind"),
            ("http:///x", "the host is missing behind"),
            ("http://example.org/", "\"example.org\" is neither localhost nor an address"),
            ("example.org", "neither localhost nor"),
            ("8080/x", "\"8080\" is neither localhost nor"),
            ("ftp://localhost/", "\"ftp\" is neither"),
            ("http://0.0.0.0/", "neither"),
            (":0/", "is not a port"),
            (":+80/", "is not a port"),
            (":65536/", "is not a port"),
            (":/", "is not a port"),
            ("/a b", "the path of the URL"),
            ("/a\r\nX: y", "the path of the URL"),
            ("/a#b", "the path of the URL"),
        ] {
            let error = Probe::http(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn connections() {
        for (text, want) in [
            ("5432", "connection to localhost:5432"),
            (":80", "connection to localhost:80"),
            ("localhost:80", "connection to localhost:80"),
            ("10.0.0.1:80", "connection to 10.0.0.1:80"),
            ("[::1]:80", "connection to [::1]:80"),
        ] {
            assert_eq!(Probe::tcp(text).unwrap().to_string(), want, "{text}");
        }
        for bad in ["", "0", "x", "db:5432", "80/", "[::1]", "70000"] {
            assert!(Probe::tcp(bad).is_err(), "{bad}");
        }
        let addresses = Probe::tcp("80").unwrap().addresses();
        assert_eq!(addresses, ["127.0.0.1:80", "[::1]:80"].map(|address| address.parse().unwrap()));
        assert_eq!(Probe::tcp("10.0.0.1:80").unwrap().addresses(), ["10.0.0.1:80".parse().unwrap()]);
    }
}
