// SPDX-License-Identifier: MIT
//! The ports that processes listen on, from the kernel's socket tables (`proc_net(5)`).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The state of a listening TCP socket in the tables (`tcp_states.h` in the kernel).
const LISTEN: &str = "0A";

/// The state of a UDP socket that is not connected.
const CLOSED: &str = "07";

/// A socket that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// The address that it listens on.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    protocol: &'static str,
    /// The inode number, by which the socket appears among the descriptors of a process.
    pub inode: u64,
}

/// The listening sockets of a network namespace.
#[derive(Debug, Default)]
pub struct Listening(Vec<Socket>);

impl Listening {
    /// Reads the socket tables of this process's network namespace (`proc_net(5)`).
    #[must_use]
    pub fn read() -> Self {
        Self::of_process("self")
    }

    /// Reads the socket tables of the network namespace of a process: a process ID, or `self`.
    #[must_use]
    pub fn of_process(process: &str) -> Self {
        let udp = ["udp", "udp6"].into_iter().flat_map(|table| {
            let text = fs::read_to_string(path_of(process, table)).unwrap_or_default();
            text.lines().skip(1).filter_map(|line| socket(line, CLOSED, "udp")).collect::<Vec<_>>()
        });
        Self(tcp(process).chain(udp).collect())
    }

    /// Whether a socket listens on a port as written in `ListenStream=`: `8080`, `127.0.0.1:8080`,
    /// `[::1]:8080`.
    #[must_use]
    pub fn has(&self, listen: &str) -> bool {
        let Some((address, port)) = parse(listen) else { return false };
        let satisfies = |at: IpAddr| address.map_or(at.is_unspecified(), |address| address == at);
        self.on_port(port).any(|socket| satisfies(socket.address))
    }

    /// The TCP sockets that listen on a port.
    pub fn on_port(&self, port: u16) -> impl Iterator<Item = &Socket> {
        self.0.iter().filter(move |socket| socket.protocol == "tcp" && socket.port == port)
    }

    /// Whether listening sockets prevent that a TCP socket is bound to a port, at this address or
    /// at all addresses.
    #[must_use]
    pub fn takes(&self, address: Option<IpAddr>, port: u16) -> bool {
        self.on_port(port).any(|socket| {
            let clash = |address: IpAddr| {
                address == socket.address
                    || (address.is_ipv4() == socket.address.is_ipv4()
                        && (address.is_unspecified() || socket.address.is_unspecified()))
                    || (socket.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && address.is_ipv4())
            };
            address.is_none_or(clash)
        })
    }

    /// The ports that these processes listen on in this network namespace, as `[IP:]PORT/PROTOCOL`.
    /// Without root privileges, the result is empty for processes of other users.
    #[must_use]
    pub fn of_processes(&self, processes: &[u32]) -> Vec<String> {
        let inodes: BTreeSet<u64> = processes.iter().copied().flat_map(inodes).collect();
        let own = self.0.iter().filter(|socket| inodes.contains(&socket.inode));
        let named = own.map(|Socket { address, port, protocol, .. }| {
            let text = match address {
                address if address.is_unspecified() => format!("{port}/{protocol}"),
                IpAddr::V4(address) => format!("{address}:{port}/{protocol}"),
                IpAddr::V6(address) => format!("[{address}]:{port}/{protocol}"),
            };
            (*port, text)
        });
        named.collect::<BTreeSet<_>>().into_iter().map(|(_, text)| text).collect()
    }
}

/// Parses `[ADDRESS:]PORT` of a socket unit.
#[must_use]
pub fn parse(listen: &str) -> Option<(Option<IpAddr>, u16)> {
    match listen.rsplit_once(':') {
        None => Some((None, listen.parse().ok()?)),
        Some((address, port)) => Some((Some(address.trim_matches(['[', ']']).parse().ok()?), port.parse().ok()?)),
    }
}

/// The TCP sockets that listen in the network namespace of a process: a process ID, or `self`.
/// Listening sockets come first in a table. The kernel takes milliseconds to search for the others,
/// so one line at a time is read, and nothing after the caller has found a socket.
pub fn tcp(process: &str) -> impl Iterator<Item = Socket> {
    /// The length of a line (`tcp_ipv4.c` in the kernel).
    const LINE: usize = 150;
    ["tcp", "tcp6"].into_iter().flat_map(move |table| {
        let file = File::open(path_of(process, table)).ok();
        let lines = file.into_iter().flat_map(|file| BufReader::with_capacity(LINE, file).lines());
        lines.map_while(Result::ok).skip(1).map_while(|line| socket(&line, LISTEN, "tcp"))
    })
}

/// The path of a socket table. The tables of IPv6 are missing if it is disabled.
fn path_of(process: &str, table: &str) -> String {
    format!("/proc/{process}/net/{table}")
}

/// Parses a line of the socket tables: number, local address, remote address, state, …, inode.
fn socket(line: &str, state: &str, protocol: &'static str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != state {
        return None;
    }
    let local = socket_address(fields.get(1)?)?;
    Some(Socket { address: local.ip(), port: local.port(), protocol, inode: fields.get(9)?.parse().ok()? })
}

/// Parses an address of the kernel's socket tables: `ADDRESS:PORT` in hexadecimal. Each four bytes
/// of the address are a number in the byte order of this machine.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = if address.len() == 8 {
        IpAddr::from(word(0)?)
    } else {
        let bytes: Vec<u8> = [0, 8, 16, 24].iter().filter_map(|at| word(*at)).flatten().collect();
        IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The inode numbers of the sockets that a process has open.
#[must_use]
pub fn inodes(process: u32) -> Vec<u64> {
    let links = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let targets = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_of_socket_tables_are_parsed() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0";
        let found = socket(line, LISTEN, "tcp").unwrap();
        assert_eq!((found.address.to_string().as_str(), found.port, found.inode), ("127.0.0.1", 8080, 4711));
        assert!(socket(line, CLOSED, "udp").is_none());
        assert!(socket(&line.replace(" 0A ", " 01 "), LISTEN, "tcp").is_none());
        assert!(socket("  sl  local_address rem_address   st", LISTEN, "tcp").is_none());
        for (numeric, address) in [
            ("00000000000000000000000001000000:0050", "[::1]:80"),
            ("000000FD000000000000000002000000:0050", "[fd00::2]:80"),
        ] {
            assert_eq!(socket_address(numeric), Some(address.parse().unwrap()));
        }
        let any =
            "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 12 1";
        let listening = Listening(vec![found, socket(any, LISTEN, "tcp").unwrap()]);
        for (listen, open) in
            [("80", true), ("127.0.0.1:8080", true), ("8080", false), ("[::]:80", true), ("[::1]:80", false)]
        {
            assert_eq!(listening.has(listen), open, "{listen}");
        }
        // These are the forms in names of socket units. The rest of a pod's name in front of a port
        // is not an address.
        assert_eq!(parse("::1:80"), Some((Some("::1".parse().unwrap()), 80)));
        assert_eq!((parse("2-80"), parse("2-10.0.0.1:80")), (None, None));
        assert_eq!(parse("[::1]:8443"), Some((Some("::1".parse().unwrap()), 8443)));
        assert_eq!((parse("80"), parse("x")), (Some((None, 80)), None));
    }
}
