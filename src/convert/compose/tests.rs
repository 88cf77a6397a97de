// SPDX-License-Identifier: MIT
//! Tests of the conversion from projects to files.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::compose::{Kind, Request, absolute, resolve};
use crate::diag::Fault;

#[path = "replicas_tests.rs"]
mod replicas_tests;

struct Given(BTreeMap<String, String>);

impl Files for Given {
    fn read(&self, path: &str) -> Result<Option<String>, Fault> {
        Ok(self.0.get(path).cloned())
    }

    fn kind(&self, path: &str) -> Kind {
        if self.0.contains_key(path) { Kind::File } else { Kind::Missing }
    }

    fn list(&self, directory: &str) -> Vec<String> {
        let inside = |path: &String| path.strip_prefix(directory)?.strip_prefix('/').map(str::to_owned);
        self.0.keys().filter_map(inside).collect()
    }
}

/// Converts a project in `/srv/shop`. The first text is the Compose file; each other text starts
/// with its file name, a colon and a line break.
fn convert(texts: &[&str]) -> Result<Outcome, String> {
    let mut files = BTreeMap::new();
    for (index, text) in texts.iter().enumerate() {
        let (name, text) = if index == 0 { ("compose.yaml", *text) } else { text.split_once(":\n").unwrap() };
        files.insert(absolute("/srv/shop", name), text.to_owned());
    }
    let files = Given(files);
    let request = Request { directory: "/srv/shop".to_owned(), ..Request::default() };
    resolve(&request, &files).and_then(|resolved| compose(&resolved, &files)).map_err(|fault| fault.to_string())
}

/// Returns a project with a service `w`, the image `x:1` and additional settings.
fn service(settings: &str) -> String {
    format!("services:\n  w:\n    image: x:1\n    {}\n", settings.replace('\n', "\n    "))
}

/// Returns the lines of a file after its mark.
fn lines<'a>(outcome: &'a Outcome, file: &str) -> Vec<&'a str> {
    let text = outcome.files.get(file).map(String::as_str).unwrap_or_default();
    text.lines().skip(2).collect()
}

/// Settings of the service, lines of its file (`!` marks the start of a line that must be absent),
/// and parts of the lost settings.
const SETTINGS: [(&str, &[&str], &[&str]); 68] = [
    // Command, user and environment.
    ("command: prog --re '^\\d+'", &["Exec=prog --re \"^\\\\d+\""], &[]),
    ("command: [\n  \"a\"\n]\ntty: true", &["Exec=a"], &[]),
    ("entrypoint: ''\ncommand: [top]", &["Entrypoint=[]", "Exec=top"], &[]),
    ("entrypoint: []", &["Entrypoint=[]"], &[]),
    ("entrypoint: ['[', a]", &["Entrypoint=[\"[\",\"a\"]"], &[]),
    ("command: []", &["!Exec="], &["command: it is empty"]),
    ("command: \"a 'b\"", &["!Exec="], &["command: the quote"]),
    ("user: 1000:50", &["User=1000", "Group=50"], &[]),
    (
        "environment: {A: ^a$$, B: 1.10, C: true, D: ''}",
        &["Environment=A=^a$", "Environment=B=1.1", "Environment=C=true", "Environment=D="],
        &[],
    ),
    ("environment: [NOTSET, 'E=a b']", &["!Environment=NOTSET", "Environment=\"E=a b\""], &[]),
    (
        "working_dir: /a\nread_only: true\nstop_signal: INT\nstop_grace_period: 1m30s",
        &["WorkingDir=/a", "ReadOnly=true", "StopSignal=INT", "StopTimeout=1m30s"],
        &[],
    ),
    (
        "init: true\nstdin_open: true\ntty: true\nattach: false\nexpose: ['80']\nx-foo: {a: b}\nprivileged: false\nlogging: {driver: json-file}",
        &[],
        &[],
    ),
    ("privileged: true", &[], &["privileged: "]),
    ("frobnicate: 1", &[], &["frobnicate: unknown key"]),
    // Variables and merge keys work everywhere in a file.
    (
        "cpus: '${C:-1.5}'\nnetwork_mode: '${M:-host}'\ndeploy: {restart_policy: {condition: '${R:-any}'}}",
        &["CPUQuota=150%", "Network=host", "Restart=always"],
        &[],
    ),
    ("x-e: &e {A: '1', B: '2'}\nenvironment:\n  <<: *e\n  B: '3'", &["Environment=A=1", "Environment=B=3"], &[]),
    (
        "x-d: &d {gone: {condition: service_started, required: false}}\ndepends_on:\n  <<: *d",
        &["!Requires=", "!After="],
        &[],
    ),
    // Health checks.
    (
        "healthcheck: {test: [CMD, a, 'b c'], interval: 1m30s, timeout: 5s, retries: 2, start_period: 0s}",
        &[
            "HealthCmd=[\"a\",\"b c\"]",
            "HealthInterval=1m30s",
            "HealthTimeout=5s",
            "HealthRetries=2",
            "!HealthStartPeriod=",
        ],
        &[],
    ),
    (
        "healthcheck: {test: ['CMD-SHELL','[ -f /x ] || exit 1']}",
        &["HealthCmd=[\"/bin/sh\",\"-c\",\"[ -f /x ] || exit 1\"]"],
        &[],
    ),
    ("healthcheck:\n  test: |\n    a &&\n    b", &["HealthCmd=[\"/bin/sh\",\"-c\",\"a &&\\nb\"]"], &[]),
    ("healthcheck: {test: curl -f http://localhost}", &["HealthCmd=curl -f http://localhost"], &[]),
    ("healthcheck: {disable: true}", &["HealthCmd=none"], &[]),
    ("healthcheck: {test: [NONE]}", &["HealthCmd=none"], &[]),
    (
        "healthcheck: {test: [CMD, a], start_interval: 2s}",
        &["HealthCmd=[\"a\"]", "!HealthStartupInterval="],
        &["healthcheck.start_interval: "],
    ),
    ("healthcheck: {test: [a]}", &["!HealthCmd="], &["healthcheck.test: "]),
    // Limits and restarts.
    (
        "deploy: {resources: {limits: {memory: 1GiB, cpus: '1.5', pids: 5}, reservations: {memory: 64m}}}",
        &["MemoryMax=1G", "CPUQuota=150%", "TasksMax=5", "MemoryLow=64M"],
        &[],
    ),
    (
        "mem_limit: 512m\ncpus: 0.5\ncpu_shares: 512\npids_limit: 9",
        &["MemoryMax=512M", "CPUQuota=50%", "CPUWeight=50", "PidsLimit=9"],
        &[],
    ),
    ("cpu_quota: 50000\ncpu_period: 25000", &["CPUQuota=200%"], &[]),
    ("ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}", &["Ulimit=nofile=10:20", "Ulimit=nproc=5"], &[]),
    ("restart: always", &["Restart=always", "WantedBy=machines.target"], &[]),
    ("restart: 'no'", &["!Restart="], &[]),
    ("restart: on-failure:3", &["Restart=on-failure", "StartLimitBurst=3", "!WantedBy="], &[]),
    (
        "deploy: {restart_policy: {condition: on-failure, max_attempts: 3, delay: 5s, window: 10s}}",
        &["Restart=on-failure", "StartLimitBurst=3", "RestartSec=5s"],
        &["deploy.restart_policy.window: "],
    ),
    (
        "deploy: {replicas: 3, mode: replicated, placement: {}, update_config: {}}\nports: ['80:80']",
        &[],
        &["deploy.replicas: one container runs, not 3: a port of the host"],
    ),
    ("deploy: {replicas: 0}\nrestart: always", &["Restart=always", "!WantedBy="], &[]),
    (
        "deploy: {resources: {reservations: {devices: [{driver: nvidia, capabilities: [gpu]}]}}}",
        &[],
        &["(gpu of nvidia)"],
    ),
    ("gpus: all", &[], &["gpus: "]),
    ("profiles: [debug]\nrestart: always", &["Restart=always", "!WantedBy="], &[]),
    // Volumes, devices and secrets.
    (
        "volumes: ['./a%N:/x', '/only', {type: bind, source: rel, target: /r, read_only: true}]",
        &["Volume=/srv/shop/a%%N:/x", "Volume=/only", "Volume=/srv/shop/rel:/r:ro"],
        &[],
    ),
    ("volumes: ['./a:/x:rw,z,cached,U']", &["Volume=/srv/shop/a:/x"], &["volumes: the option U"]),
    (
        "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 10m, mode: 01777}}]\ntmpfs: /u:size=5m",
        &["Tmpfs=/t:size=10m,mode=1777,noexec,notmpcopyup", "Tmpfs=/u:size=5m,noexec,notmpcopyup"],
        &[],
    ),
    (
        "volumes: [{type: bind, source: /a, target: /x, bind: {propagation: rslave}}, {type: bind, source: /b, target: /y, bind: {propagation: rshared}}]",
        &["Volume=/a:/x", "Volume=/b:/y"],
        &["volumes: the option rshared of /b"],
    ),
    ("volumes: [{type: image, source: busybox, target: /i}]", &["!Volume="], &["volumes: the type image"]),
    (
        "volumes: ['none:/d', ':/e', '/var/run/docker.sock:/s']",
        &["Volume=/var/run/docker.sock:/s"],
        &["no volume none", "empty source", "docker.sock is not on this host"],
    ),
    (
        "devices: [{source: /dev/x, target: /dev/y, permissions: rw}, '/dev/z', 'vendor.com/gpu=0']",
        &["AddDevice=/dev/x:/dev/y:rw", "AddDevice=/dev/z"],
        &["devices: vendor.com/gpu=0"],
    ),
    ("secrets: [k]", &["!Secret="], &["secrets: there is no k"]),
    // Names and ports.
    ("label_file: labels.env\nlabels: {a: b}", &["Label=a=b"], &["label_file: write the labels into labels:"]),
    ("hostname: a_b", &["HostName=a-b"], &["hostname: a_b is no host name"]),
    (
        "extra_hosts: ['host.docker.internal:host-gateway', 'a=192.0.2.1', 'b:::1']",
        &["AddHost=host.docker.internal:host-gateway", "AddHost=a:192.0.2.1", "AddHost=b:::1"],
        &[],
    ),
    ("network_mode: host\nports: ['80:80']", &["Network=host", "!PublishPort="], &[]),
    (
        "network_mode: bridge\nports: ['127.0.0.1:81:80/udp']",
        &["Network=bridge", "PublishPort=127.0.0.1:81:80/udp"],
        &[],
    ),
    ("network_mode: none\nports: ['80:80']", &["Network=none", "!PublishPort="], &[]),
    (
        "network_mode: 'container:other'",
        &["Network=shop-default.network:alias=w"],
        &["network_mode: the project has no container for other"],
    ),
    ("network_mode: my_proxy", &["Network=my-proxy.network:alias=w"], &[]),
    (
        "networks: {default: {ipv4_address: 172.20.0.2, aliases: [x, 'a b'], driver_opts: {a: b}}}",
        &["Network=shop-default.network:alias=w,alias=x"],
        &["networks.default.ipv4_address: ", "networks.default.aliases: a b", "networks.default.driver_opts: "],
    ),
    (
        "container_name: my_w\nmac_address: 02:42:00:00:00:07\nexpose: [80]",
        &["Network=shop-default.network:alias=w,alias=my_w,mac=02:42:00:00:00:07"],
        &[],
    ),
    (
        "mac_address: x\nnetworks: [gone]",
        &["Network=shop-default.network:alias=w"],
        &["mac_address: x", "there is no gone"],
    ),
    // Security.
    (
        "security_opt: ['no-new-privileges:true', 'label:disable', 'apparmor=unconfined', 'seccomp:unconfined']",
        &["NoNewPrivileges=yes", "AppArmor=unconfined"],
        &["seccomp:unconfined"],
    ),
    ("cap_add: [NET_ADMIN]\ncap_drop: [ALL]", &["AddCapability=NET_ADMIN", "DropCapability=ALL"], &[]),
    ("cap_add: [NO_SUCH]", &["!AddCapability="], &["AddCapability=NO_SUCH"]),
    (
        "sysctls: {net.core.somaxconn: 1024}\nshm_size: 64m\ngroup_add: [5]",
        &["Sysctl=net.core.somaxconn=1024", "ShmSize=64m", "GroupAdd=5"],
        &[],
    ),
    ("pull_policy: always", &["Pull=always"], &[]),
    ("pull_policy: if_not_present\nruntime: runc\npid: ''\nipc: private\nuserns_mode: host", &["!Pull="], &[]),
    ("pid: host\nruntime: nvidia", &[], &["pid: host", "runtime: "]),
    ("labels: {a: b}\nannotations: [c=d]", &["Label=a=b", "Annotation=c=d"], &[]),
    ("build: .", &["Image=x:1"], &["build: nothing is built here; x:1"]),
    ("platform: linux/arm64\npull_policy: daily", &["Image=shop-w.image", "!Pull="], &[]),
    ("platform: linux", &["Image=x:1"], &[]),
];

#[test]
fn every_setting_is_mapped_or_listed() {
    for (settings, expected, lost) in SETTINGS {
        let outcome = convert(&[&service(settings)]).unwrap();
        let found = lines(&outcome, "shop-w.container");
        for line in expected {
            match line.strip_prefix('!') {
                Some(start) => {
                    assert!(!found.iter().any(|found| found.starts_with(start)), "{settings}: {start} in {found:#?}");
                }
                None => assert!(found.contains(line), "{settings}: {line} not in {found:#?}, lost {:?}", outcome.lost),
            }
        }
        let listed: Vec<String> = outcome.lost.iter().map(ToString::to_string).collect();
        assert_eq!(listed.len(), lost.len(), "{settings}: {listed:#?}");
        for part in lost {
            assert!(listed.iter().any(|listed| listed.contains(part)), "{settings}: {part} not in {listed:#?}");
        }
    }
}

#[test]
fn an_image_for_another_platform_gets_a_file() {
    let outcome = convert(&[&service("platform: linux/arm/v7\npull_policy: daily\nscale: 2")]).unwrap();
    let image = ["[Image]", "Image=x:1", "Policy=newer", "Arch=arm", "Variant=v7"];
    assert_eq!(lines(&outcome, "shop-w.image"), image);
    assert!(lines(&outcome, "shop-w@.container").contains(&"Image=shop-w.image"), "{outcome:?}");
    let outcome = convert(&[&service("platform: arm64")]).unwrap();
    assert!(lines(&outcome, "shop-w.image").contains(&"Arch=arm64"), "{outcome:?}");
    // There is no image for another system.
    let outcome = convert(&[&service("platform: windows/amd64")]).unwrap();
    let lost: Vec<String> = outcome.lost.iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["shop-w.image: OS=windows: is not one of linux; write one of these values"]);
}

#[test]
fn ports_are_published_by_the_container() {
    for (port, expected, lost) in [
        ("'8080:80'", "8080:80", 0),
        ("'${BIND:-}:81:81'", "81:81", 0),
        ("'127.0.0.1:81:80/tcp'", "127.0.0.1:81:80", 0),
        ("'[::1]:81:80'", "[::1]:81:80", 0),
        ("{target: 443, published: 8443, protocol: udp, mode: host}", "8443:443/udp", 0),
        ("{target: 80, published: '${P:-8080}', host_ip: '::1'}", "[::1]:8080:80", 0),
        ("'80-82:90-92'", "80-82:90-92", 0),
        ("'8000-8010:80'", "8000:80", 1),
        ("80", "80:80", 1),
        ("'127.0.0.1::80'", "127.0.0.1:80:80", 1),
    ] {
        let outcome = convert(&[&service(&format!("ports: [{port}]"))]).unwrap();
        let expected = format!("PublishPort={expected}");
        assert!(lines(&outcome, "shop-w.container").contains(&expected.as_str()), "{port}: {:#?}", outcome.files);
        assert_eq!(outcome.lost.len(), lost, "{port}: {:?}", outcome.lost);
    }
}

#[test]
fn services_reach_each_other_by_name_and_start_in_order() {
    let text = "
services:
  db: {image: 'd:1', container_name: database, hostname: db.local, healthcheck: {test: [CMD, a]}}
  web: {image: 'w:1', links: ['db:store'], networks: {default: {aliases: [front]}}, depends_on: {db: {condition: service_healthy}, job: {condition: service_completed_successfully}, gone: {condition: service_started, required: false}}}
  job: {image: 'j:1'}
  vpn: {image: 'v:1', network_mode: 'service:web'}
  mail: {image: 'm:1', network_mode: 'container:database'}
  old: {image: 'o:1', network_mode: bridge, links: ['store:old-store']}
  store: {image: 's:1', network_mode: bridge, links: ['db:web']}
";
    let outcome = convert(&[text]).unwrap();
    for (service, network) in [
        ("db", "shop-default.network:alias=db,alias=database"),
        ("web", "shop-default.network:alias=web,alias=front"),
        ("job", "shop-default.network:alias=job"),
        ("vpn", "shop-web.container"),
        ("mail", "shop-db.container"),
        ("old", "bridge"),
        ("store", "bridge:alias=old-store"),
    ] {
        let found = lines(&outcome, &format!("shop-{service}.container"));
        assert!(found.contains(&format!("Network={network}").as_str()), "{service}: {found:#?}");
    }
    assert_eq!(lines(&outcome, "shop-default.network"), ["[Network]"]);
    assert!(lines(&outcome, "shop-db.container").contains(&"HostName=db.local"));
    assert!(lines(&outcome, "shop-db.container").contains(&"Notify=healthy"));
    assert!(lines(&outcome, "shop-job.container").contains(&"Type=oneshot"));
    let web = lines(&outcome, "shop-web.container");
    for line in ["Requires=shop-db.container", "After=shop-db.container", "After=shop-job.container"] {
        assert!(web.contains(&line), "{web:#?}");
    }
    assert!(lines(&outcome, "shop-vpn.container").contains(&"Requires=shop-web.container"));
    let optional = "services:\n  a: {image: 'a:1', profiles: [p]}\n  w: {image: 'w:1', depends_on: {a: {condition: service_started, required: false}}}\n";
    assert_eq!(
        lines(&convert(&[optional]).unwrap(), "shop-w.container"),
        ["[Container]", "Image=w:1", "Network=shop-default.network:alias=w"]
    );
    // One name belongs to another service, and one name would belong to two services.
    let lost: Vec<String> = outcome.lost.iter().map(ToString::to_string).collect();
    assert!(lost.iter().all(|lost| lost.contains(": links: ")) && lost.len() == 2, "{lost:#?}");
    assert_eq!(outcome.start.len(), 7);
}

#[test]
fn the_used_networks_of_a_project_become_files() {
    let text = "
services:
  w: {image: 'x:1', networks: {back: {priority: 5}, front: {gw_priority: 1, ipv4_address: 10.9.0.5, ipv6_address: 'fd09::5', mac_address: '02:00:00:00:00:01', interface_name: net0}}}
  p: {image: 'p:1', networks: [proxy, other]}
  h: {image: 'h:1', networks: [hosted]}
networks:
  front:
    driver: bridge
    enable_ipv6: true
    driver_opts: {com.docker.network.driver.mtu: 1400, com.docker.network.bridge.name: br-front, odd: 1}
    ipam: {config: [{subnet: 10.9.0.0/24, gateway: 10.9.0.254, ip_range: 10.9.0.128/25}, {subnet: 'fd09::/64'}]}
    labels: {a: b}
  back: {internal: true, driver: overlay, attachable: true}
  unused: {driver: macvlan}
  proxy: {external: true}
  other: {external: {name: other_default}}
  hosted: {external: true, name: host}
";
    let outcome = convert(&[text]).unwrap();
    assert_eq!(
        lines(&outcome, "shop-front.network"),
        [
            "[Network]",
            "Options=mtu=1400",
            "InterfaceName=br-front",
            "Subnet=10.9.0.0/24",
            "Gateway=10.9.0.254",
            "IPRange=10.9.0.128/25",
            "Subnet=fd09::/64",
            "Label=a=b"
        ]
    );
    assert_eq!(lines(&outcome, "shop-back.network"), ["[Network]", "Internal=yes"]);
    let networks = |service: &str| -> Vec<&str> {
        let lines = lines(&outcome, &format!("shop-{service}.container"));
        lines.into_iter().filter_map(|line| line.strip_prefix("Network=")).collect()
    };
    assert_eq!(
        networks("w"),
        [
            "shop-front.network:alias=w,ip=10.9.0.5,ip6=fd09::5,mac=02:00:00:00:00:01,interface_name=net0",
            "shop-back.network:alias=w"
        ]
    );
    assert_eq!(networks("p"), ["other-default.network:alias=p", "proxy.network:alias=p"]);
    assert_eq!(networks("h"), ["host"]);
    assert_eq!(outcome.shared.iter().collect::<Vec<_>>(), ["other-default.network", "proxy.network"]);
    assert!(!outcome.files.contains_key("shop-unused.network"));
    let lost: Vec<String> = outcome.lost.iter().map(|lost| format!("{}: {}", lost.subject, lost.key)).collect();
    assert_eq!(lost, ["network back: driver", "network front: driver_opts.odd"]);
    // The file of a network has the name that the network has in Docker, so projects that refer to
    // it use the same file.
    let named = "services: {w: {image: 'x:1', networks: [a, b]}}\nnetworks: {a: {name: proxy}, b: {name: proxy}}";
    assert_eq!(convert(&[named]).unwrap().files.keys().collect::<Vec<_>>(), ["proxy.network", "shop-w.container"]);
}

#[test]
fn two_services_can_listen_on_the_same_container_port() {
    let text = "services:\n  one: {image: 'n:1', ports: ['8081:80']}\n  two: {image: 'n:1', ports: ['8082:80']}\n";
    let outcome = convert(&[text]).unwrap();
    for (service, port) in [("one", "PublishPort=8081:80"), ("two", "PublishPort=8082:80")] {
        let found = lines(&outcome, &format!("shop-{service}.container"));
        assert!(found.contains(&port), "{found:#?}");
    }
    assert_eq!(outcome.lost, []);
}

#[test]
fn the_volumes_of_a_project_become_files_or_paths() {
    let text = "
services:
  w: {image: 'x:1', volumes: ['data:/d:ro', 'dat:/b', 'nfs:/n', 'ext:/e', 'a_1:/1', 'a-1:/2', 'own:/o', 'odd:/p']}
volumes:
  data:
  dat: {driver_opts: {type: none, o: bind, device: ./here}}
  nfs: {driver_opts: {type: nfs, o: 'addr=192.0.2.1,rw', device: ':/x'}}
  ext: {external: true, name: other}
  a_1: {labels: {a: b}}
  a-1: {}
  own: {name: mine}
  odd: {driver: rclone}
";
    let outcome = convert(&[text]).unwrap();
    let container = lines(&outcome, "shop-w.container");
    for volume in [
        "shop-data.volume:/d:ro",
        "/srv/shop/here:/b",
        "shop-nfs.volume:/n",
        "other:/e",
        "shop-a-1.volume:/1",
        "shop-a-1-2.volume:/2",
        "shop-own.volume:/o",
    ] {
        assert!(container.contains(&format!("Volume={volume}").as_str()), "{volume}: {container:#?}");
    }
    assert_eq!(lines(&outcome, "shop-data.volume"), ["[Volume]"]);
    assert_eq!(lines(&outcome, "shop-nfs.volume"), ["[Volume]", "Device=192.0.2.1:/x", "Type=nfs", "Options=rw"]);
    assert_eq!(lines(&outcome, "shop-own.volume"), ["[Volume]", "VolumeName=mine"]);
    assert_eq!(outcome.directories.iter().collect::<Vec<_>>(), ["/srv/shop/here"]);
    let lost: Vec<String> = outcome.lost.iter().map(|lost| format!("{}: {}", lost.subject, lost.key)).collect();
    assert_eq!(lost, ["volume ext: external", "volume odd: driver"]);
}

#[test]
fn environment_files_are_referenced_or_copied() {
    let text = service(
        "env_file:\n  - ./plain.env\n  - {path: missing.env, required: false}\n  - gone.env\n  - quoted.env\n  - {path: raw.env, format: raw}\nenvironment: [B=own]",
    );
    let outcome = convert(&[
        &text,
        "plain.env:\n# c\nX=1\n",
        "quoted.env:\nHOST_X=h\nPASS=\"se cret\" # change\nURL=http://${HOST_X}/\nB=file\n",
        "raw.env:\nR=\"x\" # y\n",
    ])
    .unwrap();
    let container = lines(&outcome, "shop-w.container");
    for line in [
        "EnvironmentFile=/srv/shop/plain.env",
        "EnvironmentFile=-/srv/shop/missing.env",
        "EnvironmentFile=/srv/shop/gone.env",
        "Environment=HOST_X=h",
        "Environment=\"PASS=se cret\"",
        "Environment=URL=http://h/",
        "Environment=B=own",
        "Environment=\"R=\\\"x\\\" # y\"",
    ] {
        assert!(container.contains(&line), "{line}: {container:#?}");
    }
    assert!(!container.contains(&"Environment=B=file"));
}

#[test]
fn secrets_and_configs_become_mounts_or_credentials() {
    let text = "
services:
  w: {image: 'x:1', secrets: [k, {source: e, target: /e, uid: '5', mode: 0440}, t], configs: [{source: c, target: /etc/c}, i]}
secrets: {k: {file: ./k.txt}, e: {environment: TOKEN}, t: {environment: KNOWN}}
configs: {c: {file: ./c.conf}, i: {content: \"a\\nb $$x\\n\"}}
";
    let outcome = convert(&[text, ".env:\nKNOWN=value\n"]).unwrap();
    let container = lines(&outcome, "shop-w.container");
    for line in [
        "Volume=/srv/shop/k.txt:/run/secrets/k:ro",
        "Volume=/srv/shop/c.conf:/etc/c:ro",
        "Secret=e,target=/e,uid=5,mode=0440",
        "Secret=shop-t,target=/run/secrets/t,mode=0444",
        "Secret=shop-i,target=/i,mode=0444",
    ] {
        assert!(container.contains(&line), "{line}: {container:#?}");
    }
    let values: Vec<(&str, &str)> =
        outcome.credentials.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(values, [("shop-i", "a\nb $x\n"), ("shop-t", "value")]);
    assert_eq!(outcome.lost.len(), 1, "{:?}", outcome.lost);
    assert!(outcome.lost.first().unwrap().reason.contains("from the variable TOKEN to /etc/credstore/e"));
}

#[test]
fn services_with_the_same_plain_name_get_different_files() {
    let outcome = convert(&["services:\n  a_b: {image: 'x:1'}\n  a-b: {image: 'y:1'}\n"]).unwrap();
    assert!(lines(&outcome, "shop-a-b.container").contains(&"Image=x:1"));
    assert!(lines(&outcome, "shop-a-b-2.container").contains(&"Image=y:1"));
    let own = convert(&["name: guac\nservices:\n  guac: {image: 'g:1', network_mode: bridge}\n  db: {image: 'd:1'}\n"])
        .unwrap();
    assert_eq!(
        own.files.keys().collect::<Vec<_>>(),
        ["guac-db.container", "guac-default.network", "guac-guac.container"]
    );
}

#[test]
fn services_without_an_image_and_invalid_files_are_left_out_and_listed() {
    let text = "services:\n  w: {build: ./src, ports: ['80:80']}\n  bad: {image: 'x y:1'}\n  none: {restart: always}\n  good: {image: 'x:1', depends_on: [w]}\nmodels: {m: {}}\n";
    let outcome = convert(&[text]).unwrap();
    assert_eq!(outcome.files.keys().collect::<Vec<_>>(), ["shop-default.network", "shop-good.container"]);
    let lost: Vec<String> = outcome.lost.iter().map(ToString::to_string).collect();
    for part in [
        "w: build: the service is not converted, as it has no image; run `podman build -t localhost/shop-w /srv/shop/src`",
        "none: image: the service is not converted",
        "good: depends_on: there is no container for the service w",
        "project: models: ",
        "shop-bad.container: Image=x y:1: the file is not written: ",
    ] {
        assert!(lost.iter().any(|lost| lost.contains(part)), "{part}: {lost:#?}");
    }
    assert!(convert(&["services: {web: 5}"]).unwrap_err().contains("the service web must be a mapping"));
    assert!(convert(&["services: ["]).unwrap_err().starts_with("/srv/shop/compose.yaml:2: "));
    let unset = convert(&[&service("hostname: ${NOTSET}x")]).unwrap();
    assert_eq!(unset.remarks, ["the variable NOTSET is not set, and is empty"]);
    assert_eq!(unset.lost, []);
}
