// SPDX-License-Identifier: MIT
//! The keys about networks, which `[Container]` and `[Pod]` share: network connections, published
//! ports, and the start on the first connection. Pure.

pub mod all;
pub mod allocate;
pub mod attach;
pub mod implicit;
pub mod join;
pub mod named;
pub mod ports;
pub mod published;
pub mod range;
pub mod subnet;

use crate::model::{Attachment, Connection, Link, Network, Pod, Port, Wanted};
use std::sync::Arc;

use super::container::security::preset;
use super::pod::{Outcome, Pods};
use super::references::{Names, existing};
use crate::config::keys::{FileType, KeyName, key};
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::values::parse_bool;
use crate::diag::{Code, Diagnostic, Location, Spanned};
use crate::resolve::network::attach::Written;
use crate::resolve::network::join::Others;
use crate::resolve::network::named::Networks;
use crate::resolve::network::published::{on_host, wanted};

/// The objects to which keys about networks refer.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The names of all files.
    pub names: &'a Names,
    /// The pods that have been read.
    pub pods: &'a Pods,
    /// The named networks.
    pub networks: &'a Networks,
    /// The data from which the networks of other containers follow.
    pub others: Others<'a>,
}

impl Known<'_> {
    /// Whether the container can connect to the host over its network.
    #[must_use]
    pub fn reaches_host(&self, outcome: &Outcome) -> bool {
        let connection = &outcome.connection;
        let pod = match (&connection.oci_pod, &connection.network) {
            (None, Network::Host) => return true,
            (Some(pod), _) | (None, Network::Pod(pod)) => pod,
            _ => return false,
        };
        // The network of another container may not be known yet, so it is assumed to reach the
        // host.
        let Some(pod) = outcome.own.as_ref().or_else(|| self.pods.good.get(pod.as_str())) else {
            return connection.joined.is_some();
        };
        let open = |name: &str| self.networks.good.get(name).is_none_or(|network| !network.internal);
        pod.wanted.uplink || pod.networks.iter().any(|attachment| open(&attachment.network))
    }
}

/// Reads the keys of a `.container` file about networks. `runs` says whether the container has
/// applications.
pub fn container(
    (name, file): (&str, &Arc<str>),
    settings: &Settings,
    Known { names, pods, networks, others }: Known<'_>,
    runs: bool,
    install: &[Link],
    problems: &mut Vec<Diagnostic>,
) -> Outcome {
    let text = |key| settings.text("Container", key);
    let pod = text(key::POD).and_then(|written| member(&written, names, pods, problems));
    let oci_pod = text(key::OCI_POD).and_then(|written| member(&written, names, pods, problems));
    let usual = if text(key::POD).is_some() || text(key::OCI_POD).is_some() { &[] } else { others.usual };
    let all = if let Some(pod) = text(key::POD) {
        belong(&[key::NETWORK, key::NETWORK_ALIAS, key::IP, key::IP6], pod.value, settings, problems);
        Vec::new()
    } else {
        attach::read("Container", settings, usual, names, problems)
    };
    let attachments: Vec<Attachment> = all
        .iter()
        .filter_map(|network| if let Written::Named(named) = &network.value { Some(named.clone()) } else { None })
        .collect();
    attach::usable(&attachments, networks, problems);
    let network = all.into_iter().next();
    let network = isolated(network, settings, pod.is_some() || oci_pod.is_some(), problems);
    let start = text(key::START_WITH_POD);
    let wanted = wanted("Container", settings, !attachments.is_empty(), problems);
    attach::opened(&attachments, networks, &wanted.ports, problems);
    if let (true, Some(joined)) = (pod.is_some() || oci_pod.is_some(), text(key::POD).or_else(|| text(key::OCI_POD))) {
        belong(&PUBLISHING, joined.value, settings, problems);
    }
    let start_with_pod = start.and_then(|s| parse_bool(s.value)).unwrap_or(true);
    let host_pod = pod.clone().filter(|pod| pods.good.get(pod.as_str()).is_some_and(|pod| pod.host));
    let connection = |network| Connection {
        network,
        oci_pod: oci_pod.clone(),
        host_pod: host_pod.clone(),
        start_with_pod,
        joined: None,
        exposed: Vec::new(),
    };
    let none = |network| Outcome { connection: connection(network), own: None, claims: Vec::new() };
    membership(host_pod.is_some(), oci_pod.as_deref(), settings, (pods, runs), problems);
    if let Some(pod) = pod {
        return none(if host_pod.is_some() { Network::Host } else { Network::Pod(pod) });
    }
    // In the host's network, a port cannot be published under another number. Like podman and
    // docker, sdme-gen therefore gives the container its own network if Network= is not set.
    let elsewhere = wanted.ports.iter().find(|port| !port.is_its_own()).map(|port| port.at.clone());
    let elsewhere = elsewhere.or_else(|| not_on_host(&wanted, settings));
    let network = match (network, elsewhere) {
        (None, Some(at)) if oci_pod.is_none() => Some(Spanned { value: Written::Uplink, at }),
        (network, _) => network,
    };
    let Some(Spanned { value: network, at }) = network else {
        if oci_pod.is_some() {
            return none(Network::Alone);
        }
        let claims = on_host("Container", &wanted, settings, problems);
        return Outcome { connection: connection(Network::Host), own: None, claims };
    };
    let cut_off = |network: Network, problems: &mut Vec<Diagnostic>| {
        let exposed = linked(&network, &wanted, settings, problems);
        let claims = exposed.clone();
        Outcome { connection: Connection { exposed, ..connection(network) }, own: None, claims }
    };
    match network {
        Written::Host => {
            if oci_pod.is_some() {
                let problem =
                    Code::Combination.problem("OciPod= cannot be used with Network=host", "remove Network=host");
                problems.push(Diagnostic::error(&at, problem));
            }
            let claims = on_host("Container", &wanted, settings, problems);
            Outcome { connection: connection(Network::Host), own: None, claims }
        }
        Written::None => cut_off(Network::Alone, problems),
        Written::Veth => cut_off(Network::Veth, problems),
        Written::Bridge(bridge) => cut_off(Network::Bridge(bridge), problems),
        Written::Zone(zone) => cut_off(Network::Zone(zone), problems),
        Written::Container(file) => {
            belong(&PUBLISHING, &format!("{file}.container"), settings, problems);
            match others.network(&file) {
                Ok(joined) => {
                    let network = joined.map_or(Network::Host, Network::Pod);
                    let joined = Some(names.machine(&file).to_owned());
                    Outcome { connection: Connection { joined, ..connection(network) }, own: None, claims: Vec::new() }
                }
                Err(problem) => {
                    problems.push(Diagnostic::error(&at, problem.of("Network=")));
                    none(Network::Alone)
                }
            }
        }
        Written::Private | Written::Uplink | Written::Named(_) => {
            if let Some(other) = names.file_of_pod(name) {
                let problem = Code::Conflict.problem(
                    format!("the network of this container has the same name as the pod of {other}.pod"),
                    format!("write Pod={other}.pod, or rename one of the two"),
                );
                problems.push(Diagnostic::error(&at, problem));
            }
            let wanted = Wanted { uplink: network == Written::Uplink, ..wanted };
            // A container with an invalid name is rejected for that reason.
            let own = name
                .parse()
                .ok()
                .map(|name| Pod { networks: attachments, ..Pod::of_container(name, file, wanted, install) });
            Outcome { connection: connection(Network::Pod(name.to_owned())), own, claims: Vec::new() }
        }
    }
}

/// Checks the keys about pods. `in_host_pod` says whether the pod of the container has the host's
/// network, and `runs` whether the container has applications.
fn membership(
    in_host_pod: bool,
    oci_pod: Option<&str>,
    settings: &Settings,
    (pods, runs): (&Pods, bool),
    problems: &mut Vec<Diagnostic>,
) {
    let text = |key| settings.text("Container", key);
    if let (Some(written), None, None) = (text(key::START_WITH_POD), text(key::POD), text(key::OCI_POD)) {
        problems.push(Diagnostic::error(
            &written.at,
            Code::Combination.problem("StartWithPod= needs Pod= or OciPod=", "write one of them, or remove it"),
        ));
    }
    if let (Some(written), false) = (text(key::OCI_POD), runs) {
        problems.push(Diagnostic::error(
            &written.at,
            Code::Combination.problem("OciPod= is for applications only", "write Pod= for an operating system"),
        ));
    }
    if let (true, Some(by), Some(written)) = (in_host_pod, preset(settings).1, text(key::POD)) {
        let problem = Code::Combination.problem(
            format!("{} has the host's network, which {}=yes does not allow", written.value, by.value),
            "remove one of the two",
        );
        problems.push(Diagnostic::error(&written.at, problem));
    }
    if let Some(written) = text(key::OCI_POD)
        && oci_pod.and_then(|pod| pods.good.get(pod)).is_some_and(|pod| pod.host)
    {
        let problem = Code::Combination.problem(
            format!("{} has the host's network", written.value),
            format!("write Pod={} instead of OciPod=", written.value),
        );
        problems.push(Diagnostic::error(&written.at, problem));
    }
}

/// Returns the ports that systemd-nspawn publishes for its own veth pair. It can publish them on
/// all addresses of the host only, and does not know the ports that an image exposes
/// (systemd.nspawn(5), `Port=`).
fn linked(network: &Network, wanted: &Wanted, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Port> {
    let is_link = network.configures_itself();
    let refused: &[KeyName] =
        if is_link { &[key::START_ON_DEMAND] } else { &[key::PUBLISH_PORT, key::START_ON_DEMAND] };
    let mut reader = Reader::new(settings, "Container", problems);
    for key in refused {
        let problem = Code::Combination.problem(
            format!("{key}= cannot be used with this Network="),
            "write Network=private, Network=uplink or a network with a name, or join a pod",
        );
        reader.reject(*key, problem);
    }
    if !is_link {
        return Vec::new();
    }
    for port in wanted.ports.iter().filter(|port| port.address.is_some() || port.target.is_none()) {
        let problem = Code::Port.problem(
            "PublishPort=: systemd-nspawn publishes a port of this network on all addresses, and needs the port of the \
             application",
            format!("write {}:PORT, or Network=uplink", port.host),
        );
        problems.push(Diagnostic::error(&port.at, problem));
    }
    wanted.ports.clone()
}

/// The first port of the host that a process without `CAP_NET_BIND_SERVICE` can bind: the kernel's
/// default of the sysctl `net.ipv4.ip_unprivileged_port_start`.
pub const FIRST_UNPRIVILEGED: u16 = 1024;

/// The location of a setting that is not possible in the host's network: a port that an application
/// in a user namespace cannot bind there, or a kernel setting that would change the host's network.
fn not_on_host(wanted: &Wanted, settings: &Settings) -> Option<Location> {
    let is_mapped =
        super::container::mapping::user_ns(settings, &mut Vec::new()).is_some_and(|user_ns| user_ns.value == "auto");
    let port = wanted.ports.iter().find(|port| is_mapped && port.host < FIRST_UNPRIVILEGED);
    let sysctl = settings.words("Container", key::SYSCTL).into_iter().find(|word| word.value.starts_with("net."));
    port.map(|port| port.at.clone()).or_else(|| sysctl.map(|word| word.at))
}

/// The keys about published ports. They belong in the file of the pod or container that has the
/// network.
const PUBLISHING: [KeyName; 4] = [key::PUBLISH_PORT, key::PUBLISH_MODE, key::START_ON_DEMAND, key::STOP_WHEN_IDLE];

/// Rejects keys that belong in another file.
fn belong(keys: &[KeyName], file: &str, settings: &Settings, problems: &mut Vec<Diagnostic>) {
    let mut reader = Reader::new(settings, "Container", problems);
    for key in keys {
        reader.reject(*key, Code::Combination.problem(format!("{key}= belongs in {file}"), "move it there"));
    }
}

/// The network of a container. A preset replaces the host's network by a private one, but
/// `Network=host` in the file of the container is then an error.
fn isolated(
    network: Option<Spanned<Written>>,
    settings: &Settings,
    in_pod: bool,
    problems: &mut Vec<Diagnostic>,
) -> Option<Spanned<Written>> {
    let Some(by) = preset(settings).1 else { return network };
    match network {
        // A value from sdme.conf is only a default, which the preset overrides.
        Some(network) if network.value == Written::Host && settings.text("Container", key::NETWORK).is_none() => {
            Some(Spanned { value: Written::Private, ..network })
        }
        Some(network) if network.value == Written::Host => {
            let problem = Code::Combination.problem(
                format!("{}=yes gives the container a network of its own", by.value),
                "remove Network=, or write single settings instead of the preset",
            );
            problems.push(Diagnostic::error(&network.at, problem));
            Some(network)
        }
        None if !in_pod => Some(Spanned { value: Written::Private, at: by.at }),
        network => network,
    }
}

/// The name of the pod in `Pod=` or `OciPod=`, if the pod can be used.
fn member(written: &Spanned<&str>, names: &Names, pods: &Pods, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let found = match written.value.strip_suffix(".pod") {
        None => {
            let problem = Code::MissingFile
                .problem(format!("{} is not the name of a .pod file", written.value), "write NAME.pod");
            Err(problem)
        }
        Some(name) => existing(FileType::Pod, name, names).and_then(|()| match pods.bad.get(name) {
            Some(problem) => Err(Code::UnusableFile.because(&format!("{name}.pod cannot be used"), problem)),
            None => Ok(names.pod(name).to_owned()),
        }),
    };
    found.map_err(|problem| problems.push(Diagnostic::error(&written.at, problem))).ok()
}
