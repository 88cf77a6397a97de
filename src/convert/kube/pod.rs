// SPDX-License-Identifier: MIT
//! Converts a workload to a `.pod` file and determines the order of its containers. Pure.

use std::collections::BTreeMap;

use super::container::{self, Role, finished};
use super::services::Reached;
use super::workload::{self, Kind, Workload};
use super::{Context, accounts, jobs, volumes};
use crate::config::keys::FileType;
use crate::convert::Builder;
use crate::model;

/// Converts a workload.
pub fn convert(workload: &Workload<'_>, reached: &Reached, context: &mut Context<'_>) {
    let manifest = workload.manifest;
    accounts::pod(manifest, &workload.path, context);
    volumes::convert(workload, context);
    let init = workload.spec.init_containers.as_deref().unwrap_or_default();
    let mut before: Vec<(String, Role)> = Vec::new();
    let mut members = Vec::new();
    for (list, containers) in [("initContainers", init), ("containers", workload.spec.containers.as_slice())] {
        for (number, own) in containers.iter().enumerate() {
            let role = match (list, own.restart_policy.as_deref()) {
                ("initContainers", Some("Always")) => Role::Sidecar,
                ("initContainers", _) => Role::Init,
                _ => Role::Main,
            };
            let path = format!("{}.{list}[{number}]", workload.path);
            let text = container::convert(own, &path, role, workload, &before, context);
            let stem = workload.member(own);
            write(workload, &stem, "container", text, context);
            if role == Role::Main {
                members.push(stem);
            } else {
                before.push((stem, role));
            }
        }
    }
    network_file(workload, context);
    if workload.spec.host_network == Some(true) {
        host_ports(workload, reached, context);
    } else {
        pod_file(workload, reached, context);
    }
    start(workload, &members, context);
}

/// Adds a file; for a workload with replicas, a template with a link for each instance.
fn write(workload: &Workload<'_>, stem: &str, extension: &str, text: String, context: &mut Context<'_>) {
    let file = format!("{}.{extension}", workload.file(stem));
    if workload.is_template() {
        let links = workload.instances().map(|number| (format!("{stem}@{number}.{extension}"), file.clone()));
        context.out.links.extend(links);
    }
    context.out.files.insert(file, text);
}

/// Returns the file of the network that all pods of a namespace share.
fn network(workload: &Workload<'_>) -> String {
    format!("kube-{}.network", crate::convert::name(workload.manifest.namespace()))
}

fn network_file(workload: &Workload<'_>, context: &mut Context<'_>) {
    if workload.spec.host_network != Some(true) {
        let name = network(workload);
        context.out.files.insert(name.clone(), "[Network]\n".to_owned());
        context.out.shared.insert(name);
    }
}

/// Formats a port as a value of `PublishPort=`.
fn published(address: Option<&str>, host: i32, inner: &str, protocol: &str) -> String {
    let address = match address.unwrap_or_default() {
        "" => String::new(),
        address if address.contains(':') => format!("[{address}]:"),
        address => format!("{address}:"),
    };
    let protocol = if protocol == "TCP" { String::new() } else { format!("/{}", protocol.to_ascii_lowercase()) };
    format!("{address}{host}:{inner}{protocol}")
}

/// Returns the values of `PublishPort=` for the host ports of the containers and of the services.
fn ports(workload: &Workload<'_>, reached: &Reached, context: &mut Context<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let containers = workload.spec.containers.iter().enumerate();
    for (number, own) in containers {
        for (at, port) in own.ports.iter().flatten().enumerate() {
            let Some(host) = port.host_port.filter(|host| *host != 0) else { continue };
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            if protocol == "SCTP" {
                let path = format!("{}.containers[{number}].ports[{at}].protocol", workload.path);
                context.lose(workload.manifest, &path, "SCTP has no counterpart; the port is not published");
                continue;
            }
            let address = port.host_ip.as_deref().filter(|ip| *ip != "0.0.0.0");
            all.push(published(address, host, &port.container_port.to_string(), protocol));
        }
    }
    for port in &reached.ports {
        let line = published(port.address.as_deref(), port.host, &port.target.to_string(), &port.protocol);
        if !all.contains(&line) {
            all.push(line);
        }
    }
    all
}

fn pod_file(workload: &Workload<'_>, reached: &Reached, context: &mut Context<'_>) {
    let file = |ports: &[String], context: &mut Context<'_>| {
        let mut builder = Builder::new(FileType::Pod);
        builder.put("network", "Network", &network(workload));
        for (name, value) in workload.labels() {
            builder.put("metadata.labels", "Label", &format!("{name}={value}"));
        }
        let host_name = workload.spec.hostname.clone().unwrap_or_else(|| workload.pod_name());
        builder.put("hostname", "HostName", &host_name);
        for alias in reached.aliases.iter().chain(&own_names(workload)) {
            builder.put("subdomain", "NetworkAlias", alias);
        }
        workload::names(workload, &mut builder);
        if workload.spec.host_users == Some(false) {
            builder.put("hostUsers", "UserNS", "auto");
        }
        for port in ports {
            builder.put("ports", "PublishPort", port);
        }
        redirects(workload, reached, &mut builder);
        if matches!(workload.kind, Kind::Stays) && workload.replicas > 0 {
            builder.set("start", "Install", "WantedBy", "multi-user.target");
        }
        for note in std::mem::take(&mut builder.notes) {
            let (field, reason) = note.split_once(": ").unwrap_or((&note, ""));
            context.lose(workload.manifest, &format!("{}.{field}", workload.path), reason);
        }
        finished(&builder)
    };
    let ports = ports(workload, reached, context);
    if !workload.is_template() || ports.is_empty() {
        let text = file(&ports, context);
        return write(workload, &workload.name, "pod", text, context);
    }
    // A port of the host can lead to only one pod, so the first instance gets a file of its own.
    let first = workload.first;
    let list = ports.join(", ");
    context.remark(
        workload.manifest,
        "spec.replicas",
        &format!("the host's ports lead to the first of the {} replicas ({list})", workload.replicas),
    );
    let text = file(&[], context);
    write(workload, &workload.name, "pod", text, context);
    let name = format!("{}@{first}.pod", workload.name);
    let text = file(&ports, context);
    context.out.links.remove(&name);
    context.out.files.insert(name, text);
}

/// Returns the network names of a pod of a StatefulSet, or of a pod with a subdomain.
fn own_names(workload: &Workload<'_>) -> Vec<String> {
    let service = workload.service.or(workload.spec.subdomain.as_deref());
    let Some(service) = service else { return Vec::new() };
    let pod = workload.spec.hostname.clone().unwrap_or_else(|| workload.pod_name());
    let namespace = workload.manifest.namespace();
    let short = format!("{pod}.{service}");
    vec![
        pod,
        short.clone(),
        format!("{short}.{namespace}"),
        format!("{short}.{namespace}.svc"),
        format!("{short}.{namespace}.svc.cluster.local"),
    ]
}

/// Writes commands that redirect the ports of services to the ports of the pod where the numbers
/// differ. They are needed because the names of services resolve to the pods themselves. The rules
/// are in the pod's network namespace and vanish with it.
fn redirects(workload: &Workload<'_>, reached: &Reached, builder: &mut Builder) {
    let mut rules: BTreeMap<(String, u16), u16> = BTreeMap::new();
    for redirect in &reached.redirects {
        rules.insert((redirect.protocol.to_ascii_lowercase(), redirect.port), redirect.target);
    }
    if rules.is_empty() {
        return;
    }
    let mut text =
        "add table inet kube; add chain inet kube services { type nat hook prerouting priority -100; };".to_owned();
    for ((protocol, port), target) in rules {
        text += &format!(" add rule inet kube services {protocol} dport {port} redirect to :{target};");
    }
    let network = format!("/run/sdme/pods/{}/netns", workload.described(&workload.name));
    builder.set("ports", "Service", "ExecStartPost", &format!("nsenter --net={network} nft \"{text}\""));
}

/// Lists the service ports that are not reachable: in the network of the host, a pod is reachable
/// only at its own ports.
fn host_ports(workload: &Workload<'_>, reached: &Reached, context: &mut Context<'_>) {
    for port in reached.ports.iter().filter(|port| port.host != i32::from(port.target)) {
        let reason = format!(
            "the pod is in the host's network, where it is reached at port {}; port {} leads nowhere",
            port.target, port.host
        );
        context.lose(workload.manifest, &format!("{}.hostNetwork", workload.path), reason);
    }
}

/// Records the units that start with the project.
fn start(workload: &Workload<'_>, members: &[String], context: &mut Context<'_>) {
    let described = |stem: &str| -> Vec<String> {
        if workload.is_template() {
            workload.instances().map(|number| format!("{stem}-{number}")).collect()
        } else {
            vec![stem.to_owned()]
        }
    };
    match workload.kind {
        Kind::Timed(_) => jobs::timer(workload, members, context),
        Kind::Job(job) if job.suspend == Some(true) => {}
        _ if workload.replicas == 0 => {}
        Kind::Job(_) => {
            let units = members.iter().map(|stem| model::Container::unit(stem));
            context.out.start_units.extend(units);
        }
        Kind::Stays if workload.spec.host_network == Some(true) => {
            for stem in members {
                // Without a pod unit, each container has to start with the machine by itself.
                let file = format!("{}.container", workload.file(stem));
                if let Some(text) = context.out.files.get_mut(&file) {
                    *text += "\n[Install]\nWantedBy=machines.target\n";
                }
                context.out.start_units.push(model::Container::unit(stem));
            }
        }
        Kind::Stays => {
            let units = described(&workload.name).into_iter().map(|pod| format!("sdme-pod@{pod}.target"));
            context.out.start_units.extend(units);
        }
    }
}
