// SPDX-License-Identifier: MIT
//! Tier 2: pods, published ports and networks on real systemd hosts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use support::containers::{Container, WELCOME, boot, ready};
use support::host::Host;
use support::lan::{self, ask, serve};
use support::tiers::{self, answers, in_pod, nginx};

on_every_suite!(
    tiers_connect_inside_and_not_with_each_other,
    members_have_the_settings_of_their_pod,
    a_pod_with_the_hosts_network_starts_and_stops_as_one,
    members_come_and_go_with_their_pod,
    ports_are_published_on_every_kind_of_address,
    a_container_starts_on_the_first_connection_and_stops_when_idle,
    an_uplink_leads_outside_and_not_to_other_pods,
    a_hundred_starts_and_stops_leave_nothing,
);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &["image:databases"]) {
        case(&boot(suite, name.split('_').next().unwrap()));
    }
}

/// The files are written as for Quadlet: templates with their own unit names, volumes, a resolver,
/// and devices.
fn members_have_the_settings_of_their_pod(host: &Host) {
    let shop = "PodName=shop-%i\nPublishPort=808%i:80\nVolume=shared@%i.volume:/srv/shared\nAddHost=db:10.0.0.5\n\
        DNS=192.0.2.1\nDNSSearch=example.org\nHostName=shop\nShmSize=32m\nStopTimeout=1.5s\nLabel=a=b\n\
        ExitPolicy=continue\n[Quadlet]\nDefaultDependencies=no\n";
    pod(host, "tier@", shop);
    // The device of the automounter: every kernel that runs systemd has it, and no container has it
    // by default.
    host.ok("mknod -m 666 /dev/mine c 10 235");
    host.write("/etc/sdme/shared@.volume", "[Volume]\n");
    write(
        host,
        "front@",
        &nginx("Pod=tier@%i.pod\nAddDevice=/dev/mine:/dev/own:r\nHostName=front\nLogDriver=journald\n"),
    );
    write(host, "back@", &nginx(&format!("Pod=tier@%i.pod\n{}", answers(8090, "back"))));
    host.ok("cd /etc/sdme && for i in 1 2; do for f in tier@.pod shared@.volume front@.container back@.container; do \
         ln -s $f ${f%@*}@$i.${f#*@.}; done; done");
    reload(host);
    host.ok("systemctl start sdme-pod@shop-1.target sdme-pod@shop-2.target");
    for i in ["1", "2"] {
        assert_eq!(host.wait_http(&format!("http://127.0.0.1:808{i}/"), 20), WELCOME);
        let of = |name: &str| Container::new(host, &format!("{name}-{i}"));
        let (front, back) = (of("front"), of("back"));
        host.wait(&format!("{} curl -fsS http://127.0.0.1:8090/ | grep -x back", in_pod(&format!("shop-{i}"))), 10);
        // The two members share one volume; the other pod has another one.
        let exec = |member: &Container<'_>, script: &str| {
            host.ok(&format!("sdme-gen exec {} -- sh -c '{script}' </dev/null", member.name))
        };
        exec(&back, &format!("echo {i} >/srv/shared/mark"));
        assert_eq!(exec(&front, "cat /srv/shared/mark; uname -n").split_whitespace().collect::<Vec<_>>(), [i, "front"]);
        assert_eq!(exec(&back, "uname -n").trim(), "shop");
        for member in [&front, &back] {
            let found = exec(member, "cat /etc/resolv.conf /etc/hosts; stat -fc %b /dev/shm");
            for line in ["nameserver 192.0.2.1", "search example.org", "10.0.0.5 db", "8192"] {
                assert!(found.lines().any(|l| l == line), "{line}: {found}");
            }
            assert!(member.property("TimeoutStopUSec").starts_with("31.500"), "{}", member.property("TimeoutStopUSec"));
        }
        // The device exists in the container and can only be opened for reading.
        exec(&front, "exec 3</dev/own; ! (exec 3>/dev/own) 2>/dev/null");
        exec(&back, "! test -e /dev/own");
    }
    host.ok("systemctl stop sdme-pod@shop-1.service && systemctl is-active systemd-nspawn@front-2");
}

/// The members use the host's network, find each other by name, and start and stop together.
fn a_pod_with_the_hosts_network_starts_and_stops_as_one(host: &Host) {
    pod(host, "open", "Network=host\nPublishPort=8095:8095\n");
    write(host, "left", &nginx(&format!("Pod=open.pod\n{}", answers(8095, "left"))));
    write(host, "right", &nginx(&format!("Pod=open.pod\n{}", answers(8096, "right"))));
    reload(host);
    host.ok("systemctl start sdme-pod@open.target");
    assert_eq!(host.wait_http("http://127.0.0.1:8095/", 20).trim(), "left");
    let name = "sdme-gen exec left -- cat /etc/hosts </dev/null | grep -E '^127.0.0.1.*\\bright\\b'";
    host.wait(name, 10);
    let namespace = |container: &str| {
        host.ok(&format!("readlink /proc/$(systemctl show -P MainPID systemd-nspawn@{container})/ns/net"))
    };
    assert_eq!(namespace("right"), host.ok("readlink /proc/1/ns/net"));
    assert!(host.ok("sdme-gen ps right").contains("running"), "{}", host.ok("sdme-gen ps"));
    host.ok("systemctl restart sdme-pod@open.target");
    assert_eq!(host.wait_http("http://127.0.0.1:8096/", 20).trim(), "right");
    host.ok("systemctl stop sdme-pod@open.target");
    for unit in ["systemd-nspawn@left", "systemd-nspawn@right", "sdme-pod@open.service"] {
        assert_state(host, unit, "inactive");
    }
}

fn pod(host: &Host, name: &str, text: &str) {
    host.write(&format!("/etc/sdme/{name}.pod"), format!("[Pod]\n{text}"));
}

fn write(host: &Host, name: &str, text: &str) {
    host.write(&format!("/etc/sdme/{name}.container"), text);
}

/// Checks the configuration, which must be valid, and reloads systemd.
fn reload(host: &Host) {
    host.ok("sdme-gen check && systemctl daemon-reload");
}

/// Waits until `url` answers a client that runs with the command prefix `prefix`, and returns the
/// page.
fn page(host: &Host, prefix: &str, url: &str) -> String {
    host.wait(&format!("{prefix} curl -fsS --max-time 10 '{url}'"), 30)
}

fn assert_state(host: &Host, unit: &str, state: &str) {
    host.wait(&format!("systemctl show -P ActiveState '{unit}' | grep -qx {state}"), 30);
}

fn tiers_connect_inside_and_not_with_each_other(host: &Host) {
    // Two containers in one pod. The second has no image, only the base operating system and its
    // own /etc.
    pod(host, "pair", "");
    write(host, "first", &nginx("Pod=pair.pod\n"));
    write(host, "second", "[Container]\nPod=pair.pod\n");
    for (name, text) in tiers::files() {
        host.write(&format!("/etc/sdme/{name}"), text);
    }
    reload(host);
    let pods = ["pair", "web-pod", "web-tier", "data-tier"].map(|name| format!("sdme-pod@{name}.target"));
    host.ok(&format!("systemctl start {}", pods.join(" ")));

    assert_eq!(page(host, "systemd-run -M second --wait --pipe -q", "http://127.0.0.1/"), WELCOME);
    tiers::assert_tiers(host, 60);
    host.fails("curl -sS --max-time 5 http://127.0.0.1/");
    host.ok("ip netns exec web-tier ip -br address show lo | grep -q 127.0.0.1");
    // A member of a pod can bind ports below 1024 without root.
    let start = "sysctl -n net.ipv4.ip_unprivileged_port_start";
    assert_eq!(host.ok(&format!("{} {start}", in_pod("web-tier"))), "0\n");
    assert_eq!(host.ok(start), "1024\n");
}

fn members_come_and_go_with_their_pod(host: &Host) {
    pod(host, "tier", "PublishPort=8080:80\n");
    write(host, "one", &nginx("Pod=tier.pod\n"));
    write(host, "two", &nginx(&format!("OciPod=tier.pod\n{}", answers(81, "two"))));
    write(host, "late", &nginx(&format!("Pod=tier.pod\nStartWithPod=no\n{}", answers(82, "late"))));
    reload(host);
    let (one, two, late) = (Container::new(host, "one"), Container::new(host, "two"), Container::new(host, "late"));
    let all = |state: &str| [&one, &two, &late].map(|c| assert_state(host, &c.unit, state));

    // The start of a member starts its pod, but not the other members.
    one.systemctl("start");
    assert_eq!(page(host, "", "http://localhost:8080/"), WELCOME);
    assert_eq!(two.property("ActiveState"), "inactive");
    host.ok("systemctl start sdme-pod@tier.target");
    assert_eq!((two.property("ActiveState"), late.property("ActiveState")), ("active".into(), "inactive".into()));
    late.systemctl("start");

    // A restarted member joins the pod again. All members do after a restart of the pod or after
    // its network was killed.
    one.systemctl("restart");
    assert_eq!(page(host, "systemd-run -M one --wait --pipe -q", "http://127.0.0.1:81/"), "two\n");
    // A setting in the old namespace tells it from the new one, which may have the same inode
    // number.
    let mark = format!("{} sysctl -n net.ipv4.ip_default_ttl", in_pod("tier"));
    let before = host.ok(&mark);
    host.ok(&format!("{} sysctl -qw net.ipv4.ip_default_ttl=99", in_pod("tier")));
    assert_eq!((before.as_str(), host.ok(&mark).as_str()), ("64\n", "99\n"));
    host.ok("systemctl restart sdme-pod@tier.service");
    all("active");
    assert_eq!(host.ok(&mark), before);
    for (port, text) in [(80, WELCOME), (81, "two\n"), (82, "late\n")] {
        assert_eq!(page(host, &in_pod("tier"), &format!("http://127.0.0.1:{port}/")), text);
    }
    host.ok(&format!("kill -KILL {}", one.property("MainPID")));
    host.wait(&format!("systemctl is-failed {}", one.unit), 30);
    one.systemctl("start");
    assert_eq!(page(host, "", "http://localhost:8080/"), WELCOME);

    // The members stop with their pod, whether its target or its service is stopped.
    host.ok("systemctl stop sdme-pod@tier.service");
    all("inactive");
    host.ok("test ! -e /run/sdme/pods/tier && test ! -e /run/netns/tier");
    host.fails("curl -sS --max-time 5 http://localhost:8080/");
    host.ok("systemctl start sdme-pod@tier.target && systemctl stop sdme-pod@tier.target");
    all("inactive");
    assert_state(host, "sdme-pod@tier.service", "inactive");

    // Remains of an earlier pod do not prevent the start.
    host.ok("mkdir -p /run/sdme/pods/tier /run/netns && touch /run/sdme/pods/tier/netns &&
        mount --bind /proc/self/ns/net /run/sdme/pods/tier/netns && ln -s /run/sdme/pods/tier/netns /run/netns/tier");
    host.ok("systemctl start sdme-pod@tier.target");
    assert_eq!(page(host, "", "http://localhost:8080/"), WELCOME);
    host.ok("systemctl stop sdme-pod@tier.service && test ! -e /run/sdme/pods/tier && test ! -e /run/netns/tier");

    // If a port is taken or the file of the pod is invalid, nothing starts, and the status of each
    // unit has the reason.
    host.ok("systemd-run -q --unit=taken --socket-property=ListenStream=8080 true");
    host.fails(&format!("systemctl start {}", one.unit));
    assert_eq!(one.property("ActiveState"), "failed");
    let text = one.property("StatusText");
    assert!(text.contains("port 8080 is taken by taken.socket") && text.contains("change PublishPort="), "{text}");
    // The message is in the journal only: the process is so short-lived that journald may not find
    // its unit for `systemctl status`.
    host.ok("systemctl is-failed sdme-publish-tier-8080.socket");
    host.wait("journalctl -b --no-pager | grep 'sdme-publish-tier-8080.socket: .*Address already in use'", 10);
    host.ok("systemctl stop taken.socket && systemctl reset-failed");
    host.write("/etc/sdme/tier.pod", "[Pod]\nPublishPrt=80:80\n");
    host.fails("sdme-gen check");
    host.ok("systemctl daemon-reload");
    for unit in ["sdme-pod@tier.service", "sdme-pod@tier.target", one.unit.as_str(), two.unit.as_str()] {
        host.fails(&format!("systemctl start {unit}"));
    }
    let problem = "/etc/sdme/tier.pod:2: unknown key PublishPrt= in [Pod]; did you mean PublishPort?";
    for unit in ["sdme-pod@tier.service", one.unit.as_str()] {
        let status = host.run(&format!("systemctl status --no-pager -l {unit}")).stdout;
        assert!(status.contains(problem), "{status}");
    }
    pod(host, "tier", "");
    reload(host);
    host.ok("systemctl start sdme-pod@tier.target");
    assert_eq!(page(host, &in_pod("tier"), "http://127.0.0.1/"), WELCOME);
}

/// Creates a network namespace for a machine outside, 192.0.2.2, whose default route is the host.
fn outside(host: &Host) {
    lan::tools(host);
    lan::connect(host, "outside", "192.0.2");
}

const OUTSIDE: &str = "ip netns exec outside";

fn ports_are_published_on_every_kind_of_address(host: &Host) {
    outside(host);
    pod(
        host,
        "web",
        "PublishPort=127.0.0.1:8080:80\nPublishPort=[::1]:8081:80\nPublishPort=9000-9002:80-82 8443:80\nPublishPort=5353:53/udp\n",
    );
    write(host, "one", &nginx("Pod=web.pod\n"));
    write(host, "two", &nginx(&format!("Pod=web.pod\n{}", answers(81, "two"))));
    write(host, "three", &nginx(&format!("Pod=web.pod\n{}", answers(82, "three"))));
    // Containers without a pod: with a port that the image exposes, and with ports that the kernel
    // forwards.
    write(host, "own", &nginx("Network=private\nPublishPort=8090\n"));
    write(host, "kernel", &nginx("Network=private\nPublishPort=8091:7 5354:53/udp\nPublishMode=nft\n"));
    reload(host);
    host.ok("systemctl start sdme-pod@web.target systemd-nspawn@own systemd-nspawn@kernel");
    serve(host, "/run/sdme/pods/web/netns", "udp", 53, "web");
    serve(host, "/run/sdme/pods/kernel/netns", "udp", 53, "kernel");
    serve(host, "/run/sdme/pods/kernel/netns", "tcp", 7, "kernel");

    for (url, text) in [
        ("http://127.0.0.1:8080/", WELCOME),
        ("http://[::1]:8081/", WELCOME),
        ("http://127.0.0.1:9000/", WELCOME),
        ("http://[::1]:9000/", WELCOME),
        ("http://192.0.2.1:9001/", "two\n"),
        ("http://127.0.0.1:9002/", "three\n"),
        ("http://localhost:8443/", WELCOME),
        ("http://127.0.0.1:8090/", WELCOME),
    ] {
        assert_eq!(page(host, "", url), text, "{url}");
    }
    assert_eq!(page(host, OUTSIDE, "http://192.0.2.1:9000/"), WELCOME);
    // A proxy has no privileges and no mount namespace of its own.
    let proxy = "/proc/$(systemctl show -P MainPID sdme-publish-own-8090.service)";
    let about = format!(
        "stat -c %U {proxy}; grep -E '^(Cap[A-Z]|NoNew|SigIgn)' {proxy}/status; readlink {proxy}/ns/mnt /proc/1/ns/mnt"
    );
    let about = host.ok(&about);
    let lines: Vec<&str> = about.lines().collect();
    assert_eq!((lines[0], lines[7], lines[8]), ("sdme-proxy", "NoNewPrivs:\t1", lines[9]), "{about}");
    // A client that disconnects does not end the proxy: SIGPIPE is ignored, as systemd sets it for
    // services.
    assert!(lines[1].starts_with("SigIgn:") && lines[1].ends_with("1000"), "{about}");
    assert!(lines[2..7].iter().all(|line| line.ends_with("\t0000000000000000")), "{about}");
    for (prefix, url) in
        [("", "http://[::1]:8080/"), ("", "http://127.0.0.1:8081/"), (OUTSIDE, "http://192.0.2.1:8080/")]
    {
        host.fails(&format!("{prefix} curl -sS --max-time 5 {url}"));
    }
    for address in ["127.0.0.1", "192.0.2.1"] {
        assert!(ask(host, "", "udp", address, 5353).unwrap().starts_with("web "), "{address}");
        assert!(ask(host, "", "tcp", address, 8091).unwrap().starts_with("kernel "), "{address}");
    }
    // Forwarding in the kernel keeps the address of the client.
    assert_eq!(ask(host, OUTSIDE, "udp", "192.0.2.1", 5353).unwrap(), "web 192.0.2.2\n");
    assert_eq!(ask(host, OUTSIDE, "udp", "192.0.2.1", 5354).unwrap(), "kernel 192.0.2.2\n");
    assert_eq!(ask(host, OUTSIDE, "tcp", "192.0.2.1", 8091).unwrap(), "kernel 192.0.2.2\n");
    // The network stays private: the link is only for the published ports.
    let address = host.ok(&format!("{} ip -4 -br address show host0", in_pod("kernel")));
    let address = address.split_whitespace().nth(2).unwrap().split('/').next().unwrap();
    ask(host, OUTSIDE, "tcp", address, 7).unwrap_err();
    serve(host, "/run/netns/outside", "tcp", 7, "world");
    ask(host, &in_pod("kernel"), "tcp", "192.0.2.2", 7).unwrap_err();

    // The firewall rules are removed with their pod.
    let tables = host.ok("nft list tables");
    assert!(tables.contains("inet sdme-pod-kernel\n") && tables.contains("inet sdme-pod-web\n"), "{tables}");
    host.ok("systemctl stop sdme-pod@web.service systemd-nspawn@kernel systemd-nspawn@own");
    assert_state(host, "sdme-pod@kernel.service", "inactive");
    host.wait("test -z \"$(nft list tables)\" && ! ip -br link | grep sdme", 30);
    ask(host, "", "tcp", "127.0.0.1", 8091).unwrap_err();

    // A port that two containers publish is reported with both lines. Rules of the kernel would
    // take the packets of the other container.
    write(host, "three", &nginx("Network=private\nPublishPort=127.0.0.1:8091:80\n"));
    let message = "/etc/sdme/three.container:4: port 127.0.0.1:8091/tcp of the host is already published by /etc/sdme/kernel.container:4";
    let output = host.fails("sdme-gen check");
    assert!(output.contains(message), "{output}");
    // If two sockets claim a port, opening the second one fails, and the first one stays.
    write(host, "first", &nginx("Network=private\nPublishPort=9010:80\n"));
    host.ok("rm /etc/sdme/three.container");
    write(host, "later", &nginx("Network=private\nPublishPort=127.0.0.1:9010:80\n"));
    let output = host.ok("sdme-gen check 2>&1 && systemctl daemon-reload && systemctl start systemd-nspawn@first");
    let message = "later.container:4: warning: port 127.0.0.1:9010/tcp of the host is also published by /etc/sdme/first.container:4, so that";
    assert!(output.contains(message), "{output}");
    let invocation = "systemctl show -P InvocationID systemd-nspawn@first";
    let before = host.ok(invocation);
    host.fails("systemctl start systemd-nspawn@later");
    let said = host.run("systemctl status --no-pager systemd-nspawn@later").stdout;
    assert!(said.contains("port 127.0.0.1:9010 is taken by sdme-publish-first-9010.socket"), "{said}");
    assert_eq!(host.wait_http("http://127.0.0.1:9010/", 10), WELCOME);
    assert_eq!(host.ok(invocation), before);
    // The container that starts first gets the port.
    host.ok("systemctl stop systemd-nspawn@first && systemctl reset-failed");
    host.wait("! systemctl is-active sdme-publish-first-9010.socket", 10);
    host.ok("systemctl start systemd-nspawn@later");
    assert_eq!(host.wait_http("http://127.0.0.1:9010/", 10), WELCOME);
    host.fails("systemctl start systemd-nspawn@first");
    assert_eq!(host.wait_http("http://127.0.0.1:9010/", 10), WELCOME);
    write(host, "three", &nginx("PublishPort=80:80\n"));
    write(host, "two", &nginx("PublishPort=80:80\n"));
    let output = host.ok("sdme-gen check 2>&1");
    assert!(
        output.contains(
            "two.container:3: warning: port 80/tcp of the host is also published by /etc/sdme/three.container:3"
        ),
        "{output}"
    );
}

fn a_container_starts_on_the_first_connection_and_stops_when_idle(host: &Host) {
    let demand = "PublishPort=8080:80\nStartOnDemand=yes\nStopWhenIdle=2s\n";
    write(host, "web", &nginx(&format!("Network=private\n{demand}[Install]\nWantedBy=multi-user.target\n")));
    pod(host, "tier", &demand.replace("8080:80", "8081"));
    write(host, "one", &nginx("Pod=tier.pod\n"));
    write(host, "two", &nginx(&format!("Pod=tier.pod\n{}", answers(90, "two"))));
    host.write("/etc/sdme/tier.pod.d/install.conf", "[Install]\nWantedBy=multi-user.target\n");
    reload(host);
    // This target is started at boot.
    host.ok("systemctl start multi-user.target");
    let units = ["systemd-nspawn@web", "systemd-nspawn@one", "systemd-nspawn@two", "sdme-pod@web", "sdme-pod@tier"];
    let all = |state: &str| units.map(|unit| assert_state(host, &format!("{unit}.service"), state));
    let sockets = || {
        for port in ["web-8080", "tier-8081"] {
            assert_state(host, &format!("sdme-publish-{port}.socket"), "active");
        }
    };
    all("inactive");
    sockets();
    for (url, machines) in [("http://127.0.0.1:8080/", "web"), ("http://[::1]:8081/", "one two")] {
        // This is one command, because the containers stop after two seconds without a connection.
        let command = format!("curl -fsS --max-time 50 {url} && machinectl show -P State {machines}");
        let running = "running\n".repeat(machines.split(' ').count());
        let output = host.ok(&command);
        assert_eq!(output.replace("\n\n", "\n"), format!("{WELCOME}{running}"));
    }
    all("inactive");
    sockets();

    // Fifty connections at once are all answered, several times.
    for port in [8080, 8081] {
        for _ in 0..3 {
            let many = format!("for i in $(seq 50); do curl -fsS --max-time 50 http://127.0.0.1:{port}/ & done; wait");
            assert_eq!(host.ok(&many), WELCOME.repeat(50));
            all("inactive");
        }
    }
    // A start by hand is not stopped when idle, the ports are served, and a stop leaves the sockets
    // active.
    host.ok("systemctl start systemd-nspawn@web");
    assert_eq!(host.ok("curl -fsS --max-time 50 http://127.0.0.1:8080/"), WELCOME);
    host.ok("systemctl stop systemd-nspawn@web");
    assert_eq!(host.ok("curl -fsS --max-time 50 http://127.0.0.1:8080/"), WELCOME);
    all("inactive");
    assert_eq!(host.ok("systemctl --failed --no-legend"), "");
}

fn an_uplink_leads_outside_and_not_to_other_pods(host: &Host) {
    outside(host);
    host.write("/etc/resolv.conf", "nameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch example.org\n");
    host.write("/etc/sdme/sdme.conf", "[Defaults]\nUplinkRange=172.29.0.0/20\n");
    let long = "a-pod-whose-name-is-longer-than-an-interface";
    pod(host, long, "Network=uplink\n");
    pod(host, &format!("{long}s"), "Network=uplink\nPublishPort=8080:80\n");
    write(host, "inside", &nginx(&format!("Pod={long}.pod\n")));
    write(host, "other", &nginx(&format!("OciPod={long}s.pod\n")));
    write(host, "own", &nginx("Network=uplink\n"));
    write(host, "private", &nginx("Network=private\n"));
    write(host, "none", &nginx("Network=none\n"));
    write(host, "veth", "[Container]\nNetwork=veth\n");
    write(host, "zone", "[Container]\nNetwork=zone:lab\n");
    write(host, "bridge", "[Container]\nNetwork=bridge:br0\n");
    host.ok("ip link add br0 type bridge && ip link set br0 up");
    reload(host);
    let all = ["inside", "other", "own", "private", "none", "veth", "zone", "bridge"];
    host.ok(&format!("systemctl start {}", all.map(|name| format!("systemd-nspawn@{name}")).join(" ")));
    serve(host, "/run/netns/outside", "tcp", 7, "world");

    // A machine outside sees the address of the host.
    let [inside, other, own] = [in_pod(long), in_pod(&format!("{long}s")), in_pod("own")];
    for member in [&inside, &other, &own] {
        assert_eq!(ask(host, member, "tcp", "192.0.2.2", 7).unwrap(), "world 192.0.2.1\n");
    }
    assert_eq!(Container::new(host, "inside").ok("curl -sS http://192.0.2.2:7"), "world 192.0.2.1\n");
    ask(host, &in_pod("private"), "tcp", "192.0.2.2", 7).unwrap_err();
    host.fails("systemd-run -M none --wait --pipe -q curl -sS --max-time 3 http://192.0.2.2:7");

    // Other pods and machines outside cannot reach the addresses of a pod; everyone reaches
    // published ports.
    let address = |prefix: &str| -> String {
        let line = host.ok(&format!("{prefix} ip -4 -br address show host0"));
        line.split_whitespace().nth(2).unwrap().split('/').next().unwrap().to_owned()
    };
    let (first, second) = (address(&inside), address(&other));
    assert!(first.starts_with("172.29.") && first != second, "{first} {second}");
    assert_eq!(host.ok(&format!("curl -fsS --max-time 5 http://{first}/")), WELCOME, "the check itself does not work");
    for prefix in [&other, &own, OUTSIDE] {
        host.fails(&format!("{prefix} curl -sS --max-time 3 http://{first}/"));
    }
    assert_eq!(page(host, OUTSIDE, "http://192.0.2.1:8080/"), WELCOME);
    assert_eq!(page(host, &own, "http://192.0.2.1:8080/"), WELCOME);

    // Only reachable name servers are in the resolv.conf of the application and of the container
    // around it.
    let resolver = "nameserver 192.0.2.53\nsearch example.org\n";
    assert_eq!(Container::new(host, "inside").ok("cat /etc/resolv.conf"), resolver);
    let nginx = Container::new(host, "other").process("nginx");
    assert_eq!(host.read(&format!("/proc/{nginx}/root/etc/resolv.conf")), resolver);
    assert_eq!(Container::new(host, "private").ok("cat /etc/resolv.conf"), "");

    // The other kinds of networks have the interfaces that systemd-nspawn creates.
    for name in ["veth", "zone", "bridge"] {
        Container::new(host, name).ok("ip -br link show host0 && systemctl is-active systemd-networkd");
    }
    host.ok("ip link show ve-veth && ip link show vz-lab && ip link show master br0 | grep -q vb-bridge");
    host.ok(&format!("systemctl stop {}", all.map(|name| format!("systemd-nspawn@{name}")).join(" ")));
    host.ok(&format!("systemctl stop sdme-pod@{long} sdme-pod@{long}s"));
    host.wait("test -z \"$(nft list tables)\" && ! ip -br link | grep -E 'sdme|ve-|vz-|vb-'", 30);
}

/// The resources that a start and a stop could leave behind: network namespaces, links, firewall
/// rules, mounts, and files.
fn belongings(host: &Host) -> BTreeSet<String> {
    let list = "lsns -t net -no NS; ip -br link | cut -d' ' -f1; nft list ruleset; cut -d' ' -f5 /proc/self/mountinfo;
        ls /run/netns /run/sdme/pods";
    host.ok(list).lines().map(str::to_owned).collect()
}

fn a_hundred_starts_and_stops_leave_nothing(host: &Host) {
    for number in 1..=5 {
        let mut text = String::from("Network=uplink\n");
        writeln!(text, "PublishPort={}:80 {}:53/udp", 8000 + number, 5000 + number).unwrap();
        pod(host, &format!("pod{number}"), &text);
        write(host, &format!("member{number}"), &nginx(&format!("Pod=pod{number}.pod\n")));
    }
    reload(host);
    // The first start imports the image and creates files that stay.
    host.ok("mkdir -p /run/sdme/pods && systemctl start sdme-pod@pod1.target && systemctl stop sdme-pod@pod1.service");
    let before = belongings(host);
    let units = |suffix: &str| (1..=5).map(|n| format!("sdme-pod@pod{n}.{suffix}")).collect::<Vec<_>>().join(" ");
    for round in 0..20 {
        host.ok(&format!("systemctl start {}", units("target")));
        if round % 10 == 0 {
            for number in 1..=5 {
                assert_eq!(page(host, "", &format!("http://127.0.0.1:{}/", 8000 + number)), WELCOME);
            }
        }
        host.ok(&format!("systemctl stop {}", units("service")));
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let now = belongings(host);
        let left: Vec<&String> = now.symmetric_difference(&before).collect();
        if left.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "left or lost: {left:#?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(host.ok("systemctl --failed --no-legend"), "");
}
