// SPDX-License-Identifier: MIT
//! A network with a name, and its subnets. Pure.

use crate::config::names::{NetworkName, PodName};
use crate::model::{Assignment, Link};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A network with a name.
// Each is a key of the file, or follows from one.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub struct Named {
    /// Its name.
    pub name: NetworkName,
    /// The file it was written in; the one that could describe it, for the default network.
    pub file: Arc<str>,
    /// The bridge.
    pub interface: String,
    /// Its addresses. One of IPv4 is missing until it is chosen.
    pub subnets: Vec<Subnet>,
    /// Whether a subnet of IPv4 is to be chosen.
    pub choose: bool,
    /// `Internal=`
    pub internal: bool,
    /// Whether the members find each other by name.
    pub names: bool,
    /// `DNS=`: addresses of name servers.
    pub dns: Vec<String>,
    /// `Options=mtu=`
    pub mtu: Option<u16>,
    /// Whether it stays without members, as `[Install]` starts it.
    pub stays: bool,
    /// Pods that are connected to it.
    pub members: Vec<PodName>,
    /// `[Unit]`, file references translated to units.
    pub unit: Vec<Assignment>,
    /// `[Service]`.
    pub service: Vec<Assignment>,
    /// Links that start it with other units.
    pub install: Vec<Link>,
}

/// The addresses of a network, of IPv4 or of IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The address of the subnet itself.
    pub first: IpAddr,
    /// Number of bits that all addresses have in common.
    pub length: u8,
    /// The host's address.
    pub gateway: IpAddr,
    /// The first and the last address that are given out by names.
    pub range: (u128, u128),
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl Named {
    /// The unit of the network `name`.
    #[must_use]
    pub fn service(name: &str) -> String {
        format!("sdme-network@{name}.service")
    }

    /// The network that a unit makes, if it makes one.
    #[must_use]
    pub fn of_service(unit: &str) -> Option<&str> {
        unit.strip_prefix("sdme-network@")?.strip_suffix(".service")
    }

    /// Whether its members can have addresses of IPv6.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.subnets.iter().any(|subnet| !subnet.is_ipv4())
    }
}
