// SPDX-License-Identifier: MIT
//! Tier 2: what `sdme-gen export kube` writes is run by `podman kube play`, a peer that reads the same objects: six configurations answer
//! over HTTP, with their environment, files, limits and probes as they were exported.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use support::host::Host;
use support::require;
use support::servers::serve;

/// The images of the configurations, and the ports that each of them listens on.
const IMAGES: [(&str, &str); 3] = [("cache:7", "6379/tcp"), ("page:6", "8080/tcp"), ("store:16", "5432/tcp")];

/// A configuration, and what is to be found when podman runs it.
struct Case {
    name: &'static str,
    options: &'static [&'static str],
    /// Files below the root.
    files: &'static [(&'static str, &'static str)],
    /// The port of the pod that answers, and with what.
    answers: (u16, &'static str),
    /// Commands of the host that succeed.
    succeed: &'static [&'static str],
}

const CASES: [Case; 6] = [
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
        name: "limited",
        options: &["--kind", "pod"],
        files: &[(
            "limited.container",
            "[Container]\nImage=docker.io/library/page:6\nNetwork=uplink\nPublishPort=30082:8080\nMemory=128m\nUser=1000\nGroup=2000\nDropCapability=all\nReadOnly=yes\nStopTimeout=7\nHostName=special\nAddHost=printer:192.0.2.7\n\n[Service]\nCPUQuota=150%\nRestart=always\n",
        )],
        answers: (8080, "page 8080"),
        succeed: &[
            "test $(podman inspect --format '{{.HostConfig.Memory}}' limited-limited) = 134217728",
            "test $(podman inspect --format '{{.HostConfig.CpuQuota}}' limited-limited) = 150000",
            "podman exec limited-limited cat /proc/self/status | grep -P 'Uid:\\t1000\\t'",
            "podman exec limited-limited cat /proc/self/status | grep -P 'CapBnd:\\t0000000000000000'",
            "! podman exec limited-limited sh -c 'echo x >/etc/x'",
            "podman exec limited-limited sh -c 'echo x >/tmp/x'",
            "podman exec limited-limited cat /proc/sys/kernel/hostname | grep -x special",
            "podman exec limited-limited cat /etc/hosts | grep printer",
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
                "[Container]\nImage=docker.io/library/page:6\nNetwork=uplink\nPublishPort=30084:8080\nEnvironmentFile=/etc/files.env\nVolume=/etc/files.d:/conf:ro\nSecret=door-key,type=env,target=KEY\nSecret=token-file,target=/keys/token,mode=0444\n\n[Service]\nRestart=always\n",
            ),
            ("/etc/files.env", "LEVEL=debug\n"),
            ("/etc/files.d/page.conf", "title = Notes\n"),
            ("/etc/credstore/door-key", "open sesame"),
            ("/etc/credstore/token-file", "t0ken"),
        ],
        answers: (8080, "page 8080"),
        succeed: &[
            "podman exec files-pod-files sh -c export | grep -x \"export LEVEL='debug'\"",
            "podman exec files-pod-files sh -c export | grep -x \"export KEY='open sesame'\"",
            "podman exec files-pod-files cat /conf/page.conf | grep -x 'title = Notes'",
            "podman exec files-pod-files cat /keys/token | grep t0ken",
        ],
    },
    Case {
        name: "stepped",
        options: &["--kind", "pod"],
        files: &[
            ("stepped.pod", "[Pod]\nPublishPort=30085:8080\n"),
            ("work.volume", "[Volume]\nDevice=tmpfs\nType=tmpfs\n"),
            (
                "stepped-first.container",
                "[Container]\nImage=docker.io/library/page:6\nPod=stepped.pod\nVolume=work.volume:/work\nEntrypoint=sh -c\nExec=\"echo ready >/work/state\"\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n",
            ),
            (
                "stepped-web.container",
                "[Container]\nImage=docker.io/library/page:6\nPod=stepped.pod\nVolume=work.volume:/work\n\n[Unit]\nRequires=stepped-first.container\nAfter=stepped-first.container\n\n[Service]\nRestart=always\n",
            ),
        ],
        answers: (8080, "page 8080"),
        succeed: &["podman exec stepped-web cat /work/state | grep -x ready"],
    },
];

#[test]
fn podman_plays_what_is_exported() {
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
    // The server for names of podman does not start without one of the host's.
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
        let play = format!("podman kube play --publish 127.0.0.1:8000:{} /srv/{name}.yaml", self.answers.0);
        let output = host.run_for(&play, Duration::from_secs(120));
        assert!(output.success(), "{name}: {output}\n{text}");
        let answer = host.wait_http("http://127.0.0.1:8000/", 30);
        assert_eq!(answer.trim(), self.answers.1, "{name}");
        for command in self.succeed {
            let output = host.run(command);
            let state = host.run("podman ps -a; podman pod ps").stdout;
            assert!(output.success(), "{name}: {command}: {output}\n{state}\n{text}");
        }
        host.run_for(&format!("podman kube down --force /srv/{name}.yaml"), Duration::from_secs(120));
        assert_eq!(host.ok("podman ps -aq"), "", "{name}");
    }

    /// What the configuration becomes.
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
