// SPDX-License-Identifier: MIT
//! Exports networks as network policies, which separate pods in a cluster as networks do here.
//! Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::workloads::Workload;
use super::{Context, dns, services};
use crate::config::keys::key;
use crate::model::Network;

/// Returns the label of the members of a network.
fn label(network: &str) -> (String, String) {
    (format!("network.sdme/{}", dns(network)), "member".to_owned())
}

/// Returns the labels for the networks of a workload's pods.
pub fn labels(workload: &Workload<'_>, context: &Context<'_>) -> BTreeMap<String, String> {
    let pod = workload.network_of(context.model);
    pod.into_iter().flat_map(|pod| &pod.networks).map(|attachment| label(&attachment.network)).collect()
}

/// Writes the network settings of the pod itself, and lists those without a counterpart.
pub fn of_pod(workload: &Workload<'_>, spec: &mut PodSpec, context: &mut Context<'_>) {
    if workload.is_in_host_network() {
        spec.host_network = Some(true);
        spec.dns_policy.get_or_insert_with(|| "ClusterFirstWithHostNet".to_owned());
    }
    for container in &workload.containers {
        let at = context.at(&container.file, "Container", "Network");
        match &container.connection.network {
            Network::Alone => {
                let reason =
                    "a pod always has a network; the policy lets nothing in and out, where the cluster has policies";
                context.lose(&at, "Network", reason);
            }
            Network::Veth | Network::Bridge(_) | Network::Zone(_) => {
                context.lose(&at, "Network", "a link to this machine has no counterpart; write a network with a name");
            }
            Network::Host | Network::Pod(_) => {}
        }
    }
    let Some(pod) = workload.network_of(context.model) else { return };
    for attachment in &pod.networks {
        let at = &attachment.at;
        for pinned in &attachment.pinned {
            context.lose(&pinned.at, "Network", "a pod has no address of its own choice; use the name of its service");
        }
        if attachment.mac.is_some() || attachment.interface.is_some() {
            context.lose(
                at,
                "Network",
                "the interface of a pod is made by the cluster; leave mac= and interface_name= out",
            );
        }
        let Some(network) = context.model.networks.get(attachment.network.as_str()) else { continue };
        let file = std::sync::Arc::clone(&network.file);
        let lost = [key::SUBNET, key::GATEWAY, key::IP_RANGE, key::INTERFACE_NAME, key::IPV6, key::OPTIONS, key::DNS];
        for key in lost {
            let written =
                context.settings.get(&*file).is_some_and(|settings| !settings.lines("Network", key).is_empty());
            if written {
                let at = context.at(&file, "Network", &key);
                context.lose(&at, &key, "addresses and links are those of the cluster; remove it");
            }
        }
    }
}

/// Adds a network policy for each workload: members of a network reach each other, published ports
/// are reachable for all, and other connections are denied.
pub fn policies(workloads: &[&Workload<'_>], context: &mut Context<'_>) {
    for workload in workloads {
        if workload.is_in_host_network() {
            continue;
        }
        let pod = workload.network_of(context.model);
        let attached: Vec<String> =
            pod.into_iter().flat_map(|pod| &pod.networks).map(|attachment| attachment.network.clone()).collect();
        let alone = workload.containers.iter().all(|container| container.connection.network == Network::Alone);
        let closed = !attached.is_empty() && attached.iter().all(|name| is_internal(name, context));
        // A pod with neither an uplink nor networks may not open any connection.
        let no_way_out = alone || pod.is_some_and(|pod| pod.networks.is_empty() && !pod.wanted.uplink);
        let mut peers: Vec<NetworkPolicyPeer> = Vec::new();
        for network in &attached {
            peers.push(peer([label(network)].into()));
        }
        let ports: Vec<NetworkPolicyPort> = services::published(workload, context)
            .into_iter()
            .map(|port| NetworkPolicyPort {
                port: Some(IntOrString::Int(i32::from(port.target))),
                protocol: Some(port.protocol),
                end_port: None,
            })
            .collect();
        let mut ingress: Vec<NetworkPolicyIngressRule> = Vec::new();
        if !ports.is_empty() {
            ingress.push(NetworkPolicyIngressRule { ports: Some(ports), from: None });
        }
        if !peers.is_empty() {
            ingress.push(NetworkPolicyIngressRule { from: Some(peers.clone()), ports: None });
        }
        let mut types = vec!["Ingress".to_owned()];
        let mut egress = None;
        if closed || no_way_out {
            types.push("Egress".to_owned());
            let mut rules = Vec::new();
            if !peers.is_empty() {
                rules.push(NetworkPolicyEgressRule { to: Some(peers), ports: None });
                rules.push(name_servers());
            }
            egress = Some(rules);
        }
        let spec = NetworkPolicySpec {
            egress,
            ingress: Some(ingress),
            pod_selector: Some(LabelSelector { match_labels: Some(workload.labels()), match_expressions: None }),
            policy_types: Some(types),
        };
        let metadata = context.metadata(&workload.name, workload.labels());
        context.add(&workload.name, &NetworkPolicy { metadata, spec: Some(spec) });
    }
}

fn is_internal(network: &str, context: &Context<'_>) -> bool {
    context.model.networks.get(network).is_some_and(|network| network.internal)
}

fn peer(labels: BTreeMap<String, String>) -> NetworkPolicyPeer {
    let selector = LabelSelector { match_labels: Some(labels), match_expressions: None };
    NetworkPolicyPeer { pod_selector: Some(selector), ..NetworkPolicyPeer::default() }
}

/// Returns the rule for DNS queries. It names no peer, because the name servers of a cluster are in
/// another namespace.
fn name_servers() -> NetworkPolicyEgressRule {
    let port = |protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(53)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    };
    NetworkPolicyEgressRule { to: None, ports: Some(vec![port("UDP"), port("TCP")]) }
}
