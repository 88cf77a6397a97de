// SPDX-License-Identifier: MIT
//! Tier 0: a property of the subset of keys that Kubernetes can express: a configuration that is
//! exported and converted again is the same, or the export listed the difference.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sdme_gen::compile;
use sdme_gen::convert::kube::kube;
use sdme_gen::convert::sources;
use sdme_gen::diag::Severity;
use sdme_gen::export::kube::{Kind, Outside, Request, export};
use sdme_gen::kube::read;
use sdme_gen::model::Facts;

/// No machine: there are no files and no timers, and every credential has the same value.
struct Nothing;

impl Outside for Nothing {
    fn file(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn directory(&self, _: &str) -> Option<Vec<String>> {
        None
    }

    fn credential(&self, _: &str) -> Option<Vec<u8>> {
        Some(b"value".to_vec())
    }

    fn timers(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The assignments of a file with their sections, without comments.
fn assignments(text: &str) -> BTreeSet<String> {
    let mut section = String::new();
    let mut all = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            line.clone_into(&mut section);
        } else {
            all.insert(format!("{section} {line}"));
        }
    }
    all
}

/// Whether a line is one that every converted file has, because it is a default of clusters that
/// the export does not write.
fn is_added(line: &str) -> bool {
    let fixed = [
        "[Container] HealthCmd=none",
        "[Container] NoNewPrivileges=yes",
        "[Service] RestartSec=10s",
        "[Service] RestartSteps=5",
        "[Service] RestartMaxDelaySec=5min",
        "[Install] WantedBy=multi-user.target",
        "[Pod] Network=kube-default.network",
    ];
    // The conversion writes the defaults of a probe, and sets the owner of a volume to the user of
    // the pod.
    let starts = [
        "[Pod] HostName=",
        "[Pod] NetworkAlias=",
        "[Container] HealthRetries=",
        "[Container] HealthTimeout=",
        "[Container] HealthInterval=",
        "[Container] HealthStartup",
        "[Volume] UID=",
        "[Pod] Label=",
    ];
    fixed.contains(&line) || starts.iter().any(|start| line.starts_with(start))
}

fn text() -> impl Strategy<Value = String> {
    // Characters that are special in YAML, in systemd, or in references to variables.
    prop_oneof!["[a-zA-Z0-9 :#'\"$(){}\\[\\]%\\\\,&*!|>@`~-]{0,24}", "[$(A)% ]{0,12}"]
}

fn word(text: &str) -> String {
    sdme_gen::unit::config_word(&sdme_gen::config::quadlet::expand::literal(text))
}

prop_compose! {
    fn member()(
        environment in prop::collection::btree_map("[A-Z][A-Z0-9_]{0,8}", text(), 0..4),
        arguments in prop::collection::vec(text(), 0..3),
        program in prop::option::of("/bin/[a-z]{1,8}"),
        directory in prop::option::of("/[a-z]{1,8}"),
        user in prop::option::of(1u32..70000),
        group in prop::option::of(1u32..70000),
        memory in prop::option::of(1u64..4096),
        processors in prop::option::of(1u32..400),
        weight in prop::option::of(1u32..1000),
        read_only in any::<bool>(),
        drop_all in any::<bool>(),
        add in prop::option::of(prop::sample::select(vec!["CAP_SYS_NICE", "CAP_NET_BIND_SERVICE"])),
        secret in prop::option::of("[a-z]{1,6}-[a-z]{1,6}"),
        volume in prop::option::of("/[a-z]{1,8}"),
        check in prop::option::of((0..3usize, 1u16..65535, 1u32..100, 1u32..10, any::<bool>(), any::<bool>())),
        signal in prop::option::of(prop::sample::select(vec!["SIGQUIT", "SIGINT"])),
    ) -> (String, BTreeMap<String, String>) {
        let mut own = "[Container]\nImage=docker.io/library/x:1\nPod=p.pod\n".to_owned();
        for (name, value) in &environment {
            own += &format!("Environment={}\n", word(&format!("{name}={value}")));
        }
        let mut put = |key: &str, value: Option<String>| own += &value.map(|value| format!("{key}={value}\n")).unwrap_or_default();
        put("Entrypoint", program);
        put("Exec", Some(arguments.iter().map(|w| word(w)).collect::<Vec<_>>().join(" ")).filter(|line| !line.is_empty()));
        put("WorkingDir", directory);
        put("User", user.map(|user| user.to_string()));
        put("Group", group.map(|group| group.to_string()));
        put("Memory", memory.map(|memory| format!("{memory}m")).map(|m| if memory.is_some_and(|m| m % 1024 == 0) { format!("{}g", memory.unwrap_or(0) / 1024) } else { m }));
        put("ReadOnly", read_only.then(|| "yes\nReadOnlyTmpfs=no".to_owned()));
        put("DropCapability", drop_all.then(|| "all".to_owned()));
        put("AddCapability", add.map(str::to_owned));
        put("StopSignal", signal.map(str::to_owned));
        put("Secret", secret.map(|secret| format!("{secret},type=env,target=SECRET_VALUE")));
        put("Volume", volume.map(|path| format!("vol.volume:{path}")));
        if let Some((kind, port, interval, retries, restart, notify)) = check {
            own += &match kind {
                0 => format!("HealthHttp=:{port}/x\n"),
                1 => format!("HealthTcp={port}\n"),
                _ => "HealthCmd=[\"/bin/check\",\"a b\"]\n".to_owned(),
            };
            own += &format!("HealthInterval={interval}s\nHealthTimeout=3s\nHealthRetries={retries}\n");
            own += if restart { "HealthOnFailure=restart\n" } else { "" };
            own += if notify { "Notify=healthy\n" } else { "" };
        }
        own += "\n[Service]\nRestart=always\n";
        own += &processors.map(|p| format!("CPUQuota={p}%\n")).unwrap_or_default();
        own += &weight.map(|w| format!("CPUWeight={w}\n")).unwrap_or_default();
        (own, BTreeMap::new())
    }
}

prop_compose! {
    fn configuration()(
        members in prop::collection::btree_map("[a-z]{1,8}", member(), 1..3),
        ports in prop::collection::btree_map(30000u16..32767, 1u16..65535, 0..3),
        aliases in prop::collection::btree_map("[a-z]{2,8}", Just("192.0.2.7"), 0..3),
        stop in prop::option::of(1u32..300),
    ) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut pod = "[Pod]\nNetwork=kube-default.network\n".to_owned();
        for (name, address) in &aliases {
            pod += &format!("AddHost={name}:{address}\n");
        }
        let mut targets = BTreeSet::new();
        for (host, target) in ports {
            // A second port with the same target would need another port of the service.
            if targets.insert(target) {
                pod += &format!("PublishPort={host}:{target}\n");
            }
        }
        files.insert("p.pod".to_owned(), pod + "\n[Install]\nWantedBy=multi-user.target\n");
        files.insert("kube-default.network".to_owned(), "[Network]\n".to_owned());
        for (name, (text, _)) in members {
            if text.contains("vol.volume") {
                files.insert("vol.volume".to_owned(), "[Volume]\nCopy=no\n".to_owned());
            }
            let stop = stop.map_or_else(|| "\n[Service]".to_owned(), |stop| format!("StopTimeout={stop}\n\n[Service]"));
            files.insert(format!("p-{name}.container"), text.replacen("\n[Service]", &stop, 1));
        }
        files
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exported_configurations_are_converted_back_or_listed(files in configuration()) {
        let before = sources(&files);
        let compiled = compile(&before, &Facts::default());
        let errors: Vec<_> = compiled.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
        prop_assert!(errors.is_empty(), "{errors:?}\n{files:#?}");
        let request = Request { with_secrets: true, kind: Kind::Deployment, ..Request::default() };
        let exported = export(&before, &compiled.model, &Nothing, &request).unwrap();
        let texts: Vec<(String, String)> =
            exported.files.keys().map(|name| (format!("{name}.yaml"), exported.text(name).unwrap())).collect();
        let outcome = kube(&read(&texts), "p").unwrap_or_else(|problems| panic!("{problems:?}\n{texts:?}"));
        let lost: Vec<String> = exported.lost.iter().map(ToString::to_string).collect();
        let is_listed = |file: &str, line: &str| {
            let key = line.split_once(' ').and_then(|(_, rest)| rest.split('=').next()).unwrap_or_default();
            lost.iter().any(|lost| lost.starts_with(&format!("{file}:")) && lost.contains(&format!("{key}=")))
        };
        for (name, text) in &files {
            let Some(back) = outcome.files.get(name) else { panic!("{name} did not come back: {:?}\n{texts:?}", outcome.files.keys()) };
            let (before, after) = (assignments(text), assignments(back));
            for line in before.difference(&after) {
                prop_assert!(is_listed(name, line), "{name}: {line} is lost\n{back}\n{texts:?}\n{lost:?}");
            }
            for line in after.difference(&before) {
                let listed = is_added(line) || is_listed(name, line) || lost.iter().any(|lost| lost.contains("readinessProbe") && line.ends_with("Notify=healthy"));
                prop_assert!(listed, "{name}: {line} is new\n{text}\n{texts:?}\n{lost:?}");
            }
        }
        // Network policies are the only exported objects that cannot be converted back.
        for lost in &outcome.lost {
            prop_assert!(lost.reason.contains("NetworkPolicy"), "{lost}");
        }
    }
}
