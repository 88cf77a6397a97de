// SPDX-License-Identifier: MIT
//! Reads `.network` files, which describe named networks. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::keys::key;
use crate::config::names::NetworkName;
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::diag::{Code, Diagnostic, Fault, Location, Problem, Severity, Spanned, errors_first, has_errors};
use crate::model::{Named, Subnet};
use crate::resolve::install;
use crate::resolve::network::allocate::{distribute, hash};
use crate::resolve::network::range::{Range, short};
use crate::resolve::references::{Names, unit_section};
use crate::resolve::service;
use crate::resolve::surroundings::labels;

/// The prefix length of the subnets that are chosen for networks, in bits.
const LENGTH: u8 = 20;

impl Named {
    /// The default network without a file.
    #[must_use]
    pub fn usual() -> Self {
        Self::without_file(NetworkName::usual())
    }

    /// A network with the settings of a `.network` file without keys.
    #[must_use]
    pub fn without_file(name: NetworkName) -> Self {
        Self {
            file: Arc::from(format!("/etc/sdme/{name}.network")),
            interface: interface(&name),
            name,
            subnets: Vec::new(),
            choose: true,
            internal: false,
            names: true,
            dns: Vec::new(),
            mtu: None,
            stays: false,
            members: Vec::new(),
            unit: Vec::new(),
            service: Vec::new(),
            install: Vec::new(),
        }
    }

    /// A locally administered hardware address for `what` in this network. It is the same at every
    /// start.
    #[must_use]
    pub fn mac(&self, what: &str) -> String {
        let hash = hash(&[what, " ", &self.name].concat()).to_be_bytes();
        hash.iter().take(5).fold("02".to_owned(), |mac, byte| mac + &format!(":{byte:02x}"))
    }
}

/// The default name of a network's bridge. It has at most 13 characters, or exactly 14 with a hash.
/// The name of a pod's interface has exactly 15 with a hash, and begins with `sdme-` otherwise, so
/// the names never clash.
fn interface(name: &str) -> String {
    if name.len() <= 8 { format!("sdme_{name}") } else { format!("sdme_{}", short(name, 9)) }
}

/// Reads a `.network` file.
///
/// # Errors
/// All problems of the file, including its warnings.
pub fn network(
    name: &str,
    file: &Arc<str>,
    settings: &Settings,
    names: &Names,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Named, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut reader = Reader::new(settings, "Network", &mut problems);
    let own_name: Option<NetworkName> = reader.name(name, file, key::NETWORK_NAME);
    labels(&mut reader, &[key::LABEL]);
    if let Some(written) = reader.flag(key::NETWORK_DELETE_ON_STOP).filter(|delete| !delete.value) {
        let problem = Code::NoEffect.problem(
            "NetworkDeleteOnStop=no: the network ends with its last member",
            "write WantedBy= in [Install] to keep the network",
        );
        reader.warning(&written.at, problem);
    }
    reader.value(key::DRIVER, |value| {
        let problem = Code::Choice.problem(
            format!("Driver={value} is not supported: every network is a bridge"),
            "remove it, or make a bridge with systemd-networkd and write Network=bridge:NAME in the .container file",
        );
        if value == "bridge" { Ok(()) } else { Err(problem) }
    });
    let interface_name = reader.value(key::INTERFACE_NAME, |value| {
        let problem = Code::Address.problem(
            format!("InterfaceName={value} is not the name of an interface"),
            "write 1 to 15 letters, digits, '-', '_' or '.'",
        );
        if is_interface(value) { Ok(value.to_owned()) } else { Err(problem) }
    });
    let mut subnets = subnets(&mut reader);
    let choose = subnets.is_empty();
    if reader.is_yes(key::IPV6) && subnets.iter().all(Subnet::is_ipv4) {
        subnets.extend(Subnet::unique_local(hash(name)));
    }
    let dns = reader.words(key::DNS, |value| match value.parse::<IpAddr>() {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err(Code::Address.problem(format!("DNS={value} is not an address"), "write an IPv4 or IPv6 address")),
    });
    let mtu = options(&mut reader);
    let (internal, has_names) = (reader.is_yes(key::INTERNAL), !reader.is_yes(key::DISABLE_DNS));
    let unit = unit_section(settings.section("Unit"), names, &[], &mut problems);
    let service = service::network(settings, &mut problems);
    let install = install::links(settings, names, &mut problems);
    let Some(own_name) = own_name.filter(|_| !has_errors(&problems)) else { return Err(errors_first(problems)) };
    warnings.append(&mut problems);
    Ok(Named {
        name: own_name,
        file: Arc::clone(file),
        interface: interface_name.unwrap_or_else(|| interface(name)),
        subnets,
        choose,
        internal,
        names: has_names,
        dns: dns.into_iter().map(|server| server.value).collect(),
        mtu,
        stays: !install.is_empty(),
        members: Vec::new(),
        unit,
        service,
        install,
    })
}

/// Whether the text is valid as the name of a network interface (linux/if.h, IFNAMSIZ).
#[must_use]
pub fn is_interface(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !name.is_empty() && name.len() <= 15 && name.bytes().all(plain) && !name.starts_with(['.', '-']) && name != "lo"
}

/// Reads `Subnet=`, and applies `Gateway=` and `IPRange=` to the subnets that contain them.
fn subnets(reader: &mut Reader<'_, '_>) -> Vec<Subnet> {
    let mut all: Vec<Spanned<Subnet>> = Vec::new();
    let subnet = |value: &str| Subnet::parse(value).map_err(|fault| Code::Address.of(fault).of("Subnet="));
    for Spanned { value, at } in reader.words(key::SUBNET, subnet) {
        match all.iter().find(|other| other.value.overlaps(&value)) {
            Some(other) => {
                let problem = Code::Conflict.problem(
                    format!("Subnet={value} overlaps with {} of {}", other.value, other.at),
                    "write another subnet",
                );
                reader.error(&at, problem);
            }
            None => all.push(Spanned { value, at }),
        }
    }
    let gateway = |value: &str| {
        value.parse::<IpAddr>().map_err(|_| {
            Code::Address.problem(format!("Gateway={value} is not an address"), "write an IPv4 or IPv6 address")
        })
    };
    for Spanned { value, at } in reader.words(key::GATEWAY, gateway) {
        match all.iter_mut().find(|subnet| subnet.value.has(value)) {
            Some(subnet) => subnet.value.gateway = value,
            None => {
                reader.error(
                    &at,
                    Code::Address.problem(
                        format!("Gateway={value} is in no Subnet= of this file"),
                        "write an address of a subnet",
                    ),
                );
            }
        }
    }
    for Spanned { value, at } in reader.words(key::IP_RANGE, |value| Ok(value.to_owned())) {
        let mut found = false;
        let limited: Result<(), Fault> = all.iter_mut().try_for_each(|subnet| {
            found |= subnet.value.limit(&value)?;
            Ok(())
        });
        let fault = match limited {
            Err(fault) => fault,
            Ok(()) if !found => Fault::new("no Subnet= of this file has these addresses", "write a part of a subnet"),
            Ok(()) => continue,
        };
        reader.error(&at, Code::Address.of(fault).of(&format!("IPRange={value}")));
    }
    all.into_iter().map(|subnet| subnet.value).collect()
}

/// Reads `Options=`, and returns the MTU in bytes.
fn options(reader: &mut Reader<'_, '_>) -> Option<u16> {
    let mut mtu = None;
    for word in reader.words(key::OPTIONS, |value| Ok(value.to_owned())) {
        for option in word.value.split(',') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let (severity, code, cause, remedy) = match (name, value) {
                ("mtu" | "com.docker.network.driver.mtu", _) => match value.parse() {
                    Ok(number @ 1280..) => {
                        mtu = Some(number);
                        continue;
                    }
                    _ => (
                        Severity::Error,
                        Code::Quantity,
                        "the MTU is not a number from 1280 to 65535",
                        "write a number such as 1500",
                    ),
                },
                ("isolate", "true" | "strict" | "1") => continue,
                ("isolate", _) => (
                    Severity::Warning,
                    Code::NoEffect,
                    "networks never reach each other",
                    "connect a container to both of them",
                ),
                ("vlan", _) => (
                    Severity::Error,
                    Code::Choice,
                    "the bridge has no VLANs",
                    "make a bridge with systemd-networkd, and write Network=bridge:NAME",
                ),
                _ => (
                    Severity::Warning,
                    Code::NoEffect,
                    "the option has no effect here",
                    "remove it, or write mtu=NUMBER or isolate=true",
                ),
            };
            let problem = code.problem(format!("Options={option}: {cause}"), remedy);
            match severity {
                Severity::Error => reader.error(&word.at, problem),
                Severity::Warning => reader.warning(&word.at, problem),
            }
        }
    }
    mtu
}

/// All networks, with and without errors.
#[derive(Debug, Default)]
pub struct Networks {
    /// The networks without errors, by name.
    pub good: BTreeMap<NetworkName, Named>,
    /// The names of the other networks, with the first problem of each.
    pub bad: BTreeMap<String, Diagnostic>,
}

impl Networks {
    /// Adds a network.
    ///
    /// # Errors
    /// Another network has the same name, the same bridge or an overlapping subnet.
    pub fn add(&mut self, network: Named) -> Result<(), Vec<Diagnostic>> {
        let at = Location::whole(&network.file);
        let clash = self.good.values().find_map(|other| {
            let file = &other.file;
            if other.name == network.name {
                let cause = format!("{file} already describes the network {}", other.name);
                return Some(Code::Conflict.problem(cause, "rename one of the two"));
            }
            if other.interface == network.interface {
                let cause = format!("the bridge {} is already that of {file}", other.interface);
                return Some(Code::Conflict.problem(cause, "write another InterfaceName="));
            }
            let pairs = other.subnets.iter().flat_map(|a| network.subnets.iter().map(move |b| (a, b)));
            let (theirs, own) = pairs.into_iter().find(|(a, b)| a.overlaps(b))?;
            let cause = format!("the subnet {own} overlaps with {theirs} of {file}");
            Some(Code::Conflict.problem(cause, "write another Subnet="))
        });
        if let Some(problem) = clash {
            return Err(vec![Diagnostic::error(&at, problem)]);
        }
        self.good.insert(network.name.clone(), network);
        Ok(())
    }

    /// Removes and returns all networks for which a subnet would be chosen, each with the problem
    /// `problem`.
    pub fn without(&mut self, problem: &Problem) -> Vec<(Named, Diagnostic)> {
        self.refuse(&self.without_subnet(), problem)
    }

    /// The names of the networks for which a subnet is chosen.
    fn without_subnet(&self) -> Vec<NetworkName> {
        self.good.values().filter(|network| network.choose).map(|network| network.name.clone()).collect()
    }

    fn refuse(&mut self, names: &[NetworkName], problem: &Problem) -> Vec<(Named, Diagnostic)> {
        let refused = names.iter().filter_map(|name| self.good.remove(name));
        let with_reason = |network: Named| {
            let problem = Diagnostic::error(&Location::whole(&network.file), problem.clone());
            (network, problem)
        };
        refused.map(with_reason).collect()
    }

    /// Chooses an IPv4 subnet for each network without `Subnet=`: a part of `range` that overlaps
    /// neither with `uplinks` nor with a subnet of a file. Removes and returns the networks for
    /// which no part is left.
    pub fn choose(&mut self, range: Range, uplinks: Range) -> Vec<(Named, Diagnostic)> {
        let size = 1_u32 << (32 - LENGTH);
        let parts = (range.addresses() / size).max(1);
        let part = |slot: u32| Subnet::v4(range.first().saturating_add(slot.saturating_mul(size)), LENGTH);
        let written: Vec<&Subnet> = self.good.values().flat_map(|network| &network.subnets).collect();
        let uplinks = uplinks.subnet();
        let is_taken = |slot: &u32| {
            part(*slot).is_none_or(|part| written.iter().copied().chain(&uplinks).any(|other| other.overlaps(&part)))
        };
        let taken = (0..parts).filter(is_taken).map(|slot| (slot, "")).collect();
        let names = self.without_subnet();
        let slots = distribute(names.iter().map(NetworkName::as_str), parts, taken);
        let mut refused = Vec::new();
        for name in &names {
            let subnet = slots.get(name.as_str()).and_then(|slot| part(*slot));
            match (subnet, self.good.get_mut(name)) {
                (Some(subnet), Some(network)) => network.subnets.insert(0, subnet),
                _ => refused.push(name.clone()),
            }
        }
        let problem = Code::Exhausted.problem(
            "NetworkRange= has no addresses left for this network",
            "write Subnet=, or a larger NetworkRange= in sdme.conf",
        );
        self.refuse(&refused, &problem)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bridge_names_are_valid_and_shorter_than_15_characters() {
        let pods = ["bridge", "a-network-with-a-name", "12345678", "123456789"].map(interface);
        assert_eq!(pods[0], "sdme_bridge");
        assert!(pods.iter().all(|name| name.len() < 15 && is_interface(name)), "{pods:?}");
    }

    #[test]
    fn chosen_subnets_do_not_overlap_written_ones() {
        let mut networks = Networks::default();
        for (name, subnet) in [("a", None), ("b", None), ("c", Some("10.216.0.0/14"))] {
            let subnets: Vec<Subnet> = subnet.map(|text| Subnet::parse(text).unwrap()).into_iter().collect();
            let choose = subnets.is_empty();
            let network =
                Named { name: name.parse().unwrap(), interface: interface(name), subnets, choose, ..Named::usual() };
            networks.add(network).unwrap();
        }
        assert!(networks.choose(Range::networks(), Range::default()).is_empty());
        let all: Vec<String> = networks.good.values().flat_map(|n| &n.subnets).map(ToString::to_string).collect();
        assert_eq!(all.len(), 3, "{all:?}");
        let tight = crate::resolve::network::range::range("NetworkRange", "10.216.0.0/19").unwrap();
        for network in networks.good.values_mut().filter(|network| network.choose) {
            network.subnets.clear();
        }
        assert_eq!(networks.choose(tight, Range::default()).len(), 2);
    }
}
