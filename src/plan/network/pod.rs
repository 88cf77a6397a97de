// SPDX-License-Identifier: MIT
//! The units of a pod, and the settings about the pod in its members' units. Pure.

use crate::config::values::parse_bool;
use crate::model::{Container, Link, Model, Network, Pod, VethPair};
use crate::output::tree::{Place, Tree};
use crate::paths::LIBEXECDIR;
use crate::plan::network as named;
use crate::plan::network::publish;
use crate::unit::{UnitFile, exec_word};

/// The path of a pod's network namespace in a container whose application joins it.
const INSIDE: &str = "/run/sdme/pod/netns";

/// Plans the units of a pod.
pub fn plan(pod: &Pod, model: &Model, tree: &mut Tree) {
    tree.file(Place::Units, format!("{}.d/10-sdme.conf", Pod::service(&pod.name)), &network(pod, model));
    if !pod.own {
        tree.file(Place::Units, format!("{}.d/10-sdme.conf", Pod::target(&pod.name)), &members(pod));
    }
    publish::plan(pod, tree);
}

/// The drop-in of the target that starts the members. The network of a single container has none:
/// the container starts its network.
fn members(pod: &Pod) -> UnitFile {
    let mut unit = UnitFile::generated_from(&pod.file);
    unit.set_literal("Unit", "SourcePath", &pod.file);
    for member in &pod.starts {
        unit.set("Unit", "Wants", Container::unit(member));
    }
    unit
}

/// The drop-in of the service that makes the network.
fn network(pod: &Pod, model: &Model) -> UnitFile {
    let mut unit = UnitFile::generated_from(&pod.file);
    unit.set_literal("Unit", "SourcePath", &pod.file);
    let what = if pod.own { "Network of container" } else { "Network of pod" };
    unit.set_literal("Unit", "Description", &format!("{what} {}", pod.name));
    // If a port is in use, the pod fails and none of its members starts: `sdme-gen started` checks
    // these sockets and reports the program that listens on the port. `Wants=` with `PartOf=` acts
    // like `Requires=`, but lets a command of the pod run and report the cause.
    for socket in publish::sockets(pod) {
        unit.set("Unit", "Wants", socket.as_str()).set("Unit", "After", socket.as_str());
        if !pod.wanted.on_demand {
            unit.set("Unit", "PartOf", socket);
        }
    }
    if pod.wanted.idle.is_some() {
        unit.set("Unit", "PartOf", publish::demand(&pod.name));
    }
    if pod.own {
        // Every start of the container, including that of a restart, makes the network again.
        unit.set("Unit", "PartOf", Container::unit(&pod.name)).set("Unit", "StopWhenUnneeded", "yes");
    }
    named::needs(pod, depend_on, &mut unit);
    for (key, value) in &pod.unit {
        unit.set("Unit", key, value.as_str());
    }
    if let Some(veth_pair) = &pod.veth_pair {
        link(pod, veth_pair, &mut unit);
    }
    named::links(pod, model, &mut unit);
    for assignment in kernel_settings(pod, model) {
        unit.set("Service", "ExecStart", format!("sysctl -q -w {}", exec_word(&assignment)));
    }
    for (key, value) in &pod.service {
        unit.set("Service", key, value.as_str());
    }
    unit
}

/// The sysctls of the pod's network that its members request and may not set themselves: the
/// network belongs to the host's user namespace, in which the root of another user namespace has no
/// privileges. sysctl(8) accepts slashes as separators in names.
fn kernel_settings(pod: &Pod, model: &Model) -> Vec<String> {
    let members = pod.members.iter().filter_map(|name| model.containers.get(name.as_str()));
    let asking = members.filter(|container| {
        let network = &container.connection.network;
        container.security.user_ns && matches!(network, Network::Pod(name) if pod.name.as_str() == name)
    });
    let all = asking.flat_map(|container| &container.apps).flat_map(|app| &app.startup.sysctl);
    let of_network = all.filter(|(name, _)| name.starts_with("net."));
    of_network.map(|(name, value)| format!("{}={}", name.replace('.', "/"), value.value)).collect()
}

/// Connects the pod with the host (`units/link`). `units/sdme-pod@.service` removes the veth pair,
/// because that file remains when the pod's file is removed.
fn link(pod: &Pod, veth_pair: &VethPair, unit: &mut UnitFile) {
    let VethPair { interface, host, pod: address } = veth_pair;
    unit.set("Service", "ExecStart", format!("{LIBEXECDIR}/link uplink {} {interface} {host} {address}", pod.name));
    rules(&firewall(pod, veth_pair), unit);
}

/// Sets the standard input of a service to nft commands.
pub(crate) fn rules(text: &str, unit: &mut UnitFile) {
    unit.set("Service", "StandardInput", "data");
    for line in text.lines() {
        // systemd does not keep leading blanks, so only the braces show the nesting.
        unit.set("Service", "StandardInputText", line.trim_start().replace('%', "%%"));
    }
}

/// The nft commands that replace the table `name` by a table with these chains.
pub(crate) fn replace(name: &str, chains: &str) -> String {
    format!("table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n{chains}}}\n")
}

/// The nft table with the rules about packets over the pod's veth pair and with the ports that the
/// kernel forwards. `units/sdme-pod@.service` deletes the table by its name.
fn firewall(pod: &Pod, veth_pair: &VethPair) -> String {
    let VethPair { interface, pod: address, .. } = veth_pair;
    let mut out = format!(
        "chain spoofed {{\n type filter hook prerouting priority raw\n \
         iifname \"{interface}\" ip saddr != {address} drop\n \
         iifname \"{interface}\" ip daddr 127.0.0.0/8 drop\n}}\n\
         chain forward {{\n type filter hook forward priority filter\n \
         ip daddr {address} oifname != \"{interface}\" drop\n \
         ct state established,related accept\n ct status dnat accept\n oifname \"{interface}\" drop\n"
    );
    if !pod.wanted.uplink {
        out += &format!(
            " iifname \"{interface}\" drop\n}}\nchain input {{\n type filter hook input priority filter\n \
             ct state established,related accept\n iifname \"{interface}\" drop\n"
        );
    }
    out += "}\nchain outgoing {\n type nat hook postrouting priority srcnat\n";
    if pod.wanted.uplink {
        out += &format!(" ip saddr {address} oifname != \"{interface}\" masquerade\n");
    }
    // This is for connections from the host's loopback interface, and for those of the pod to its
    // own published ports.
    out += &format!(" ip saddr {{ 127.0.0.0/8, {address} }} oifname \"{interface}\" masquerade\n}}\n");
    out += &publish::chains(pod, Some(veth_pair.pod.into()), None);
    replace(&format!("sdme-pod-{}", pod.name), &out)
}

/// Makes `unit` start after another unit, stop before it and restart with it. This is like
/// `Requires=`, except that a command of `unit` reports the cause if the other unit fails, where
/// systemd would only report a failed dependency.
pub fn depend_on(other: String, unit: &mut UnitFile) {
    unit.set("Unit", "Wants", other.as_str()).set("Unit", "PartOf", other.as_str()).set("Unit", "After", other);
}

/// Like [`depend_on`], for a job, which may have ended. systemd propagates a stop from the network
/// to the job even if the job has ended, and from the job to all containers that require it
/// (`Requires=`): they would stop as soon as the job's network is not needed.
fn come_after(other: String, unit: &mut UnitFile) {
    unit.set("Unit", "Wants", other.as_str()).set("Unit", "After", other);
}

/// Adds the settings about pods to a container's service.
pub fn member(container: &Container, model: &Model, unit: &mut UnitFile) {
    let remains =
        container.service.iter().any(|(key, value)| key == "RemainAfterExit" && parse_bool(value) == Some(true));
    let depend_on = if container.is_job() && !remains { come_after } else { depend_on };
    if let Some(other) = container.connection.joined.as_deref().map(Container::unit) {
        depend_on(other, unit);
    }
    for pod in container.pods() {
        // The container needs the pod's network, and after a restart of the pod the new one.
        // `BindsTo=` would stop a running container if a reload finds that its file names another
        // pod, which is not started yet.
        depend_on(Pod::service(pod), unit);
        // A started pod may be restarted for a network that it lacks.
        if let Some(pod) = model.pods.get(pod) {
            named::needs(pod, depend_on, unit);
        }
        // A container that had the host's network until a restart closes its port before the socket
        // opens it.
        for socket in model.pods.get(pod).filter(|pod| pod.own).map(publish::sockets).unwrap_or_default() {
            unit.set("Unit", "After", socket);
        }
    }
}

/// The path of the network namespace in which systemd-nspawn must run a container. None if the
/// container is not in a pod with its own network.
#[must_use]
pub fn namespace(container: &Container) -> Option<String> {
    match &container.connection.network {
        Network::Pod(pod) => Some(Pod::path(pod)),
        _ => None,
    }
}

/// Adds the network settings to a container's `.nspawn` file.
pub fn settings(container: &Container, file: &mut UnitFile) {
    if let Some(pod) = &container.connection.oci_pod {
        file.set("Files", "BindReadOnly", format!("{}:{INSIDE}", Pod::path(pod)));
    }
    let link = match &container.connection.network {
        Network::Host | Network::Pod(_) => return,
        Network::Alone => None,
        Network::Veth => Some(("VirtualEthernet", "yes")),
        Network::Bridge(bridge) => Some(("Bridge", bridge.as_str())),
        Network::Zone(zone) => Some(("Zone", zone.as_str())),
    };
    file.set("Network", "Private", "yes");
    if let Some((key, value)) = link {
        file.set("Network", key, value);
    }
    for port in &container.connection.exposed {
        let target = port.target.unwrap_or(port.host);
        file.set("Network", "Port", format!("{}:{}:{target}", port.protocol, port.host));
    }
}

/// Whether the application can reach the host's name servers, so that its container needs their
/// addresses.
#[must_use]
pub fn needs_resolver(container: &Container, model: &Model) -> bool {
    let connection = &container.connection;
    if !container.resolver.is_empty() {
        return true;
    }
    let ((Some(pod), _) | (None, Network::Pod(pod))) = (&connection.oci_pod, &connection.network) else {
        return connection.network.configures_itself();
    };
    model.pods.get(pod.as_str()).is_some_and(|pod| pod.wanted.uplink || has_way_out(pod, model))
}

/// Whether the pod is connected to a named network that is not internal.
fn has_way_out(pod: &Pod, model: &Model) -> bool {
    pod.networks.iter().filter_map(|a| model.networks.get(a.network.as_str())).any(|network| !network.internal)
}

/// Adds the network settings to an application's service.
pub fn application(container: &Container, unit: &mut UnitFile) {
    if container.connection.oci_pod.is_some() {
        unit.set("Service", "NetworkNamespacePath", INSIDE);
    }
}

/// The units that `[Install]` of a container starts. With `StartOnDemand=`, these are the sockets.
#[must_use]
pub fn installed(container: &Container, model: &Model) -> Vec<String> {
    match model.pods.get(container.name.as_str()).filter(|pod| pod.own && pod.wanted.on_demand) {
        Some(pod) => publish::sockets(pod),
        None => vec![Container::unit(&container.name)],
    }
}

/// The units that `[Install]` of a pod starts, and the links by which it does so.
#[must_use]
pub fn install(pod: &Pod) -> (Vec<String>, &[Link]) {
    // For the pod of a single container, the links are those of the container.
    let links = if pod.own { &[] } else { pod.install.as_slice() };
    let units = if pod.wanted.on_demand { publish::sockets(pod) } else { vec![Pod::target(&pod.name)] };
    (units, links)
}
