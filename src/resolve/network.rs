// SPDX-License-Identifier: MIT
//! The keys about networks, which `[Container]` and `[Pod]` share: what a container is connected to, what is published, and
//! whether a connection starts it. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{Link, Network};
use super::pod::{Pod, Pods};
use super::ports::{Port, parse};
use super::references::{Names, existing};
use super::security::preset;
use super::slots::{distribute, hash};
use crate::config::keys::FileType;
use crate::config::settings::{Settings, parse_bool};
use crate::diag::{Diagnostic, Location, Spanned, suggestion};

/// What a file says about a network it has for itself.
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

/// The values of `Network=`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    Host,
    None,
    Private,
    Uplink,
    Veth,
    Bridge(String),
    Zone(String),
}

fn written(value: &str) -> Result<Written, String> {
    // An interface name (linux/if.h, IFNAMSIZ), to which nspawn adds vz- for a zone.
    let name = |name: &str, most: usize| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let good = !name.is_empty() && name.len() <= most && name.bytes().all(plain) && !name.starts_with(['.', '-']);
        good.then(|| name.to_owned()).ok_or_else(|| {
            format!("Network={value}: the name has to have 1 to {most} letters, digits, '-', '_' or '.'")
        })
    };
    match value {
        "host" => return Ok(Written::Host),
        "none" => return Ok(Written::None),
        "private" => return Ok(Written::Private),
        "uplink" => return Ok(Written::Uplink),
        "veth" => return Ok(Written::Veth),
        _ => {}
    }
    match value.split_once(':') {
        Some(("bridge", bridge)) => name(bridge, 15).map(Written::Bridge),
        Some(("zone", zone)) => name(zone, 12).map(Written::Zone),
        _ => Err(format!(
            "Network={value} is not one of host, none, private, uplink, veth, bridge:NAME, zone:NAME{}",
            match value {
                _ if value.ends_with(".network") => {
                    "; Network=uplink gives it a way out, Pod= connects it with others".to_owned()
                }
                "bridge" | "pasta" | "slirp4netns" => "; Network=uplink gives it a way out".to_owned(),
                _ => suggestion(value, ["host", "none", "private", "uplink", "veth", "bridge:NAME", "zone:NAME"]),
            }
        )),
    }
}

/// Reads the keys of a network of its own from `section`.
pub fn wanted(section: &str, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Wanted {
    let mut wanted = Wanted::default();
    for word in settings.words(section, "PublishPort") {
        match parse(&word) {
            Ok(ports) => wanted.ports.extend(ports),
            Err(message) => problems.push(Diagnostic::error(&word.at, message)),
        }
    }
    wanted.forward = settings.text(section, "PublishMode").is_some_and(|mode| mode.value == "nft");
    for port in &wanted.ports {
        if let Err(message) = forwardable(port, wanted.forward) {
            problems.push(Diagnostic::error(&port.at, message));
        }
    }
    let demand = settings.text(section, "StartOnDemand");
    let demand = demand.filter(|written| parse_bool(written.value) == Some(true));
    wanted.on_demand = demand.is_some();
    if let Some(at) = demand.map(|written| written.at)
        && !wanted.ports.iter().any(|port| !wanted.forwards(port))
    {
        let message = "StartOnDemand= needs a TCP port in PublishPort=, and no PublishMode=nft: nothing else notices a connection";
        problems.push(Diagnostic::error(&at, message));
    }
    if let Some(idle) = settings.text(section, "StopWhenIdle") {
        match milliseconds(idle.value) {
            _ if !wanted.on_demand => {
                problems.push(Diagnostic::error(&idle.at, "StopWhenIdle= needs StartOnDemand=yes; write it, too"));
            }
            Some(time) => wanted.idle = Some(time),
            None => {
                let message = format!("StopWhenIdle={} is not a time; write 5min or 30s", idle.value);
                problems.push(Diagnostic::error(&idle.at, message));
            }
        }
    }
    wanted
}

impl Wanted {
    /// Whether the kernel forwards this port; otherwise it is a socket and a proxy.
    #[must_use]
    pub fn forwards(&self, port: &Port) -> bool {
        self.forward || port.protocol == super::ports::Protocol::Udp
    }
}

fn forwardable(port: &Port, forward: bool) -> Result<(), String> {
    let wanted = Wanted { forward, ..Wanted::default() };
    if !wanted.forwards(port) {
        return Ok(());
    }
    if port.address.is_some_and(|address| address.is_ipv6()) {
        return Err(
            "UDP and PublishMode=nft are forwarded by the kernel for IPv4 only; publish TCP by proxy here".to_owned()
        );
    }
    if port.target.is_none() {
        let host = port.host;
        return Err(format!("UDP and PublishMode=nft need the container's port, too; write {host}:{host}"));
    }
    Ok(())
}

/// A time of at least a second, with the units s, min, h (systemd.time(7)); seconds without one.
fn milliseconds(value: &str) -> Option<u64> {
    crate::config::access::delay(value).ok().filter(|time| *time >= 1000)
}

/// What a container is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The network of the container as a whole.
    pub network: Network,
    /// The pod whose network its application joins, by name.
    pub oci_pod: Option<String>,
    /// Whether it starts with the pod.
    pub start_with_pod: bool,
}

/// What a container's keys about networks come to: its connection, and the pod that is its own, if it has one.
pub struct Outcome {
    /// The connection.
    pub connection: Connection,
    /// A pod of one, made for it.
    pub own: Option<Pod>,
    /// The ports of the host its application takes by itself.
    pub claims: Vec<Port>,
}

/// Reads the keys of a `.container` file. `runs` says whether there is an application in it.
pub fn container(
    (name, file): (&str, &Arc<str>),
    settings: &Settings,
    (names, pods): (&Names, &Pods),
    runs: bool,
    install: &[Link],
    problems: &mut Vec<Diagnostic>,
) -> Outcome {
    let text = |key| settings.text("Container", key);
    let pod = text("Pod").and_then(|written| member(&written, names, pods, problems));
    let oci_pod = text("OciPod").and_then(|written| member(&written, names, pods, problems));
    let network = text("Network").and_then(|at| match written(at.value) {
        Ok(value) => Some(Spanned { value, at: at.at }),
        Err(message) => {
            problems.push(Diagnostic::error(&at.at, message));
            None
        }
    });
    let isolated = preset(settings).1;
    let network = match (network, isolated, &pod, &oci_pod) {
        (Some(network), Some(by), ..) if network.value == Written::Host => {
            let message = format!(
                "{}=yes gives the container a network of its own; remove Network=, or use single settings",
                by.value
            );
            problems.push(Diagnostic::error(&network.at, message));
            Some(network)
        }
        (None, Some(by), None, None) => Some(Spanned { value: Written::Private, at: by.at }),
        (network, ..) => network,
    };
    let start = text("StartWithPod");
    if let (Some(written), None, None) = (&start, text("Pod"), text("OciPod")) {
        problems.push(Diagnostic::error(&written.at, "StartWithPod= needs a Pod= or OciPod="));
    }
    if let (Some(written), false) = (text("OciPod"), runs) {
        problems
            .push(Diagnostic::error(&written.at, "OciPod= is for an application; use Pod= for an operating system"));
    }
    let wanted = wanted("Container", settings, problems);
    if let (true, Some(joined)) = (pod.is_some() || oci_pod.is_some(), text("Pod").or_else(|| text("OciPod"))) {
        let joined = joined.value;
        for key in ["PublishPort", "PublishMode", "StartOnDemand", "StopWhenIdle"] {
            if let Some(written) = text(key) {
                problems.push(Diagnostic::error(&written.at, format!("{key}= belongs into {joined}; move it there")));
            }
        }
    }
    let start_with_pod = start.and_then(|s| parse_bool(s.value)).unwrap_or(true);
    let connection = |network| Connection { network, oci_pod: oci_pod.clone(), start_with_pod };
    let none = |network| Outcome { connection: connection(network), own: None, claims: Vec::new() };
    if let Some(pod) = pod {
        if let Some(network) = network {
            let file = names.file_of_pod(&pod).unwrap_or(&pod);
            problems.push(Diagnostic::error(&network.at, format!("Network= is {file}.pod's to say; write it there")));
        }
        return none(Network::Pod(pod));
    }
    // What podman and docker do without being asked: the application's port cannot be another one in the host's network.
    let elsewhere = wanted.ports.iter().find(|port| !is_its_own(port)).map(|port| port.at.clone());
    let network = match (network, elsewhere) {
        (None, Some(at)) if oci_pod.is_none() => Some(Spanned { value: Written::Uplink, at }),
        (network, _) => network,
    };
    let Some(Spanned { value: network, at }) = network else {
        if oci_pod.is_some() {
            return none(Network::Alone);
        }
        let claims = on_host(&wanted, settings, problems);
        return Outcome { connection: connection(Network::Host), own: None, claims };
    };
    let cut_off = |network: Network, problems: &mut Vec<Diagnostic>| {
        for key in ["PublishPort", "StartOnDemand"] {
            if let Some(written) = text(key) {
                let message = format!("{key}= needs Network=private or Network=uplink, or a pod to publish it for");
                problems.push(Diagnostic::error(&written.at, message));
            }
        }
        none(network)
    };
    match network {
        Written::Host => {
            if oci_pod.is_some() {
                let message = "OciPod= needs a network that is not the host's; remove Network=host";
                problems.push(Diagnostic::error(&at, message));
            }
            let claims = on_host(&wanted, settings, problems);
            Outcome { connection: connection(Network::Host), own: None, claims }
        }
        Written::None => cut_off(Network::Alone, problems),
        Written::Veth => cut_off(Network::Veth, problems),
        Written::Bridge(bridge) => cut_off(Network::Bridge(bridge), problems),
        Written::Zone(zone) => cut_off(Network::Zone(zone), problems),
        Written::Private | Written::Uplink => {
            if let Some(other) = names.file_of_pod(name) {
                let message = format!(
                    "a network of its own is called {name} as the pod of {other}.pod is; write Pod={other}.pod or rename one"
                );
                problems.push(Diagnostic::error(&at, message));
            }
            let wanted = Wanted { uplink: network == Written::Uplink, ..wanted };
            let own = Pod::of_container(name, file, wanted, install);
            Outcome { connection: connection(Network::Pod(name.to_owned())), own: Some(own), claims: Vec::new() }
        }
    }
}

/// Whether the host's port is the one the application binds itself, in the host's network.
fn is_its_own(port: &Port) -> bool {
    port.target == Some(port.host) && port.address.is_none()
}

/// A container in the host's network publishes what it binds; there is nothing to do but to take note of it.
fn on_host(wanted: &Wanted, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Port> {
    for port in &wanted.ports {
        if is_its_own(port) {
            continue;
        }
        let message = format!(
            "PublishPort=: the container shares the host's network, where its application binds its own port itself; \
             write Network=private to publish it on {}, or {}:{} if that is its own port",
            port.listen(),
            port.host,
            port.host
        );
        problems.push(Diagnostic::error(&port.at, message));
    }
    for key in ["StartOnDemand", "PublishMode"] {
        if let Some(written) = settings.text("Container", key) {
            let message = format!("{key}= needs a network of its own; write Network=private, or Network=uplink");
            problems.push(Diagnostic::error(&written.at, message));
        }
    }
    wanted.ports.clone()
}

/// The pod in `Pod=` or `OciPod=`.
fn member(written: &Spanned<&str>, names: &Names, pods: &Pods, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let found = match written.value.strip_suffix(".pod") {
        None => Err(format!("{} is not the name of a .pod file; write NAME.pod", written.value)),
        Some(name) => existing(FileType::Pod, name, names).and_then(|()| match pods.bad.get(name) {
            Some(problem) => Err(format!("{name}.pod cannot be used: {problem}")),
            None => Ok(names.pod(name).to_owned()),
        }),
    };
    found.map_err(|message| problems.push(Diagnostic::error(&written.at, message))).ok()
}

/// Reads `Network=` of a `.pod` file.
pub fn of_pod(settings: &Settings, problems: &mut Vec<Diagnostic>) -> bool {
    let Some(at) = settings.text("Pod", "Network") else { return false };
    match written(at.value) {
        Ok(Written::Uplink) => true,
        Ok(Written::Private | Written::None) => false,
        Ok(_) => {
            let message = format!("Network={} is for containers; a pod's is private or uplink", at.value);
            problems.push(Diagnostic::error(&at.at, message));
            false
        }
        Err(message) => {
            problems.push(Diagnostic::error(&at.at, message));
            false
        }
    }
}

/// The addresses that pods' links are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: u32,
    /// Number of links it has room for; each takes four addresses.
    links: u32,
}

impl Default for Range {
    fn default() -> Self {
        Self { first: u32::from_be_bytes([10, 213, 0, 0]), links: 1 << 14 }
    }
}

/// Reads `UplinkRange=ADDRESS/LENGTH`.
///
/// # Errors
/// When it is no range of IPv4 addresses, or not one of a sensible size.
pub fn range(value: &str) -> Result<Range, String> {
    let wrong = || format!("UplinkRange={value} is no range of IPv4 addresses; write one such as 10.213.0.0/16");
    let (address, length) = value.split_once('/').ok_or_else(wrong)?;
    let address: std::net::Ipv4Addr = address.parse().map_err(|_| wrong())?;
    let length: u32 = length.parse().ok().filter(|l| (8..=28).contains(l)).ok_or_else(wrong)?;
    let first = u32::from(address);
    if first & (u32::MAX >> length) != 0 {
        return Err(format!("UplinkRange={value}: the address is not the first one of the range"));
    }
    Ok(Range { first, links: 1 << (30 - length) })
}

impl Range {
    /// Gives each name an address of its own. Names for which there is none left are missing in the result.
    #[must_use]
    pub fn distribute<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u32> {
        let slots = distribute(names, self.links, BTreeMap::new());
        slots.into_iter().map(|(name, slot)| (name, self.first + slot * 4)).collect()
    }
}

/// The host's end of a pod's link. At most 15 characters: a longer name is replaced by its hash behind an underscore, which no
/// pod's name has, so that no two names become one unless their hashes are equal.
#[must_use]
pub fn interface(pod: &str) -> String {
    const DIGITS: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x',
        'y', 'z', '2', '3', '4', '5', '6', '7', '8', '9',
    ];
    if pod.len() <= 10 {
        return format!("sdme-{pod}");
    }
    let mut hash = hash(pod);
    let mut out = String::from("sdme_");
    for _ in 0..10 {
        let digit = usize::try_from(hash % 32).ok().and_then(|index| DIGITS.get(index));
        out.extend(digit);
        hash /= 32;
    }
    out
}

/// A problem for every pod but the first of those whose interfaces would have one name.
pub fn interface_clash<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, &'a str)> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    let mut out = Vec::new();
    for name in names {
        match known.get(&interface(name)) {
            Some(other) => out.push((name, *other)),
            None => {
                known.insert(interface(name), name);
            }
        }
    }
    out
}

/// The problem of a container whose pod cannot be.
#[must_use]
pub fn refused(file: &Arc<str>, pod: &Arc<str>, problem: &Diagnostic) -> Diagnostic {
    let name = pod.rsplit('/').next().unwrap_or(pod);
    Diagnostic::error(&whole(file), format!("{name} cannot be used: {problem}"))
}

/// The place of a file as a whole.
#[must_use]
pub fn whole(file: &Arc<str>) -> Location {
    Location::new(file, 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks() {
        assert_eq!(written("bridge:br0").unwrap(), Written::Bridge("br0".into()));
        assert!(written("zone:averylongname").is_err() && written("bridge:").is_err() && written("zone:a/b").is_err());
        assert!(written("web.network").unwrap_err().ends_with("Pod= connects it with others"));
    }

    #[test]
    fn interfaces_have_names_of_their_own() {
        assert_eq!(interface("web"), "sdme-web");
        assert_eq!(interface("a-long-pods"), interface("a-long-pods"));
        let long: Vec<String> = (0..2000).map(|i| format!("a-pod-with-a-long-name-{i}")).collect();
        assert!(long.iter().all(|name| interface(name).len() == 15));
        assert_eq!(interface_clash(long.iter().map(String::as_str)), []);
    }

    #[test]
    fn addresses_stay_when_others_come_and_go() {
        let range = Range::default();
        let names: Vec<String> = (0..200).map(|i| format!("pod{i}")).collect();
        let all = range.distribute(names.iter().map(String::as_str));
        let half = range.distribute(names.iter().map(String::as_str).filter(|n| n.len() % 2 == 0));
        assert_eq!(all.len(), 200);
        let moved = half.iter().filter(|(name, address)| all.get(*name) != Some(*address)).count();
        assert!(moved <= 2, "{moved} have moved");
        let mut addresses: Vec<u32> = all.values().copied().collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 200);
        let small = super::range("192.168.7.0/28").unwrap();
        assert_eq!(small.distribute(names.iter().map(String::as_str)).len(), 4);
        assert!(
            super::range("10.0.0.1/16").is_err() && super::range("10.0.0.0/30").is_err() && super::range("x").is_err()
        );
    }
}
