// SPDX-License-Identifier: MIT
//! Ports of the host that lead to containers: those on which the kernel listens and those that it
//! forwards, not those of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::model::Pod;
use crate::paths::RUNTIME;
use crate::runtime::ports::listening::Listening;
use crate::started::Started;

/// The open ports of containers and pods, by the unit of the container or pod, as
/// `[IP:]PORT[:PORT]/PROTOCOL`.
#[must_use]
pub fn open(started: &[Started], listening: &Listening) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for started in started {
        if let (Some(owner), Some((listen, target))) = (started.owner(), proxied(started)) {
            if listening.has(&listen) {
                let target = target.map(|target| format!(":{target}")).unwrap_or_default();
                found.entry(owner.to_owned()).or_default().push(format!("{listen}{target}/tcp"));
            }
            continue;
        }
        let Some(pod) = Pod::of_service(&started.unit) else { continue };
        let owner = started.container_of_pod().unwrap_or(&started.unit).to_owned();
        found.entry(owner).or_default().extend(forwarded(pod, started));
    }
    for ports in found.values_mut() {
        ports.sort_by_key(|port| port.split('/').next().and_then(host_port));
        ports.dedup();
    }
    found
}

/// The port of the host in `[IP:]PORT[:PORT]`.
fn host_port(text: &str) -> Option<u16> {
    let parts: Vec<&str> = text.rsplit(']').next()?.split(':').filter(|part| !part.is_empty()).collect();
    parts.iter().find_map(|part| part.parse().ok())
}

/// The address of a socket unit, and the port to which its proxy connects, if that is known before
/// the first connection.
fn proxied(started: &Started) -> Option<(String, Option<String>)> {
    let listen = started.files.get(&started.unit)?.lines().find_map(|line| line.strip_prefix("ListenStream="))?;
    let proxy = started.files.get(&[started.unit.strip_suffix("socket")?, "service"].concat())?;
    let command = proxy.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    let target = command.rsplit(':').next().filter(|target| target.parse::<u16>().is_ok());
    Some((listen.to_owned(), target.map(str::to_owned)))
}

/// The ports that the kernel forwards to a pod, from the kernel's nft table. Only root can read
/// that table; for other users, the rules in the unit with which the pod was started are used.
fn forwarded(pod: &str, started: &Started) -> Vec<String> {
    let copy: Vec<&str> = started.own().flat_map(|(_, text)| text.lines()).collect();
    if !copy.iter().any(|line| line.contains(" dnat ip to ")) {
        return Vec::new();
    }
    let table = format!("sdme-pod-{pod}");
    let output = Command::new("nft").args(["list", "table", "inet", &table]).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => rules(String::from_utf8_lossy(&output.stdout).lines()),
        _ if nix::unistd::geteuid().is_root() => Vec::new(),
        _ if PathBuf::from(format!("{RUNTIME}/pods/{pod}/link")).exists() => rules(copy.into_iter()),
        _ => Vec::new(),
    }
}

/// The ports in rules such as `ip daddr 10.0.0.1 udp dport 53 dnat ip to 10.89.0.2:53`, as
/// `[IP:]PORT:PORT/PROTOCOL`.
fn rules<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for line in lines {
        let words: Vec<&str> = line.split([' ', '\t', '=']).filter(|word| !word.is_empty()).collect();
        let after = |key: &str| {
            let place = words.iter().position(|word| *word == key)?;
            words.get(place + 1).copied()
        };
        let (Some(port), Some(target)) = (after("dport"), after("to").and_then(|to| to.rsplit(':').next())) else {
            continue;
        };
        let protocol = if words.contains(&"udp") { "udp" } else { "tcp" };
        let address = after("daddr").filter(|word| word.parse::<IpAddr>().is_ok());
        let address = address.map(|address| format!("{address}:")).unwrap_or_default();
        found.insert(format!("{address}{port}:{target}/{protocol}"));
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forwarded_ports_are_read_from_nft_rules() {
        let table = "\t\tmeta nfproto ipv4 fib daddr type local udp dport 53 dnat ip to 10.89.0.2:5353\n\
                     \t\tip daddr 192.0.2.1 tcp dport 80 dnat ip to 10.89.0.2:80\n\t\toifname \"x\" drop\n";
        assert_eq!(rules(table.lines()), ["192.0.2.1:80:80/tcp", "53:5353/udp"]);
        assert_eq!(rules(["StandardInputText=udp dport 1 dnat ip to 10.0.0.1:2"].into_iter()), ["1:2/udp"]);
        assert_eq!(
            (host_port("8080:80"), host_port("127.0.0.1:81:80"), host_port("[::1]:82:80")),
            (Some(8080), Some(81), Some(82))
        );
    }
}
