// SPDX-License-Identifier: MIT
//! What a container is connected to. Pure.

pub mod named;
pub mod pod;
pub mod port;

use crate::diag::Location;
use crate::diag::Spanned;
use crate::model::Port;
use std::net::IpAddr;

/// What a container is connected to as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The host's own network.
    Host,
    /// Nothing but loopback, made by nspawn.
    Alone,
    /// The network of this pod, which may be a pod of one.
    Pod(String),
    /// A virtual link to the host, made by nspawn.
    Veth,
    /// A virtual link into this bridge, made by nspawn.
    Bridge(String),
    /// A virtual link into a bridge for all containers of this zone, made by nspawn.
    Zone(String),
}

impl Network {
    /// Whether there is a link of nspawn's, whose address the network manager inside asks for.
    #[must_use]
    pub fn configures_itself(&self) -> bool {
        matches!(self, Self::Veth | Self::Bridge(_) | Self::Zone(_))
    }
}

/// What a container is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The network of the container as a whole.
    pub network: Network,
    /// The pod whose network its application joins, by name.
    pub oci_pod: Option<String>,
    /// The pod that it is in and that has no network of its own: the container has the host's, too.
    pub host_pod: Option<String>,
    /// Whether it starts with the pod.
    pub start_with_pod: bool,
    /// The container whose network it joins, by name.
    pub joined: Option<String>,
    /// The ports that systemd-nspawn publishes for a link of its own.
    pub exposed: Vec<Port>,
}

impl Connection {
    /// The pod that the container as a whole is in, by name.
    #[must_use]
    pub fn outer_pod(&self) -> Option<&String> {
        if let Network::Pod(pod) = &self.network { Some(pod) } else { self.host_pod.as_ref() }
    }
}

/// A connection to a network with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The network.
    pub network: String,
    /// Where it was written.
    pub at: Location,
    /// Addresses that were written.
    pub pinned: Vec<Spanned<IpAddr>>,
    /// Further names for the network's other members.
    pub aliases: Vec<String>,
    /// The interface inside; counted unless it was written.
    pub interface: Option<String>,
    /// The hardware address; it follows from the names unless it was written.
    pub mac: Option<String>,
    /// An address of each subnet of the network, with its length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The host's end of the link.
    pub link: String,
}

impl Attachment {
    /// A connection without anything but the network.
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

    /// Its address of IPv4, or of IPv6.
    #[must_use]
    pub fn address(&self, ipv4: bool) -> Option<IpAddr> {
        self.addresses.iter().map(|(address, _)| *address).find(|address| address.is_ipv4() == ipv4)
    }
}
