// SPDX-License-Identifier: MIT
//! Exports services for published ports and for the names that pods have in networks. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::workloads::Workload;
use super::{Context, dns};
use crate::diag::Location;
use crate::model::{Network, Protocol};

/// A published port.
#[derive(Debug, Clone)]
pub struct Published {
    /// The port of the host.
    pub host: u16,
    /// The port of the container.
    pub target: u16,
    /// The protocol in capitals, such as `TCP`.
    pub protocol: String,
    /// The address of the host, if the port is published on only one address.
    pub address: Option<std::net::IpAddr>,
    /// The location of the setting.
    pub at: Location,
}

/// Returns the ports that a workload publishes.
pub fn published(workload: &Workload<'_>, context: &Context<'_>) -> Vec<Published> {
    let pod = workload.network_of(context.model);
    let of_pod = pod.into_iter().flat_map(|pod| &pod.wanted.ports);
    let of_links = workload.containers.iter().flat_map(|container| &container.connection.exposed);
    let port = |port: &crate::model::Port| Published {
        host: port.host,
        target: port.target.unwrap_or(port.host),
        protocol: if port.protocol == Protocol::Udp { "UDP" } else { "TCP" }.to_owned(),
        address: port.address,
        at: port.at.clone(),
    };
    let mut all: Vec<Published> = of_pod.chain(of_links).map(port).collect();
    // The other instances of a template may publish other ports of the host.
    let others = workload.others.iter().filter_map(|name| context.model.pods.get(name.as_str()));
    all.extend(others.flat_map(|pod| &pod.wanted.ports).map(port));
    all
}

/// Adds the services of a workload.
pub fn export(workload: &Workload<'_>, context: &mut Context<'_>) {
    let ports = published(workload, context);
    let in_range = |port: &&Published| (30000..=32767).contains(&port.host);
    let node: Vec<Published> = ports.iter().filter(in_range).cloned().collect();
    let other: Vec<Published> = ports.iter().filter(|port| !in_range(port)).cloned().collect();
    for port in ports.iter().filter(|port| port.address.is_some()) {
        context.lose(&port.at, "PublishPort", "a service has no address of the machine; write externalIPs:");
    }
    let mut names = names(workload, context);
    if !node.is_empty() {
        let name = format!("{}-nodes", workload.name);
        let name = if other.is_empty() && names.is_empty() { workload.name.clone() } else { name };
        add(&name, "NodePort", &node, workload, context);
    }
    if !other.is_empty() {
        let kind = if context.request.load_balancer { "LoadBalancer" } else { "ClusterIP" };
        if kind == "ClusterIP" {
            for port in &other {
                let reason = format!(
                    "{} is no node port, so it is reached inside the cluster only; write a port from 30000 to 32767, or use \
                     --load-balancer",
                    port.host
                );
                context.lose(&port.at, "PublishPort", reason);
            }
        }
        let name = if names.is_empty() { workload.name.clone() } else { format!("{}-ports", workload.name) };
        add(&name, kind, &other, workload, context);
    }
    // A StatefulSet needs a service of its name even if no network gives it a name.
    if context.has(&workload.name, "StatefulSet", None) {
        names.insert(workload.name.clone());
    }
    for name in names {
        if !context.has(&workload.name, "Service", Some(&name)) {
            headless(&name, workload, context);
        }
    }
}

fn add(name: &str, kind: &str, ports: &[Published], workload: &Workload<'_>, context: &mut Context<'_>) {
    let mut taken = BTreeSet::new();
    let mut all = Vec::new();
    for port in ports {
        // The service of a node port uses the port number of the container; any other service uses
        // the port number of the host.
        let number = if kind == "NodePort" { port.target } else { port.host };
        if !taken.insert((number, port.protocol.clone(), port.host)) {
            continue;
        }
        let protocol = port.protocol.to_ascii_lowercase();
        let clash = all.iter().any(|known: &ServicePort| {
            known.port == i32::from(number) && known.protocol.as_ref() == Some(&port.protocol)
        });
        let number = if clash { port.host } else { number };
        all.push(ServicePort {
            name: Some(format!("{protocol}-{number}")),
            node_port: (kind == "NodePort").then(|| i32::from(port.host)),
            port: i32::from(number),
            protocol: Some(port.protocol.clone()),
            target_port: Some(IntOrString::Int(i32::from(port.target))),
            ..ServicePort::default()
        });
    }
    let spec = ServiceSpec {
        ports: Some(all),
        selector: Some(workload.labels()),
        type_: Some(kind.to_owned()),
        ..ServiceSpec::default()
    };
    let metadata = context.metadata(name, workload.labels());
    context.add(&workload.name, &Service { metadata, spec: Some(spec), status: None });
}

/// Adds a headless service: its name resolves to the addresses of the pods, and all their ports are
/// reachable.
fn headless(name: &str, workload: &Workload<'_>, context: &mut Context<'_>) {
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        selector: Some(workload.labels()),
        // Here, /etc/hosts has the name from the start of the container on.
        publish_not_ready_addresses: Some(true),
        ..ServiceSpec::default()
    };
    let metadata = context.metadata(name, workload.labels());
    context.add(&workload.name, &Service { metadata, spec: Some(spec), status: None });
}

/// Returns the names by which the members of its networks reach a workload.
fn names(workload: &Workload<'_>, context: &mut Context<'_>) -> BTreeSet<String> {
    let Some(pod) = workload.network_of(context.model) else { return BTreeSet::new() };
    let named = |name: &String| context.model.networks.get(name.as_str()).is_some_and(|network| network.names);
    let attachments: Vec<_> = pod.networks.iter().filter(|attachment| named(&attachment.network)).cloned().collect();
    if attachments.is_empty() {
        return BTreeSet::new();
    }
    let mut wanted: BTreeMap<String, Location> = BTreeMap::new();
    for attachment in &attachments {
        wanted.insert(workload.name.clone(), attachment.at.clone());
        for container in workload.containers.iter().filter(|c| matches!(c.connection.network, Network::Pod(_))) {
            if workload.replicas == 1 {
                wanted.insert(container.name.to_string(), attachment.at.clone());
            }
        }
        for alias in &attachment.aliases {
            wanted.insert(alias.clone(), attachment.at.clone());
        }
    }
    let mut out = BTreeSet::new();
    for (name, at) in wanted {
        // A cluster provides the qualified names of a service by itself.
        let is_longer = name.split_once('.').is_some_and(|(short, rest)| {
            rest.ends_with(".svc") || rest.ends_with(".svc.cluster.local") || rest == "default" || short.is_empty()
        });
        if is_longer {
            continue;
        }
        if dns(&name) != name {
            let reason = format!("a service cannot be called {name}; write a name of letters, digits and hyphens");
            context.lose(&at, "NetworkAlias", reason);
            continue;
        }
        out.insert(name);
    }
    out
}
