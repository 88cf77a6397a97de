// SPDX-License-Identifier: MIT
//! Tier 2: `podman kube play`, another implementation that reads Kubernetes objects, runs what
//! `sdme-gen export kube` writes. Six configurations answer over HTTP and have their exported
//! environment, files, user and probes. The limits of a seventh are inspected without a start,
//! because a test machine may not delegate its cgroup controllers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use support::host::Host;
use support::require;
use support::servers::serve;

/// The images of the configurations, and the port that each of them listens on.
const IMAGES: [(&str, &str); 3] = [("cache:7", "6379/tcp"), ("page:6", "8080/tcp"), ("store:16", "5432/tcp")];

/// A configuration, and what podman must show when it runs it.
struct Case {
    name: &'static str,
    options: &'static [&'static str],
    /// File names relative to `/etc/sdme`, or absolute paths below the root, with their text.
    files: &'static [(&'static str, &'static str)],
    /// The port of the pod, and the answer at that port. With port 0, the pod is not started.
    answers: (u16, &'static str),
    /// Commands that must succeed on the host.
    succeed: &'static [&'static str],
}

const CASES: [Case; 7] = [
    Case {
        name: "alone",
        options: &[],
        files: &[(
            "alone.container",
            "[Container]\nImage=docker.io/library/page:6\nNetwork=uplink\nPublishPort=30080:8080\nEnvironment=PLAIN=a \"TWO=b c\"\n\n[Service]\nRestart=always\n",
        )],
        answers: (8080, "page 8080"),
        succeed: &["podman exec alone-pod-alone sh -c export | grep -x \"export TWO='b c'\""],
    },
    Case {
        name: "tier",
        options: &["--kind", "pod"],
        files: &[
            ("tier.pod", "[Pod]\nPublishPort=30081:8080\n"),
            (
                "tier-web.container",
                "[Container]\nImage=docker.io/library/page:6\nPod=tier.pod\n\n[Service]\nRestart=always\n",
            ),
            (
                "tier-db.container",
                "[Container]\nImage=docker.io/library/store:16\nPod=tier.pod\nVolume=tierdata:/data:nocopy\n\n[Service]\nRestart=always\n",
            ),
        ],
        answers: (8080, "page 8080"),
        succeed: &[
            "podman exec tier-web wget http://localhost:5432/ | grep -x 'store 5432'",
            "podman exec tier-db sh -c 'echo kept >/data/x' && podman volume inspect tierdata",
        ],
    },
    Case {
        name: "careful",
        options: &["--kind", "pod"],
        files: &[(
            "careful.container",
            "[Container]\nImage=docker.io/library/page:6\nNetwork=uplink\nPublishPort=30082:8080\nUser=1000\nGroup=2000\nDropCapability=all\nReadOnly=yes\nStopTimeout=7\nHostName=special\nAddHost=printer:192.0.2.7\n\n[Service]\nRestart=always\n",
        )],
        answers: (8080, "page 8080"),
        succeed: &[
            "podman exec careful-careful cat /proc/self/status | grep -P 'Uid:\\t1000\\t'",
            "podman exec careful-careful cat /proc/self/status | grep -P 'CapBnd:\\t0000000000000000'",
            "! podman exec careful-careful sh -c 'echo x >/etc/x'",
            "podman exec careful-careful cat /proc/self/mounts | grep ' /tmp tmpfs rw'",
            "podman exec careful-careful cat /proc/sys/kernel/hostname | grep -x special",
            "podman exec careful-careful cat /etc/hosts | grep printer",
        ],
    },
    Case {
        name: "limited",
        options: &["--kind", "pod"],
        files: &[(
            "limited.container",
            "[Container]\nImage=docker.io/library/page:6\nNetwork=uplink\nMemory=128m\n\n[Service]\nCPUQuota=150%\nCPUWeight=50\nMemoryLow=64M\nRestart=always\n",
        )],
        answers: (0, ""),
        succeed: &[
            "test $(podman inspect --format '{{.HostConfig.Memory}}' limited-limited) = 134217728",
            "test $(podman inspect --format '{{.HostConfig.CpuQuota}}' limited-limited) = 150000",
            "test $(podman inspect --format '{{.HostConfig.MemoryReservation}}' limited-limited) = 67108864",
        ],
    },
    Case {
        name: "probed",
        options: &["--kind", "pod"],
        files: &[(
            "probed.container",
            "[Container]\nImage=docker.io/library/page:6\nNetwork=uplink\nPublishPort=30083:8080\nHealthHttp=:8080/\nHealthInterval=3s\nHealthTimeout=2s\nHealthRetries=4\nHealthOnFailure=restart\nNotify=healthy\n\n[Service]\nRestart=always\n",
        )],
        answers: (8080, "page 8080"),
        succeed: &[
            "podman healthcheck run probed-probed",
            "podman inspect --format '{{.Config.Healthcheck.Test}}' probed-probed | grep 8080",
            "test $(podman inspect --format '{{.Config.Healthcheck.Retries}}' probed-probed) = 4",
            "test $(podman inspect --format '{{.Config.Healthcheck.Interval}}' probed-probed) = 3s",
            "test $(podman inspect --format '{{.State.Health.Status}}' probed-probed) = healthy",
        ],
    },
    Case {
        name: "files",
        options: &["--kind", "deployment", "--with-secrets"],
        files: &[
            (
                "files.container",
                "[Container]\nImage=docker.io/library/page:6\nNetwork=uplink\nPublishPort=30084:8080\nEnvironmentFile=/etc/files.env\nVolume=/etc/files.d:/conf:ro\nSecret=door-key,type=env,target=KEY\n\n[Service]\nRestart=always\n",
            ),
            ("/etc/files.env", "LEVEL=debug\n"),
            ("/etc/files.d/page.conf", "title = Notes\n"),
            ("/etc/credstore/door-key", "open sesame"),
        ],
        answers: (8080, "page 8080"),
        succeed: &[
            "podman exec files-pod-files sh -c export | grep -x \"export LEVEL='debug'\"",
            "podman exec files-pod-files sh -c export | grep -x \"export KEY='open sesame'\"",
            "podman exec files-pod-files cat /conf/page.conf | grep -x 'title = Notes'",
        ],
    },
    Case {
        name: "stepped",
        options: &["--kind", "pod"],
        files: &[
            ("stepped.pod", "[Pod]\nPublishPort=30085:8080\n"),
            (
                "stepped-first.container",
                "[Container]\nImage=docker.io/library/page:6\nPod=stepped.pod\nVolume=stepwork:/work:nocopy\nEntrypoint=sh -c\nExec=\"echo ready >/work/state\"\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n",
            ),
            (
                "stepped-web.container",
                "[Container]\nImage=docker.io/library/page:6\nPod=stepped.pod\nVolume=stepwork:/work:nocopy\n\n[Unit]\nRequires=stepped-first.container\nAfter=stepped-first.container\n\n[Service]\nRestart=always\n",
            ),
        ],
        answers: (8080, "page 8080"),
        succeed: &["podman exec stepped-web cat /work/state | grep -x ready"],
    },
];

#[test]
fn podman_runs_exported_kubernetes_objects() {
    if !require(&[
        "root",
        "cgroup2",
        "unshare",
        "nsenter",
        "tree:forky-podman",
        "gcc",
        "ldd",
        "docker-registry",
        "skopeo",
    ]) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let host = Host::boot("forky-podman", "play");
    serve(&host, outside.path(), &IMAGES, &["wget", "curl", "nc"]);
    // The name server of podman does not start unless the host has a name server.
    host.ok("echo nameserver 192.0.2.53 >/etc/resolv.conf");
    host.ok("mkdir -p /etc/containers && printf '%s\\n' '[containers]' pids_limit=0 >/etc/containers/containers.conf");
    for (image, _) in IMAGES {
        let from = format!("127.0.0.1:5000/library/{image}");
        host.run_for(&format!("podman pull -q --tls-verify=false {from}"), Duration::from_secs(120));
        host.ok(&format!("podman tag {from} docker.io/library/{image}"));
    }
    for case in CASES {
        case.play(&host);
    }
}

impl Case {
    fn play(&self, host: &Host) {
        let name = self.name;
        let text = self.export();
        host.write(&format!("/srv/{name}.yaml"), &text);
        let options = match self.answers.0 {
            0 => "--start=false".to_owned(),
            port => format!("--publish 127.0.0.1:8000:{port}"),
        };
        let play = format!("podman kube play {options} /srv/{name}.yaml");
        let output = host.run_for(&play, Duration::from_secs(120));
        assert!(output.success(), "{name}: {output}\n{text}");
        if self.answers.0 > 0 {
            let answer = host.wait_http("http://127.0.0.1:8000/", 30);
            assert_eq!(answer.trim(), self.answers.1, "{name}");
        }
        for command in self.succeed {
            let output = host.run(command);
            let state = host.run("podman ps -a; podman pod ps").stdout;
            assert!(output.success(), "{name}: {command}: {output}\n{state}\n{text}");
        }
        host.run_for(&format!("podman kube down --force /srv/{name}.yaml"), Duration::from_secs(120));
        assert_eq!(host.ok("podman ps -aq"), "", "{name}");
    }

    /// The Kubernetes objects that the configuration is exported as.
    fn export(&self) -> String {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in self.files {
            let path = name.strip_prefix('/').map_or_else(|| format!("etc/sdme/{name}"), str::to_owned);
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let output = Command::new(env!("CARGO_BIN_EXE_sdme-gen"))
            .args(["export", "--root"])
            .arg(root.path())
            .arg("kube")
            .args(self.options)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!([0, 3].contains(&output.status.code().unwrap()), "{}: {errors}", self.name);
        String::from_utf8(output.stdout).unwrap()
    }
}
