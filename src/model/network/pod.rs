// SPDX-License-Identifier: MIT
//! A pod. Pure.

use crate::config::names::{ContainerName, PodName};
use crate::model::{Assignment, Attachment, Link, Port, Wanted};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A network that containers share, or that one container has for itself.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name, which is also the name of the only member of a pod of one.
    pub name: PodName,
    /// The file it was written in.
    pub file: Arc<str>,
    /// Whether it is a container's own network, without a `.pod` file.
    pub own: bool,
    /// Whether its members have the host's network. It has none, and what is published is what they bind.
    pub host: bool,
    /// Whether that container is a job: see [`Container::is_job`].
    pub job: bool,
    /// What is published, and how it starts and stops.
    pub wanted: Wanted,
    /// Its link to the host's network, if it needs one.
    pub veth_pair: Option<VethPair>,
    /// The networks with names that it is connected to.
    pub networks: Vec<Attachment>,
    /// Containers that start with it.
    pub starts: Vec<ContainerName>,
    /// All containers in it.
    pub members: Vec<ContainerName>,
    /// `[Unit]`, file references translated to units.
    pub unit: Vec<Assignment>,
    /// `[Service]`.
    pub service: Vec<Assignment>,
    /// Links that start it with other units.
    pub install: Vec<Link>,
}

/// A pair of interfaces between the host and a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VethPair {
    /// The host's end.
    pub interface: String,
    /// Its address; both have a prefix of 30 bits.
    pub host: Ipv4Addr,
    /// The pod's address.
    pub pod: Ipv4Addr,
}

impl Pod {
    /// The network namespace.
    #[must_use]
    pub fn path(name: &str) -> String {
        format!("{}/pods/{name}/netns", crate::paths::RUNTIME)
    }

    /// The unit of the network.
    #[must_use]
    pub fn service(name: &str) -> String {
        format!("sdme-pod@{name}.service")
    }

    /// The pod whose network a unit is, if it is one.
    #[must_use]
    pub fn of_service(unit: &str) -> Option<&str> {
        unit.strip_prefix("sdme-pod@")?.strip_suffix(".service")
    }

    /// The unit of the network and the containers.
    #[must_use]
    pub fn target(name: &str) -> String {
        format!("sdme-pod@{name}.target")
    }

    /// The pod of one of a container with a network of its own.
    #[must_use]
    pub fn of_container(name: PodName, file: &Arc<str>, wanted: Wanted, install: &[Link]) -> Self {
        Self {
            name,
            file: Arc::clone(file),
            own: true,
            host: false,
            job: false,
            wanted,
            veth_pair: None,
            networks: Vec::new(),
            starts: Vec::new(),
            members: Vec::new(),
            unit: Vec::new(),
            service: Vec::new(),
            install: install.to_vec(),
        }
    }

    /// Whether it has a link of its own to the host, for its way out or for ports that the kernel forwards.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.networks.is_empty() && (self.wanted.uplink || self.forwarded().next().is_some())
    }

    /// The ports that the kernel forwards.
    pub fn forwarded(&self) -> impl Iterator<Item = &Port> {
        self.wanted.ports.iter().filter(|port| !self.host && self.wanted.forwards(port))
    }

    /// The ports that have a socket and a proxy.
    pub fn proxied(&self) -> impl Iterator<Item = &Port> {
        self.wanted.ports.iter().filter(|port| !self.host && !self.wanted.forwards(port))
    }
}
