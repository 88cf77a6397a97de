// SPDX-License-Identifier: MIT
//! Published ports: a socket of the host with a proxy in the pod, or rules for the kernel. Pure.

use std::net::IpAddr;

use crate::model::{Container, Pod, Port};
use crate::output::tree::{Place, Tree};
use crate::paths::{BINDIR, RUNTIME, STARTED};
use crate::unit::UnitFile;

/// The proxy of systemd-socket-proxyd(8).
const PROXY: &str = "/usr/lib/systemd/systemd-socket-proxyd";

/// Who it runs as; `units/sdme.sysusers.conf` makes it.
const PROXY_USER: &str = "sdme-proxy";

/// Its name without the suffix. No part of it but an address has a colon, so that no two are the same.
fn stem(pod: &Pod, port: &Port) -> String {
    let listen = port.listen().replace(['[', ']'], "");
    format!("sdme-publish-{}-{listen}", pod.name)
}

/// The sockets.
#[must_use]
pub fn sockets(pod: &Pod) -> Vec<String> {
    pod.proxied().map(|port| format!("{}.socket", stem(pod, port))).collect()
}

/// Plans the units.
pub fn plan(pod: &Pod, tree: &mut Tree) {
    for port in pod.proxied() {
        let stem = stem(pod, port);
        tree.file(Place::Units, format!("{stem}.socket"), &socket(pod, port));
        tree.file(Place::Units, format!("{stem}.service"), &proxy(pod, port));
    }
}

/// What the proxies of a pod need that stops when it is idle.
pub(crate) fn demand(pod: &str) -> String {
    format!("sdme-demand@{pod}.target")
}

fn head(pod: &Pod, port: &Port) -> UnitFile {
    let mut unit = UnitFile::generated_from(&pod.file);
    unit.set_literal("Unit", "SourcePath", &pod.file);
    unit.set_literal("Unit", "Description", &format!("Port {}/{} of {}", port.listen(), port.protocol, pod.name));
    unit.set("Unit", "Documentation", "man:sdme.pod(5)");
    // They start with the container, which has a limit of its own.
    unit.set("Unit", "StartLimitIntervalSec", "0");
    unit
}

fn socket(pod: &Pod, port: &Port) -> UnitFile {
    let mut unit = head(pod, port);
    if pod.wanted.on_demand {
        // A reload leaves it open, whatever the files say by then. The sockets of other pods are kept with the pod.
        unit.set("Socket", "ExecStartPre", format!("{BINDIR}/sdme-gen started %n"));
    } else {
        // The socket comes before the pod, and is there as long as the pod is. In a restart it stays, and connections wait.
        unit.set("Unit", "StopWhenUnneeded", "yes");
    }
    // Also of a socket that no longer starts its container since it was opened.
    unit.set("Socket", "ExecStopPost", format!("rm -rf {STARTED}/%n"));
    unit.set("Socket", "ListenStream", port.listen());
    match port.address {
        None => unit.set("Socket", "BindIPv6Only", "both"),
        Some(IpAddr::V6(_)) => unit.set("Socket", "BindIPv6Only", "ipv6-only"),
        Some(IpAddr::V4(_)) => &mut unit,
    };
    if port.address.is_some_and(|address| !address.is_unspecified()) {
        // The address may come up later than the socket.
        unit.set("Socket", "FreeBind", "yes");
    }
    unit.set("Socket", "NoDelay", "yes");
    unit
}

/// The socket is the host's, the proxy's connections are made in the pod.
fn proxy(pod: &Pod, port: &Port) -> UnitFile {
    let name = &pod.name;
    let mut unit = head(pod, port);
    // The network of a container stays as long as anybody needs it, so its proxy is bound to the container.
    let owner = if pod.own { Container::unit(name) } else { Pod::service(name) };
    // A job is being started as long as it runs, and its port is to be served by then.
    let first = if pod.job { Pod::service(name) } else { owner.clone() };
    unit.set("Unit", "BindsTo", owner).set("Unit", "After", first);
    if pod.wanted.on_demand && !pod.own {
        for member in &pod.starts {
            unit.set("Unit", "Wants", Container::unit(member)).set("Unit", "After", Container::unit(member));
        }
    }
    if pod.wanted.idle.is_some() {
        let demand = demand(name);
        unit.set("Unit", "Requires", demand.as_str()).set("Unit", "After", demand);
    }
    unit.set("Service", "NetworkNamespacePath", Pod::path(name))
        // A mount namespace would be implied. Each has its own copy of every mount of the host, and there are as many proxies
        // as ports. A dynamic user would have one, so it is a user of their own without any privilege.
        .set("Service", "PrivateMounts", "no")
        .set("Service", "User", PROXY_USER)
        .set("Service", "CapabilityBoundingSet", "")
        .set("Service", "NoNewPrivileges", "yes");
    let patience = if pod.wanted.on_demand { 60 } else { 10 };
    let target = port.target.map_or("${PORT}".to_owned(), |target| target.to_string());
    if port.target.is_none() {
        // What the image exposes is known when the container runs.
        let file = format!("{RUNTIME}/pods/{name}/port-{}", port.host);
        unit.set("Service", "ExecStartPre", format!("+{BINDIR}/sdme-gen exposed-port {name} {} {file}", port.host))
            .set("Service", "EnvironmentFile", format!("-{file}"));
    }
    let idle = pod.wanted.idle.map(|time| format!(" --exit-idle-time={time}ms")).unwrap_or_default();
    let proxy = format!("{PROXY} --connections-max=8192{idle} 127.0.0.1:{target}");
    // A connection waits until the application listens.
    unit.set("Service", "ExecStart", format!("{BINDIR}/sdme-gen await-port {target} {patience} {proxy}"))
        // A connection takes two sockets and four ends of pipes.
        .set("Service", "LimitNOFILE", "65536");
    unit
}

/// The chains by which the kernel sends packets for published ports to the pod's addresses.
#[must_use]
pub(crate) fn chains(pod: &Pod, ipv4: Option<IpAddr>, ipv6: Option<IpAddr>) -> String {
    let rule = |port: &Port, family: &str, target: &str| {
        let local = match port.address.filter(|address| !address.is_unspecified()) {
            Some(address) => format!("{family} daddr {address}"),
            None => format!("meta nfproto {} fib daddr type local", if family == "ip" { "ipv4" } else { "ipv6" }),
        };
        let number = port.target.unwrap_or(port.host);
        format!(" {local} {} dport {} dnat {family} to {target}:{number}\n", port.protocol, port.host)
    };
    let mut rules = String::new();
    for port in pod.forwarded() {
        let is = |v4: bool| port.address.is_none_or(|address| address.is_ipv4() == v4);
        rules.extend(ipv4.filter(|_| is(true)).map(|address| rule(port, "ip", &address.to_string())));
        rules.extend(ipv6.filter(|_| is(false)).map(|address| rule(port, "ip6", &format!("[{address}]"))));
    }
    if rules.is_empty() {
        return String::new();
    }
    let chain = |(chain, hook)| format!("chain {chain} {{\n type nat hook {hook} priority dstnat\n{rules}}}\n");
    [("published", "prerouting"), ("local", "output")].map(chain).concat()
}
