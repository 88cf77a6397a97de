// SPDX-License-Identifier: MIT
//! The published ports of a pod that could not be opened, and the programs that listen on them. The
//! socket tables are those of the host's network, in which the service manager opens the sockets.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::listening::{self, Listening};
use crate::cause::Cause;
use crate::started;

/// The cause why the first closed socket of those that the unit of a pod needs is not open. None if
/// all are open.
///
/// # Errors
/// The service manager does not answer.
pub fn check(unit: &str) -> Result<Option<Cause>> {
    let sockets = started::needed_sockets(unit);
    if sockets.is_empty() {
        return Ok(None);
    }
    let output = Command::new("systemctl").arg("is-active").args(sockets.keys()).stdin(Stdio::null()).output();
    let states = output.context("cannot run systemctl")?.stdout;
    let states = String::from_utf8_lossy(&states);
    let closed = sockets.iter().zip(states.lines()).find(|(_, state)| *state != "active");
    Ok(closed.map(|((socket, listen), _)| cause(socket, listen)))
}

fn cause(socket: &str, listen: &str) -> Cause {
    if let Some(holder) = holder(socket, listen) {
        let reason = format!("port {listen} is taken by {holder}");
        return Cause::new("port taken", &reason, "stop that, or change PublishPort=");
    }
    let remedy = format!("run systemctl status {socket} to see why");
    Cause::new("no port", &format!("port {listen} cannot be opened"), &remedy)
}

/// A description of the program that listens at the address of the socket unit `socket`.
fn holder(socket: &str, listen: &str) -> Option<String> {
    let (address, port) = listening::parse(listen)?;
    let inodes = listeners(&Listening::of_process("1"), address, port);
    if inodes.is_empty() {
        return None;
    }
    let own = owner(&inodes);
    match own {
        Some((1, _)) => Some(socket_unit(socket, port).unwrap_or_else(|| "another socket unit".to_owned())),
        Some((process, name)) => {
            let unit = unit_of(process).map(|unit| format!(", {unit}")).unwrap_or_default();
            Some(format!("{name} (process {process}{unit})"))
        }
        None => Some("another program".to_owned()),
    }
}

/// The inode numbers of the sockets that listen on this port, at this address or at an overlapping
/// one.
fn listeners(listening: &Listening, address: Option<IpAddr>, port: u16) -> BTreeSet<u64> {
    let includes = |at: IpAddr| address.is_none_or(|own| own.is_unspecified() || at.is_unspecified() || own == at);
    listening.on_port(port).filter(|socket| includes(socket.address)).map(|socket| socket.inode).collect()
}

/// The ID and the name of the process that has one of these sockets open.
fn owner(inodes: &BTreeSet<u64>) -> Option<(u32, String)> {
    let mut processes =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let process = processes.find(|process| listening::inodes(*process).iter().any(|inode| inodes.contains(inode)))?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    Some((process, name.trim().to_owned()))
}

/// The service or scope that a process belongs to; for a process in a container, that of the
/// container.
fn unit_of(process: u32) -> Option<String> {
    let group = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let parts = Path::new(group.trim().rsplit_once("::")?.1).iter().filter_map(|part| part.to_str());
    parts.filter(|part| part.ends_with(".service") || part.ends_with(".scope")).map(str::to_owned).next()
}

/// A socket in the output of `systemctl list-sockets`.
#[derive(Deserialize)]
struct Listed {
    listen: String,
    unit: String,
}

/// The socket unit other than `socket` that listens on this port.
fn socket_unit(socket: &str, port: u16) -> Option<String> {
    let output =
        Command::new("systemctl").args(["list-sockets", "--output=json"]).stdin(Stdio::null()).output().ok()?;
    let all: Vec<Listed> = serde_json::from_slice(&output.stdout).ok()?;
    let end = format!(":{port}");
    all.into_iter().find(|one| one.unit != socket && one.listen.ends_with(&end)).map(|one| one.unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_process_that_listens_on_a_port_is_found() {
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = own.local_addr().unwrap().port();
        let listening = Listening::read();
        let found = |address: Option<&str>| listeners(&listening, address.map(|text| text.parse().unwrap()), port);
        assert_eq!(found(Some("127.0.0.1")).len(), 1);
        assert_eq!((found(None), found(Some("127.0.0.2")).len()), (found(Some("0.0.0.0")), 0));
        assert_eq!(owner(&found(None)).unwrap().0, std::process::id());
    }
}
