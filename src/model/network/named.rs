// SPDX-License-Identifier: MIT
//! A named network and its subnets. Pure.

use crate::config::names::{NetworkName, PodName};
use crate::model::{Assignment, Link};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A named network.
// Each of these is a key of the file, or follows from one.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub struct Named {
    /// The name of the network.
    pub name: NetworkName,
    /// The file that defines the network. For the default network, the path at which a file could
    /// define it.
    pub file: Arc<str>,
    /// The name of the bridge interface.
    pub interface: String,
    /// The subnets. An IPv4 subnet that `choose` asks for is added later.
    pub subnets: Vec<Subnet>,
    /// Whether an IPv4 subnet is to be chosen.
    pub choose: bool,
    /// `Internal=`
    pub internal: bool,
    /// Whether the members find each other by name.
    pub names: bool,
    /// `DNS=`: addresses of name servers.
    pub dns: Vec<String>,
    /// `Options=mtu=`
    pub mtu: Option<u16>,
    /// Whether the network stays up without members, because `[Install]` starts it.
    pub stays: bool,
    /// The pods that are connected to the network.
    pub members: Vec<PodName>,
    /// The assignments of `[Unit]`, with file references translated to unit names.
    pub unit: Vec<Assignment>,
    /// The assignments of `[Service]`.
    pub service: Vec<Assignment>,
    /// The links of `[Install]`, by which other units start the network.
    pub install: Vec<Link>,
}

/// An IPv4 or IPv6 subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The network address of the subnet.
    pub first: IpAddr,
    /// The length of the prefix in bits.
    pub length: u8,
    /// The host's address in the subnet.
    pub gateway: IpAddr,
    /// The first and the last address that members can get without `IP=` or `IP6=`.
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

    /// The network of a unit, if that is the unit of a network.
    #[must_use]
    pub fn of_service(unit: &str) -> Option<&str> {
        unit.strip_prefix("sdme-network@")?.strip_suffix(".service")
    }

    /// Whether the members can have IPv6 addresses.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.subnets.iter().any(|subnet| !subnet.is_ipv4())
    }
}
