// SPDX-License-Identifier: MIT
//! Tier 2: the verbs, run one after the other on a Debian 13 host in the way of a new user: a base
//! operating system, nginx, pods and defaults. The output and the effect of each command are
//! checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use support::containers::{DEBIAN, NGINX, WELCOME, boot, ready};

#[test]
fn the_verbs_do_what_they_say() {
    if !ready("trixie", &[]) {
        return;
    }
    let host = &boot("trixie", "commands");

    // A base operating system is imported, and a container of it starts.
    host.ok(&format!("sdme-gen fs import debian {DEBIAN}"));
    let list = host.ok("sdme-gen fs ls");
    let line = list.lines().nth(1).unwrap_or_default();
    assert!(list.starts_with("NAME    KIND  DIGEST") && line.starts_with("debian  base  sha256:"), "{list}");
    assert!(line.contains("iB  -        ") && line.ends_with(DEBIAN), "{list}");
    host.fails("sdme-gen fs import --dry-run debian docker.io/library/debian:13");
    host.ok("sdme-gen fs import --dry-run other docker.io/library/debian:13 && ! ls /etc/sdme/other.image");
    let dry = host.ok("sdme-gen new --dry-run -r debian");
    assert!(dry.contains("write /etc/sdme/debian.container") && dry.contains("start systemd-nspawn@debian"), "{dry}");
    host.fails("ls /etc/sdme/debian.container");
    assert_eq!(host.ok("sdme-gen new -r debian </dev/null"), "write /etc/sdme/debian.container\n");
    assert_eq!(host.ok("systemctl -M debian is-system-running --wait || true").trim(), "running");
    host.ok(
        "systemd-run -M debian --wait -q sh -c 'echo hello >/srv/new; echo x >>/etc/issue; rm /etc/debian_version'",
    );
    assert!(host.ok("sdme-gen fs ls").lines().any(|line| line.starts_with("debian ") && line.contains("  debian   ")));
    let changes = host.ok("sdme-gen diff debian");
    for line in ["A /srv/new", "M /etc/issue", "D /etc/debian_version"] {
        assert!(changes.lines().any(|l| l == line), "{line}: {changes}");
    }
    let json = host.ok("sdme-gen diff --json debian");
    assert!(json.contains("\"path\": \"/srv/new\""), "{json}");

    // This container runs no application, so settings for an application are refused instead of
    // being ignored.
    host.ok("sdme-gen create envy -r debian -e A=b");
    host.fails("systemctl start systemd-nspawn@envy");
    host.ok(
        "journalctl -b -q -u systemd-nspawn@envy | grep 'envy.container:1: Environment= is for an application, and the \
             image debian is an operating system; remove it, or write Mode=app'",
    );
    host.ok("sdme-gen rm envy");

    // A second container of the same image gets another name. A running container cannot be
    // removed.
    assert_eq!(host.ok("sdme-gen create -r debian"), "write /etc/sdme/debian-2.container\n");
    assert!(host.fails("sdme-gen rm debian").contains("debian runs; run systemctl stop"));
    assert!(host.ok("sdme-gen rm --dry-run debian-2").contains("remove /etc/sdme/debian-2.container"));
    host.ok("sdme-gen rm debian-2 && sdme-gen rm -f debian");
    host.ok("! ls /etc/sdme/*.container /var/lib/sdme/containers/debian && ! machinectl show debian");
    assert!(host.fails("sdme-gen rm debian").contains("there is no container debian"));

    // nginx runs on the /usr of the host.
    host.ok(&format!("sdme-gen fs import nginx {NGINX}"));
    host.ok("sdme-gen new --detach web -r nginx --memory 512M --cpus 1.5 -e 'GREETING=a b'");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    assert_eq!(host.ok("systemctl show -P CPUQuotaPerSecUSec systemd-nspawn@web").trim(), "1.500000s");
    let graph = host.ok("sdme-gen graph web");
    assert!(graph.contains("└─Wants sdme-image@nginx.service"), "{graph}");
    // The units in the graph are the units that systemd has loaded.
    for line in graph.lines().filter(|line| line.contains("Requires ")) {
        let unit = line.split("Requires ").nth(1).unwrap().split(' ').next().unwrap();
        assert_eq!(host.ok(&format!("systemctl show -P LoadState '{unit}'")).trim(), "loaded", "{line}");
    }
    assert!(host.ok("sdme-gen graph --dot web").starts_with("digraph"));
    assert!(host.ok("sdme-gen graph --mermaid").starts_with("flowchart"));
    assert!(host.fails("sdme-gen graph wbe").contains("there is no container wbe"));
    host.ok("sdme-gen rm -f web");

    // Pods with published ports, and the pod group of the manual.
    host.ok("sdme-gen pod new tier --publish 8080:80");
    host.ok("sdme-gen new --detach front -r nginx --pod tier");
    assert_eq!(host.wait_http("http://localhost:8080/", 10), WELCOME);
    assert!(host.fails("sdme-gen pod rm tier").contains("tier is used by front.container"));
    host.ok("sdme-gen rm -f front && sdme-gen pod rm -f tier");
    host.ok("sdme-gen pod new inner && sdme-gen new --detach app -r nginx --oci-pod inner");
    host.wait("nsenter --net=/run/sdme/pods/inner/netns curl -fsS http://127.0.0.1/", 10);
    host.ok("sdme-gen rm -f app");

    // A container publishes a port without a pod.
    host.ok("sdme-gen new --detach alone -r nginx -p 127.0.0.1:8081:80");
    assert_eq!(host.wait_http("http://127.0.0.1:8081/", 10), WELCOME);
    let refused = host.fails("sdme-gen create other -r nginx -p 127.0.0.1:8081:80");
    assert!(refused.contains("nothing was written") && refused.contains("port 127.0.0.1:8081/tcp"), "{refused}");
    host.ok("sdme-gen rm -f alone");

    // Global defaults.
    host.ok("sdme-gen config set BaseFs debian.image");
    assert_eq!(host.ok("sdme-gen config get BaseFs"), "debian.image\n");
    host.ok("sdme-gen new --detach based -r nginx");
    assert!(host.ok("systemd-run -M based --wait --pipe -q cat /etc/os-release").contains("trixie"));
    host.ok("sdme-gen rm -f based && sdme-gen config set BaseFs");
    host.fails("sdme-gen config get BaseFs");
    assert!(host.fails("sdme-gen config set BaseFS x").contains("did you mean BaseFs?"));

    // Conversions from other tools.
    let run = format!("sdme-gen convert --write run docker run -d --name moved -p 8082:80 -e TZ=UTC {NGINX}");
    assert_eq!(host.ok(&run), "write /etc/sdme/moved.container\n");
    host.ok("systemctl start systemd-nspawn@moved");
    assert_eq!(host.wait_http("http://localhost:8082/", 10), WELCOME);
    assert!(host.fails(&run).contains("nothing was written"));
    host.write(
        "/srv/shop/compose.yaml",
        format!("services:\n  web:\n    image: {NGINX}\n    ports: ['8083:80']\n    restart: unless-stopped\n"),
    );
    host.ok("cd /srv/shop && sdme-gen convert --write compose && systemctl start systemd-nspawn@shop-web");
    assert_eq!(host.wait_http("http://localhost:8083/", 10), WELCOME);
    host.ok("sdme-gen check && sdme-gen rm -f moved shop-web && sdme-gen network rm shop-default");

    // Templates.
    host.write("/etc/sdme/box@.container", "[Container]\nImage=nginx.image\nNetwork=private\nPublishPort=900%i:80\n");
    host.ok("ln -s box@.container /etc/sdme/box@1.container && ln -s box@.container /etc/sdme/box@2.container");
    host.ok("systemctl daemon-reload && systemctl start systemd-nspawn@box-1 systemd-nspawn@box-2");
    assert_eq!(host.wait_http("http://localhost:9001/", 10), WELCOME);
    assert_eq!(host.wait_http("http://localhost:9002/", 10), WELCOME);

    // Completion of command lines, and manual pages.
    let complete = |words: &str, index: usize| {
        host.ok(&format!("_CLAP_COMPLETE_INDEX={index} _CLAP_IFS=, COMPLETE=bash sdme-gen -- {words}"))
    };
    assert_eq!(complete("sdme-gen config get Bas", 3), "BaseFs");
    assert!(complete("sdme-gen fs rm n", 3).contains("nginx"));
    assert!(complete("sdme-gen dif", 1).contains("diff"));
    for page in ["1/sdme-gen.1", "1/sdme-gen-create.1", "5/sdme.container.5", "8/sdme-generator.8"] {
        host.ok(&format!("test -s /usr/share/man/man{page}"));
    }
}
