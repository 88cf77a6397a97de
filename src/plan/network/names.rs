// SPDX-License-Identifier: MIT
//! Name resolution between containers: the names of each container in its networks, and its hosts
//! file (hosts(5)) with the other running containers. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::values::HOST_GATEWAY;
use crate::model::{Container, Model, Network, Pod};

/// The names of the host in docker and podman.
const HOST: [&str; 2] = ["host.containers.internal", "host.docker.internal"];

/// The names of a running container, and the contents of its hosts file that do not depend on other
/// containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name of the container.
    pub container: String,
    /// The container's host name.
    pub host_name: String,
    /// The name of the pod whose network the container's applications are in.
    pub pod: Option<String>,
    /// The container's names for other members of the pod.
    pub names: Vec<String>,
    /// The named networks that the pod is connected to.
    pub networks: Vec<Connected>,
    /// The lines of `AddHost=`.
    pub own: String,
    /// The address of the host in the network of the container's applications, if they can reach
    /// the host.
    pub gateway: Option<IpAddr>,
}

/// A network, with the names of a container in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// The name of the network.
    pub network: String,
    /// The container's addresses.
    pub addresses: Vec<IpAddr>,
    /// The container's names.
    pub names: Vec<String>,
    /// Whether members of the network find each other by name.
    pub tells: bool,
}

/// The pod whose network the container's applications are in.
fn pod<'a>(container: &Container, model: &'a Model) -> Option<&'a Pod> {
    let connection = &container.connection;
    model.pods.get(connection.oci_pod.as_ref().or(connection.outer_pod())?.as_str())
}

/// Whether the container finds others by name, so that its hosts file has to be updated while it
/// runs.
#[must_use]
pub fn is_shared(container: &Container, model: &Model) -> bool {
    pod(container, model).is_some_and(|pod| !pod.own || !pod.networks.is_empty() || pod.members.len() > 1)
}

/// The names of a container.
#[must_use]
pub fn entry(container: &Container, model: &Model) -> Entry {
    let pod = pod(container, model);
    let mut names = vec![container.name.to_string(), container.host_name.clone()];
    // This is the name that podman gives a container of a Quadlet file without ContainerName=.
    names.push(format!("systemd-{}", container.name));
    names.extend(container.podman_name.clone());
    let networks = pod.into_iter().flat_map(|pod| pod.networks.iter().map(move |a| (pod, a)));
    let networks = networks.filter_map(|(pod, attachment)| {
        let network = model.networks.get(attachment.network.as_str())?;
        let all = names.iter().map(String::as_str).chain([pod.name.as_str()]);
        let all = all.chain(attachment.aliases.iter().map(String::as_str));
        Some(Connected {
            network: network.name.to_string(),
            addresses: attachment.addresses.iter().map(|(address, _)| *address).collect(),
            names: unique(all),
            tells: network.names,
        })
    });
    Entry {
        container: container.name.to_string(),
        host_name: container.host_name.clone(),
        pod: pod.map(|pod| pod.name.to_string()),
        networks: networks.collect(),
        names: unique(names.iter().map(String::as_str).chain(pod.map(|pod| pod.name.as_str()))),
        own: container.hosts.clone(),
        gateway: gateway(container, pod, model),
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(name.to_lowercase())).map(str::to_owned).collect()
}

/// The address of the host in the network of the container's applications.
fn gateway(container: &Container, pod: Option<&Pod>, model: &Model) -> Option<IpAddr> {
    let Some(pod) = pod.filter(|pod| !pod.host) else {
        let shares = container.connection.network == Network::Host && container.connection.oci_pod.is_none();
        return shares.then_some(IpAddr::from([127, 0, 0, 1]));
    };
    let networks = pod.networks.iter().filter_map(|a| model.networks.get(a.network.as_str()));
    let named = networks.filter(|n| !n.internal).flat_map(|n| &n.subnets).next().map(|subnet| subnet.gateway);
    named.or_else(|| pod.veth_pair.as_ref().filter(|_| pod.wanted.uplink).map(|veth_pair| veth_pair.host.into()))
}

/// The hosts file of a container; `others` are the running containers. The entries of `AddHost=`
/// override all others, and the container's own names override those of others.
#[must_use]
pub fn hosts(own: &Entry, others: &[Entry]) -> String {
    let mut out = String::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for line in own.own.lines() {
        match (line.strip_prefix(HOST_GATEWAY), own.gateway) {
            (Some(names), Some(address)) => out += &format!("{address}{names}\n"),
            (Some(_), None) => continue,
            (None, _) => out += &format!("{line}\n"),
        }
        known.extend(line.split_ascii_whitespace().skip(1).map(str::to_lowercase));
    }
    let added = std::mem::take(&mut out);
    let mut lines = |address: &str, names: &[String], known: &BTreeSet<String>| {
        let names: Vec<&str> =
            names.iter().filter(|n| !known.contains(&n.to_lowercase())).map(String::as_str).collect();
        if !names.is_empty() {
            out += &format!("{address} {}\n", names.join(" "));
        }
    };
    let mut local = vec!["localhost".to_owned()];
    local.extend(own.networks.is_empty().then(|| own.host_name.clone()));
    for address in ["127.0.0.1", "::1"] {
        lines(address, &local, &BTreeSet::new());
    }
    // The container's own names have its network address, which other members also use, so that a
    // program that listens on its own name can be reached.
    for network in &own.networks {
        network.addresses.iter().for_each(|address| lines(&address.to_string(), &network.names, &known));
    }
    known.extend(own.networks.iter().flat_map(|network| &network.names).map(|name| name.to_lowercase()));
    let in_pod = |other: &&Entry| other.pod.is_some() && other.pod == own.pod && other.container != own.container;
    for other in others.iter().filter(in_pod) {
        lines("127.0.0.1", &other.names, &known);
    }
    known.extend(others.iter().filter(in_pod).flat_map(|other| &other.names).map(|name| name.to_lowercase()));
    for other in others.iter().filter(|other| other.pod != own.pod) {
        for network in other.networks.iter().filter(|network| network.tells) {
            if own.networks.iter().any(|mine| mine.network == network.network) {
                network.addresses.iter().for_each(|address| lines(&address.to_string(), &network.names, &known));
            }
        }
    }
    if let Some(address) = own.gateway {
        lines(&address.to_string(), &HOST.map(str::to_owned), &known);
    }
    out + &added
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(name: &str, pod: &str, networks: &[(&str, &str)]) -> Entry {
        let names = vec![name.to_owned()];
        let networks = networks.iter().map(|(network, address)| Connected {
            network: (*network).to_owned(),
            addresses: vec![address.parse().unwrap()],
            names: names.clone(),
            tells: *network != "silent",
        });
        Entry {
            container: name.to_owned(),
            host_name: name.to_owned(),
            pod: Some(pod.to_owned()),
            networks: networks.collect(),
            names: names.clone(),
            ..Entry::default()
        }
    }

    #[test]
    fn who_is_found() {
        let web = Entry {
            own: "10.9.9.9 cache\nhost-gateway me\n".to_owned(),
            gateway: Some("10.0.0.1".parse().unwrap()),
            ..entry("web", "web", &[("front", "10.0.0.2"), ("silent", "10.2.0.2")])
        };
        let others = [
            web.clone(),
            entry("app", "app", &[("front", "10.0.0.3"), ("back", "10.1.0.3")]),
            entry("cache", "cache", &[("front", "10.0.0.4")]),
            entry("db", "db", &[("back", "10.1.0.5")]),
            entry("mute", "mute", &[("silent", "10.2.0.6")]),
            entry("helper", "web", &[("front", "10.0.0.2")]),
        ];
        assert_eq!(
            hosts(&web, &others),
            "127.0.0.1 localhost\n::1 localhost\n10.0.0.2 web\n10.2.0.2 web\n127.0.0.1 helper\n10.0.0.3 app\n\
             10.0.0.1 host.containers.internal host.docker.internal\n10.9.9.9 cache\n10.0.0.1 me\n"
        );
    }
}
