// SPDX-License-Identifier: MIT
//! Accounts for each key of the configuration: a key that is not exported is always listed. Pure.

use super::Context;
use super::workloads::Workload;
use crate::config::values::parse_bool;
use crate::ini::Entry;

/// The treatment of a key by the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    /// The key is exported, has no effect in a cluster, or is handled elsewhere.
    Done,
    /// The key has no counterpart; the text says what to do instead.
    Lost(&'static str),
    /// The key has no counterpart if its value is `yes`; otherwise it has no effect.
    LostIfSet(&'static str),
}

use Account::{Done, Lost, LostIfSet};

const BY_IMAGE: &str = "a cluster runs the image of the reference; change the tag";
const HOST_COMMAND: &str = "a command of the host has no counterpart; write an init container";

/// The keys of `[Container]` that need an account. A key that is not in this list is exported.
const CONTAINER: [(&str, Account); 27] = [
    ("AddDevice", Lost("a device needs a plugin of the cluster; write its resource below limits:")),
    ("AutoUpdate", Lost(BY_IMAGE)),
    ("CgroupsMode", Done),
    ("ContainerName", Done),
    ("HealthLogDestination", Done),
    ("HttpProxy", Done),
    ("IP", Lost("a pod has no address of its own choice; use the name of its service")),
    ("IP6", Lost("a pod has no address of its own choice; use the name of its service")),
    ("Mask", Lost("paths are masked by the runtime; leave them out")),
    ("OciPod", Lost("a container has one network; write Pod=")),
    ("PidsLimit", Lost("the number of processes is limited by the kubelet (podPidsLimit)")),
    ("PublishMode", Done),
    ("ReloadCmd", Lost("a cluster reloads nothing; restart the pods when a ConfigMap changes")),
    ("ReloadSignal", Lost("a cluster reloads nothing; restart the pods when a ConfigMap changes")),
    ("SecurityLabelDisable", Done),
    ("SecurityLabelType", Lost("write seLinuxOptions: for the nodes of the cluster")),
    ("ServiceName", Done),
    ("StartOnDemand", LostIfSet("a pod runs whether it is asked or not; a cluster needs an addition for that")),
    ("StartWithPod", Done),
    ("StopWhenIdle", Lost("a pod runs whether it is asked or not; a cluster needs an addition for that")),
    ("SystemCallFilter", Lost("write a profile for seccompProfile: on the nodes of the cluster")),
    ("Timezone", Done),
    ("Ulimit", Lost("limits of processes are set by the runtime of the node")),
    ("UpdateSettle", Lost("write minReadySeconds:")),
    ("UpdateSnapshot", LostIfSet("write a VolumeSnapshot before an update")),
    ("HealthMaxLogCount", Done),
    ("HealthMaxLogSize", Done),
];

/// The keys of `[Pod]` whose account differs from that in `[Container]`.
const POD: [(&str, Account); 2] = [("ExitPolicy", Done), ("PodName", Done)];

/// The keys of `[Service]` that are exported.
const SERVICE: [&str; 17] = [
    "CPUQuota",
    "CPUWeight",
    "ExecStartPost",
    "ExecStop",
    "MemoryLow",
    "MemoryMax",
    "RemainAfterExit",
    "Restart",
    "RestartMaxDelaySec",
    "RestartSec",
    "RestartSteps",
    "RuntimeMaxSec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
    "SyslogIdentifier",
    "TimeoutSec",
];

/// The keys of `[Service]` that are lost, with what the user can do instead.
const OF_SERVICE: [(&str, &str); 12] = [
    ("ExecCondition", HOST_COMMAND),
    ("ExecStartPre", HOST_COMMAND),
    ("ExecStopPost", HOST_COMMAND),
    ("IOWeight", "the priority of input and output has no counterpart"),
    ("LoadCredential", "write Secret= with the name of the credential"),
    ("LoadCredentialEncrypted", "write Secret= with the name of the credential"),
    ("MemoryHigh", "memory is not throttled; write Memory= for a limit"),
    ("MemorySwapMax", "swapping is set by the kubelet"),
    ("Nice", "write CPUWeight= for a share of the processors"),
    ("Slice", "write a PriorityClass"),
    ("TasksMax", "the number of processes is limited by the kubelet (podPidsLimit)"),
    ("CPUQuotaPeriodSec", "the period is set by the kubelet"),
];

/// Accounts for the keys in the files of a workload.
pub fn files(workload: &Workload<'_>, context: &mut Context<'_>) {
    let mut files: Vec<std::sync::Arc<str>> =
        workload.containers.iter().map(|c| std::sync::Arc::clone(&c.file)).collect();
    files.extend(workload.pod.map(|pod| std::sync::Arc::clone(&pod.file)));
    for file in files {
        let Some(settings) = context.settings.get(&*file).cloned() else { continue };
        let mut sections: Vec<String> =
            ["Container", "Pod", "Service", "App", "Unit", "Install"].map(str::to_owned).to_vec();
        for app in settings.applications() {
            sections.push(format!("Container {}", app.value));
            sections.push(format!("App {}", app.value));
        }
        for section in sections {
            for entry in settings.section(&section).cloned().collect::<Vec<_>>() {
                key(&entry, context);
            }
        }
    }
    // Only the settings of the first instance are exported, and other instances may have other
    // values.
    if workload.replicas > 1 {
        let instance = workload.instance.clone().unwrap_or_default();
        let of = |context: &Context<'_>, file: &str| -> Vec<Entry> {
            let settings = context.settings.get(file);
            settings.map(|settings| settings.section("Container").cloned().collect()).unwrap_or_default()
        };
        for container in &workload.containers {
            for entry in of(context, &container.file) {
                // The name of the pod itself is exported as a reference to that name.
                let own = entry.value.ends_with(&format!("={}-{instance}", workload.name));
                if entry.key == "Environment" && entry.value.ends_with(&format!("-{instance}")) && !own {
                    let reason = format!("the value of the instance {instance} is exported for all; write one for all");
                    context.lose(&entry.at, &entry.key, reason);
                }
            }
        }
    }
}

fn key(entry: &Entry, context: &mut Context<'_>) {
    if entry.value.is_empty() {
        return;
    }
    let section = entry.section.split(' ').next().unwrap_or_default();
    let account = match section {
        "Container" => find(&CONTAINER, &entry.key).unwrap_or(Done),
        "Pod" => find(&POD, &entry.key).or_else(|| find(&CONTAINER, &entry.key)).unwrap_or(Done),
        "Service" if SERVICE.contains(&entry.key.as_str()) => Done,
        "Service" => {
            let known = OF_SERVICE.iter().find(|(key, _)| *key == entry.key);
            Lost(known.map_or("leave it out, or write what does the same in the cluster", |(_, remedy)| *remedy))
        }
        "App" => match (entry.key.as_str(), entry.value.as_str()) {
            ("Restart", "always" | "on-failure") | ("RestartSec", _) => Done,
            _ => Lost("leave it out, or write what does the same in the cluster"),
        },
        "Unit" => match entry.key.as_str() {
            // Dependencies between containers are accounted for where the pod is exported.
            "Description"
            | "Documentation"
            | "StartLimitBurst"
            | "StartLimitIntervalSec"
            | "Requires"
            | "After"
            | "Wants"
            | "BindsTo" => Done,
            _ => Lost("relations between units are for systemd; let the program wait or retry"),
        },
        _ => Done,
    };
    match account {
        Done => {}
        LostIfSet(_) if parse_bool(&entry.value) != Some(true) => {}
        Lost(remedy) | LostIfSet(remedy) => {
            context.lose(&entry.at, &entry.key, format!("this has no counterpart; {remedy}"));
        }
    }
}

fn find(table: &[(&str, Account)], key: &str) -> Option<Account> {
    table.iter().find(|(known, _)| *known == key).map(|(_, account)| *account)
}
