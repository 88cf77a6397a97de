// SPDX-License-Identifier: MIT
//! Tier 2: `sdme-gen restart --changed` restarts exactly the containers that run on older files or
//! on an older image or base.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::collections::BTreeMap;

use support::containers::{NGINX, boot, ready};
use support::host::Host;
use support::tiers::answers;

on_every_suite!(what_has_changed_is_restarted);

fn on(suite: &str, _: &str, case: fn(&Host)) {
    if ready(suite, &["image:base"]) {
        case(&boot(suite, "changed"));
    }
}

const NAMES: [&str; 5] = ["alone", "ported", "member", "follower", "imaged"];

/// Returns the main process of each container.
fn processes(host: &Host) -> BTreeMap<&'static str, String> {
    let process = |name: &str| host.ok(&format!("systemctl show -P MainPID systemd-nspawn@{name}.service"));
    NAMES.iter().map(|name| (*name, process(name))).collect()
}

/// Returns the containers whose main process has changed.
fn restarted(host: &Host, before: &BTreeMap<&'static str, String>) -> Vec<&'static str> {
    let now = processes(host);
    NAMES.iter().filter(|name| before[*name] != now[*name]).copied().collect()
}

fn write(host: &Host, name: &str, more: &str) {
    host.write(&format!("/etc/sdme/{name}.container"), format!("[Container]\nImage=own.image\n{more}"));
}

fn what_has_changed_is_restarted(host: &Host) {
    let image = |source: &str| host.write("/etc/sdme/own.image", format!("[Image]\nImage={source}\n"));
    image(NGINX);
    host.ok("cp -r /srv/images/nginx /srv/own");
    host.write("/etc/sdme/other.image", "[Image]\nImage=oci:/srv/own\nMode=app\nPolicy=newer\n");
    host.write("/etc/sdme/tier.pod", "[Pod]\nPublishPort=8090:80\n");
    write(host, "alone", &answers(8081, "alone"));
    host.write("/etc/sdme/back.network", "[Network]\n");
    write(host, "ported", "Network=back\nPublishPort=8082:80\n");
    write(host, "member", "Pod=tier.pod\n");
    write(
        host,
        "follower",
        &format!("{}[Unit]\nRequires=member.container\nAfter=member.container\n", answers(8083, "follower")),
    );
    host.write("/etc/sdme/imaged.container", "[Container]\nImage=other.image\nEntrypoint=sleep\nExec=1000\n");
    host.ok("sdme-gen check && systemctl daemon-reload");
    let units = NAMES.map(|name| format!("systemd-nspawn@{name}"));
    host.ok(&format!("systemctl start sdme-pod@tier.target {}", units.join(" ")));

    // Without a change, nothing is restarted, not even after a reload.
    let before = processes(host);
    host.ok("systemctl daemon-reload");
    assert_eq!(host.ok("sdme-gen restart --changed"), "");
    assert_eq!(restarted(host, &before), [""; 0]);

    // The changes are an environment variable, a port of a container, and a port of a pod. A
    // container outside of the pod depends on the pod.
    write(host, "alone", &(answers(8081, "alone") + "Environment=NEW=yes\n"));
    write(host, "ported", "Network=back\nPublishPort=8084:80\n");
    host.write("/etc/sdme/tier.pod", "[Pod]\nPublishPort=8091:80\n");
    let dry = host.ok("sdme-gen restart --changed --dry-run");
    let lines = [
        "alone: files changed; restart systemd-nspawn@alone.service",
        "ported: files changed; restart systemd-nspawn@ported.service",
        "tier: files changed; restart sdme-pod@tier.service",
    ];
    assert_eq!(dry.lines().collect::<Vec<_>>(), lines);
    assert_eq!(restarted(host, &before), [""; 0]);
    assert_eq!(host.ok("sdme-gen restart --changed alone").lines().collect::<Vec<_>>(), lines[..1]);
    assert_eq!(restarted(host, &before), ["alone"]);
    assert!(host.ok("sdme-gen exec alone -- env </dev/null").contains("NEW=yes"));
    assert_eq!(host.ok("sdme-gen restart --changed").lines().collect::<Vec<_>>(), lines[1..]);
    assert_eq!(restarted(host, &before), ["alone", "ported", "member", "follower"]);
    for port in [8084, 8091] {
        host.wait(&format!("curl -fsS http://127.0.0.1:{port}/"), 20);
    }
    host.fails("ss -Hltn | grep -E ':(8082|8090) '");
    assert_eq!(host.ok("sdme-gen restart --changed"), "");

    // A change of the network's permanence reloads it while its member runs; a change of its bridge
    // restarts the member as well.
    let before = processes(host);
    host.write("/etc/sdme/back.network", "[Network]\n[Install]\nWantedBy=multi-user.target\n");
    let reload = "back: files changed; reload sdme-network@back.service";
    assert_eq!(host.ok("sdme-gen restart --changed").trim(), reload);
    host.ok("test -e /run/sdme/networks/back/stays");
    assert_eq!(restarted(host, &before), [""; 0]);
    host.write("/etc/sdme/back.network", "[Network]\nInterfaceName=rear\n");
    let lines = format!("{reload}\nported: files changed; restart systemd-nspawn@ported.service");
    assert_eq!(host.ok("sdme-gen restart --changed").trim(), lines);
    assert_eq!(restarted(host, &before), ["ported"]);
    host.wait("curl -fsS http://127.0.0.1:8084/ && ip link show rear", 20);
    assert_eq!(host.ok("sdme-gen restart --changed"), "");
    assert_eq!(host.ok("sdme-gen ps --format '{{.Networks}}' ported").trim(), "back");

    // The image has a new version, and no file has changed.
    let before = processes(host);
    host.ok("rm -r /srv/own && cp -r /srv/images/base /srv/own && systemctl start sdme-image@other");
    let line = "imaged: image changed; restart systemd-nspawn@imaged.service\n";
    assert_eq!(host.ok("sdme-gen restart --changed"), line);
    assert_eq!(restarted(host, &before), ["imaged"]);
    assert_eq!(host.ok("sdme-gen restart --changed"), "");

    let before = processes(host);
    // A container with an invalid file or without a file keeps running and is reported.
    write(host, "alone", "Imge=x\n");
    host.ok("rm /etc/sdme/ported.container && systemctl daemon-reload");
    let output = host.run("sdme-gen restart --changed alone ported");
    assert_eq!((output.status, output.stdout.as_str()), (1, ""));
    assert!(
        output.stderr.contains("sdme-gen: alone runs on: /etc/sdme/alone.container:3: unknown key Imge="),
        "{output}"
    );
    assert!(output.stderr.contains("sdme-gen: ported runs on: there is no ported.container any more"), "{output}");
    assert_eq!(restarted(host, &before), [""; 0]);
    assert!(
        host.fails("sdme-gen restart --changed nobody").contains("nobody is no container, pod or network that runs")
    );
    host.fails("sdme-gen restart alone");
}
