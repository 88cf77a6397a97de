// SPDX-License-Identifier: MIT
//! Tier 2: compares `sdme-gen stats` and `metrics` with the kernel's own files, and parses the
//! metrics with a parser for `OpenMetrics`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::cast_precision_loss, reason = "times and sizes of a test are small")]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use support::containers::{NGINX, boot, ready};
use support::host::Host;

on_every_suite!(stats_and_metrics_match_the_counters_of_the_kernel);

fn on(suite: &str, _: &str, case: fn(&Host)) {
    if ready(suite, &["python3"]) {
        case(&boot(suite, "usage"));
    }
}

/// The samples of a text in the `OpenMetrics` format, by name and container, as the parser of the
/// Prometheus client reads them.
fn parsed(text: &str) -> BTreeMap<(String, String), f64> {
    let script = "import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
samples = [s for f in families(sys.stdin.read()) for s in f.samples]
print(json.dumps([[s.name, s.labels['container'], s.value] for s in samples]))";
    // The interpreter for which Debian packages install their modules.
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    let samples: Vec<(String, String, f64)> = serde_json::from_slice(&output.stdout).unwrap();
    samples.into_iter().map(|(name, container, value)| ((name, container), value)).collect()
}

fn stats_and_metrics_match_the_counters_of_the_kernel(host: &Host) {
    host.write("/etc/sdme/data.volume", "[Volume]\n");
    let settings = "Network=uplink\nPublishPort=8080:80\nMemory=256m\nVolume=data.volume:/data\n";
    host.write("/etc/sdme/web.container", format!("[Container]\nImage={NGINX}\n{settings}"));
    host.write("/etc/sdme/plain.container", format!("[Container]\nImage={NGINX}\nEntrypoint=sleep\nExec=1000\n"));
    host.write("/etc/sdme/idle.container", format!("[Container]\nImage={NGINX}\n"));
    host.ok("systemctl daemon-reload && systemctl start systemd-nspawn@web systemd-nspawn@plain");
    host.wait_http("http://127.0.0.1:8080/", 20);
    host.ok("sdme-gen exec web -- sh -c 'head -c 3000000 /dev/urandom >/grown; head -c 5000000 /dev/urandom >/data/big; sync'");

    let group = "/sys/fs/cgroup/machine.slice/systemd-nspawn@web.service";
    let kernel = |command: &str| host.ok(command).trim().parse::<u64>().ok();
    let processor = || kernel(&format!("sed -n 's/usage_usec //p' {group}/cpu.stat")).unwrap();
    let counted = |file: &str| kernel(&format!("cat {group}/{file} 2>/dev/null || :"));
    // Before anything is sent, the kernel sends a request for the address of the gateway.
    let network = "nsenter --net=/run/sdme/pods/web/netns";
    host.ok(&format!("{network} bash -c 'echo x >/dev/udp/192.0.2.9/9'; sleep 0.2"));
    let sent = || {
        kernel(&format!(
            "{network} awk 'NR > 2 && $1 != \"lo:\" {{ sum += $10 }} END {{ print sum + 0 }}' /proc/net/dev"
        ))
        .unwrap()
    };
    let sent_before = sent();
    let before = processor();
    let all: serde_json::Value = serde_json::from_str(&host.ok("sdme-gen stats --json")).unwrap();
    let after = processor();
    let of = |name: &str| all.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    let (web, plain) = (of("web"), of("plain"));
    assert_eq!(all.as_array().unwrap().len(), 2, "a container that does not run uses nothing: {all}");
    let seconds = web["cpu_seconds"].as_f64().unwrap() * 1e6;
    assert!((before as f64..=after as f64).contains(&seconds), "{before} {seconds} {after}");
    assert!((0.0..=1000.0).contains(&web["cpu_percent"].as_f64().unwrap()), "{web}");
    // The cgroup controllers may be unavailable, because the machine that runs this test uses them.
    assert_eq!(web["memory_limit"].as_u64(), counted("memory.max"));
    assert_eq!(web["memory"].is_null(), counted("memory.current").is_none());
    let tasks = format!("find {group} -name cgroup.threads -exec cat {{}} + | wc -l");
    let tasks = counted("pids.current").or_else(|| kernel(&tasks)).unwrap();
    assert!(web["tasks"].as_u64().unwrap().abs_diff(tasks) <= 2, "{tasks} {web}");
    let now = sent();
    assert!(now > 0 && (sent_before..=now).contains(&web["sent"].as_u64().unwrap()), "{sent_before} {now} {web}");
    assert!(plain["sent"].is_null() && plain["received"].is_null(), "the network is the host's: {plain}");
    let disk = |path: &str| kernel(&format!("du -s --block-size=1 {path} | cut -f1")).unwrap();
    let upper = web["upper"].as_u64().unwrap();
    assert!(upper > 3_000_000 && upper.abs_diff(disk("/var/lib/sdme/containers/web/upper")) < 1 << 20, "{web}");
    assert_eq!(web["volumes"].as_u64().unwrap(), disk("/var/lib/sdme/volumes/data"));
    assert_eq!(plain["volumes"], 0);

    let metrics = parsed(&host.ok("sdme-gen metrics"));
    let metric = |name: &str, container: &str| metrics.get(&(name.to_owned(), container.to_owned())).copied();
    assert_eq!(metric("sdme_container_running", "web"), Some(1.0));
    assert_eq!(metric("sdme_container_running", "idle"), Some(0.0));
    assert_eq!(metric("sdme_container_image_info", "web"), Some(1.0));
    assert_eq!(metric("sdme_container_volumes_bytes", "web"), web["volumes"].as_f64());
    assert!(metric("sdme_container_cpu_seconds_total", "web").unwrap() * 1e6 >= after as f64);
    assert_eq!(metric("sdme_container_memory_bytes", "web").is_none(), counted("memory.current").is_none());

    let table = host.ok("sdme-gen stats web");
    assert!(table.starts_with("NAME") && table.lines().count() == 2 && table.contains(" MiB"), "{table}");
    assert!(host.fails("sdme-gen stats idle").contains("idle does not run"));
}
