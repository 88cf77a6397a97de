// SPDX-License-Identifier: MIT
//! The steps before the proxy of a published port starts: finding the port that it leads to, and
//! waiting until an application listens there.

pub mod listening;
pub mod taken;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::unistd::execv;

use crate::diag::Fault;
use crate::image::Store;
use crate::model::{Container, Model, Network};

/// Waits until an application listens on TCP `port` in this network namespace, and then executes
/// the command `proxy`, which inherits the sockets of this process. The last word of the command is
/// the address that the proxy connects to. If nothing listens on that address, the address is
/// replaced by one on which an application listens.
///
/// # Errors
/// Nothing listens within `limit`, or the command cannot be executed. Otherwise this function does
/// not return.
pub fn proxy(port: u16, limit: Duration, proxy: &[String]) -> Result<()> {
    let address = await_port(port, limit)?;
    let mut words: Vec<CString> = proxy.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?;
    if let (Some(address), Some(last)) = (address, words.last_mut()) {
        *last = CString::new(SocketAddr::new(address, port).to_string())?;
    }
    // `Command` would reset SIGPIPE to its default action. Services start with SIGPIPE ignored, and
    // a peer may close its connection at any time.
    let program = words.first().context("no proxy is named")?;
    execv(program, &words).with_context(|| format!("cannot run {}", program.to_string_lossy()))?;
    Ok(())
}

/// Waits until an application listens on TCP `port` in the network namespace of this process. This
/// reads the kernel's table, because an attempt to connect would be visible to the application.
/// Returns an address only if no application listens on 127.0.0.1 or on all addresses.
///
/// # Errors
/// Nothing listens within `limit`.
fn await_port(port: u16, limit: Duration) -> Result<Option<IpAddr>> {
    let deadline = Instant::now() + limit;
    loop {
        let mut other = None;
        for address in listening::tcp("self").filter(|socket| socket.port == port).map(|socket| socket.address) {
            if address.is_unspecified() || address == IpAddr::V4(Ipv4Addr::LOCALHOST) {
                return Ok(None);
            }
            other.get_or_insert(address);
        }
        if other.is_some() {
            return Ok(other);
        }
        if Instant::now() > deadline {
            bail!("nothing listens on port {port} after {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Writes `PORT=N` to `file`, where N is the application's port for `PublishPort=PORT` of `pod`.
///
/// # Errors
/// The images expose several ports, or the file cannot be written.
pub fn exposed_port(pod: &str, port: u16, file: &Path) -> Result<()> {
    let model = super::model(Path::new("/"));
    let exposed = exposed(&Store::open(Path::new("/")), &model, pod);
    let target = choose(port, &exposed)?;
    fs::write(file, format!("PORT={target}\n")).with_context(|| format!("cannot write {}", file.display()))
}

/// The TCP ports that the images of the applications in the network of `pod` expose.
fn exposed(store: &Store, model: &Model, pod: &str) -> BTreeSet<u16> {
    let inside = |c: &&Container| match (&c.connection.oci_pod, &c.connection.network) {
        (Some(joined), _) | (None, Network::Pod(joined)) => joined == pod,
        _ => false,
    };
    let images =
        model.containers.values().map(Box::as_ref).filter(inside).flat_map(|c| &c.apps).map(|a| a.image.as_str());
    let records = images.filter_map(|image| store.lookup(image).ok().flatten());
    let ports = records.flat_map(|found| found.image.exposed_ports).filter_map(|text| {
        let range = text.strip_suffix("/tcp")?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    });
    ports.flatten().collect()
}

/// The port itself if it is exposed or if no port is exposed; otherwise the exposed port, if there
/// is only one.
fn choose(port: u16, exposed: &BTreeSet<u16>) -> Result<u16> {
    match exposed.first() {
        None => Ok(port),
        Some(_) if exposed.contains(&port) => Ok(port),
        Some(only) if exposed.len() == 1 => Ok(*only),
        Some(_) => {
            let all = exposed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            bail!(Fault::new(
                format!("PublishPort={port}: the image exposes the ports {all}"),
                format!("write {port}:PORT")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_listening_application_is_found() {
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        await_port(own.local_addr().unwrap().port(), Duration::from_secs(5)).unwrap();
        assert!(await_port(1, Duration::ZERO).is_err());
    }

    #[test]
    fn a_port_without_target_leads_to_the_exposed_port() {
        let choose = |port, exposed: &[u16]| super::choose(port, &exposed.iter().copied().collect());
        assert_eq!(choose(8080, &[]).unwrap(), 8080);
        assert_eq!(choose(8080, &[80]).unwrap(), 80);
        assert_eq!(choose(443, &[80, 443]).unwrap(), 443);
        assert!(choose(8080, &[80, 443]).unwrap_err().to_string().ends_with("the ports 80, 443; write 8080:PORT"));
    }
}
