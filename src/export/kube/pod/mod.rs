// SPDX-License-Identifier: MIT
//! Exports the pod of a workload, and the object that creates it. Pure.

pub mod container;
pub mod probes;
pub mod resources;
pub mod security;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec, StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container as Exported, HostAlias, Pod, PodDNSConfig, PodDNSConfigOption, PodOS, PodSpec, PodTemplateSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::jobs::{self, Timer};
use super::storage::Storage;
use super::workloads::Workload;
use crate::config::keys::key;
use crate::export::kube::{Context, Kind, networks, secrets, services};
use crate::kube::ObjectMeta;
use crate::model::Container;

/// Exports a workload.
pub fn export(workload: &Workload<'_>, all: &[Workload<'_>], timers: &[Timer], context: &mut Context<'_>) {
    if workload.containers.iter().all(|container| container.apps.is_empty()) {
        for container in &workload.containers {
            let at = crate::diag::Location::whole(&container.file);
            let reason = "a clone of this machine cannot be run by a cluster; write Image= with a reference";
            context.lose(&at, "Image", reason);
        }
        return;
    }
    let mut storage = Storage::of(workload, all);
    let mut spec = PodSpec::default();
    let ends = workload.is_job();
    let order = order(workload, context);
    let applications = workload.applications();
    let mut init = Vec::new();
    let mut main = Vec::new();
    for (own, app, name) in &applications {
        let mut exported = container::export(own, app, name, workload, &mut storage, &mut spec, context);
        if order.contains(own.name.as_str()) {
            if !own.is_job() {
                exported.restart_policy = Some("Always".to_owned());
            }
            init.push(exported);
        } else if own.is_job() && !ends {
            let at = context.at(&own.file, "Service", "Type");
            let reason = "a job in a pod that stays runs before the others; write Requires= and After= with its file in the others";
            context.lose(&at, "Type", reason);
            init.push(exported);
        } else {
            main.push(exported);
        }
    }
    spec.containers = main;
    spec.init_containers = Some(init).filter(|init: &Vec<Exported>| !init.is_empty());
    shared(workload, &mut spec, context);
    security::of_pod(workload, &mut spec, context);
    networks::of_pod(workload, &mut spec, context);
    // Applications here do not use the API server, so its token is not mounted.
    spec.automount_service_account_token = Some(false);
    spec.enable_service_links = Some(false);
    let claims = storage.finish(&mut spec, context);
    secrets::objects(workload, context);
    let mut labels = workload.labels();
    let selector = labels.clone();
    labels.extend(networks::labels(workload, context));
    let annotations = annotations(workload, &mut labels, context);
    let metadata = ObjectMeta {
        labels: Some(labels.clone()),
        annotations: Some(annotations).filter(|a| !a.is_empty()),
        ..ObjectMeta::default()
    };
    if ends {
        return jobs::export(workload, metadata, spec, timers, context);
    }
    let kind = match context.request.kind {
        Kind::Auto if claims.is_empty() => Kind::Deployment,
        Kind::Auto => Kind::StatefulSet,
        other => other,
    };
    restarts(workload, kind, &mut spec, context);
    let replicas = i32::try_from(workload.replicas).ok().filter(|_| workload.replicas > 1);
    let template = PodTemplateSpec { metadata: Some(metadata.clone()), spec: Some(spec.clone()) };
    let selector = LabelSelector { match_labels: Some(selector), match_expressions: None };
    let own = context.metadata(&workload.name, workload.labels());
    if !claims.is_empty() && kind != Kind::StatefulSet {
        super::storage::alone(&claims, workload, context);
    }
    match kind {
        Kind::Pod => {
            let metadata = ObjectMeta { name: own.name, namespace: own.namespace, ..metadata };
            if workload.replicas > 1 {
                let text = format!(
                    "{}: one pod is written of {} instances; use --kind deployment",
                    workload.name, workload.replicas
                );
                context.remark(text);
            }
            context.add(&workload.name, &Pod { metadata, spec: Some(spec), status: None });
        }
        Kind::DaemonSet => {
            let spec = DaemonSetSpec { selector, template, ..DaemonSetSpec::default() };
            context.add(&workload.name, &DaemonSet { metadata: own, spec, status: None });
        }
        Kind::StatefulSet => {
            let spec = StatefulSetSpec {
                replicas,
                selector,
                service_name: Some(workload.name.clone()),
                template,
                volume_claim_templates: Some(claims).filter(|claims| !claims.is_empty()),
                ..StatefulSetSpec::default()
            };
            context.add(&workload.name, &StatefulSet { metadata: own, spec, status: None });
        }
        Kind::Deployment | Kind::Auto => {
            let spec = DeploymentSpec { replicas, selector, template, ..DeploymentSpec::default() };
            context.add(&workload.name, &Deployment { metadata: own, spec, status: None });
        }
    }
    services::export(workload, context);
}

/// Returns the names of the containers that start before others of the pod: those that another
/// container of the pod names in `After=`. Dependencies on other pods are listed as lost.
fn order<'a>(workload: &Workload<'a>, context: &mut Context<'_>) -> BTreeSet<&'a str> {
    let mut before = BTreeSet::new();
    let units: BTreeMap<String, &'a Container> =
        workload.containers.iter().map(|container| (Container::unit(&container.name), *container)).collect();
    for container in &workload.containers {
        for key in ["Requires", "Wants", "BindsTo", "After", "Before"] {
            for (_, value) in container.unit.iter().filter(|(known, _)| known == key) {
                for unit in value.split_whitespace() {
                    let at = context.at(&container.file, "Unit", key);
                    match units.get(unit) {
                        // Only After= determines the order; the other keys do not.
                        Some(other) if key == "After" && other.name != container.name => {
                            before.insert(other.name.as_str());
                        }
                        Some(_) => {}
                        None => {
                            context.lose(&at, key, format!("a cluster starts pods in any order, and {unit} is in another one; let the program wait"));
                        }
                    }
                }
            }
        }
    }
    before
}

/// Writes the settings that all containers of a pod share.
fn shared(workload: &Workload<'_>, spec: &mut PodSpec, context: &mut Context<'_>) {
    let Some(first) = workload.containers.first() else { return };
    let host_name = &first.host_name;
    let own = workload.pod.map_or(first.name.as_str(), |pod| pod.name.as_str());
    // The default host name in a cluster is the name of the pod, so only another name is written.
    if host_name != own && *host_name != first.name && workload.replicas == 1 {
        spec.hostname = Some(super::dns(host_name));
    }
    for container in &workload.containers {
        if container.host_name != *host_name && container.host_name != container.name {
            let at = context.at(&container.file, "Container", "HostName");
            context.lose(
                &at,
                "HostName",
                "the containers of a pod share a host name; write HostName= in the .pod file",
            );
        }
    }
    let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut resolver = PodDNSConfig::default();
    for container in &workload.containers {
        for line in container.hosts.lines() {
            let mut words = line.split_whitespace();
            let Some(address) = words.next() else { continue };
            for name in words {
                let names = hosts.entry(address.to_owned()).or_default();
                if !names.contains(&name.to_owned()) {
                    names.push(name.to_owned());
                }
            }
        }
        let add = |list: &mut Option<Vec<String>>, words: &[String]| {
            for word in words {
                let list = list.get_or_insert_default();
                if !list.contains(word) {
                    list.push(word.clone());
                }
            }
        };
        add(&mut resolver.nameservers, &container.resolver.servers);
        add(&mut resolver.searches, &container.resolver.search);
        for option in &container.resolver.options {
            let (name, value) =
                option.split_once(':').map_or((option.as_str(), None), |(name, value)| (name, Some(value)));
            let option = PodDNSConfigOption { name: Some(name.to_owned()), value: value.map(str::to_owned) };
            let options = resolver.options.get_or_insert_default();
            if !options.contains(&option) {
                options.push(option);
            }
        }
        if let Some(zone) = container.timezone.as_ref().filter(|zone| *zone == "local") {
            let at = context.at(&container.file, "Container", "Timezone");
            context.lose(&at, "Timezone", format!("{zone} is that of this machine; write its name"));
        }
    }
    for (address, names) in hosts {
        if address.parse::<std::net::IpAddr>().is_ok() {
            let alias = HostAlias { hostnames: Some(names), ip: address };
            spec.host_aliases.get_or_insert_default().push(alias);
        } else {
            let at = context.at(&first.file, "Container", "AddHost");
            context.lose(
                &at,
                "AddHost",
                format!("the address {address} is that of this machine; write the address of a service"),
            );
        }
    }
    if resolver.nameservers.is_some() {
        spec.dns_policy = Some("None".to_owned());
    }
    if resolver != PodDNSConfig::default() {
        spec.dns_config = Some(resolver);
    }
    let times =
        workload.containers.iter().flat_map(|container| &container.apps).filter_map(|app| app.startup.stop_timeout);
    if let Some(time) = times.max() {
        spec.termination_grace_period_seconds = i64::try_from(time.div_ceil(1000)).ok();
    }
    // Kubernetes accepts a stop signal only if the pod names its operating system.
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let signal = containers.filter_map(|c| c.lifecycle.as_ref()).any(|lifecycle| lifecycle.stop_signal.is_some());
    if signal {
        spec.os = Some(PodOS { name: "linux".to_owned() });
    }
}

/// Writes the restart policy. Only a pod without a controller can have one other than `Always`;
/// others are listed as lost.
fn restarts(workload: &Workload<'_>, kind: Kind, spec: &mut PodSpec, context: &mut Context<'_>) {
    let mut policies: BTreeSet<&str> = BTreeSet::new();
    for container in workload.containers.iter().filter(|container| !container.is_job()) {
        let written = container.service.iter().rfind(|(key, _)| key == "Restart").map(|(_, value)| value.as_str());
        let of_app = container.apps.iter().flat_map(|app| &app.service).rfind(|(key, _)| key == "Restart");
        let written = written.or(of_app.map(|(_, value)| value.as_str()));
        let policy = match written {
            Some("always") => "Always",
            Some("no") | None => "Never",
            Some(_) => "OnFailure",
        };
        policies.insert(policy);
        if kind != Kind::Pod && policy != "Always" {
            let section = if of_app.is_some() { "App" } else { "Service" };
            let at = context.at(&container.file, section, "Restart");
            let reason = "a program that has ended is always started again by this kind of object; use --kind pod";
            context.lose(&at, "Restart", reason);
        }
    }
    if kind == Kind::Pod {
        let policy = if policies.contains("Always") {
            "Always"
        } else if policies.contains("OnFailure") {
            "OnFailure"
        } else {
            "Never"
        };
        spec.restart_policy = Some(policy.to_owned());
    }
}

/// Returns the annotations of `Label=` and `Annotation=`, and adds the labels. A label with a value
/// that Kubernetes refuses becomes an annotation.
fn annotations(
    workload: &Workload<'_>,
    labels: &mut BTreeMap<String, String>,
    context: &Context<'_>,
) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    let files =
        workload.containers.iter().map(|c| (&c.file, "Container")).chain(workload.pod.map(|p| (&p.file, "Pod")));
    for (file, section) in files {
        let Some(settings) = context.settings.get(&**file) else { continue };
        for key in [key::LABEL, key::ANNOTATION] {
            for word in settings.words(section, key) {
                let (name, value) = word.value.split_once('=').unwrap_or((&word.value, ""));
                if !is_label_name(name) {
                    continue;
                }
                if key == key::LABEL && is_label_value(value) {
                    labels.entry(name.to_owned()).or_insert_with(|| value.to_owned());
                } else {
                    annotations.insert(name.to_owned(), value.to_owned());
                }
            }
        }
    }
    annotations
}

fn is_label_name(name: &str) -> bool {
    let (prefix, own) = name.rsplit_once('/').map_or((None, name), |(prefix, own)| (Some(prefix), own));
    let dns = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    !own.is_empty() && is_label_value(own) && prefix.is_none_or(|prefix| !prefix.is_empty() && prefix.chars().all(dns))
}

fn is_label_value(value: &str) -> bool {
    let end = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| end(c) || "-_.".contains(c);
    value.is_empty()
        || (value.len() <= 63 && value.starts_with(end) && value.ends_with(end) && value.chars().all(inner))
}
