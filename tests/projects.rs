// SPDX-License-Identifier: MIT
//! Tier 2: twelve Compose projects (`tests/projects`) are converted in their directories, started
//! with the command that `convert` prints, requested at their ports and by the names of their
//! services, and removed. Each image is replaced by a small server that listens on the ports of the
//! real one. The last three projects run at the same time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::path::Path;
use std::time::Duration;

use support::containers::{boot_with, ready};
use support::host::Host;
use support::servers::{answer, published, serve};
use support::{lan, repo};

on_every_suite!(projects_run_unchanged);

/// The images that the projects name, and the ports that each of them listens on.
const IMAGES: [(&str, &str); 13] = [
    ("cache:7", "6379/tcp"),
    ("dashboard:10", "3000/tcp"),
    ("finder:1", "18502/tcp"),
    ("mail:1", "1025/tcp 8025/tcp"),
    ("media:1", "8014/tcp 8015/tcp 8016/tcp 8014/udp"),
    ("metrics:2", "9090/tcp"),
    ("page:6", "8080/tcp"),
    ("proxy:3", "80/tcp 443/tcp"),
    ("queue:3", "5672/tcp 15672/tcp"),
    ("store:16", "5432/tcp"),
    ("store:17", "5432/tcp"),
    ("vpn:1", "51820/udp 8888/tcp"),
    ("worker:1", "9100/tcp"),
];

/// A project, and what must be true while it runs.
struct Project {
    /// Its directory below `tests/projects`.
    directory: &'static str,
    /// The project name, which the names of its files begin with.
    name: &'static str,
    /// The number of ports that it publishes.
    ports: usize,
    /// A service, a name with a port that is requested in its container, and the server that
    /// answers.
    reached: &'static [(&'static str, &'static str, &'static str)],
    /// A service, a file in its container, and a part of that file.
    files: &'static [(&'static str, &'static str, &'static str)],
    /// A service, and a variable as the `export` of the shell prints it.
    variables: &'static [(&'static str, &'static str)],
    /// Services whose container has a file and does not start with the project.
    idle: &'static [&'static str],
}

const PROJECTS: [Project; 12] = [
    Project {
        directory: "shop",
        name: "little-shop",
        ports: 2,
        reached: &[("shop", "db:5432", "store")],
        files: &[],
        variables: &[("shop", "MODE='test'")],
        idle: &["mailer"],
    },
    Project {
        directory: "monitor",
        name: "monitor",
        ports: 1,
        reached: &[
            ("dashboard", "metrics:9090", "metrics"),
            ("dashboard", "my_metrics:9090", "metrics"),
            ("dashboard", "numbers.example.org:9090", "metrics"),
            ("metrics", "dashboard:3000", "dashboard"),
        ],
        files: &[],
        variables: &[],
        idle: &["debugger"],
    },
    Project {
        directory: "gateway",
        name: "gateway",
        ports: 2,
        reached: &[
            ("proxy", "backend:8080", "page"),
            ("proxy", "10.88.0.20:8080", "page"),
            ("api", "database:5432", "store"),
            ("db", "10.88.0.2:80", "proxy"),
            ("proxy", "host.docker.internal:8006", "proxy"),
        ],
        files: &[("proxy", "/etc/hosts", "192.0.2.7 printer")],
        variables: &[],
        idle: &[],
    },
    Project {
        directory: "tunnel",
        name: "tunnel",
        ports: 4,
        reached: &[
            ("files", "localhost:9090", "metrics"),
            ("numbers", "reader:8025", "mail"),
            ("reader", "vpn:8080", "page"),
        ],
        files: &[("vpn", "/proc/sys/net/ipv4/conf/all/src_valid_mark", "1")],
        variables: &[],
        idle: &[],
    },
    Project {
        directory: "notes",
        name: "notes",
        ports: 1,
        reached: &[("notes", "db:5432", "store")],
        files: &[("db", "/init/first.sql", "create table")],
        variables: &[
            ("db", "LEVEL='debug'"),
            ("db", "TZ='Europe/Berlin'"),
            ("notes", "URL='http://notes.example.org/path'"),
            ("notes", "SECRET='a $b c'"),
        ],
        idle: &[],
    },
    Project {
        directory: "wiki",
        name: "wiki",
        ports: 1,
        reached: &[("wiki", "db:5432", "store"), ("wiki", "cache:6379", "cache")],
        files: &[],
        variables: &[("wiki", "STORE='db:5432'")],
        idle: &[],
    },
    Project {
        directory: "vault",
        name: "vault",
        ports: 1,
        reached: &[("vault", "audit:6379", "cache")],
        files: &[
            ("vault", "/run/secrets/key", "the key"),
            ("audit", "/run/secrets/key", "the key"),
            ("vault", "/etc/vault/token", "t0ken"),
            ("vault", "/etc/vault/settings.conf", "color = blue"),
            ("vault", "/banner", "Welcome to vault"),
        ],
        variables: &[],
        idle: &[],
    },
    Project {
        directory: "media",
        name: "media",
        ports: 4,
        reached: &[("indexer", "media:8015", "media")],
        files: &[],
        variables: &[],
        idle: &[],
    },
    Project {
        directory: "broker",
        name: "broker",
        ports: 1,
        reached: &[("client", "broker:5672", "queue"), ("broker", "client:9100", "worker")],
        files: &[],
        variables: &[],
        idle: &[],
    },
    Project {
        directory: "blog",
        name: "blog",
        ports: 1,
        reached: &[("blog", "db:5432", "store")],
        files: &[("blog", "/theme/style.css", "black")],
        variables: &[
            ("blog", "DATABASE_URL='store://blog:se cret@db:5432/blog'"),
            ("blog", "PRICE='5$'"),
            ("db", "STORE_PASSWORD='se cret'"),
        ],
        idle: &[],
    },
    Project {
        directory: "farm",
        name: "farm",
        ports: 1,
        reached: &[
            ("proxy", "worker:9100", "worker"),
            ("proxy", "queue:5672", "queue"),
            ("queue", "worker:9100", "worker"),
        ],
        files: &[],
        variables: &[],
        idle: &["idle"],
    },
    Project {
        directory: "forum",
        name: "forum",
        ports: 1,
        reached: &[
            ("forum", "store:5432", "store"),
            ("forum", "db:5432", "store"),
            ("forum", "cache:6379", "cache"),
            ("db", "forum.example.org:8080", "page"),
        ],
        files: &[],
        variables: &[],
        idle: &[],
    },
];

fn on(suite: &str, name: &str, case: fn(&Host, &Path)) {
    if ready(suite, &["gcc", "ldd", "docker-registry", "skopeo"]) {
        let outside = tempfile::tempdir().unwrap();
        let name = name.split('_').next().unwrap();
        case(&boot_with(Host::builder(suite, name).bind(&repo("tests/projects"), "/srv/projects")), outside.path());
    }
}

fn projects_run_unchanged(host: &Host, outside: &Path) {
    serve(host, outside, &IMAGES, &["wget"]);
    lan::tools(host);
    host.ok("cp -r /srv/projects /srv/work");
    let (alone, together) = PROJECTS.split_at(9);
    for project in alone {
        let units = project.start(host);
        project.look(host, &units);
        project.remove(host, &units);
        nothing_is_left(host);
    }
    let started: Vec<Vec<String>> = together.iter().map(|project| project.start(host)).collect();
    for (project, units) in together.iter().zip(&started) {
        project.look(host, units);
    }
    // The three copies of the farm's worker are known by name in the network of that project.
    let workers = host.ok("grep -cE '^[0-9.]+ farm-worker-[123] .*worker' /run/sdme/containers/farm-proxy/hosts");
    assert_eq!(workers.trim(), "3");
    for (project, units) in together.iter().zip(&started) {
        project.remove(host, units);
    }
    nothing_is_left(host);
}

impl Project {
    /// Converts and starts the project; returns the units of its containers.
    fn start(&self, host: &Host) -> Vec<String> {
        let convert = format!("cd /srv/work/{} && sdme-gen convert --write compose", self.directory);
        let output = host.run(&convert);
        assert!(output.success() && output.stderr.is_empty(), "{}: {output}", self.directory);
        let start = output.stdout.lines().find_map(|line| line.strip_prefix("start the project with: "));
        let start = start.unwrap_or_else(|| panic!("{}: {output}", self.directory));
        let report = host.run("sdme-gen check");
        assert!(report.success() && report.stderr.is_empty(), "{}: {report}", self.directory);
        let started = host.run_for(start, Duration::from_secs(180));
        assert!(
            started.success(),
            "{}: {started}\n{}\n{}",
            self.directory,
            host.run("systemctl status --failed --no-pager --lines=30").stdout,
            host.ok("journalctl -b --no-pager -o short-monotonic | tail -n 150")
        );
        // A second conversion changes nothing.
        assert_eq!(host.ok(&convert), "", "{}", self.directory);
        start.split_whitespace().filter(|word| word.ends_with(".service")).map(str::to_owned).collect()
    }

    /// The name of the container of a service.
    fn container(&self, service: &str) -> String {
        format!("{}-{service}", self.name)
    }

    fn look(&self, host: &Host, units: &[String]) {
        let mut count = 0;
        for unit in units {
            let container = unit.trim_start_matches("systemd-nspawn@").trim_end_matches(".service");
            let text = host.ok(&format!("cat /etc/sdme/{container}.container || :"));
            for port in published(&text) {
                let (name, inner) = answer(host, &port);
                assert_eq!(inner, port.2, "{container}: {name}");
                count += 1;
            }
            // Every unit is active and was never restarted, or is a job that has not failed.
            let job = text.lines().any(|line| line == "Type=oneshot");
            let state = host.ok(&format!("for p in ActiveState NRestarts; do systemctl show -P $p {unit}; done"));
            let state: Vec<&str> = state.split_whitespace().collect();
            assert!(state == ["active", "0"] || job && state[0] != "failed", "{unit}: {state:?}");
        }
        assert_eq!(count, self.ports, "{}", self.directory);
        let exec = |service: &str, command: &str| {
            host.ok(&format!("sdme-gen exec {} -- {command} </dev/null", self.container(service)))
        };
        for (service, at, name) in self.reached {
            let asked = exec(service, &format!("wget http://{at}/"));
            assert!(asked.lines().last().unwrap_or_default().starts_with(name), "{service} {at}: {asked}");
        }
        for (service, path, part) in self.files {
            let text = exec(service, &format!("cat {path}"));
            assert!(text.contains(part), "{service} {path}: {text}");
        }
        for (service, variable) in self.variables {
            let all = exec(service, "sh -c 'export'");
            assert!(all.contains(variable), "{service} {variable}: {all}");
        }
        for service in self.idle {
            let container = self.container(service);
            host.ok(&format!("test -e /etc/sdme/{container}.container"));
            host.fails(&format!("systemctl is-active systemd-nspawn@{container}"));
        }
        assert_eq!(host.ok("systemctl list-units --failed --no-legend --plain 'systemd-nspawn@*' 'sdme-*'"), "");
    }

    /// Stops the project, and removes its containers, networks and volumes.
    fn remove(&self, host: &Host, units: &[String]) {
        host.ok(&format!("systemctl stop {}", units.join(" ")));
        let names = |pattern: &str| {
            let list = format!("cd /etc/sdme && ls -d {pattern} 2>/dev/null || :");
            let list = host.ok(&list);
            list.lines().map(|file| file.rsplit_once('.').unwrap().0.to_owned()).collect::<Vec<_>>()
        };
        let containers = names(&format!("{}-*.container", self.name));
        let containers: Vec<_> =
            containers.iter().filter(|name| !name.ends_with('@')).map(|name| name.replace('@', "-")).collect();
        host.ok(&format!("sdme-gen rm {}", containers.join(" ")));
        host.ok(&format!("rm -f /etc/sdme/{}-*@.container /etc/sdme/{0}-*.volume /etc/credstore/{0}-*", self.name));
        for network in names(&format!("{}-*.network", self.name)).iter().chain(&names("shared-net.network")) {
            host.ok(&format!("sdme-gen network rm {network}"));
        }
        let rest = format!(
            "cd /var/lib/sdme/volumes && for v in {}-*; do test ! -e $v || sdme-gen volume rm $v; done",
            self.name
        );
        host.ok(&format!("systemctl daemon-reload && {rest}"));
    }
}

/// Checks that no project has left a file, a network or a running unit.
fn nothing_is_left(host: &Host) {
    assert_eq!(host.ok("ls /etc/sdme").trim(), "sdme.conf");
    host.wait("test -z \"$(nft list tables)\" && ! ip -br link | grep sdm", 30);
    assert_eq!(host.ok("cd /var/lib/sdme && ls containers volumes | grep -vE '^$|:$' || :"), "");
    host.ok(
        "! systemctl --no-legend --plain list-units --state=active,failed 'systemd-nspawn@*' 'sdme-network@*' | grep .",
    );
}
