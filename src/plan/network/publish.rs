// SPDX-License-Identifier: MIT
//! Published ports: either a socket of the host with a proxy in the pod, or nft rules. Pure.

use std::net::IpAddr;

use crate::model::{Container, Pod, Port};
use crate::output::tree::{Place, Tree};
use crate::paths::{BINDIR, RUNTIME, STARTED};
use crate::unit::UnitFile;

/// Path of systemd-socket-proxyd(8).
const PROXY: &str = "/usr/lib/systemd/systemd-socket-proxyd";

/// The user of the proxy; `units/sdme.sysusers.conf` makes the user.
const PROXY_USER: &str = "sdme-proxy";

/// The name of a port's units, without the suffix. Only an address can contain a colon, so the
/// names are unique.
fn stem(pod: &Pod, port: &Port) -> String {
    let listen = port.listen().replace(['[', ']'], "");
    format!("sdme-publish-{}-{listen}", pod.name)
}

/// The names of the pod's socket units.
#[must_use]
pub fn sockets(pod: &Pod) -> Vec<String> {
    pod.proxied().map(|port| format!("{}.socket", stem(pod, port))).collect()
}

/// The address and port, as in [`Port::listen`] but without brackets, in the name of a socket unit.
/// None if the unit is not a socket of the pod.
#[must_use]
pub fn published_by<'a>(unit: &'a str, pod: &str) -> Option<&'a str> {
    unit.strip_prefix("sdme-publish-")?.strip_prefix(pod)?.strip_prefix('-')?.strip_suffix(".socket")
}

/// Plans the sockets and proxies of the pod.
pub fn plan(pod: &Pod, tree: &mut Tree) {
    for port in pod.proxied() {
        let stem = stem(pod, port);
        tree.file(Place::Units, format!("{stem}.socket"), &socket(pod, port));
        tree.file(Place::Units, format!("{stem}.service"), &proxy(pod, port));
    }
}

/// The target that the proxies of a pod with `StopWhenIdle=` need.
pub(crate) fn demand(pod: &str) -> String {
    format!("sdme-demand@{pod}.target")
}

fn head(pod: &Pod, port: &Port) -> UnitFile {
    let mut unit = UnitFile::generated_from(&pod.file);
    unit.set_literal("Unit", "SourcePath", &pod.file);
    unit.set_literal("Unit", "Description", &format!("Port {}/{} of {}", port.listen(), port.protocol, pod.name));
    unit.set("Unit", "Documentation", "man:sdme.pod(5)");
    // These units start with the container, whose start limit is sufficient.
    unit.set("Unit", "StartLimitIntervalSec", "0");
    unit
}

fn socket(pod: &Pod, port: &Port) -> UnitFile {
    let mut unit = head(pod, port);
    if pod.wanted.on_demand {
        // This keeps a copy, so that a reload leaves the socket open, whatever the files contain
        // then. The sockets of other pods are kept together with the pod.
        unit.set("Socket", "ExecStartPre", format!("{BINDIR}/sdme-gen started %n"));
    } else {
        // The socket starts before the pod and stops after it. In a restart the socket stays open,
        // and connections wait.
        unit.set("Unit", "StopWhenUnneeded", "yes");
    }
    // This also applies to a socket that has lost `StartOnDemand=` since it was opened.
    unit.set("Socket", "ExecStopPost", format!("rm -rf {STARTED}/%n"));
    unit.set("Socket", "ListenStream", port.listen());
    match port.address {
        None => unit.set("Socket", "BindIPv6Only", "both"),
        Some(IpAddr::V6(_)) => unit.set("Socket", "BindIPv6Only", "ipv6-only"),
        Some(IpAddr::V4(_)) => &mut unit,
    };
    if port.address.is_some_and(|address| !address.is_unspecified()) {
        // The address may be configured later than the socket.
        unit.set("Socket", "FreeBind", "yes");
    }
    unit.set("Socket", "NoDelay", "yes");
    unit
}

/// The unit of the proxy. Its socket is in the host's network, but its connections start in the
/// pod's network.
fn proxy(pod: &Pod, port: &Port) -> UnitFile {
    let name = &pod.name;
    let mut unit = head(pod, port);
    // The network of a single container stays as long as a unit needs it, so its proxy is bound to
    // the container.
    let owner = if pod.own { Container::unit(name) } else { Pod::service(name) };
    // A job is in the activating state as long as it runs, and its port must be served then.
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
        // NetworkNamespacePath= implies a mount namespace, but each mount namespace has a copy of
        // every mount of the host, and there are as many proxies as ports. A dynamic user also
        // implies a mount namespace, so the proxies have their own static user without privileges.
        .set("Service", "PrivateMounts", "no")
        .set("Service", "User", PROXY_USER)
        .set("Service", "CapabilityBoundingSet", "")
        .set("Service", "NoNewPrivileges", "yes");
    let seconds = if pod.wanted.on_demand { 60 } else { 10 };
    let target = port.target.map_or("${PORT}".to_owned(), |target| target.to_string());
    if port.target.is_none() {
        // The port that the image exposes is known when the container runs.
        let file = format!("{RUNTIME}/pods/{name}/port-{}", port.host);
        unit.set("Service", "ExecStartPre", format!("+{BINDIR}/sdme-gen exposed-port {name} {} {file}", port.host))
            .set("Service", "EnvironmentFile", format!("-{file}"));
    }
    let idle = pod.wanted.idle.map(|time| format!(" --exit-idle-time={time}ms")).unwrap_or_default();
    let proxy = format!("{PROXY} --connections-max=8192{idle} 127.0.0.1:{target}");
    // A connection waits until the application listens on the port.
    unit.set("Service", "ExecStart", format!("{BINDIR}/sdme-gen await-port {target} {seconds} {proxy}"))
        // A connection needs two sockets and four ends of pipes.
        .set("Service", "LimitNOFILE", "65536");
    unit
}

/// The nft chains that forward packets for published ports to the pod's addresses.
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
