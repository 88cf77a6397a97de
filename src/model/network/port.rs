// SPDX-License-Identifier: MIT
//! Published ports. Pure.

use crate::diag::Location;
use std::fmt;
use std::net::IpAddr;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A published port: a port of the host that leads to an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The address of the host that the port is published on. None: all addresses, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// The port of the host.
    pub host: u16,
    /// The port of the application. None: the port that the image exposes, which is known when the
    /// application runs.
    pub target: Option<u16>,
    /// The protocol.
    pub protocol: Protocol,
    /// The location of the setting.
    pub at: Location,
}

/// `[IP:]PORT[:PORT]/PROTOCOL`
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}{target}/{}", self.listen(), self.protocol)
    }
}

/// The settings of a container's or a pod's own network.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `Network=uplink`
    pub uplink: bool,
    /// `PublishPort=`
    pub ports: Vec<Port>,
    /// `PublishMode=nft`: the kernel forwards TCP, too.
    pub forward: bool,
    /// `StartOnDemand=`
    pub on_demand: bool,
    /// `StopWhenIdle=`, in milliseconds.
    pub idle: Option<u64>,
}

impl Wanted {
    /// Whether the kernel forwards this port. Otherwise a socket and a proxy publish the port.
    #[must_use]
    pub fn forwards(&self, port: &Port) -> bool {
        self.forward || port.protocol == crate::model::Protocol::Udp
    }
}

impl Port {
    /// Whether an application in the host's network binds this port itself.
    #[must_use]
    pub fn is_its_own(&self) -> bool {
        self.target == Some(self.host) && self.address.is_none()
    }

    /// The address and port as a socket unit names them, and as part of a unit name: `8080`,
    /// `127.0.0.1:8080`.
    #[must_use]
    pub fn listen(&self) -> String {
        match self.address {
            None => self.host.to_string(),
            Some(IpAddr::V4(address)) => format!("{address}:{}", self.host),
            Some(IpAddr::V6(address)) => format!("[{address}]:{}", self.host),
        }
    }

    /// Whether the two ports cannot be bound at the same time. `0.0.0.0` means every IPv4 address,
    /// `[::]` every IPv6 address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let any = |a: IpAddr| a.is_unspecified();
        let addresses = match (self.address, other.address) {
            (None, _) | (_, None) => true,
            (Some(a), Some(b)) => a == b || (a.is_ipv4() == b.is_ipv4() && (any(a) || any(b))),
        };
        addresses && self.host == other.host && self.protocol == other.protocol
    }
}
