// SPDX-License-Identifier: MIT
//! Checks of objects: errors that the API server of a cluster would refuse, and errors that no
//! conversion could handle. Each is reported with its field and a remedy. Pure.

mod container;
mod pod;

use k8s_openapi::api::core::v1::{PodTemplateSpec, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Manifest, Object, Problem, schedule};

/// The errors of all objects, sorted by location.
#[must_use]
pub fn problems(manifests: &[Manifest]) -> Vec<Problem> {
    let mut out: Vec<Problem> = Vec::new();
    for (number, manifest) in manifests.iter().enumerate() {
        let mut checker = Checker { manifest, problems: Vec::new() };
        checker.object();
        let same = |other: &&Manifest| {
            (other.object.kind(), other.namespace(), other.name())
                == (manifest.object.kind(), manifest.namespace(), manifest.name())
        };
        if let Some(first) = manifests.iter().take(number).find(same) {
            let (kind, first) = (manifest.object.kind(), first.field(""));
            let message =
                format!("the {kind} {} is given twice, first at {first}; remove one of the two", manifest.name());
            checker.wrong("metadata.name", message);
        }
        out.extend(checker.problems);
    }
    out.sort();
    out
}

/// Collects the errors of one object.
struct Checker<'a> {
    manifest: &'a Manifest,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem { field: self.manifest.field(path), message: message.into() });
    }

    /// Checks a name that must be a DNS label.
    fn label(&mut self, path: &str, what: &str, name: &str) {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() {
            self.wrong(path, format!("the {what} has no name; write name:"));
        } else if name.len() > 63 || !name.chars().all(inner) || name.starts_with('-') || name.ends_with('-') {
            self.wrong(
                path,
                format!("{name:?} is no name of a {what}; write up to 63 small letters, digits and hyphens"),
            );
        }
    }

    /// Checks a value that must be one of `words`.
    fn choice(&mut self, path: &str, value: Option<&String>, words: &[&str]) {
        if let Some(value) = value.filter(|value| !words.contains(&value.as_str())) {
            self.wrong(path, format!("{value:?} is not known here; write {}", words.join(", ")));
        }
    }

    /// Checks a port number.
    fn port(&mut self, path: &str, port: i32) {
        if !(1..=65535).contains(&port) {
            self.wrong(path, format!("{port} is no port; write a number from 1 to 65535"));
        }
    }

    /// Checks that a number is not negative.
    fn natural(&mut self, path: &str, number: Option<i64>) {
        if let Some(number) = number.filter(|number| *number < 0) {
            self.wrong(path, format!("{number} is negative; write 0 or more"));
        }
    }

    fn object(&mut self) {
        let metadata = self.manifest.object.metadata();
        match metadata.name.as_deref().filter(|name| !name.is_empty()) {
            None if metadata.generate_name.is_some() => {
                self.wrong("metadata.generateName", "a file needs a name that stays; write name: in its place");
            }
            None => self.wrong("metadata.name", "the name is missing; write metadata: and below it name:"),
            Some(name) => {
                let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
                let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                if name.len() > 253 || !name.chars().all(inner) || !name.starts_with(end) || !name.ends_with(end) {
                    let message = format!("{name:?} is no name; write small letters, digits, hyphens and points");
                    self.wrong("metadata.name", message);
                }
            }
        }
        match &self.manifest.object {
            Object::Pod(pod) => match &pod.spec {
                Some(spec) => self.pod("spec", spec, &["Always", "OnFailure", "Never"]),
                None => self.wrong("spec", "the pod has no spec; write spec: and below it containers:"),
            },
            Object::Deployment(object) => {
                let spec = &object.spec;
                self.workload(spec.replicas, &spec.selector, Some(&spec.template));
            }
            Object::ReplicaSet(object) => {
                let spec = &object.spec;
                self.workload(spec.replicas, &spec.selector, spec.template.as_ref());
            }
            Object::DaemonSet(object) => self.workload(None, &object.spec.selector, Some(&object.spec.template)),
            Object::StatefulSet(object) => {
                let spec = &object.spec;
                self.workload(spec.replicas, &spec.selector, Some(&spec.template));
                for (number, claim) in spec.volume_claim_templates.iter().flatten().enumerate() {
                    let path = format!("spec.volumeClaimTemplates[{number}].metadata.name");
                    self.label(&path, "claim", claim.metadata.name.as_deref().unwrap_or_default());
                }
            }
            Object::Job(object) => match &object.spec {
                Some(spec) => self.job("spec", spec),
                None => self.no_template(),
            },
            Object::CronJob(object) => {
                let spec = &object.spec;
                if let Err(message) = schedule::calendar(&spec.schedule, None) {
                    self.wrong("spec.schedule", message);
                }
                let words = ["Allow", "Forbid", "Replace"];
                self.choice("spec.concurrencyPolicy", spec.concurrency_policy.as_ref(), &words);
                match &spec.job_template.spec {
                    Some(job) => self.job("spec.jobTemplate.spec", job),
                    None => self.wrong("spec.jobTemplate", "the job has no spec; write spec: and below it template:"),
                }
            }
            Object::Service(service) => self.service(service),
            Object::ConfigMap(map) => {
                let both = map.data.iter().flatten().map(|(key, _)| ("data", key));
                let both: Vec<_> =
                    both.chain(map.binary_data.iter().flatten().map(|(key, _)| ("binaryData", key))).collect();
                self.keys(&both);
            }
            Object::Secret(secret) => {
                let both = secret.data.iter().flatten().map(|(key, _)| ("data", key));
                let both: Vec<_> =
                    both.chain(secret.string_data.iter().flatten().map(|(key, _)| ("stringData", key))).collect();
                self.keys(&both);
            }
            Object::PersistentVolumeClaim(claim) => {
                let words = ["Filesystem", "Block"];
                let mode = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_ref());
                self.choice("spec.volumeMode", mode, &words);
            }
        }
    }

    fn no_template(&mut self) {
        self.wrong("spec", "there is no template of a pod; write template: below spec:");
    }

    fn workload(&mut self, replicas: Option<i32>, selector: &LabelSelector, template: Option<&PodTemplateSpec>) {
        self.natural("spec.replicas", replicas.map(i64::from));
        let Some(template) = template.filter(|template| template.spec.is_some()) else { return self.no_template() };
        if let Some(spec) = &template.spec {
            self.pod("spec.template.spec", spec, &["Always"]);
        }
        let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
        let selector = selector.clone();
        let wanted = selector.match_labels.unwrap_or_default();
        if wanted.is_empty() && selector.match_expressions.unwrap_or_default().is_empty() {
            let message = "the selector is missing; write matchLabels: with the labels of the template";
            self.wrong("spec.selector", message);
        }
        for (key, value) in wanted.iter().filter(|(key, value)| labels.get(*key) != Some(value)) {
            let message =
                format!("the template has no label {key}: {value}; write it below spec.template.metadata.labels");
            self.wrong(&format!("spec.selector.matchLabels.{key}"), message);
        }
    }

    fn job(&mut self, path: &str, job: &k8s_openapi::api::batch::v1::JobSpec) {
        self.natural(&format!("{path}.backoffLimit"), job.backoff_limit.map(i64::from));
        let Some(spec) = &job.template.spec else {
            return self
                .wrong(&format!("{path}.template"), "there is no template of a pod; write template: with its spec:");
        };
        let path = format!("{path}.template.spec");
        if spec.restart_policy.is_none() {
            let message = "a job needs it; write Never or OnFailure";
            self.wrong(&format!("{path}.restartPolicy"), message);
        }
        self.pod(&path, spec, &["Never", "OnFailure"]);
    }

    fn service(&mut self, service: &Service) {
        let Some(spec) = &service.spec else {
            return self.wrong("spec", "the service has no spec; write ports: below spec:");
        };
        let words = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
        self.choice("spec.type", spec.type_.as_ref(), &words);
        let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
        let ports = spec.ports.as_deref().unwrap_or_default();
        if kind == "ExternalName" {
            if spec.external_name.as_deref().unwrap_or_default().is_empty() {
                self.wrong("spec.externalName", "the name is missing; write externalName:");
            }
        } else if ports.is_empty() && spec.cluster_ip.as_deref() != Some("None") {
            self.wrong("spec.ports", "the service has no ports; write ports: and below it - port:");
        }
        for (number, port) in ports.iter().enumerate() {
            self.service_port(&format!("spec.ports[{number}]"), port, kind, ports.len());
        }
    }

    fn service_port(&mut self, path: &str, port: &ServicePort, kind: &str, count: usize) {
        self.port(&format!("{path}.port"), port.port);
        self.choice(&format!("{path}.protocol"), port.protocol.as_ref(), &["TCP", "UDP", "SCTP"]);
        if count > 1 && port.name.is_none() {
            self.wrong(&format!("{path}.name"), "one of several ports needs a name; write name:");
        }
        if let Some(IntOrString::Int(target)) = port.target_port {
            self.port(&format!("{path}.targetPort"), target);
        }
        if let Some(node) = port.node_port {
            let path = format!("{path}.nodePort");
            if kind == "ClusterIP" || kind == "ExternalName" {
                self.wrong(&path, format!("a service of the type {kind} has no node port; write type: NodePort"));
            } else if !(30000..=32767).contains(&node) {
                self.wrong(&path, format!("{node} is no node port; write a number from 30000 to 32767"));
            }
        }
    }

    fn keys(&mut self, all: &[(&str, &String)]) {
        for (number, (section, key)) in all.iter().enumerate() {
            let path = super::strict::key(section, key);
            let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if key.is_empty() || key.len() > 253 || !key.chars().all(known) || [".", ".."].contains(&key.as_str()) {
                self.wrong(&path, format!("{key:?} is no key; write letters, digits, hyphens, points and underscores"));
            }
            if *section == "binaryData" && all.iter().take(number).any(|(_, other)| other == key) {
                self.wrong(&path, format!("{key} is in data, too; remove it from one of the two"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
