// SPDX-License-Identifier: MIT
//! Tier 2: the manifests of `tests/manifests` are converted on a host and started with the command
//! that `convert` prints. Their ports and the names of their services are then checked, and they
//! are stopped. Each image is replaced by a small server that listens on the ports of the real one.
//! One manifest names another machine and a cloud driver, so it is not started here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::path::Path;
use std::time::Duration;

use support::containers::{boot_with, ready};
use support::host::Host;
use support::servers::{answer, serve};
use support::{lan, repo};

on_every_suite!(clusters_run_on_one_machine);

/// The images that the manifests name, and the ports on which each of them listens.
const IMAGES: [(&str, &str); 10] = [
    ("cache:7", "6379/tcp"),
    ("dashboard:10", "3000/tcp"),
    ("mail:1", "1025/tcp 8025/tcp"),
    ("media:1", "8014/tcp 8015/tcp 8014/udp"),
    ("metrics:2", "9090/tcp"),
    ("page:6", "8080/tcp"),
    ("queue:3", "5672/tcp 15672/tcp"),
    ("store:16", "5432/tcp"),
    ("store:17", "5432/tcp"),
    ("worker:1", "9100/tcp"),
];

/// A manifest, and the checks while it runs.
#[derive(Default)]
struct Manifest {
    /// The name of the manifest.
    file: &'static str,
    /// Ports of the host, each with the name and the port of the server that answers.
    ports: &'static [(u16, &'static str, u16)],
    /// A container, the host name and port that it connects to, and the name of the server that
    /// answers.
    reached: &'static [(&'static str, &'static str, &'static str)],
    /// A container, a file in it, and a part of the content of that file.
    files: &'static [(&'static str, &'static str, &'static str)],
    /// A container, and a variable in the notation of the shell.
    variables: &'static [(&'static str, &'static str)],
    /// Commands of the host that succeed while the manifest runs.
    succeed: &'static [&'static str],
    /// Commands of the host that succeed after the manifest was stopped.
    afterwards: &'static [&'static str],
    /// Whether the conversion loses a field.
    loses: bool,
}

const MANIFESTS: [Manifest; 29] = [
    Manifest { file: "01-single-pod.yaml", ports: &[(31001, "page", 8080)], ..NONE },
    Manifest { file: "02-deployment-node-port.yaml", ports: &[(31002, "page", 8080)], ..NONE },
    Manifest {
        file: "03-two-tiers.yaml",
        ports: &[(31003, "page", 8080)],
        reached: &[
            ("guestbook-web", "ledger:7000", "store"),
            ("guestbook-web", "ledger.default.svc.cluster.local:7000", "store"),
            ("guestbook-web", "ledger:5432", "store"),
            ("ledger-db", "guestbook:8080", "page"),
        ],
        variables: &[("guestbook-web", "URL='tcp://ledger:7000/book'")],
        ..NONE
    },
    Manifest {
        file: "04-replicas.yaml",
        ports: &[(31004, "worker", 9100)],
        reached: &[("pool-worker-3", "pool:9100", "worker")],
        variables: &[("pool-worker-2", "POD='pool-2'"), ("pool-worker-3", "POD='pool-3'")],
        files: &[("pool-worker-1", "/proc/self/mounts", "/scratch tmpfs")],
        succeed: &["test $(grep -cw pool /run/sdme/containers/pool-worker-1/hosts) -ge 2"],
        ..NONE
    },
    Manifest {
        file: "05-stateful.yaml",
        reached: &[("ring-cache-0", "ring-1.ring:6379", "cache"), ("ring-cache-1", "ring-0.ring:6379", "cache")],
        files: &[("ring-cache-1", "/proc/sys/kernel/hostname", "ring-1")],
        succeed: &["test -d /var/lib/sdme/volumes/data-ring-0 -a -d /var/lib/sdme/volumes/data-ring-1"],
        ..NONE
    },
    Manifest {
        file: "06-settings.yaml",
        files: &[
            ("notes-web", "/etc/notes/page.conf", "title = Notes"),
            ("notes-web", "/etc/notes/sub/color", "blue"),
            ("notes-web", "/etc/single.conf", "size = 10"),
        ],
        variables: &[("notes-web", "LOOK_LEVEL='3'"), ("notes-web", "SHADE='blue'")],
        ..NONE
    },
    Manifest {
        file: "07-secrets.yaml",
        files: &[("vault-keeper", "/keys/password", "open sesame"), ("vault-keeper", "/keys/user", "ada")],
        variables: &[("vault-keeper", "USER_NAME='ada'"), ("vault-keeper", "DOOR_password='open sesame'")],
        succeed: &[
            "! grep -r sesame /etc/credstore.encrypted /etc/sdme && ! test -e /etc/credstore/door-password",
            "systemd-creds decrypt --name=door-password /etc/credstore.encrypted/door-password - | grep -x 'open sesame'",
        ],
        ..NONE
    },
    Manifest { file: "08-init.yaml", files: &[("made-web", "/work/state", "ready twice")], ..NONE },
    Manifest {
        file: "09-sidecar.yaml",
        ports: &[(31009, "page", 8080)],
        reached: &[("pair-web", "localhost:9090", "metrics")],
        ..NONE
    },
    Manifest {
        file: "10-probes.yaml",
        succeed: &[
            "sdme-gen ps --format '{{.Health}}' checked-web checked-db checked-cache | sort -u | grep -x healthy",
        ],
        ..NONE
    },
    Manifest {
        file: "11-hooks.yaml",
        files: &[("hooked-web", "/tmp/started", "started /root")],
        afterwards: &["grep -x stopped /srv/hooked/stopped"],
        ..NONE
    },
    Manifest {
        file: "12-limits.yaml",
        variables: &[("limited-web", "MEMORY='128'"), ("limited-web", "CPUS='2'")],
        succeed: &[
            "test $(systemctl show -P MemoryMax systemd-nspawn@limited-web) = 134217728",
            "systemctl show -P CPUQuotaPerSecUSec systemd-nspawn@limited-web | grep -xE '1.50*s'",
            "test $(systemctl show -P CPUWeight systemd-nspawn@limited-web) = 25",
        ],
        loses: true,
        ..NONE
    },
    Manifest {
        file: "13-restricted.yaml",
        files: &[
            ("careful-web", "/proc/self/status", "Uid:\t1000\t1000"),
            ("careful-web", "/proc/self/status", "Gid:\t2000\t2000"),
            ("careful-web", "/proc/self/status", "CapBnd:\t0000000000000000"),
        ],
        succeed: &[
            "sdme-gen exec careful-web -- sh -c 'echo x >/data/x'",
            "! sdme-gen exec careful-web -- sh -c 'echo x >/etc/x'",
        ],
        ..NONE
    },
    Manifest { file: "14-job.yaml", succeed: &["test \"$(echo $(cat /srv/count/steps))\" = '1 2'"], ..NONE },
    Manifest {
        file: "15-cron.yaml",
        succeed: &[
            "systemctl is-active sdme-nightly.timer",
            "! test -e /srv/nightly/runs && systemctl start systemd-nspawn@nightly-report && grep -x ran /srv/nightly/runs",
            "systemctl start systemd-nspawn@nightly-report && test $(grep -c ran /srv/nightly/runs) = 2",
            "systemd-analyze calendar \"$(sed -n s/^OnCalendar=//p /etc/systemd/system/sdme-nightly.timer)\"",
        ],
        ..NONE
    },
    Manifest { file: "16-daemon.yaml", ports: &[(9100, "worker", 9100)], ..NONE },
    Manifest {
        file: "17-claim.yaml",
        succeed: &[
            "sdme-gen exec archive-db -- sh -c 'echo kept >/data/x' && grep -x kept /var/lib/sdme/volumes/records/x",
        ],
        ..NONE
    },
    Manifest { file: "18-list.json", ports: &[(31018, "queue", 5672), (15672, "queue", 15672)], ..NONE },
    Manifest {
        file: "19-names.yaml",
        files: &[
            ("named-web", "/etc/hosts", "192.0.2.7 printer"),
            ("named-web", "/etc/resolv.conf", "nameserver 192.0.2.53"),
            ("named-web", "/etc/resolv.conf", "ndots:2"),
            ("named-web", "/proc/sys/kernel/hostname", "special"),
        ],
        ..NONE
    },
    Manifest {
        file: "20-downward.yaml",
        files: &[("hall-mirror-web", "/info/labels", "zone=\"south\""), ("hall-mirror-web", "/info/name", "mirror")],
        variables: &[("hall-mirror-web", "NAMESPACE='hall'"), ("hall-mirror-web", "ZONE='south'")],
        loses: true,
        ..NONE
    },
    Manifest {
        file: "21-projected.yaml",
        files: &[("whole-web", "/all/one.txt", "1"), ("whole-web", "/all/deep/token", "s3cret")],
        ..NONE
    },
    Manifest { file: "22-udp.yaml", succeed: &["perl /srv/ask 127.0.0.1 31022 | grep -x 'media 8014'"], ..NONE },
    Manifest { file: "23-restart-never.yaml", succeed: &["grep -x 'hi there' /srv/once/greeting"], ..NONE },
    Manifest { file: "24-replica-set.yaml", reached: &[("older-web-1", "older-2:8080", "page")], ..NONE },
    Manifest {
        file: "25-kernel.yaml",
        files: &[
            ("tuned-web", "/proc/sys/net/ipv4/ip_local_port_range", "20000\t30000"),
            ("mapped-web", "/proc/self/uid_map", "65536"),
        ],
        loses: true,
        ..NONE
    },
    Manifest { file: "26-two-services.yaml", ports: &[(31026, "mail", 1025), (31027, "mail", 8025)], ..NONE },
    Manifest {
        file: "27-namespaces.yaml",
        ports: &[(31028, "page", 8080), (31029, "dashboard", 3000)],
        reached: &[("blue-app-web", "app:8080", "page"), ("green-app-web", "app:3000", "dashboard")],
        ..NONE
    },
    Manifest {
        file: "28-anchors.yaml",
        reached: &[("repeated-one", "localhost:3000", "dashboard")],
        variables: &[("repeated-two", "MODE='on'")],
        ..NONE
    },
    Manifest {
        file: "30-shared-files.yaml",
        ports: &[(31030, "worker", 9100)],
        files: &[("writer-reader", "/pages/text", "from script")],
        ..NONE
    },
];

const NONE: Manifest = Manifest {
    file: "",
    ports: &[],
    reached: &[],
    files: &[],
    variables: &[],
    succeed: &[],
    afterwards: &[],
    loses: false,
};

fn on(suite: &str, name: &str, case: fn(&Host, &Path)) {
    if ready(suite, &["gcc", "ldd", "docker-registry", "skopeo"]) {
        let outside = tempfile::tempdir().unwrap();
        let name = name.split('_').next().unwrap();
        case(
            &boot_with(Host::builder(suite, name).copy().bind(&repo("tests/manifests"), "/srv/manifests")),
            outside.path(),
        );
    }
}

fn clusters_run_on_one_machine(host: &Host, outside: &Path) {
    serve(host, outside, &IMAGES, &["wget"]);
    lan::tools(host);
    host.ok("mkdir -p /srv/work && cp /srv/manifests/* /srv/work");
    for group in MANIFESTS.chunks(6) {
        let units: Vec<Vec<String>> = group.iter().map(|manifest| manifest.convert(host)).collect();
        let report = host.run("sdme-gen check");
        assert!(report.success() && report.stderr.is_empty(), "{report}");
        let start = format!("systemctl start {}", units.concat().join(" "));
        let started = host.run_for(&start, Duration::from_secs(240));
        assert!(
            started.success(),
            "{started}\n{}\n{}",
            host.run("systemctl status --failed --no-pager --lines=30").stdout,
            host.ok("journalctl -b --no-pager -o short-monotonic | tail -n 150")
        );
        for manifest in group {
            manifest.look(host);
        }
        host.ok("systemctl stop 'sdme-pod@*.target' 'sdme-pod@*.service' 'systemd-nspawn@*' 'sdme-*.timer'");
        for manifest in group {
            for command in manifest.afterwards {
                host.ok(command);
            }
        }
        // No unit has failed, and a conversion of the same projects without objects removes all
        // files.
        assert_eq!(host.ok("systemctl list-units --failed --no-legend --plain 'systemd-nspawn@*' 'sdme-*'"), "");
        for manifest in group {
            manifest.remove(host);
        }
        assert_eq!(host.ok("cd /etc/sdme && ls | grep -v '^kube-' || :").trim(), "sdme.conf");
        assert_eq!(
            host.ok("find /etc/sdme-files -type f ! -name .written; ls /etc/systemd/system | grep timer$ || :"),
            ""
        );
    }
}

impl Manifest {
    fn command(&self) -> String {
        format!("cd /srv/work && sdme-gen convert --write kube {}", self.file)
    }

    /// Converts the manifest, and returns the units that start it.
    fn convert(&self, host: &Host) -> Vec<String> {
        let output = host.run(&self.command());
        assert_eq!(output.status, if self.loses { 3 } else { 0 }, "{}: {output}", self.file);
        let start =
            output.stdout.lines().find_map(|line| line.strip_prefix("start the project with: systemctl start "));
        let start = start.unwrap_or_else(|| panic!("{}: {output}", self.file));
        // A second conversion changes nothing.
        assert_eq!(host.run(&self.command()).stdout, "", "{}", self.file);
        start.split_whitespace().map(str::to_owned).collect()
    }

    fn look(&self, host: &Host) {
        let file = self.file;
        for (outer, name, inner) in self.ports {
            let found = answer(host, &("127.0.0.1".to_owned(), *outer, 0, "tcp".to_owned()));
            assert_eq!(found, ((*name).to_owned(), *inner), "{file}: {outer}");
        }
        let exec =
            |container: &str, command: &str| host.ok(&format!("sdme-gen exec {container} -- {command} </dev/null"));
        for (container, at, name) in self.reached {
            host.wait(&format!("sdme-gen exec {container} -- wget http://{at}/ </dev/null"), 30);
            let asked = exec(container, &format!("wget http://{at}/"));
            assert!(asked.lines().last().unwrap_or_default().starts_with(name), "{file}: {container} {at}: {asked}");
        }
        for (container, path, part) in self.files {
            let text = exec(container, &format!("cat {path}"));
            assert!(text.contains(part), "{file}: {container} {path}: {text}");
        }
        for (container, variable) in self.variables {
            let all = exec(container, "sh -c 'export'");
            assert!(all.contains(variable), "{file}: {container} {variable}: {all}");
        }
        for command in self.succeed {
            let output = host.run_for(command, Duration::from_secs(60));
            assert!(output.success(), "{file}: {command}: {output}");
        }
    }

    /// Removes the files by a conversion of the same project without objects.
    fn remove(&self, host: &Host) {
        let project = self.file.split('.').next().unwrap();
        let empty = "apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: none}\\n";
        host.ok(&format!("printf '{empty}' | sdme-gen convert --write kube -p {project} -"));
    }
}
