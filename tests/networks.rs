// SPDX-License-Identifier: MIT
//! Tier 2: named networks on real systemd hosts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::process::Command;
use support::containers::{boot_with, ready};
use support::host::Host;
use support::lan::{self, ask, serve};
use support::matrix::{addresses, answers_in, assert_matrix, assert_up, files, units};
use support::run;
use support::tiers::{in_pod, nginx};

on_every_suite!(members_of_a_network_reach_each_other_and_no_other_container, projects_serve_and_members_come_and_go,);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &["image:databases", "musl-gcc"]) {
        let programs = tempfile::tempdir().unwrap();
        let source = support::repo("tests/programs/member.c");
        let options = ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o"];
        run(Command::new("musl-gcc").args(options).arg(programs.path().join("member")).arg(source));
        // The host is a copy of its tree, because an overlay does not support ID-mapped mounts.
        let builder = Host::builder(suite, name.split('_').next().unwrap()).copy();
        case(&boot_with(builder.bind(programs.path(), "/srv/programs")));
    }
}

fn write(host: &Host) {
    for (name, text) in files() {
        host.write(&format!("/etc/sdme/{name}"), text);
    }
}

fn members_of_a_network_reach_each_other_and_no_other_container(host: &Host) {
    lan::tools(host);
    lan::connect(host, "outside", "192.0.2");
    host.ok("rm -f /etc/resolv.conf && touch /etc/resolv.conf");
    write(host);
    host.ok("sdme-gen check && systemctl daemon-reload");
    let units = units();
    host.ok(&format!("systemctl start {units}"));
    assert_up(host, 30);
    assert_matrix(host);
    let listed = host.ok("sdme-gen network ls");
    assert!(
        listed.lines().any(|l| l.starts_with("back") && l.contains("10.5.0.0/24 ") && l.ends_with(" api,db,pair")),
        "{listed}"
    );

    names(host);
    publishing(host);
    borders(host);
    changes(host);
    assert_matrix(host);

    // Nothing is left after the last member has stopped.
    host.ok("systemctl stop 'server-*'");
    host.ok(&format!("systemctl stop {units} sdme-pod@pair.service"));
    host.wait("test -z \"$(nft list tables)\"", 30);
    host.ok("! ip -br link | grep -E 'sdm|rear' && test -z \"$(find /run/sdme/networks /run/sdme/pods /run/sdme/names -mindepth 1)\"");
    host.ok("test ! -e /run/sdme/forward && test \"$(sysctl -n net.ipv6.conf.all.forwarding)\" = 0");

    // The last network that stops also stops sdme-forward.path. If it waited for the end of that
    // unit, the reboot would take more than a minute, which fails this test.
    host.ok("systemctl start systemd-nspawn@edge systemd-nspawn@db");
    host.reboot();
}

fn names(host: &Host) {
    let reads = |name: &str, pattern: &str| {
        host.ok(&format!("sdme-gen exec {name} -- cat /etc/hosts </dev/null | grep -E '{pattern}'"))
    };
    // Names resolve in the application and in the container around it: by alias, by the name of the
    // pod, and for IPv4 and IPv6.
    let found = answers_in(
        host,
        "edge",
        &["service:8080".into(), "-6 http://api:8080".into(), "-4 http://api:8080".into(), "database:8080".into()],
    );
    assert_eq!(found, ["api", "api", "api", "-"]);
    assert_eq!(answers_in(host, "cache", &["database:8080".into()]), ["db"]);
    assert_eq!(answers_in(host, "db", &["pair:8080".into(), "worker:8090".into()]), ["helper", "worker"]);
    reads("edge", "^10.* api ");
    reads("edge", "^fd.* api ");
    reads("worker", "^127.0.0.1 helper ");
    reads("api", "^192.0.2.2 edge-by-hand$");
    reads("api", " hosted$");
    reads("edge", " host.containers.internal host.docker.internal$");
    host.fails("sdme-gen exec cache -- cat /etc/hosts </dev/null | grep -q host.containers.internal");
    // The container cannot write to /etc/hosts, with or without a user namespace.
    for name in ["edge", "cache"] {
        host.fails(&format!("systemd-run -M {name} --wait --pipe -q sh -c 'echo 10.0.0.1 db >>/etc/hosts'"));
    }
    // The file loses a member that stops, and gets it back when the member starts.
    host.ok("systemctl stop systemd-nspawn@cache");
    host.fails("sdme-gen exec db -- cat /etc/hosts </dev/null | grep -qw cache");
    host.ok("systemctl start systemd-nspawn@cache");
    reads("db", "\\bcache\\b");
    host.wait(&format!("{} curl -fsS http://127.0.0.1:8080/", in_pod("cache")), 20);
}

fn publishing(host: &Host) {
    const OUTSIDE: &str = "ip netns exec outside";
    for name in ["edge", "api"] {
        serve(host, &format!("/run/sdme/pods/{name}/netns"), "udp", 53, name);
    }
    for url in ["127.0.0.1:8081", "[::1]:8081", "127.0.0.1:8082"] {
        let name = if url.ends_with("8081") { "edge" } else { "api" };
        assert_eq!(host.ok(&format!("curl -fsS --max-time 10 http://{url}/")).trim(), name, "{url}");
    }
    // A member reaches published ports of the same and of another network through the host.
    for from in ["tool", "helper"] {
        let asked = ["host.docker.internal:8081".into(), "host.docker.internal:8082".into()];
        assert_eq!(answers_in(host, from, &asked), ["edge", "api"], "{from}");
    }
    // Ports are published by a proxy and by the kernel, for TCP and UDP, IPv4 and IPv6; clients are
    // the host, a machine outside, and another member.
    host.ok("ip -6 address add 2001:db8::1/64 dev outside0 nodad && ip -n outside -6 address add 2001:db8::2/64 dev eth0 nodad");
    for (name, web, datagrams) in [("edge", 8081, 5353), ("api", 8082, 5354)] {
        for (address, url, clients) in [
            ("192.0.2.1", "192.0.2.1", ["192.0.2.1", "192.0.2.2", "10."]),
            ("2001:db8::1", "[2001:db8::1]", ["2001:db8::1", "2001:db8::2", "fd"]),
        ] {
            let from = [String::new(), OUTSIDE.to_owned(), in_pod("tool")];
            for (prefix, client) in from.iter().zip(clients) {
                let what = format!("{prefix} {address} of {name}");
                let page = host.run(&format!("{prefix} curl -fsS --max-time 10 'http://{url}:{web}/'"));
                assert_eq!(page.stdout.trim(), name, "{what}: {page}");
                let answer = ask(host, prefix, "udp", address, datagrams).unwrap();
                assert!(answer.starts_with(&format!("{name} {client}")), "{what}: {answer}");
            }
        }
    }
    // An application that listens only on the address of the container.
    let own = addresses(host, "tool").remove(0);
    let server = "/run/sdme/pods/tool/netns";
    let program = format!(
        "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => '{own}', LocalPort => 9000, Listen => 5) or die; \
         while (my $c = $s->accept) {{ close $c }}"
    );
    host.write("/srv/own", program);
    host.ok(&format!("systemd-run -q --unit=server-own -p NetworkNamespacePath={server} perl /srv/own"));
    host.wait(
        &format!("{} sdme-gen await-port 9000 10 /bin/echo 127.0.0.1:9000 | grep -x {own}:9000", in_pod("tool")),
        20,
    );
}

fn borders(host: &Host) {
    // A member reaches the outside with the host's address; a member of an internal network does
    // not.
    serve(host, "/run/netns/outside", "tcp", 7, "world");
    assert_eq!(ask(host, &in_pod("edge"), "tcp", "192.0.2.2", 7).unwrap().trim(), "world 192.0.2.1");
    ask(host, &in_pod("cache"), "tcp", "192.0.2.2", 7).unwrap_err();
    // Packets from outside cannot enter a network, and a member cannot use the address of another
    // member.
    let (tool, edge) = (addresses(host, "tool").remove(0), addresses(host, "edge").remove(0));
    host.fails(&format!("ip netns exec outside curl -sS --max-time 3 http://{tool}:8080/"));
    host.ok(&format!("{} ip address add 10.5.0.200/32 dev eth0", in_pod("pair")));
    host.fails(&format!("{} curl -sS --max-time 3 --interface 10.5.0.200 http://10.5.0.77:8080/", in_pod("pair")));
    host.ok(&format!("{} ip address del 10.5.0.200/32 dev eth0", in_pod("pair")));
    assert_eq!(host.ok(&format!("{} curl -sS http://{edge}:8080/", in_pod("tool"))).trim(), "edge");
    // A member of an internal network cannot reach ports that the host publishes.
    let gateway = host.ok("ip -o -4 address show dev sdme_vault").split_whitespace().nth(3).unwrap().to_owned();
    let gateway = gateway.split('/').next().unwrap();
    host.fails(&format!("{} curl -sS --max-time 3 http://{gateway}:8081/", in_pod("cache")));
}

fn changes(host: &Host) {
    // A fixed address is changed, and the network changes while its members run.
    let path = "/etc/sdme/api.container";
    let text = host.read(path);
    host.write(path, text.replace("10.5.0.77", "10.5.0.78"));
    host.write("/etc/sdme/back.network", "[Network]\nSubnet=10.5.0.0/24\nInterfaceName=rear\nGateway=10.5.0.9\n");
    host.ok("systemctl daemon-reload && systemctl restart systemd-nspawn@api");
    assert!(addresses(host, "api").contains(&"10.5.0.78".to_owned()));
    assert!(host.ok("ip -o -4 address show dev rear").contains("10.5.0.9/24"));
    host.ok("sdme-gen exec db -- cat /etc/hosts </dev/null | grep -q '^10.5.0.78 api'");
    // Both changes are undone: the restart of the network connects all members again.
    host.write(path, text);
    host.write("/etc/sdme/back.network", "[Network]\nSubnet=10.5.0.0/24\nInterfaceName=rear\n");
    host.ok("systemctl daemon-reload && systemctl restart sdme-network@back.service");
    assert_up(host, 30);
    assert!(host.ok("ip -o -4 address show dev rear").contains("10.5.0.1/24"));
    // A network is removed and later restored.
    let path = |name: &str| format!("/etc/sdme/{name}.container");
    host.write(&path("db"), host.read(&path("db")).replace("Network=vault:alias=database\n", ""));
    host.write(&path("cache"), host.read(&path("cache")).replace("Network=vault", "Network=back"));
    host.ok("rm /etc/sdme/vault.network && sdme-gen check && systemctl daemon-reload && sdme-gen restart --changed");
    host.wait("! ip link show sdme_vault", 30);
    assert_eq!(answers_in(host, "db", &["cache:8080".into(), "pair:8080".into()]), ["cache", "helper"]);
    write(host);
    host.ok("sdme-gen check && systemctl daemon-reload && sdme-gen restart --changed");
    assert_up(host, 30);
    // A contradiction is reported with both lines, and nothing changes.
    host.write("/etc/sdme/lone.container", nginx("Network=bridge\nNetwork=host\n"));
    let output = host.fails("sdme-gen check");
    assert!(
        output.contains("lone.container:4: Network=host contradicts that of /etc/sdme/lone.container:3"),
        "{output}"
    );
    write(host);
    host.ok("sdme-gen check && systemctl daemon-reload");
}

/// A web server in front of an application in front of two databases, one of them in an internal
/// network. Two services listen on port 80. The page of the application contains the answers of the
/// databases; the last question is a message that the second database refuses.
const PROJECT: &str = "
services:
  web:
    image: oci:/srv/images/nginx
    ports: ['8080:80']
    configs: [{source: site, target: /etc/nginx/conf.d/site.conf}]
    depends_on: [app]
  app:
    image: oci:/srv/images/nginx
    entrypoint: [/programs/member, serve, '80', cache, '6379', PING~, database, '5432', '^^^0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA']
    volumes: ['/srv/programs:/programs:ro']
    networks: {default: {aliases: [front-end]}, data: {}}
    depends_on: {redis: {condition: service_healthy}, db: {condition: service_started}}
  redis:
    image: oci:/srv/images/databases:redis
    networks: {data: {ipv4_address: 10.77.0.9, aliases: [cache]}}
    healthcheck: {test: [CMD, redis-cli, ping], interval: 1s}
  db:
    image: oci:/srv/images/databases:postgres
    container_name: database
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/password}
    secrets: [password]
    networks: [data]
networks:
  data: {internal: true, ipam: {config: [{subnet: 10.77.0.0/24}]}}
configs: {site: {content: 'server { listen 80; location / { proxy_pass http://front-end/; } }'}}
secrets: {password: {environment: PASSWORD}}
";

/// A member of a network that does nothing. It has no start limit, because the test starts it many
/// times in a short time.
fn idle(network: &str) -> String {
    nginx(&format!(
        "Network={network}\nVolume=/srv/programs:/programs:ro\nEntrypoint=/programs/member\nExec=keep localhost 100000\n\
         [Unit]\nStartLimitIntervalSec=0\n"
    ))
}

fn projects_serve_and_members_come_and_go(host: &Host) {
    a_converted_project_answers(host);
    names_resolve_for_every_resolver(host);
    host.ok("systemctl stop 'systemd-nspawn@shop-*' && rm -r /etc/sdme/shop-* && systemctl daemon-reload");
    fifty_members_know_each_other(host);
    members_come_and_go(host);
    host.wait("test -z \"$(nft list tables)\"", 30);
    host.ok("! ip -br link | grep sdm && test -z \"$(find /run/sdme/networks /run/sdme/pods /run/sdme/names /run/netns -mindepth 1)\"");
}

/// Runs the project as converted, and then with user namespaces and hardening.
fn a_converted_project_answers(host: &Host) {
    host.write("/srv/shop/compose.yaml", PROJECT);
    let out = host.ok("cd /srv/shop && PASSWORD=secret sdme-gen convert --write compose");
    let start = out.lines().find_map(|line| line.strip_prefix("start the project with: ")).expect(&out);
    host.ok(&format!("sdme-gen check && systemctl daemon-reload && {start}"));
    let serves = || {
        let answers = "curl -fsS --max-time 10 http://127.0.0.1:8080/ | grep -x 'cache: +PONG..' && \
             curl -fsS http://127.0.0.1:8080/ | grep '^database: E.*unsupported frontend protocol'";
        host.wait(answers, 60);
    };
    serves();
    let listed = host.ok("sdme-gen ps --format '{{.Names}} {{.Networks}}'");
    assert!(listed.contains("shop-app shop-data,shop-default\n") && listed.contains("shop-db shop-data\n"), "{listed}");
    for (name, lines) in [
        ("web", "Hardened=yes\nUserNS=auto\n"),
        ("app", "Hardened=yes\n"),
        ("redis", "UserNS=auto\n"),
        ("db", "UserNS=auto\n"),
    ] {
        host.write(&format!("/etc/sdme/shop-{name}.container.d/10-own.conf"), format!("[Container]\n{lines}"));
    }
    host.ok("sdme-gen check && sdme-gen restart --changed");
    serves();
    assert!(!host.ok("sdme-gen ps --format '{{.Users}}' shop-web").trim().is_empty());
}

/// Names resolve for programs that read `/etc/hosts` themselves, that use another C library, or
/// that resolve again and again.
fn names_resolve_for_every_resolver(host: &Host) {
    let member = |line: &str| host.ok(&format!("sdme-gen exec shop-app -- /programs/member {line} </dev/null"));
    for verb in ["hosts", "resolve"] {
        for name in ["cache", "redis"] {
            assert_eq!(member(&format!("{verb} {name}")), "10.77.0.9\n", "{verb} {name}");
        }
        assert_eq!(member(&format!("{verb} database")), member(&format!("{verb} db")), "{verb}");
    }
    // Names of other networks are not in the file.
    assert_eq!(host.ok("sdme-gen exec shop-redis -- grep -cw web /etc/hosts </dev/null || :").trim(), "0");
    host.write("/etc/sdme/late.container", idle("shop-data.network"));
    host.ok("systemctl daemon-reload");
    host.ok("systemd-run -q --unit=keep -p StandardOutput=file:/var/keep sdme-gen exec shop-app -- /programs/member keep late 600");
    host.wait("tail -n 1 /var/keep | grep -x none", 20);
    host.ok("systemctl start systemd-nspawn@late");
    host.wait("tail -n 1 /var/keep | grep '^10[.]77[.]0[.]'", 10);
    host.ok("systemctl stop systemd-nspawn@late");
    host.wait("tail -n 1 /var/keep | grep -x none", 10);
    host.ok("systemctl stop keep; rm /etc/sdme/late.container");
}

fn fifty_members_know_each_other(host: &Host) {
    host.write("/etc/sdme/crowd.network", "[Network]\nSubnet=10.78.0.0/24\n");
    host.write("/etc/sdme/m@.container", idle("crowd.network"));
    host.ok("for i in $(seq 50); do ln -s m@.container /etc/sdme/m@$i.container; done");
    host.ok("sdme-gen check && systemctl daemon-reload");
    let all: Vec<String> = (1..=50).map(|index| format!("systemd-nspawn@m-{index}")).collect();
    // The warning names a firewall chain that drops the packets of the network.
    host.ok("nft add table ip filter && nft 'add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }'");
    let began = std::time::Instant::now();
    let output = host.run_for(&format!("systemctl start {}", all.join(" ")), std::time::Duration::from_secs(300));
    assert!(output.success(), "{output}");
    eprintln!("50 members started in {:?}", began.elapsed());
    let warned = "dropped by the chain FORWARD of the nftables table ip filter; allow forwarding from and to the interfaces sdme_crowd";
    host.wait(&format!("journalctl -p warning -u sdme-network@crowd | grep -F '{warned}'"), 10);
    host.ok("nft delete table ip filter");
    let known = "for file in /run/sdme/containers/m-*/hosts; do test $(grep -cE '^10[.]78[.]0[.][0-9]+ m-[0-9]+ ' $file) = 50 || exit 1; done";
    host.ok(known);
    // The first and the last member resolve all fifty names, each to an address of its own.
    for index in [1, 50] {
        let found = host.ok(&format!(
            "for i in $(seq 50); do sdme-gen exec m-{index} -- /programs/member resolve m-$i </dev/null; done | sort -u | wc -l"
        ));
        assert_eq!(found.trim(), "50");
    }
    assert!(host.run_for(&format!("systemctl stop {}", all.join(" ")), std::time::Duration::from_secs(300)).success());
}

/// Twenty rounds of starts and stops of five members at a time.
fn members_come_and_go(host: &Host) {
    let units = (1..=5).map(|index| format!("systemd-nspawn@m-{index}")).collect::<Vec<_>>().join(" ");
    let rounds =
        format!("for round in $(seq 20); do systemctl start {units} && systemctl stop {units} || exit 1; done");
    let output = host.run_for(&rounds, std::time::Duration::from_secs(300));
    assert!(output.success(), "{output}");
}
