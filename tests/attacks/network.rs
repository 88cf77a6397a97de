// SPDX-License-Identifier: MIT
//! Checks what pods change in the network of a host: the host never forwards packets of others, and
//! everything that a pod has created vanishes with the pod, even if its file is already gone.

use std::collections::BTreeSet;

use crate::support::containers::{boot, ready};
use crate::support::host::Host;
use crate::support::lan::{ask, connect, serve, tools};
use crate::support::tiers::in_pod;

on_every_suite!(pods_forward_packets_of_pods_only);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &[]) {
        case(&boot(suite, name.split('_').next().unwrap()));
    }
}

const LAN1: &str = "ip netns exec lan1";
const LAN2: &str = "ip netns exec lan2";

fn pods_forward_packets_of_pods_only(host: &Host) {
    tools(host);
    connect(host, "lan1", "198.18.1");
    connect(host, "lan2", "198.18.2");
    serve(host, "/run/netns/lan1", "tcp", 7, "one");
    serve(host, "/run/netns/lan2", "tcp", 7, "two");
    // A private service of the host, which route_localnet must not expose.
    serve(host, "/proc/1/ns/net", "tcp", 9, "host");
    host.ok("mkdir -p /run/sdme/pods && sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=0");
    host.write("/etc/sdme/a-pod-with-a-long-name.pod", "[Pod]\nNetwork=uplink\nPublishPort=5353:53/udp\n");
    host.write("/etc/sdme/second.pod", "[Pod]\nNetwork=uplink\n");
    host.write("/etc/sdme/kernel.pod", "[Pod]\nNetwork=private\nPublishMode=nft\nPublishPort=8091:7\n");
    host.write("/etc/sdme/alone.container", "[Container]\nNetwork=uplink\nPublishPort=5354:53/udp 8092:80\n");
    host.ok("sdme-gen check && systemctl daemon-reload");

    forwarding_is_off_before_and_after(host);
    forwarding_that_is_on_stays_on(host);
    a_start_that_was_cut_short_is_repaired(host);
    a_start_that_fails_opens_nothing(host);
    nothing_survives_its_file(host);
    assert_eq!(host.ok("systemctl --failed --no-legend"), "");
}

/// Returns the probes that get an answer over TCP. A probe is a command prefix that selects a
/// network, an address and a port. All probes run in parallel, because each one without an answer
/// waits for two seconds.
fn answered(host: &Host, probes: &[(&str, &str, u16)]) -> Vec<String> {
    let one = |(prefix, address, port): &(&str, &str, u16)| {
        format!(
            "{prefix} curl -sS --max-time 2 http://{address}:{port} >/dev/null 2>&1 && echo '{prefix} {address}:{port}' &"
        )
    };
    host.ok(&format!("{} wait", probes.iter().map(one).collect::<String>())).lines().map(str::to_owned).collect()
}

/// Whether the host forwards packets between the two networks.
fn forwards(host: &Host) -> bool {
    let answers = answered(host, &[(LAN1, "198.18.2.2", 7), (LAN2, "198.18.1.2", 7)]);
    assert_ne!(answers.len(), 1, "packets are forwarded in one direction only: {answers:?}");
    !answers.is_empty()
}

/// Returns everything in the network of the host that a pod could change. The cause of a failed
/// start is excluded, because it is kept until the next start.
fn traces(host: &Host) -> BTreeSet<String> {
    let list = "grep -r . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf; ip -br link | cut -d' ' -f1; ip route;
        nft list ruleset; lsns -t net -no NS; cut -d' ' -f5 /proc/self/mountinfo; cd /run; find netns sdme systemd/system ! -path 'sdme/failed*';
        systemctl list-units --no-legend --plain --state=active 'sdme-*' | cut -d' ' -f1";
    host.ok(list).lines().map(str::to_owned).collect()
}

/// Waits until the host is in its former state.
fn assert_traces(host: &Host, before: &BTreeSet<String>) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
    loop {
        let now = traces(host);
        let left: Vec<&String> = now.symmetric_difference(before).collect();
        if left.is_empty() {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "left or lost: {left:#?}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn services(verb: &str, host: &Host, pods: &[&str]) {
    let units: Vec<String> = pods.iter().map(|pod| format!("sdme-pod@{pod}.service")).collect();
    host.ok(&format!("systemctl {verb} {}", units.join(" ")));
}

/// Waits until systemd has stopped a unit by itself.
fn assert_stops(host: &Host, unit: &str) {
    host.wait(&format!("systemctl show -P ActiveState {unit} | grep -x inactive"), 10);
}

fn address(host: &Host, pod: &str) -> String {
    let line = host.ok(&format!("{} ip -4 -br address show host0", in_pod(pod)));
    line.split_whitespace().nth(2).unwrap().split('/').next().unwrap().to_owned()
}

/// Asserts that `pod` reaches both outer networks.
fn assert_reaches_out(host: &Host, pod: &str) {
    for (address, name) in [("198.18.1.2", "one"), ("198.18.2.2", "two")] {
        let answer = ask(host, &in_pod(pod), "tcp", address, 7).unwrap();
        assert!(answer.starts_with(&format!("{name} 198.18.")), "{answer}");
    }
}

const LONG: &str = "a-pod-with-a-long-name";

fn forwarding_is_off_before_and_after(host: &Host) {
    let before = traces(host);
    assert!(!forwards(host));
    services("start", host, &[LONG, "second", "kernel"]);
    serve(host, "/run/sdme/pods/a-pod-with-a-long-name/netns", "udp", 53, "long");
    serve(host, "/run/sdme/pods/a-pod-with-a-long-name/netns", "tcp", 7, "longtcp");
    serve(host, "/run/sdme/pods/kernel/netns", "tcp", 7, "kernel");
    assert!(!forwards(host), "LAN1 reaches LAN2 through the host while a pod with an uplink runs");
    // The pods themselves work.
    assert_reaches_out(host, LONG);
    assert_reaches_out(host, "second");
    assert_eq!(ask(host, LAN1, "udp", "198.18.1.1", 5353).unwrap(), "long 198.18.1.2\n");
    assert_eq!(ask(host, LAN2, "tcp", "198.18.2.1", 8091).unwrap(), "kernel 198.18.2.2\n");
    assert!(ask(host, "", "tcp", "127.0.0.1", 8091).unwrap().starts_with("kernel "));
    // A network that is added later is protected, too, and a pod reaches it.
    connect(host, "lan3", "198.18.3");
    serve(host, "/run/netns/lan3", "tcp", 7, "three");
    assert_eq!(answered(host, &[("ip netns exec lan3", "198.18.2.2", 7), (LAN2, "198.18.3.2", 7)]), [""; 0]);
    assert!(ask(host, &in_pod("second"), "tcp", "198.18.3.2", 7).unwrap().starts_with("three "));

    // Nothing is reachable that is not published: no pod from a network, no pod from another pod,
    // no loopback service of the host from a network, and nothing from a pod without an uplink.
    let long = address(host, LONG);
    let [second, kernel] = ["second", "kernel"].map(in_pod);
    ask(host, "", "tcp", &long, 7).unwrap();
    // The attacker configures its network so that packets for 127.0.0.1 leave it.
    host.ok(&format!(
        "{LAN1} sysctl -qw net.ipv4.conf.all.route_localnet=1 && {LAN1} ip address del 127.0.0.1/8 dev lo &&
         {LAN1} ip route add 127.0.0.1 via 198.18.1.1"
    ));
    let probes = [
        (LAN1, long.as_str(), 7),
        (LAN2, &long, 7),
        (&second, &long, 7),
        (&kernel, &long, 7),
        (&kernel, "198.18.1.2", 7),
        (&kernel, "198.18.1.1", 9),
        (LAN1, "127.0.0.1", 9),
    ];
    assert_eq!(answered(host, &probes), [""; 0]);

    // If one of several pods stops, the others keep working.
    host.ok("systemctl stop server-long-udp server-longtcp-tcp server-kernel-tcp");
    services("stop", host, &[LONG, "kernel"]);
    assert_reaches_out(host, "second");
    assert!(!forwards(host));
    host.ok("systemctl restart sdme-pod@second.service");
    assert_reaches_out(host, "second");
    services("stop", host, &["second"]);
    host.wait("test $(cat /proc/sys/net/ipv4/conf/lan30/forwarding) = 0", 10);
    host.ok("systemctl stop server-three-tcp && ip netns delete lan3; ip link delete lan30 2>/dev/null; true");
    assert_traces(host, &before);
    assert!(!forwards(host));
}

fn forwarding_that_is_on_stays_on(host: &Host) {
    // Forwarding is enabled for one of the two networks: its packets are forwarded regardless of
    // pods, but those of the other network are not.
    host.ok("sysctl -qw net.ipv4.conf.lan10.forwarding=1");
    let before = traces(host);
    services("start", host, &["second"]);
    assert_reaches_out(host, "second");
    assert!(!forwards(host));
    services("stop", host, &["second"]);
    assert_traces(host, &before);
    host.ok("sysctl -qw net.ipv4.conf.lan10.forwarding=0");

    // Forwarding is enabled for all networks.
    host.ok("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.accept_redirects=0");
    let before = traces(host);
    assert!(forwards(host));
    services("start", host, &["second"]);
    assert!(forwards(host), "others are not served any longer while a pod runs");
    assert_reaches_out(host, "second");
    services("stop", host, &["second"]);
    assert_traces(host, &before);
    assert!(forwards(host));
    host.ok("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=0");

    // Another program enables and disables forwarding while a pod runs.
    services("start", host, &["second"]);
    assert!(!forwards(host));
    host.ok("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.accept_redirects=0");
    host.wait("! nft list table ip sdme-forward", 10);
    assert!(forwards(host), "others are not served when they have switched it on");
    assert_reaches_out(host, "second");
    host.ok("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=0");
    host.wait("nft list table ip sdme-forward", 10);
    assert!(!forwards(host));
    assert_reaches_out(host, "second");

    // Another program needs forwarding permanently, so it stays enabled when the last pod stops.
    host.ok("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.accept_redirects=0");
    services("stop", host, &["second"]);
    assert_traces(host, &before);
    assert!(forwards(host));
    host.ok("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=0");
}

fn a_start_that_was_cut_short_is_repaired(host: &Host) {
    let before = traces(host);
    // The state after a crash: one interface has been enabled, and nothing else.
    host.ok("mkdir -p /run/sdme/forward/pods && cd /proc/sys/net/ipv4/conf && \
         { grep -lx 1 */forwarding || :; } >/run/sdme/forward/unfinished && echo 1 >lan10/forwarding");
    services("start", host, &["second"]);
    assert_reaches_out(host, "second");
    assert!(!forwards(host));
    services("stop", host, &["second"]);
    assert_traces(host, &before);
}

fn a_start_that_fails_opens_nothing(host: &Host) {
    let before = traces(host);
    // The start fails because a port is in use, because the name of an interface is in use, and
    // because a command of the administrator fails.
    host.ok("sed -i 's/^.Pod.$/&\\nPublishPort=9:9/' /etc/sdme/second.pod && systemctl daemon-reload");
    host.fails("systemctl start sdme-pod@second.service");
    assert_traces(host, &before);
    host.ok(
        "sed -i '/^PublishPort/d' /etc/sdme/second.pod; ip link add sdme-second type bridge && systemctl daemon-reload",
    );
    host.fails("systemctl start sdme-pod@second.service");
    host.write("/etc/sdme/second.pod.d/fails.conf", "[Service]\nExecStartPost=false\n");
    host.ok("ip link delete sdme-second && systemctl daemon-reload");
    host.fails("systemctl start sdme-pod@second.service");
    host.ok("rm -r /etc/sdme/second.pod.d; systemctl daemon-reload; systemctl reset-failed");
    assert_traces(host, &before);
}

fn nothing_survives_its_file(host: &Host) {
    // The first start imports the image and creates permanent files.
    host.ok("systemctl start systemd-nspawn@alone && systemctl stop systemd-nspawn@alone");
    assert_stops(host, "sdme-pod@alone.service");
    let before = traces(host);
    services("start", host, &[LONG, "second", "kernel"]);
    host.ok("systemctl start systemd-nspawn@alone");
    // One file is renamed, the others are removed.
    host.ok("cd /etc/sdme && mv second.pod third.pod && rm a-pod*.pod kernel.pod alone.container && systemctl daemon-reload");
    services("start", host, &["third"]);
    assert_reaches_out(host, "third");
    assert!(!forwards(host));
    services("stop", host, &[LONG, "second", "kernel"]);
    host.ok("systemctl stop systemd-nspawn@alone");
    assert_reaches_out(host, "third");
    services("stop", host, &["third"]);
    assert_traces(host, &before);
}
