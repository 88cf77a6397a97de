// SPDX-License-Identifier: MIT
//! The published ports of containers and pods, and the networks of pods. Pure.

use super::attach::{self, Written};
use super::named::Networks;
use super::ports::parse;
use crate::config::keys::key;
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::diag::{Code, Diagnostic, Fault};
use crate::model::{Attachment, Port, Wanted};
use crate::resolve::references::Names;

/// Reads the keys about published ports from `section`. `named` says whether the container or pod
/// is connected to named networks, which can have IPv6.
pub fn wanted(section: &str, settings: &Settings, named: bool, problems: &mut Vec<Diagnostic>) -> Wanted {
    let mut wanted = Wanted::default();
    for word in settings.words(section, key::PUBLISH_PORT) {
        match parse(&word) {
            Ok(ports) => wanted.ports.extend(ports),
            Err(fault) => problems.push(Diagnostic::error(&word.at, Code::Port.of(fault))),
        }
    }
    let mut reader = Reader::new(settings, section, problems);
    wanted.forward = reader.text(key::PUBLISH_MODE).is_some_and(|mode| mode.value == "nft");
    for port in &wanted.ports {
        if let Err(fault) = forwardable(port, wanted.forward, named) {
            reader.error(&port.at, Code::Port.of(fault));
        }
    }
    let demand = reader.flag(key::START_ON_DEMAND).filter(|demand| demand.value);
    wanted.on_demand = demand.is_some();
    if let Some(at) = demand.map(|written| written.at)
        && !wanted.ports.iter().any(|port| !wanted.forwards(port))
    {
        let problem = Code::Port.problem(
            "StartOnDemand= needs a TCP port that is published by proxy, which notices a connection",
            "write such a port in PublishPort=, and remove PublishMode=nft",
        );
        reader.error(&at, problem);
    }
    if wanted.on_demand {
        // The idle time of systemd-socket-proxyd(8) is a number of seconds.
        wanted.idle =
            reader.time(key::STOP_WHEN_IDLE, ("a time of at least a second", "5min or 30s"), |time| time >= 1000);
    } else {
        let problem =
            Code::Combination.problem("StopWhenIdle= needs StartOnDemand=yes", "write StartOnDemand=yes, too");
        reader.reject(key::STOP_WHEN_IDLE, problem);
    }
    wanted
}

fn forwardable(port: &Port, forward: bool, named: bool) -> Result<(), Fault> {
    let wanted = Wanted { forward, ..Wanted::default() };
    if !wanted.forwards(port) {
        return Ok(());
    }
    if !named && port.address.is_some_and(|address| address.is_ipv6()) {
        return Err(Fault::new(
            "the kernel forwards UDP and PublishMode=nft for IPv4 only, unless Network= names a network with IPv6=yes",
            "publish TCP without PublishMode=nft here",
        ));
    }
    if port.target.is_none() {
        let host = port.host;
        return Err(Fault::new(
            "UDP and PublishMode=nft need the port of the container, too",
            format!("write {host}:{host}"),
        ));
    }
    Ok(())
}

/// Returns the ports of a container or pod in the host's network. Applications bind these ports
/// themselves, so other forms of `PublishPort=` have no effect and cause a warning.
pub fn on_host(section: &str, wanted: &Wanted, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Port> {
    for port in &wanted.ports {
        if port.is_its_own() {
            continue;
        }
        let problem = Code::NoEffect.problem(
            format!(
                "PublishPort={port} has no effect here: in the host's network, an application binds its own port itself"
            ),
            "write Network=private to publish it",
        );
        problems.push(Diagnostic::warning(&port.at, problem));
    }
    let mut reader = Reader::new(settings, section, problems);
    for key in [key::START_ON_DEMAND, key::PUBLISH_MODE] {
        let problem = Code::Combination
            .problem(format!("{key}= needs a network of its own"), "write Network=private, or Network=uplink");
        reader.reject(key, problem);
    }
    wanted.ports.iter().filter(|port| port.is_its_own()).cloned().collect()
}

/// The networks of a pod.
#[derive(Debug, Default)]
pub struct PodNetwork {
    /// Whether the members have the host's network.
    pub host: bool,
    /// Whether the pod has a veth pair to the host, through which it reaches other machines.
    pub uplink: bool,
    /// The connections to named networks.
    pub attachments: Vec<Attachment>,
}

/// Reads `Network=` of a `.pod` file.
pub fn of_pod(settings: &Settings, names: &Names, networks: &Networks, problems: &mut Vec<Diagnostic>) -> PodNetwork {
    let mut out = PodNetwork::default();
    for network in attach::read("Pod", settings, &[], names, problems) {
        match network.value {
            Written::Host => out.host = true,
            Written::Uplink => out.uplink = true,
            Written::Private | Written::None => {}
            Written::Named(attachment) => out.attachments.push(attachment),
            _ => {
                let problem = Code::Choice.problem(
                    "this value of Network= is for containers only",
                    "write private, uplink, bridge, host or NAME.network",
                );
                problems.push(Diagnostic::error(&network.at, problem));
            }
        }
    }
    attach::usable(&out.attachments, networks, problems);
    out
}
