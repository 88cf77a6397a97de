// SPDX-License-Identifier: MIT
//! The values of `PublishPort=`, in Quadlet's grammar
//! `[[IP:][HOST-PORT]:]CONTAINER-PORT[/PROTOCOL]`, and the claims of files to ports of the host.
//! Pure.

use crate::model::{Port, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::diag::{Code, Diagnostic, Fault, Spanned};

/// The maximum number of ports in one word. Each port needs one or two units.
const MOST: u16 = 1024;

/// Reads one word of `PublishPort=`. A range becomes several ports.
///
/// # Errors
/// The word is invalid, or its range has more than 1024 ports.
pub fn parse(word: &Spanned<String>) -> Result<Vec<Port>, Fault> {
    let text = word.value.as_str();
    let of_word = |fault: Fault| fault.of(&format!("PublishPort={text}"));
    let wrong = |cause: &str, remedy: &str| of_word(Fault::new(cause, remedy));
    let (rest, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some((_, other)) => return Err(wrong(&format!("{other:?} is not a protocol"), "write tcp or udp")),
    };
    let (address, rest) = address(rest).map_err(of_word)?;
    let (host, target) = match rest.split_once(':') {
        Some(("", _)) => return Err(wrong("the port of the host is missing", "write HOST:CONTAINER")),
        Some((host, target)) => (range(host).map_err(of_word)?, Some(range(target).map_err(of_word)?)),
        None if address.is_some() => {
            return Err(wrong("the port of the container is missing", "write IP:HOST:CONTAINER"));
        }
        None => (range(rest).map_err(of_word)?, None),
    };
    let count = host.1 - host.0;
    if count >= MOST {
        return Err(wrong(&format!("the range has more than {MOST} ports"), "write several ranges"));
    }
    // The image exposes a single port, which cannot be the target of several ports. Each port of a
    // range therefore leads to the port with the same number.
    let target = target.or((count > 0).then_some(host));
    if target.is_some_and(|t| t.1 - t.0 != count) {
        return Err(wrong("the two ranges do not have the same length", "write ranges of the same length"));
    }
    let port = |offset| Port {
        address,
        host: host.0 + offset,
        target: target.map(|t| t.0 + offset),
        protocol,
        at: word.at.clone(),
    };
    Ok((0..=count).map(port).collect())
}

/// Splits off an IP address that a colon follows.
fn address(text: &str) -> Result<(Option<IpAddr>, &str), Fault> {
    if let Some(rest) = text.strip_prefix('[') {
        let parts = rest.split_once("]:");
        let parsed = parts.and_then(|(address, rest)| Some((address.parse::<Ipv6Addr>().ok()?, rest)));
        let (address, rest) = parsed
            .ok_or_else(|| Fault::new("the brackets do not hold an IPv6 address", "write [ADDRESS]:HOST:CONTAINER"))?;
        return Ok((Some(IpAddr::V6(address)), rest));
    }
    match text.split_once(':') {
        Some((first, rest)) if rest.contains(':') || first.contains('.') => {
            let address = first.parse::<Ipv4Addr>();
            let address = address.map_err(|_| {
                Fault::new(format!("{first:?} is not an address"), "write an address, as in 127.0.0.1:HOST:CONTAINER")
            })?;
            Ok((Some(IpAddr::V4(address)), rest))
        }
        _ => Ok((None, text)),
    }
}

/// Reads `PORT` or `FIRST-LAST`, and returns the first and the last port.
fn range(text: &str) -> Result<(u16, u16), Fault> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|n| digits && *n > 0)
    };
    let parsed = match text.split_once('-') {
        None => number(text).map(|n| (n, n)),
        Some((first, last)) => number(first).zip(number(last)).filter(|(a, b)| a <= b),
    };
    parsed.ok_or_else(|| Fault::new(format!("{text:?} is not a port"), "write a number from 1 to 65535, or FIRST-LAST"))
}

/// A port of the host that a file claims.
#[derive(Debug, Clone)]
struct Claim {
    port: Port,
    /// Whether a socket is bound to the port. The kernel refuses a second socket for the port, but
    /// it does not refuse a second rule that forwards packets.
    bound: bool,
}

/// The ports of the host that files have claimed so far.
#[derive(Debug, Default)]
pub struct Claims {
    taken: Vec<Claim>,
}

impl Claims {
    /// Claims all ports of one file, or none. The flag of a port says whether a socket is bound to
    /// it.
    ///
    /// Returns a warning for each port to which another file binds a socket, too. As with Podman,
    /// the second start then fails with a message that names the port's owner, and the first
    /// container is not affected.
    ///
    /// # Errors
    /// A problem for each port that the file claims twice, and for each conflict in which one of
    /// the two ports is forwarded by rules: packets for one container would silently go to the
    /// other.
    pub fn take<'a>(
        &mut self,
        ports: impl Iterator<Item = (&'a Port, bool)>,
    ) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let known = self.taken.len();
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        for (port, bound) in ports {
            let found = self.taken.iter().enumerate().filter(|(_, other)| other.port.overlaps(port));
            // An error is reported rather than a warning, if there are both.
            let other = found.min_by_key(|(index, other)| *index < known && bound && other.bound);
            if let Some((index, other)) = other {
                let what = format!("port {}/{} of the host", port.listen(), port.protocol);
                let other_at = &other.port.at;
                if index < known && bound && other.bound {
                    let problem = Code::Conflict.problem(
                        format!("{what} is also published by {other_at}, so that the second start fails"),
                        "publish another port",
                    );
                    warnings.push(Diagnostic::warning(&port.at, problem));
                } else {
                    let problem = Code::Conflict
                        .problem(format!("{what} is already published by {other_at}"), "publish another port");
                    problems.push(Diagnostic::error(&port.at, problem));
                    continue;
                }
            }
            self.taken.push(Claim { port: port.clone(), bound });
        }
        if problems.is_empty() {
            return Ok(warnings);
        }
        self.taken.truncate(known);
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::diag::Location;
    use std::sync::Arc;

    fn ports(text: &str) -> Result<Vec<Port>, Fault> {
        parse(&Spanned { value: text.to_owned(), at: Location::new(&Arc::from("f"), 1) })
    }

    #[test]
    fn all_forms_of_a_published_port_are_read() {
        let one = |text: &str| {
            let all = ports(text).unwrap();
            assert_eq!(all.len(), 1, "{text}");
            let port = all.into_iter().next().unwrap();
            (port.listen(), port.target, port.protocol)
        };
        assert_eq!(one("8080:80"), ("8080".into(), Some(80), Protocol::Tcp));
        assert_eq!(one("8080"), ("8080".into(), None, Protocol::Tcp));
        assert_eq!(one("127.0.0.1:8080:80/tcp"), ("127.0.0.1:8080".into(), Some(80), Protocol::Tcp));
        assert_eq!(one("[::1]:53:5353/udp"), ("[::1]:53".into(), Some(5353), Protocol::Udp));
        let range = ports("0.0.0.0:8000-8002:80-82").unwrap();
        let range: Vec<_> = range.iter().map(|p| (p.host, p.target.unwrap())).collect();
        assert_eq!(range, [(8000, 80), (8001, 81), (8002, 82)]);
        assert_eq!(ports("5000-5001").unwrap().iter().map(|p| p.target).collect::<Vec<_>>(), [Some(5000), Some(5001)]);
    }

    #[test]
    fn invalid_ports_are_refused() {
        for bad in [
            "",
            "x",
            "0",
            "65536",
            "+1",
            "80/sctp",
            ":80",
            "127.0.0.1::80",
            "127.0.0.1:80",
            "1.2.3:80:80",
            "::1:80:80",
            "[::1:80:80",
            "[1.2.3.4]:80:80",
            "8000-8002:80-81",
            "8000-8002:80",
            "82-80",
            "1-65535",
            "1:2:3:4",
            "80:",
        ] {
            assert!(ports(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ports("localhost:80:80").unwrap_err().to_string(),
            "PublishPort=localhost:80:80: \"localhost\" is not an address; write an address, as in 127.0.0.1:HOST:CONTAINER"
        );
    }

    #[test]
    fn overlapping_ports_of_two_files_conflict() {
        let take =
            |claims: &mut Claims, text: &str, bound| claims.take(ports(text).unwrap().iter().map(|p| (p, bound)));
        let overlap = |a: &str, b: &str| {
            let mut claims = Claims::default();
            take(&mut claims, a, false).unwrap();
            take(&mut claims, b, true).is_err()
        };
        for (a, b) in [
            ("80:80", "80:81"),
            ("80:80", "127.0.0.1:80:80"),
            ("[::1]:80:80", "80"),
            ("0.0.0.0:80:80", "127.0.0.1:80:80"),
            ("[::]:80:80", "[::1]:80:80"),
            ("80-90:80-90", "85:1"),
            ("80:80/udp", "80:80/udp"),
        ] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("80:80", "81:80"),
            ("80:80/udp", "80:80"),
            ("127.0.0.1:80:80", "127.0.0.2:80:80"),
            ("0.0.0.0:80:80", "[::]:80:80"),
            ("127.0.0.1:80:80", "[::1]:80:80"),
        ] {
            assert!(!overlap(a, b), "{a} {b}");
        }
        // The kernel refuses the second socket, but it does not refuse a second rule.
        let mut claims = Claims::default();
        assert!(take(&mut claims, "80:80", true).unwrap().is_empty());
        assert_eq!(take(&mut claims, "127.0.0.1:80:81", true).unwrap().len(), 1);
        assert!(take(&mut claims, "80:80", false).is_err());
        let twice = [ports("81:1").unwrap(), ports("81:2").unwrap()].concat();
        assert!(claims.take(twice.iter().map(|port| (port, true))).is_err());
    }
}
