// SPDX-License-Identifier: MIT
//! Converts one service: each key of the Compose Specification. Pure.

use super::cdi;
use super::limits;
use super::network::Plan;
use super::network::ports::ports;
use super::process;
use super::storage;
use super::{Context, builder, is_started};
use crate::compose::value::{Map, Value, is_empty, words};
use crate::config::keys::FileType;
use crate::convert::platform::Platform;
use crate::convert::{Builder, name};

/// The conversion of services.
pub struct Service;

/// Keys of a service whose value, or each item of whose list, becomes the value of one key of a
/// `.container` file.
const KEYS: [(&str, &str); 18] = [
    ("annotations", "Annotation"),
    ("cap_add", "AddCapability"),
    ("cap_drop", "DropCapability"),
    ("dns", "DNS"),
    ("dns_opt", "DNSOption"),
    ("dns_search", "DNSSearch"),
    ("group_add", "GroupAdd"),
    ("labels", "Label"),
    ("pids_limit", "PidsLimit"),
    ("read_only", "ReadOnly"),
    ("shm_size", "ShmSize"),
    ("stop_grace_period", "StopTimeout"),
    ("stop_signal", "StopSignal"),
    ("sysctls", "Sysctl"),
    ("working_dir", "WorkingDir"),
    ("cpuset", "AllowedCPUs"),
    ("oom_score_adj", "OOMScoreAdjust"),
    ("tmpfs", "Tmpfs"),
];

/// Keys that need no conversion of their own: they are handled together with other keys, describe
/// what holds for every container (an init process, forwarded output, reachable ports), or concern
/// other commands of Docker Compose or Swarm.
const NOTHING: [&str; 17] = [
    "attach",
    "build",
    "container_name",
    "depends_on",
    "develop",
    "expose",
    "extends",
    "init",
    "links",
    "mac_address",
    "network_mode",
    "networks",
    "ports",
    "profiles",
    "scale",
    "stdin_open",
    "tty",
];

/// Keys without a counterpart, and what the user can do instead.
const WITHOUT: [(&str, &str); 24] = [
    ("blkio_config", "set IOWeight= and the like in [Service]"),
    ("cgroup_parent", "set Slice= in [Service]"),
    ("cpu_count", "this is for Windows"),
    ("cpu_percent", "this is for Windows"),
    ("cpu_rt_period", "real-time limits of processors have no counterpart"),
    ("cpu_rt_runtime", "real-time limits of processors have no counterpart"),
    ("credential_spec", "this is for Windows"),
    ("device_cgroup_rules", "name each device in devices:"),
    ("domainname", "the domain is not set; write it into hostname:"),
    (
        "external_links",
        "containers of other projects are found by their names in a network that both projects have; name it in networks:",
    ),
    ("isolation", "this is for Windows"),
    ("label_file", "write the labels into labels:"),
    ("mem_swappiness", "this has no counterpart"),
    ("memswap_limit", "set MemorySwapMax= in [Service], without the memory itself"),
    ("models", "models are not run here"),
    ("oom_kill_disable", "the kernel ends processes of a container whose memory is used up"),
    ("post_start", "set ExecStartPost= in [Service]"),
    ("pre_stop", "set ExecStop= in [Service]"),
    ("provider", "services of other programs are not run here"),
    ("runtime", "systemd-nspawn runs the container"),
    ("storage_opt", "limit the file system that has /var/lib/sdme"),
    ("use_api_socket", "there is no Docker"),
    ("uts", "the container has a host name of its own"),
    ("volumes_from", "list the volumes in this service, too"),
];

impl Service {
    /// Converts one service to a container file.
    pub fn convert(service: &str, settings: &Map, plan: &Plan<'_>, context: &mut Context<'_>) -> Builder {
        let mut container = builder(FileType::Container);
        let active = is_started(settings, context.resolved);
        image(service, settings, &mut container, context);
        for (key, value) in settings.iter() {
            if *value != Value::Null {
                one(key, value, settings, &mut container, context);
            }
        }
        process::environment(settings, &mut container, context);
        plan.write(service, settings, &mut container);
        for port in ports(settings, &mut container) {
            plan.publish(service, &port, &mut container);
        }
        depends(settings, &mut container, context);
        if context.healthy.contains(service) {
            container.put("depends_on", "Notify", "healthy");
        }
        if context.completed.contains(service) {
            let restarts = settings.get("restart").and_then(Value::scalar).is_some_and(|policy| policy.contains('s'));
            if restarts {
                container.note("restart", "other services wait for this one to end, so it is not restarted");
            }
            container.set("depends_on", "Service", "Type", "oneshot");
        } else {
            limits::restart(settings, active, &mut container);
        }
        context.take_notes(service, &mut container);
        container
    }
}

fn one(key: &str, value: &Value, settings: &Map, container: &mut Builder, context: &mut Context<'_>) {
    if let Some((_, ours)) = KEYS.iter().find(|(theirs, _)| *theirs == key) {
        for value in words(value) {
            match *ours {
                "AllowedCPUs" | "OOMScoreAdjust" => container.set(key, "Service", ours, &value),
                "ReadOnly" if value == "false" => {}
                "PidsLimit" if value == "0" => {}
                "Tmpfs" => container.put(key, ours, &storage::tmpfs_value(&value)),
                _ => container.put(key, ours, &value),
            }
        }
        return;
    }
    if let Some((_, instead)) = WITHOUT.iter().find(|(theirs, _)| *theirs == key) {
        let unset = [Some("0"), Some("false"), Some("")].contains(&value.scalar().as_deref());
        let plain = key == "runtime" && value.scalar().as_deref() == Some("runc");
        if !unset && !plain && !is_empty(value) {
            container.note(key, instead);
        }
        return;
    }
    match key {
        "environment" | "env_file" | "image" | "platform" | "pull_policy" | "restart" => {}
        "command" | "entrypoint" => process::command(key, value, settings, container),
        "healthcheck" => process::health(value, container),
        "user" => process::user(value, container),
        "volumes" => storage::mounts(value, container, context),
        "devices" => storage::devices(value, container, context),
        "gpus" => cdi::gpus(key, value, container, context),
        "secrets" | "configs" => storage::secrets(key, value, container, context),
        "deploy" => limits::deploy(value, settings, container, context),
        "ulimits" => limits::ulimits(value, container),
        "mem_limit" | "mem_reservation" | "cpus" | "cpu_shares" | "cpu_quota" | "cpu_period" => {
            limits::resource(key, value, settings, container);
        }
        "hostname" => host_name(&value.scalar().unwrap_or_default(), container),
        "extra_hosts" => hosts(value, container),
        "security_opt" => security(value, container),
        "privileged" => {
            if value.boolean() == Some(true) {
                container.note(key, "the container is not privileged; list what it needs in cap_add: and devices:");
            }
        }
        "logging" => {
            let driver = value.get("driver").and_then(Value::scalar).unwrap_or_default();
            if !["", "json-file", "local", "journald", "none"].contains(&driver.as_str()) {
                container.note(key, &format!("the output goes to the journal, not to {driver}"));
            }
        }
        "pid" | "ipc" | "cgroup" | "userns_mode" => {
            let mode = value.scalar().unwrap_or_default();
            let ordinary =
                ["", "private", "shareable"].contains(&mode.as_str()) || (key == "userns_mode" && mode == "host");
            if !ordinary {
                container.note(key, &format!("{mode} has no counterpart; the container has a namespace of its own"));
            }
        }
        key if NOTHING.contains(&key) || key.starts_with("x-") => {}
        _ => container.note(key, "unknown key; it is ignored"),
    }
    if key == "build" {
        let image = settings.get("image").and_then(Value::scalar).unwrap_or_default();
        container.note(key, &format!("nothing is built here; {image} is pulled from its registry"));
    }
}

fn depends(settings: &Map, container: &mut Builder, context: &Context<'_>) {
    let mut others: Vec<(String, bool)> = match settings.get("depends_on") {
        Some(Value::Map(map)) => map
            .iter()
            .map(|(other, value)| (other.to_owned(), value.get("required").and_then(Value::boolean) != Some(false)))
            .collect(),
        Some(Value::List(items)) => items.iter().filter_map(Value::scalar).map(|other| (other, true)).collect(),
        _ => Vec::new(),
    };
    let mode = settings.get("network_mode").and_then(Value::scalar).unwrap_or_default();
    let links = settings.get("links").map(words).unwrap_or_default();
    let implied = links.iter().map(|link| link.split(':').next().unwrap_or(link).to_owned());
    for other in implied.chain(mode.strip_prefix("service:").map(str::to_owned)) {
        if !others.iter().any(|(known, _)| *known == other) {
            others.push((other, true));
        }
    }
    for (other, required) in others {
        // An optional dependency on a service that does not start with the project is dropped,
        // because `Wants=` would start that service.
        let starts = context
            .services
            .get(&other)
            .and_then(Value::as_map)
            .is_none_or(|other| is_started(other, context.resolved));
        if !required && !starts {
            continue;
        }
        match context.containers.get(other.as_str()) {
            Some(place) => {
                let key = if required { "Requires" } else { "Wants" };
                for file in place.all() {
                    container.set("depends_on", "Unit", key, &format!("{file}.container"));
                    container.set("depends_on", "Unit", "After", &format!("{file}.container"));
                }
            }
            None if required => container.note("depends_on", &format!("there is no container for the service {other}")),
            None => {}
        }
    }
}

/// Writes a host name. Characters that are invalid in host names become dashes.
pub fn host_name(text: &str, container: &mut Builder) {
    let labels: Vec<String> = text.split('.').map(name).collect();
    let plain = labels.join(".");
    if plain != text {
        container.note("hostname", &format!("{text} is no host name; the host name is {plain}"));
    }
    container.put("hostname", "HostName", &plain);
}

fn hosts(value: &Value, container: &mut Builder) {
    let pairs: Vec<(String, String)> = match value {
        Value::Map(map) => map
            .iter()
            .flat_map(|(host, addresses)| words(addresses).into_iter().map(move |address| (host.to_owned(), address)))
            .collect(),
        other => words(other)
            .iter()
            .filter_map(|text| text.split_once('=').or_else(|| text.split_once(':')))
            .map(|(host, address)| (host.to_owned(), address.to_owned()))
            .collect(),
    };
    for (host, address) in pairs {
        container.put("extra_hosts", "AddHost", &format!("{host}:{address}"));
    }
}

fn security(value: &Value, container: &mut Builder) {
    for option in words(value) {
        let (kind, argument) = option.split_once([':', '=']).unwrap_or((&option, ""));
        match (kind, argument) {
            ("no-new-privileges", "" | "true") => container.put("security_opt", "NoNewPrivileges", "yes"),
            ("no-new-privileges", _) => container.put("security_opt", "NoNewPrivileges", "no"),
            // Containers have no SELinux labels, so there is nothing to disable.
            ("label", _) => {}
            ("apparmor", profile) => container.put("security_opt", "AppArmor", profile),
            ("seccomp", path) if path != "unconfined" => container.put("security_opt", "SeccompProfile", path),
            _ => container.note("security_opt", &format!("{option} has no counterpart")),
        }
    }
}

/// Names the image and its policy. An image for a named platform gets an `.image` file.
fn image(service: &str, settings: &Map, container: &mut Builder, context: &mut Context<'_>) {
    let text = |key: &str| settings.get(key).and_then(Value::scalar).unwrap_or_default();
    let mut platform = Platform { policy: policy(&text("pull_policy"), container), ..Platform::default() };
    if !text("platform").is_empty() {
        platform.option("platform", &text("platform"));
    }
    let place = context.containers.get(service).filter(|_| !platform.is_empty());
    let Some(name) = place.map(|place| format!("{}.image", place.image())) else {
        container.put("image", "Image", &text("image"));
        if let Some(policy) = &platform.policy {
            container.put("pull_policy", "Pull", policy);
        }
        return;
    };
    let file = platform.file(&text("image"));
    container.put("image", "Image", &name);
    container.notes.extend(file.notes);
    context.out.files.insert(name, file.draft.to_string());
}

/// The value of `Pull=` and `Policy=` for a value of `pull_policy`, if it is not the default.
fn policy(given: &str, container: &mut Builder) -> Option<String> {
    match given {
        "always" | "never" | "missing" => Some(given.to_owned()),
        "if_not_present" | "build" | "" => None,
        "daily" | "weekly" | "refresh" => Some("newer".to_owned()),
        other if other.starts_with("every_") => Some("newer".to_owned()),
        other => {
            container.note("pull_policy", &format!("{other} is no policy"));
            None
        }
    }
}
