// SPDX-License-Identifier: MIT
//! Selects the proxy of a request by the variables `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
//! `NO_PROXY`.
//!
//! The rules are those of Go's HTTP client (golang.org/x/net/http/httpproxy), which docker, podman
//! and skopeo use: requests to a loopback address never go through a proxy, and `NO_PROXY` is a
//! list of `*`, `HOST`, `HOST:PORT`, `.DOMAIN`, `*.DOMAIN`, addresses and networks. The rules of
//! the HTTP client lack the first one, so a password for a registry on this machine would reach the
//! proxy.

use std::net::IpAddr;

use reqwest::Url;

/// The proxies of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    /// `*`: no request goes through a proxy.
    All,
    /// A domain, optionally with a port. It covers the subdomains, and the domain itself if
    /// `itself` is set.
    Name { domain: String, itself: bool, port: Option<u16> },
    /// An address or a network with its prefix length, optionally with a port.
    Network { address: IpAddr, prefix: u8, port: Option<u16> },
}

impl Proxies {
    /// Reads the variables. Names in lower case take precedence, as in curl.
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| {
            let found = variable(&name.to_ascii_lowercase()).filter(|value| !value.is_empty());
            found.or_else(|| variable(name)).filter(|value| !value.is_empty())
        };
        let url = |text: String| {
            let whole = if text.contains("://") { text } else { format!("http://{text}") };
            Url::parse(&whole).ok()
        };
        let proxy = |name: &str| value(name).or_else(|| value("ALL_PROXY")).and_then(url);
        let exceptions = value("NO_PROXY").unwrap_or_default();
        Self {
            http: proxy("HTTP_PROXY"),
            https: proxy("HTTPS_PROXY"),
            exceptions: exceptions.split(',').filter_map(exception).collect(),
        }
    }

    /// Returns the proxy for a request to `url`, or `None` for a direct request.
    pub fn of(&self, url: &Url) -> Option<Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let proxy = proxy.as_ref()?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if is_localhost(&host) || address.is_some_and(is_loopback_address) {
            return None;
        }
        let port = url.port_or_known_default();
        let direct = self.exceptions.iter().any(|exception| exception.covers(&host, address, port));
        (!direct).then(|| proxy.clone())
    }
}

impl Exception {
    fn covers(&self, host: &str, address: Option<IpAddr>, at: Option<u16>) -> bool {
        let right_port = |port: &Option<u16>| port.is_none() || *port == at;
        match self {
            Self::All => true,
            Self::Name { domain, itself, port } => {
                let below = host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'));
                right_port(port) && (below || (*itself && host == domain))
            }
            Self::Network { address: network, prefix, port } => {
                right_port(port) && address.is_some_and(|address| begins_alike(address, *network, *prefix))
            }
        }
    }
}

/// Whether two addresses of one family have the same first `prefix` bits.
fn begins_alike(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((one, length), (other, other_length)) = (bits(one), bits(other));
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(length))).unwrap_or(0);
    length == other_length && one & mask == other & mask
}

/// Parses an entry of `NO_PROXY`. Returns `None` for an empty or invalid entry.
fn exception(text: &str) -> Option<Exception> {
    let text = text.trim().to_ascii_lowercase();
    if text.is_empty() {
        return None;
    }
    if text == "*" {
        return Some(Exception::All);
    }
    if let Some((address, prefix)) = text.split_once('/') {
        return Some(Exception::Network { address: address.parse().ok()?, prefix: prefix.parse().ok()?, port: None });
    }
    let (host, port) = match text.rsplit_once(':') {
        // A text with several colons and without brackets is an IPv6 address without a port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        _ => (text.as_str(), None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Some(Exception::Network { address, prefix: u8::MAX, port });
    }
    let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
    Some(Exception::Name { domain: below.unwrap_or(host).to_owned(), itself: below.is_none(), port })
}

/// Whether a name always denotes this machine (RFC 6761, section 6.3).
pub(super) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether an address is a loopback address, including IPv4 addresses in IPv6 notation.
pub(super) fn is_loopback_address(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn through(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = Proxies::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        proxies.of(&Url::parse(url).unwrap()).map(|proxy| proxy.host_str().unwrap().to_owned())
    }

    #[test]
    fn variables_select_the_proxy_and_loopback_has_none() {
        for (variables, url, want) in [
            (&[("http_proxy", "http://p:1")][..], "http://a.example/x", Some("p")),
            (&[("HTTP_PROXY", "q:1"), ("http_proxy", "p:1")], "http://a.example/x", Some("p")),
            (&[("http_proxy", "p:1")], "https://a.example/x", None),
            (&[("https_proxy", "p:1")], "https://a.example/x", Some("p")),
            (&[("ALL_PROXY", "p:1"), ("HTTPS_PROXY", "s:1")], "http://a.example/x", Some("p")),
            (&[("HTTP_PROXY", "")], "http://a.example/x", None),
        ] {
            assert_eq!(through(variables, url).as_deref(), want, "{variables:?} {url}");
        }
        for loopback in [
            "http://localhost:5000/",
            "http://127.0.0.1/",
            "http://127.9.9.9:1/",
            "http://[::1]:5000/",
            "http://r.localhost/",
            "http://LOCALHOST.:5000/",
            "http://[::ffff:127.0.0.1]:5000/",
            "http://127.1/",
        ] {
            assert_eq!(through(&[("ALL_PROXY", "http://p:1")], loopback), None, "{loopback}");
        }
    }

    #[test]
    fn exceptions_of_no_proxy_are_direct() {
        for (no_proxy, url, direct) in [
            ("*", "http://a.example/", true),
            ("", "http://a.example/", false),
            ("a.example", "http://a.example/", true),
            ("a.example", "http://b.a.example/", true),
            ("a.example", "http://ba.example/", false),
            (".a.example", "http://b.a.example/", true),
            (".a.example", "http://a.example/", false),
            ("*.a.example", "http://b.a.example/", true),
            ("*.a.example", "http://a.example/", false),
            ("x, A.example:5000", "http://a.example:5000/", true),
            ("a.example:5000", "http://a.example/", false),
            ("a.example:80", "http://a.example/", true),
            ("10.0.0.1", "http://10.0.0.1:5000/", true),
            ("10.0.0.1:5000", "http://10.0.0.1:5000/", true),
            ("10.0.0.1:5001", "http://10.0.0.1:5000/", false),
            ("10.0.0.0/8", "http://10.9.9.9/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("0.0.0.0/0", "http://11.0.0.1/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd00::1", "http://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "http://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "http://[fd00::1]/", false),
            ("::/0", "http://10.0.0.1/", false),
        ] {
            let found = through(&[("http_proxy", "p:1"), ("no_proxy", no_proxy)], url);
            assert_eq!(found.is_none(), direct, "{no_proxy} {url}");
        }
    }
}
