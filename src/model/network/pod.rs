// SPDX-License-Identifier: MIT
//! A pod. Pure.

use crate::config::names::{ContainerName, PodName};
use crate::model::{Assignment, Attachment, Link, Port, Wanted};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A network that several containers share, or that a single container has for itself.
#[derive(Debug, Clone)]
pub struct Pod {
    /// The name of the pod. The pod of a single container has the name of that container.
    pub name: PodName,
    /// The file that defines the pod or the container.
    pub file: Arc<str>,
    /// Whether it is the pod of a single container, without a `.pod` file.
    pub own: bool,
    /// Whether the members have the host's network. Then the pod has no network, and the members
    /// bind the published ports themselves.
    pub host: bool,
    /// Whether the single container is a job: see [`Container::is_job`].
    pub job: bool,
    /// The published ports, and how the pod starts and stops.
    pub wanted: Wanted,
    /// The veth pair to the host's network, if the pod needs one.
    pub veth_pair: Option<VethPair>,
    /// The connections to named networks.
    pub networks: Vec<Attachment>,
    /// The containers that start with the pod.
    pub starts: Vec<ContainerName>,
    /// All containers in the pod.
    pub members: Vec<ContainerName>,
    /// The assignments of `[Unit]`, with file references translated to unit names.
    pub unit: Vec<Assignment>,
    /// The assignments of `[Service]`.
    pub service: Vec<Assignment>,
    /// The links of `[Install]`, by which other units start the pod.
    pub install: Vec<Link>,
}

/// A pair of virtual Ethernet interfaces between the host and a pod (veth(4)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VethPair {
    /// The interface name of the host's end.
    pub interface: String,
    /// The host's address. Both addresses have a prefix of 30 bits.
    pub host: Ipv4Addr,
    /// The pod's address.
    pub pod: Ipv4Addr,
}

impl Pod {
    /// The path of the pod's network namespace.
    #[must_use]
    pub fn path(name: &str) -> String {
        format!("{}/pods/{name}/netns", crate::paths::RUNTIME)
    }

    /// The unit that makes the pod's network.
    #[must_use]
    pub fn service(name: &str) -> String {
        format!("sdme-pod@{name}.service")
    }

    /// The pod of a unit, if that is the unit of a pod's network.
    #[must_use]
    pub fn of_service(unit: &str) -> Option<&str> {
        unit.strip_prefix("sdme-pod@")?.strip_suffix(".service")
    }

    /// The target unit of the pod's network and containers.
    #[must_use]
    pub fn target(name: &str) -> String {
        format!("sdme-pod@{name}.target")
    }

    /// The pod of a single container that has its own network.
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

    /// Whether the pod has a veth pair to the host, for connections to other machines or for ports
    /// that the kernel forwards.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.networks.is_empty() && (self.wanted.uplink || self.forwarded().next().is_some())
    }

    /// The ports that the kernel forwards.
    pub fn forwarded(&self) -> impl Iterator<Item = &Port> {
        self.wanted.ports.iter().filter(|port| !self.host && self.wanted.forwards(port))
    }

    /// The ports that are published by a socket and a proxy.
    pub fn proxied(&self) -> impl Iterator<Item = &Port> {
        self.wanted.ports.iter().filter(|port| !self.host && !self.wanted.forwards(port))
    }
}
