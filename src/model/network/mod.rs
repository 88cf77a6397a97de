// SPDX-License-Identifier: MIT
//! The network connections of containers and pods. Pure.

pub mod named;
pub mod pod;
pub mod port;

use crate::diag::Location;
use crate::diag::Spanned;
use crate::model::Port;
use std::net::IpAddr;

/// The network of a container as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The host's network.
    Host,
    /// A network namespace with only the loopback interface, made by systemd-nspawn.
    Alone,
    /// The network of this pod, which can be the pod of a single container.
    Pod(String),
    /// A veth pair to the host, made by systemd-nspawn.
    Veth,
    /// A veth pair to this bridge, made by systemd-nspawn.
    Bridge(String),
    /// A veth pair to the bridge of all containers of this zone, made by systemd-nspawn.
    Zone(String),
}

impl Network {
    /// Whether systemd-nspawn makes a veth pair, whose container end is configured by the network
    /// manager in the container.
    #[must_use]
    pub fn configures_itself(&self) -> bool {
        matches!(self, Self::Veth | Self::Bridge(_) | Self::Zone(_))
    }
}

/// The connections of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The network of the container as a whole.
    pub network: Network,
    /// The name of the pod whose network the container's application joins.
    pub oci_pod: Option<String>,
    /// The name of the pod that the container is in, if that pod has no network of its own: the
    /// container then has the host's network, too.
    pub host_pod: Option<String>,
    /// Whether the container starts with the pod.
    pub start_with_pod: bool,
    /// The name of the container whose network this container joins.
    pub joined: Option<String>,
    /// The ports that systemd-nspawn publishes for its own veth pair.
    pub exposed: Vec<Port>,
}

impl Connection {
    /// The name of the pod that the container as a whole is in.
    #[must_use]
    pub fn outer_pod(&self) -> Option<&String> {
        if let Network::Pod(pod) = &self.network { Some(pod) } else { self.host_pod.as_ref() }
    }
}

/// A connection to a named network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The name of the network.
    pub network: String,
    /// The location of the setting.
    pub at: Location,
    /// The addresses that the file pins.
    pub pinned: Vec<Spanned<IpAddr>>,
    /// Additional names of this member for the other members of the network.
    pub aliases: Vec<String>,
    /// The interface name in the pod. Without a written name, the interface is `ethN`, where N is
    /// the position of this connection, counted from 0.
    pub interface: Option<String>,
    /// The hardware address. Without a written address, it follows from the names of pod and
    /// network.
    pub mac: Option<String>,
    /// An address in each subnet of the network, with the length of the prefix in bits.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The name of the host's end of the veth pair.
    pub link: String,
}

impl Attachment {
    /// A connection with only the network and the location set.
    #[must_use]
    pub fn new(network: &str, at: &Location) -> Self {
        Self {
            network: network.to_owned(),
            at: at.clone(),
            pinned: Vec::new(),
            aliases: Vec::new(),
            interface: None,
            mac: None,
            addresses: Vec::new(),
            link: String::new(),
        }
    }

    /// The IPv4 or the IPv6 address of the connection.
    #[must_use]
    pub fn address(&self, ipv4: bool) -> Option<IpAddr> {
        self.addresses.iter().map(|(address, _)| *address).find(|address| address.is_ipv4() == ipv4)
    }
}
