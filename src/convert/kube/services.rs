// SPDX-License-Identifier: MIT
//! Converts services: network names of pods in the network of their namespace, and ports of the
//! host. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::workload::Workload;
use super::{Context, accounts};
use crate::kube::{Manifest, Object};

/// The names and ports that services give to a workload.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// Names in the network of the namespace.
    pub aliases: Vec<String>,
    /// Ports of the host that lead to the workload.
    pub ports: Vec<Port>,
    /// Ports of services whose number differs from the port of the pod.
    pub redirects: Vec<Redirect>,
}

/// A port of the host that leads to the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The address of the host; `None` stands for all addresses.
    pub address: Option<String>,
    /// The port of the host.
    pub host: i32,
    /// The port of the pod.
    pub target: u16,
    /// The protocol in capitals, such as `TCP`.
    pub protocol: String,
}

/// A port of a service that leads to a port of the pod with another number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The port of the service.
    pub port: u16,
    /// The port of the pod.
    pub target: u16,
    /// The protocol in capitals, such as `TCP`.
    pub protocol: String,
}

/// The fields of a service that are converted, or that have no effect on a single machine.
const KNOWN: [&str; 18] = [
    "allocateLoadBalancerNodePorts",
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "externalName",
    "externalTrafficPolicy",
    "internalTrafficPolicy",
    "ipFamilies",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "ports",
    "publishNotReadyAddresses",
    "selector",
    "sessionAffinity",
    "sessionAffinityConfig",
    "trafficDistribution",
    "type",
    "healthCheckNodePort",
];

/// Returns the names and ports that services give to each workload, in the order of the workloads.
pub fn of(workloads: &[Workload<'_>], context: &mut Context<'_>) -> Vec<Reached> {
    let mut all: Vec<Reached> = workloads.iter().map(|_| Reached::default()).collect();
    for manifest in context.manifests {
        let Object::Service(service) = &manifest.object else { continue };
        let Some(spec) = &service.spec else { continue };
        accounts::others(manifest, "spec", &KNOWN, context);
        if spec.type_.as_deref() == Some("ExternalName") {
            let name = spec.external_name.as_deref().unwrap_or_default();
            let reason = format!("a name for another name has no counterpart; write {name} where the service is named");
            context.lose(manifest, "spec.externalName", reason);
            continue;
        }
        if spec.session_affinity.as_deref() == Some("ClientIP") {
            let reason = "a client's connections are not kept at one replica; write replicas: 1";
            context.lose(manifest, "spec.sessionAffinity", reason);
        }
        for (field, is_set) in [
            (
                "externalTrafficPolicy",
                spec.external_traffic_policy.as_deref().is_some_and(|policy| policy != "Cluster"),
            ),
            (
                "internalTrafficPolicy",
                spec.internal_traffic_policy.as_deref().is_some_and(|policy| policy != "Cluster"),
            ),
            ("trafficDistribution", spec.traffic_distribution.is_some()),
            ("healthCheckNodePort", spec.health_check_node_port.is_some_and(|port| port != 0)),
            ("loadBalancerClass", spec.load_balancer_class.is_some()),
            ("ipFamilies", spec.ip_families.as_ref().is_some_and(|all| all.iter().any(|family| family != "IPv4"))),
        ] {
            if is_set {
                context.remark(
                    manifest,
                    &format!("spec.{field}"),
                    "this is about several machines or addresses, and there is one",
                );
            }
        }
        if spec.cluster_ip.as_deref().is_some_and(|ip| !ip.is_empty() && ip != "None") {
            context.remark(manifest, "spec.clusterIP", "a service has no address here; its name leads to its pods");
        }
        let chosen = selected(manifest, spec, workloads);
        if chosen.is_empty() {
            let reason = "no pod of these files has the labels of the selector; add its file, or correct the labels";
            context.lose(manifest, "spec.selector", reason);
        }
        let mut published = false;
        for number in chosen {
            let (Some(workload), Some(reached)) = (workloads.get(number), all.get_mut(number)) else { continue };
            let (name, namespace) = (manifest.name(), manifest.namespace());
            reached.aliases.extend([
                name.to_owned(),
                format!("{name}.{namespace}"),
                format!("{name}.{namespace}.svc"),
                format!("{name}.{namespace}.svc.cluster.local"),
            ]);
            for (at, port) in spec.ports.iter().flatten().enumerate() {
                let path = format!("spec.ports[{at}]");
                add(manifest, &path, spec, port, workload, reached, published, context);
            }
            published = true;
        }
    }
    all
}

/// Returns the indices of the workloads that a service selects.
fn selected(manifest: &Manifest, spec: &ServiceSpec, workloads: &[Workload<'_>]) -> Vec<usize> {
    let none = BTreeMap::new();
    let selector = spec.selector.as_ref().unwrap_or(&none);
    let is_selected = |workload: &Workload<'_>| {
        let labels = workload.labels();
        !selector.is_empty()
            && workload.manifest.namespace() == manifest.namespace()
            && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
    };
    workloads.iter().enumerate().filter(|(_, workload)| is_selected(workload)).map(|(number, _)| number).collect()
}

#[allow(clippy::too_many_arguments, reason = "all of them say which port of which workload")]
fn add(
    manifest: &Manifest,
    path: &str,
    spec: &ServiceSpec,
    port: &ServicePort,
    workload: &Workload<'_>,
    reached: &mut Reached,
    published: bool,
    context: &mut Context<'_>,
) {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    if protocol == "SCTP" {
        context.lose(manifest, &format!("{path}.protocol"), "SCTP has no counterpart; the port is not published");
        return;
    }
    let own = u16::try_from(port.port).unwrap_or_default();
    let target = match &port.target_port {
        None => Some(own),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => workload.port_named(name).or_else(|| name.parse().ok()),
    };
    let Some(target) = target else {
        let reason = "no container of the pods has a port of this name; write its number";
        context.lose(manifest, &format!("{path}.targetPort"), reason);
        return;
    };
    let headless = spec.cluster_ip.as_deref() == Some("None");
    if own != target && !headless {
        if workload.spec.host_network == Some(true) {
            let reason = format!("the pods are in the host's network, where they are reached at port {target}");
            context.lose(manifest, &format!("{path}.port"), reason);
        } else {
            reached.redirects.push(Redirect { port: own, target, protocol: protocol.clone() });
        }
    }
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    let mut hosts: Vec<(Option<String>, i32)> = Vec::new();
    match (kind, port.node_port) {
        ("NodePort" | "LoadBalancer", Some(node)) if node != 0 => hosts.push((None, node)),
        ("NodePort", _) => {
            let reason =
                "no nodePort is written, and none is chosen here, so the port is not published; write nodePort:";
            context.lose(manifest, path, reason);
        }
        _ => {}
    }
    if kind == "LoadBalancer" {
        hosts.push((None, port.port));
    }
    for address in spec.external_ips.iter().flatten() {
        hosts.push((Some(address.clone()), port.port));
    }
    if published && !hosts.is_empty() {
        let reason = format!(
            "the service has pods of several objects, and a port of the host leads to the first one; {} is not reached by it",
            workload.manifest.name()
        );
        context.lose(manifest, path, reason);
        return;
    }
    for (address, host) in hosts {
        reached.ports.push(Port { address, host, target, protocol: protocol.clone() });
    }
}
