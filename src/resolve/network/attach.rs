// SPDX-License-Identifier: MIT
//! The values of `Network=`, and the connections of pods and of containers to named networks. Pure.

use crate::model::{Attachment, Named, Pod, Port};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use crate::config::keys::{FileType, key};
use crate::config::names::{NetworkName, PodName, machine_name};
use crate::config::settings::Settings;
use crate::config::values::is_domain;
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned, did_you_mean};
use crate::resolve::network::implicit::WORDS;
use crate::resolve::network::named::{Networks, is_interface};
use crate::resolve::network::range::short;
use crate::resolve::references::{Names, existing};

/// A value of `Network=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The host's network.
    Host,
    /// A network namespace with only the loopback interface.
    None,
    /// A private network of the container or pod, which does not reach other machines.
    Private,
    /// A private network that reaches other machines through a veth pair to the host.
    Uplink,
    /// A veth pair to the host, made by systemd-nspawn.
    Veth,
    /// A veth pair to this bridge of the host, made by systemd-nspawn.
    Bridge(String),
    /// A veth pair to the bridge of this zone, made by systemd-nspawn.
    Zone(String),
    /// The network of another container, by the name of its `.container` file.
    Container(String),
    /// A named network.
    Named(Attachment),
}

impl Attachment {
    fn pin(&mut self, key: &str, word: &Spanned<&str>, ipv4: Option<bool>) -> Result<(), Problem> {
        let wrong = || {
            Code::Address.problem(format!("{key}={} is not an address", word.value), "write an IPv4 or IPv6 address")
        };
        let address: IpAddr = word.value.parse().map_err(|_| wrong())?;
        if ipv4.is_some_and(|ipv4| address.is_ipv4() != ipv4) {
            let (kind, other) = if address.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            let cause = format!("{key}={address} is an {kind} address");
            return Err(Code::Address.problem(cause, format!("write an {other} address")));
        }
        self.pinned.push(Spanned { value: address, at: word.at.clone() });
        Ok(())
    }

    /// Reads an option `KEY=VALUE` behind the name of a network.
    fn option(&mut self, option: &str, at: &Location) -> Result<(), Problem> {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let word = Spanned { value, at: at.clone() };
        let wrong = |kind: &str, remedy: &str| Err(Code::Address.problem(format!("{value:?} is not {kind}"), remedy));
        match key {
            "ip" => self.pin(key, &word, None),
            "ip6" => self.pin(key, &word, Some(false)),
            "alias" if is_domain(value) => {
                self.aliases.push(value.to_owned());
                Ok(())
            }
            "alias" => wrong("a host name", "write letters, digits, '-' and '.'"),
            "interface_name" if is_interface(value) => {
                self.interface = Some(value.to_owned());
                Ok(())
            }
            "interface_name" => wrong("the name of an interface", "write 1 to 15 letters, digits, '-', '_' or '.'"),
            "mac" if is_mac(value) => {
                self.mac = Some(value.to_ascii_lowercase());
                Ok(())
            }
            "mac" => wrong("a hardware address", "write an address such as 02:00:00:12:34:56"),
            _ => {
                let known = ["ip", "ip6", "mac", "alias", "interface_name"];
                let remedy = did_you_mean(key, known).unwrap_or_else(|| "write one of these options".to_owned());
                Err(Code::Choice.problem(format!("{key:?} is not one of {}", known.join(", ")), remedy))
            }
        }
    }
}

/// Whether the text is a hardware address of a single interface. In addresses of groups, the lowest
/// bit of the first byte is set.
#[must_use]
pub fn is_mac(text: &str) -> bool {
    // from_str_radix() also accepts a plus sign.
    let is_byte = |text: &str| text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes: Vec<Option<u8>> =
        text.split(':').map(|b| if is_byte(b) { u8::from_str_radix(b, 16).ok() } else { None }).collect();
    bytes.len() == 6
        && bytes.iter().all(Option::is_some)
        && bytes.first().is_some_and(|b| b.is_some_and(|b| b & 1 == 0))
}

/// Reads a value of `Network=`.
///
/// # Errors
/// The value is invalid, or names a file or network that does not exist.
pub fn written(word: &Spanned<String>, names: &Names) -> Result<Written, Problem> {
    const PLAIN: [(&str, Written); 5] = [
        ("host", Written::Host),
        ("none", Written::None),
        ("private", Written::Private),
        ("uplink", Written::Uplink),
        ("veth", Written::Veth),
    ];
    let value = word.value.as_str();
    if let Some((_, written)) = PLAIN.into_iter().find(|(name, _)| *name == value) {
        return Ok(written);
    }
    // The name of an interface has at most 15 bytes (linux/if.h, IFNAMSIZ). systemd-nspawn adds vz-
    // in front of the name of a zone.
    let name = |name: &str, most: usize| {
        let good = name.len() <= most && is_interface(name);
        good.then(|| name.to_owned()).ok_or_else(|| {
            Code::Address.problem(
                format!("Network={value}: {name:?} is not a valid name"),
                format!("write 1 to {most} letters, digits, '-', '_' or '.'"),
            )
        })
    };
    let (head, options) = value.split_once(':').unwrap_or((value, ""));
    let of_value = |problem: Problem| problem.of(&format!("Network={value}"));
    match head {
        // Podman's names for a private network that reaches other machines.
        "pasta" | "slirp4netns" => return Ok(Written::Uplink),
        "bridge" if !options.is_empty() && !options.contains('=') => return name(options, 15).map(Written::Bridge),
        "zone" if value.contains(':') => return name(options, 12).map(Written::Zone),
        "container" if value.contains(':') => return joined(options, names).map_err(of_value),
        _ => {}
    }
    if let Some(container) = head.strip_suffix(".container") {
        return joined(container, names).map_err(of_value);
    }
    let mut attachment = Attachment::new(&network(head, value, names)?, &word.at);
    for option in options.split(',').filter(|_| value.contains(':')) {
        attachment.option(option, &word.at).map_err(of_value)?;
    }
    Ok(Written::Named(attachment))
}

/// The network of the container `name`. Its `.container` file has this name or sets it as the
/// container's name.
fn joined(name: &str, names: &Names) -> Result<Written, Problem> {
    let file = names.renamed(name).first().map_or_else(|| name.to_owned(), |file| (*file).to_owned());
    existing(FileType::Container, &file, names).map(|()| Written::Container(file))
}

/// The name of the network that `head`, the first part of `value`, denotes.
fn network(head: &str, value: &str, names: &Names) -> Result<String, Problem> {
    if let Some(file) = head.strip_suffix(".network") {
        return existing(FileType::Network, file, names).map(|()| names.network(file).to_owned());
    }
    let known = names.get(&FileType::Network);
    if known.is_some_and(|known| known.contains(head)) {
        return Ok(names.network(head).to_owned());
    }
    // Names of the default network in podman and docker.
    if [NetworkName::DEFAULT, "podman", "default"].contains(&head) {
        return Ok(NetworkName::DEFAULT.to_owned());
    }
    let machine = machine_name(head);
    if names.file_of_network(&machine).is_some() || names.implicit_networks().any(|name| name == machine) {
        return Ok(machine);
    }
    let remedy = did_you_mean(head, known.into_iter().flatten().map(String::as_str).chain(WORDS))
        .unwrap_or_else(|| format!("write one of these words, or the file {head}.network"));
    let cause = format!("Network={value} is not one of {}, and there is no {head}.network", WORDS.join(", "));
    Err(Code::MissingFile.problem(cause, remedy))
}

/// Reads all values of `Network=` in a section, or those in `usual` if there are none. Values that
/// exclude each other are errors. `IP=`, `IP6=` and `NetworkAlias=` are added to the named
/// networks.
pub fn read(
    section: &str,
    settings: &Settings,
    usual: &[Spanned<String>],
    names: &Names,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Spanned<Written>> {
    let mut all: Vec<Spanned<Written>> = Vec::new();
    let words = settings.words(section, key::NETWORK);
    for word in if words.is_empty() { usual.to_vec() } else { words } {
        let value = match written(&word, names) {
            Ok(value) => value,
            Err(problem) => {
                problems.push(Diagnostic::error(&word.at, problem));
                continue;
            }
        };
        let contradiction = all.iter().find_map(|other| match (&other.value, &value) {
            (Written::Named(a), Written::Named(b)) if a.network == b.network => {
                Some(format!("Network={} repeats that of {}", word.value, other.at))
            }
            (Written::Named(_), Written::Named(_)) => None,
            _ => Some(format!("Network={} contradicts that of {}", word.value, other.at)),
        });
        match contradiction {
            Some(cause) => {
                let problem = Code::Combination.problem(cause, "remove one of the two");
                problems.push(Diagnostic::error(&word.at, problem));
            }
            None => all.push(Spanned { value, at: word.at }),
        }
    }
    let single = all.len() == 1;
    for (key, ipv4) in [(key::IP, true), (key::IP6, false)] {
        let Some(word) = settings.text(section, key) else { continue };
        let pinned = match all.first_mut().map(|first| &mut first.value) {
            Some(Written::Named(attachment)) if single => attachment.pin(&key, &word, Some(ipv4)),
            Some(Written::Named(_)) => {
                let option = key.to_ascii_lowercase();
                let problem = Code::Combination.problem(
                    format!("{key}= is for a single network"),
                    format!("write Network=NAME:{option}={}", word.value),
                );
                Err(problem)
            }
            _ => {
                let problem = Code::Combination.problem(
                    format!("{key}= needs a network with a name"),
                    "write Network=bridge or Network=NAME.network",
                );
                Err(problem)
            }
        };
        if let Err(problem) = pinned {
            problems.push(Diagnostic::error(&word.at, problem));
        }
    }
    for word in settings.words(section, key::NETWORK_ALIAS) {
        let mut given = false;
        for network in &mut all {
            if let Written::Named(attachment) = &mut network.value {
                attachment.aliases.push(word.value.clone());
                given = true;
            }
        }
        let problem = if !is_domain(&word.value) {
            let cause = format!("NetworkAlias={} is not a host name", word.value);
            Code::Address.problem(cause, "write letters, digits, '-' and '.'")
        } else if !given {
            let cause = "NetworkAlias= needs a network with a name";
            Code::Address.problem(cause, "write Network=bridge or Network=NAME.network")
        } else {
            continue;
        };
        problems.push(Diagnostic::error(&word.at, problem));
    }
    all
}

/// Checks that the networks exist without errors, and that each has its own interface name.
pub fn usable(attachments: &[Attachment], networks: &Networks, problems: &mut Vec<Diagnostic>) {
    for attachment in attachments {
        if let Some(reason) = networks.bad.get(&attachment.network) {
            let problem = Code::UnusableFile.because(&format!("{}.network cannot be used", attachment.network), reason);
            problems.push(Diagnostic::error(&attachment.at, problem));
        }
    }
    let mut interfaces = BTreeSet::new();
    for (attachment, interface) in attachments.iter().zip(interfaces_of(attachments)) {
        if !interfaces.insert(interface.clone()) {
            let problem = Code::Conflict.problem(
                format!("interface_name={interface} is that of another network of this file"),
                "write another name",
            );
            problems.push(Diagnostic::error(&attachment.at, problem));
        }
    }
}

/// The interface names in the pod. A connection without a written name gets `ethN`, where N is its
/// position, counted from 0.
#[must_use]
pub fn interfaces_of(attachments: &[Attachment]) -> Vec<String> {
    let name = |(index, attachment): (usize, &Attachment)| {
        attachment.interface.clone().unwrap_or_else(|| format!("eth{index}"))
    };
    attachments.iter().enumerate().map(name).collect()
}

/// Adds the members to the networks, and gives each member its addresses and the names of its veth
/// pairs. Returns the pods that cannot be connected, with the reason.
pub fn settle(pods: &mut BTreeMap<PodName, Pod>, networks: &mut Networks) -> BTreeMap<PodName, Diagnostic> {
    let mut refused = BTreeMap::new();
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    for pod in pods.values_mut() {
        for attachment in &mut pod.networks {
            let Some(network) = networks.good.get_mut(attachment.network.as_str()) else {
                let cause = format!("{}.network cannot be used", attachment.network);
                let problem = match networks.bad.get(&attachment.network) {
                    Some(reason) => Code::UnusableFile.because(&cause, reason),
                    None => Code::UnusableFile.problem(cause, "correct that file"),
                };
                refused.insert(pod.name.clone(), Diagnostic::error(&attachment.at, problem));
                continue;
            };
            network.members.push(pod.name.clone());
            attachment.link = format!("sdmv{}", short(&format!("{} {}", pod.name, network.name), 11));
            if let Some(other) = links.insert(attachment.link.clone(), pod.name.to_string()) {
                let problem = Code::Conflict.problem(
                    format!("the name of the network interface clashes with that of {other}"),
                    "rename one of the two",
                );
                refused.insert(pod.name.clone(), Diagnostic::error(&Location::whole(&pod.file), problem));
            }
        }
        if let Some(problem) = unforwardable(pod, networks) {
            refused.entry(pod.name.clone()).or_insert(problem);
        }
    }
    for network in networks.good.values() {
        addresses(network, pods, &mut refused);
    }
    refused
}

/// Warns if a proxy opens a port on the host, other than on a loopback address, although all
/// networks of the member have `Internal=yes`. With Podman, this port is closed.
pub fn opened(attachments: &[Attachment], networks: &Networks, ports: &[Port], problems: &mut Vec<Diagnostic>) {
    let internal = |attachment: &Attachment| networks.good.get(attachment.network.as_str()).is_some_and(|n| n.internal);
    if attachments.is_empty() || !attachments.iter().all(internal) {
        return;
    }
    if let Some(port) = ports.iter().find(|port| !port.address.is_some_and(|address| address.is_loopback())) {
        let problem = Code::Port.problem(
            "PublishPort= opens the port on the host although the network has Internal=yes, unlike Podman",
            "remove it, or publish the port on 127.0.0.1 only",
        );
        problems.push(Diagnostic::warning(&port.at, problem));
    }
}

/// The first port of the pod that the kernel cannot forward, as a problem with the reason.
fn unforwardable(pod: &Pod, networks: &Networks) -> Option<Diagnostic> {
    if pod.networks.is_empty() {
        return None;
    }
    let named: Vec<&Named> = pod.networks.iter().filter_map(|a| networks.good.get(a.network.as_str())).collect();
    let open: Vec<&&Named> = named.iter().filter(|network| !network.internal).collect();
    pod.forwarded().find_map(|port| {
        let (cause, remedy) = if port.address.is_some_and(|address| address == IpAddr::V6(Ipv6Addr::LOCALHOST)) {
            ("the kernel forwards nothing from ::1", "publish TCP without PublishMode=nft there")
        } else if open.is_empty() {
            (
                "UDP and PublishMode=nft need a network without Internal=yes",
                "connect it to such a network, or publish TCP without PublishMode=nft",
            )
        } else if port.address.is_some_and(|address| address.is_ipv6()) && !open.iter().any(|n| n.has_ipv6()) {
            (
                "UDP and PublishMode=nft on an IPv6 address need a network with IPv6=yes",
                "write IPv6=yes in the .network file",
            )
        } else {
            return None;
        };
        Some(Diagnostic::error(&port.at, Code::Port.problem(format!("PublishPort=: {cause}"), remedy)))
    })
}

/// Gives the members of a network their addresses: the pinned ones first, then free ones. Adds
/// members without an address to `refused`.
fn addresses(network: &Named, pods: &mut BTreeMap<PodName, Pod>, refused: &mut BTreeMap<PodName, Diagnostic>) {
    let of = |pod: &Pod| pod.networks.iter().find(|a| a.network == network.name).cloned();
    let mut pins: Vec<(Spanned<IpAddr>, PodName)> = Vec::new();
    for name in &network.members {
        for pin in pods.get(name.as_str()).and_then(of).into_iter().flat_map(|attachment| attachment.pinned) {
            let ip = pin.value;
            let cause = if !network.subnets.iter().any(|subnet| subnet.has(ip)) {
                let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
                Some(format!("{ip} is not in the network {}, which has {}", network.name, subnets.join(" and ")))
            } else if network.subnets.iter().any(|subnet| subnet.gateway == ip) {
                Some(format!("{ip} is the host's address in the network {}", network.name))
            } else {
                let other = pins.iter().find(|(other, _)| other.value == ip);
                other.map(|(other, _)| format!("{ip} is already the address of {}", other.at))
            };
            match cause {
                Some(cause) => {
                    let problem = Code::Address.problem(cause, "write another address of the network");
                    refused.entry(name.clone()).or_insert(Diagnostic::error(&pin.at, problem));
                }
                None => pins.push((pin, name.clone())),
            }
        }
    }
    let taken: Vec<IpAddr> = pins.iter().map(|(pin, _)| pin.value).collect();
    for subnet in &network.subnets {
        let pinned =
            |name: &str| pins.iter().find(|(pin, n)| *n == *name && subnet.has(pin.value)).map(|(pin, _)| pin.value);
        let others = network.members.iter().map(PodName::as_str).filter(|name| pinned(name).is_none());
        let given = subnet.distribute(others, &taken);
        for name in &network.members {
            let Some(pod) = pods.get_mut(name.as_str()) else { continue };
            let Some(attachment) = pod.networks.iter_mut().find(|a| a.network == network.name) else { continue };
            if let Some(address) = pinned(name).or_else(|| given.get(name.as_str()).copied()) {
                attachment.addresses.push((address, subnet.length));
            } else {
                let problem = Code::Exhausted.problem(
                    format!("the network {} has no address of {subnet} left for this member", network.name),
                    "write a larger Subnet= in the .network file",
                );
                refused.entry(name.clone()).or_insert(Diagnostic::error(&attachment.at, problem));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::sync::Arc;

    fn read(value: &str) -> Result<Written, Problem> {
        let mut names = Names::default();
        names.add(FileType::Network, "front", "front");
        names.add(FileType::Network, "back", "rear");
        names.add(FileType::Container, "db", "db");
        written(&Spanned { value: value.to_owned(), at: Location::new(&Arc::from("f"), 1) }, &names)
    }

    #[test]
    fn valid_values_of_network_are_read_and_others_refused() {
        assert_eq!(read("bridge:br0").unwrap(), Written::Bridge("br0".into()));
        assert_eq!(read("container:db").unwrap(), Written::Container("db".into()));
        assert_eq!(read("db.container").unwrap(), Written::Container("db".into()));
        let named = |value| if let Written::Named(named) = read(value).unwrap() { named } else { panic!("{value}") };
        for (value, network) in [("front", "front"), ("front.network", "front"), ("back", "rear"), ("rear", "rear")] {
            assert_eq!(named(value).network, network);
        }
        let options = named("bridge:ip=10.1.2.3,ip6=fd00::1,mac=02:00:00:00:00:0A,alias=a,alias=b,interface_name=net1");
        assert_eq!((options.network.as_str(), options.pinned.len(), options.aliases.len()), ("bridge", 2, 2));
        assert_eq!(options.mac.as_deref(), Some("02:00:00:00:00:0a"));
        for bad in [
            "zone:averylongname",
            "bridge:",
            "zone:a/b",
            "web.network",
            "x.container",
            "front:",
            "front:ip=x",
            "front:foo=1",
            "front:mac=01:00:00:00:00:00",
            "front:mac=02:00:00:00:00:+f",
            "container",
            "front:ip6=10.0.0.1",
            "front:alias=",
            "front:interface_name=lo",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("fron").unwrap_err().to_string().ends_with("there is no fron.network; did you mean front?"));
    }
}
