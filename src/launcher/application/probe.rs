// SPDX-License-Identifier: MIT
//! Sends a probe to the application. The probe runs in the namespaces and as the user of the
//! application ([`super::session`]). The health check that requested the probe kills it at the
//! timeout. The answer of the application is hostile: only the status is read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, anyhow, bail};
use sdme_gen::contract::probe::Probe;

/// Maximum length of a status line. A longer line has only more words after the status.
const STATUS_LINE: usize = 256;

/// Sends the probe once. The first address that accepts a connection is used.
///
/// # Errors
/// No address accepts a connection, or the status is not a success.
pub fn send(probe: &Probe) -> Result<()> {
    let mut connection = Err(anyhow!("there is no address"));
    for address in probe.addresses() {
        connection = TcpStream::connect(address).with_context(|| address.to_string());
        if connection.is_ok() {
            break;
        }
    }
    let connection = connection.with_context(|| probe.to_string())?;
    match &probe.path {
        Some(path) => get(connection, &probe.authority(), path).with_context(|| probe.to_string()),
        None => Ok(()),
    }
}

/// Sends an HTTP request. A status from 200 to 399 is a success, as for the probes of Kubernetes;
/// redirects are not followed.
fn get(mut connection: TcpStream, host: &str, path: &str) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sdme-gen/{version}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).context("cannot send the request")?;
    match status(connection).context("cannot read the answer")? {
        Some(200..=399) => Ok(()),
        Some(status) => bail!("status {status}"),
        None => bail!("the answer is not one of HTTP"),
    }
}

/// The status of an answer (RFC 9112, section 4). None if the answer is not HTTP/1.
fn status(connection: TcpStream) -> std::io::Result<Option<u16>> {
    let mut line = Vec::new();
    let mut connection = connection.take(STATUS_LINE as u64);
    let mut byte = [0];
    while connection.read(&mut byte)? == 1 && byte != [b'\n'] {
        line.extend(byte);
    }
    let line = String::from_utf8_lossy(&line);
    let mut words = line.trim_end().split(' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().filter(|status| is_http && status.len() == 3 && !status.starts_with('+'));
    Ok(status.and_then(|status| status.parse().ok()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Sends a probe to a server with this answer. Returns the result and the request.
    fn ask(answer: &'static str) -> (Result<()>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let asked = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
            // The probe may close the connection before the whole answer is sent.
            let _ = stream.write_all(answer.as_bytes());
            asked
        });
        let result = send(&Probe::http(&format!(":{port}/x?y=1")).unwrap());
        (result, server.join().unwrap().replace(&port.to_string(), "PORT"))
    }

    #[test]
    fn answers() {
        for good in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 204\r\n", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"] {
            let (result, asked) = ask(good);
            result.unwrap();
            assert!(asked.starts_with("GET /x?y=1 HTTP/1.1\nHost: localhost:PORT\n"), "{asked}");
        }
        for (bad, why) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
            ("HTTP/1.1 503\r\n\r\n", "status 503"),
            ("HTTP/1.1 100 Continue\r\n\r\n", "status 100"),
            ("", "not one of HTTP"),
            ("200 OK\r\n", "not one of HTTP"),
            ("SSH-2.0-OpenSSH\r\n", "not one of HTTP"),
            ("HTTP/1.1 +20\r\n", "not one of HTTP"),
            ("HTTP/1.1 \u{1b}[2J\r\n", "not one of HTTP"),
        ] {
            let error = format!("{:#}", ask(bad).0.unwrap_err());
            assert!(error.starts_with("GET http://localhost:") && error.ends_with(why), "{error}");
        }
        let endless: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
        assert!(ask(endless).0.is_err());
    }

    #[test]
    fn connections() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        send(&Probe::tcp(&port.to_string()).unwrap()).unwrap();
        drop(listener);
        let error = format!("{:#}", send(&Probe::tcp(&port.to_string()).unwrap()).unwrap_err());
        assert!(error.contains(&format!("connection to localhost:{port}")) && error.contains("refused"), "{error}");
    }
}
