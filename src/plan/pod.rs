// SPDX-License-Identifier: MIT
//! The units of a pod, and what its members' units say about it. Pure.

use super::publish;
use crate::output::tree::{Place, Tree};
use crate::paths::{LIBEXECDIR, RUNTIME};
use crate::resolve::model::{Container, Link, Model, Network};
use crate::resolve::pod::{Cable, Pod};
use crate::unit::UnitFile;

/// Where a pod's network namespace is inside of a container whose application joins it.
const INSIDE: &str = "/run/sdme/pod/netns";

/// Runs the rest of the command in the host's network instead of the pod's.
const ON_HOST: &str = "nsenter --net=/proc/1/ns/net";

/// Has the host forward packets for a pod, and no longer (`units/forward`).
const FORWARD: &str = "forward";

/// Plans the units.
pub fn plan(pod: &Pod, tree: &mut Tree) {
    let (service, target) = (Pod::service(&pod.name), Pod::target(&pod.name));
    tree.file(Place::Units, format!("{service}.d/10-sdme.conf"), &network(pod));
    let mut unit = UnitFile::generated_from(&pod.file);
    unit.set_literal("Unit", "SourcePath", &pod.file);
    for member in &pod.starts {
        unit.set("Unit", "Wants", Container::unit(member));
    }
    tree.file(Place::Units, format!("{target}.d/10-sdme.conf"), &unit);
    publish::plan(pod, tree);
}

/// The drop-in of the service that holds the network.
fn network(pod: &Pod) -> UnitFile {
    let mut unit = UnitFile::generated_from(&pod.file);
    unit.set_literal("Unit", "SourcePath", &pod.file);
    let what = if pod.own { "Network of container" } else { "Network of pod" };
    unit.set_literal("Unit", "Description", &format!("{what} {}", pod.name));
    // A port that is taken fails the pod, and nothing of it starts.
    for socket in publish::sockets(pod) {
        let dependency = if pod.wanted.on_demand { "Wants" } else { "Requires" };
        unit.set("Unit", dependency, socket.as_str()).set("Unit", "After", socket);
    }
    if pod.wanted.idle.is_some() {
        unit.set("Unit", "PartOf", publish::demand(&pod.name));
    }
    if pod.own {
        // Every start of the container makes it anew, also that of a restart.
        unit.set("Unit", "PartOf", Container::unit(&pod.name)).set("Unit", "StopWhenUnneeded", "yes");
    }
    for (key, value) in &pod.unit {
        unit.set("Unit", key, value.as_str());
    }
    if let Some(cable) = &pod.cable {
        link(pod, cable, &mut unit);
    }
    for (key, value) in &pod.service {
        unit.set("Service", key, value.as_str());
    }
    unit
}

/// Links the pod with the host. The commands run in the pod's network unless they are prefixed by [`ON_HOST`]. What they make
/// is removed by `units/sdme-pod@.service`, which stays when the pod's file is gone.
fn link(pod: &Pod, cable: &Cable, unit: &mut UnitFile) {
    let Cable { interface, host, pod: address } = cable;
    let name = &pod.name;
    // The rules are there before the link is. The file `link` tells the stop that there are rules, and then the link's name, but
    // never the name of an interface that somebody else has made. The link is made from inside: the pod's end never has a name in
    // the host's network. route_localnet is for connections from the host's loopback; the rules keep the pod away from there.
    let commands = [
        format!(">{RUNTIME}/pods/{name}/link"),
        format!("{ON_HOST} {LIBEXECDIR}/{FORWARD} on {name}"),
        format!("{ON_HOST} nft -f -"),
        format!("ip link add host0 type veth peer name {interface} netns 1"),
        format!("echo {interface} >{RUNTIME}/pods/{name}/link"),
        format!("ip address add {address}/30 dev host0"),
        "ip link set host0 addrgenmode none up".to_owned(),
        format!(
            "{ON_HOST} sh -ec \"ip address add {host}/30 dev {interface}; ip link set {interface} addrgenmode none up; \
             sysctl -q -w net/ipv4/conf/{interface}/forwarding=1 net/ipv4/conf/{interface}/route_localnet=1\""
        ),
        format!("ip route add default via {host}"),
    ];
    unit.set("Service", "ExecStart", format!("sh -ec '{}'", commands.join("; ")));
    rules(&firewall(pod, cable), unit);
}

/// Gives a service nft commands on its standard input.
fn rules(text: &str, unit: &mut UnitFile) {
    unit.set("Service", "StandardInput", "data");
    for line in text.lines() {
        // Leading blanks are not kept, so the nesting shows in the braces only.
        unit.set("Service", "StandardInputText", line.trim_start().replace('%', "%%"));
    }
}

/// Commands that replace the table `name` by one with these chains.
fn replace(name: &str, chains: &str) -> String {
    format!("table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n{chains}}}\n")
}

/// Who may talk to whom over the pod's link, and the ports that the kernel forwards, in one table. `units/sdme-pod@.service`
/// deletes the table by its name.
fn firewall(pod: &Pod, cable: &Cable) -> String {
    let Cable { interface, pod: address, .. } = cable;
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
    // What comes from the host's loopback, or from the pod itself by way of a published port.
    out += &format!(" ip saddr {{ 127.0.0.0/8, {address} }} oifname \"{interface}\" masquerade\n}}\n");
    let forwarded = publish::rules(pod, cable);
    if !forwarded.is_empty() {
        for (chain, hook) in [("published", "prerouting"), ("local", "output")] {
            out += &format!("chain {chain} {{\n type nat hook {hook} priority dstnat\n{forwarded}}}\n");
        }
    }
    replace(&format!("sdme-pod-{}", pod.name), &out)
}

/// What a container's service says about its pods.
pub fn member(container: &Container, model: &Model, unit: &mut UnitFile) {
    let connection = &container.connection;
    let outer = if let Network::Pod(pod) = &connection.network { Some(pod) } else { None };
    let mut pods: Vec<&String> = outer.into_iter().chain(&connection.oci_pod).collect();
    pods.dedup();
    for pod in pods {
        // Not there without it, and in the new one after it was restarted. `BindsTo=` would stop a container that runs when a
        // reload finds that its file names another pod, which is not there yet.
        unit.set("Unit", "Requires", Pod::service(pod)).set("Unit", "After", Pod::service(pod));
        // A container that had the host's network until a restart leaves its port before the socket takes it.
        for socket in model.pods.get(pod).filter(|pod| pod.own).map(publish::sockets).unwrap_or_default() {
            unit.set("Unit", "After", socket);
        }
    }
}

/// The network namespace that systemd-nspawn is to run a container in, if it is that of a pod.
#[must_use]
pub fn namespace(container: &Container) -> Option<String> {
    match &container.connection.network {
        Network::Pod(pod) => Some(Pod::path(pod)),
        _ => None,
    }
}

/// What a container's `.nspawn` file says about networks.
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
}

/// Whether the application can reach the host's name servers, and has to be told where they are.
#[must_use]
pub fn needs_resolver(container: &Container, model: &Model) -> bool {
    let connection = &container.connection;
    if !container.resolver.is_empty() {
        return true;
    }
    let ((Some(pod), _) | (None, Network::Pod(pod))) = (&connection.oci_pod, &connection.network) else {
        return connection.network.configures_itself();
    };
    model.pods.get(pod).is_some_and(|pod| pod.wanted.uplink)
}

/// What an application's service says about networks.
pub fn application(container: &Container, unit: &mut UnitFile) {
    if container.connection.oci_pod.is_some() {
        unit.set("Service", "NetworkNamespacePath", INSIDE);
    }
}

/// What `[Install]` of a container starts: with `StartOnDemand=`, the sockets.
#[must_use]
pub fn installed(container: &Container, model: &Model) -> Vec<String> {
    match model.pods.get(&container.name).filter(|pod| pod.own && pod.wanted.on_demand) {
        Some(pod) => publish::sockets(pod),
        None => vec![Container::unit(&container.name)],
    }
}

/// What `[Install]` of a pod starts, and by what links.
#[must_use]
pub fn install(pod: &Pod) -> (Vec<String>, &[Link]) {
    // The links of a pod of one are its container's.
    let links = if pod.own { &[] } else { pod.install.as_slice() };
    let units = if pod.wanted.on_demand { publish::sockets(pod) } else { vec![Pod::target(&pod.name)] };
    (units, links)
}
