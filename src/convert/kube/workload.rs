// SPDX-License-Identifier: MIT
//! Describes the pods of an object: their number, their names, and whether they complete. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, PodSpec, PodTemplateSpec};

use super::{Context, INSTANCE};
use crate::convert::{Builder, name};
use crate::kube::{Manifest, Object, ObjectMeta};

/// Maximum number of replicas, so that a typing error does not fill the directory.
const MOST: usize = 100;

/// The kind of a workload, which determines how its pods start and end.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// Programs that keep running.
    Stays,
    /// A job that starts with the project.
    Job(&'a JobSpec),
    /// A job that a timer starts.
    Timed(&'a JobSpec),
}

/// The pods of an object.
#[derive(Debug, Clone)]
pub struct Workload<'a> {
    /// The object.
    pub manifest: &'a Manifest,
    /// The name of its files without extension.
    pub name: String,
    /// The specification of the pod.
    pub spec: &'a PodSpec,
    /// The path of `spec` in the manifest.
    pub path: String,
    /// The metadata of the pod.
    pub metadata: Option<&'a ObjectMeta>,
    /// The kind of the workload.
    pub kind: Kind<'a>,
    /// The number of pods.
    pub replicas: usize,
    /// The number of the first pod.
    pub first: usize,
    /// The claims of which each pod gets its own volume.
    pub claims: &'a [PersistentVolumeClaim],
    /// The service in which each pod has its own name.
    pub service: Option<&'a str>,
}

impl<'a> Workload<'a> {
    /// Returns the pods of an object, or `None` for an object without pods.
    pub fn of(manifest: &'a Manifest, context: &mut Context<'_>) -> Option<Self> {
        let no_claims: &[PersistentVolumeClaim] = &[];
        let of = |template: &'a PodTemplateSpec, path: &str, kind| {
            let spec = template.spec.as_ref()?;
            Some((spec, template.metadata.as_ref(), format!("{path}.template.spec"), kind))
        };
        let (mut replicas, mut first, mut claims, mut service) = (None, 1, no_claims, None);
        let (spec, metadata, path, kind) = match &manifest.object {
            Object::Pod(pod) => (pod.spec.as_ref()?, Some(&pod.metadata), "spec".to_owned(), Kind::Stays),
            Object::Deployment(object) => {
                replicas = object.spec.replicas;
                of(&object.spec.template, "spec", Kind::Stays)?
            }
            Object::ReplicaSet(object) => {
                replicas = object.spec.replicas;
                of(object.spec.template.as_ref()?, "spec", Kind::Stays)?
            }
            Object::DaemonSet(object) => of(&object.spec.template, "spec", Kind::Stays)?,
            Object::StatefulSet(object) => {
                replicas = object.spec.replicas;
                first =
                    object.spec.ordinals.as_ref().and_then(|o| o.start).and_then(|n| n.try_into().ok()).unwrap_or(0);
                claims = object.spec.volume_claim_templates.as_deref().unwrap_or_default();
                service = object.spec.service_name.as_deref().filter(|name| !name.is_empty());
                of(&object.spec.template, "spec", Kind::Stays)?
            }
            Object::Job(object) => {
                let job = object.spec.as_ref()?;
                of(&job.template, "spec", Kind::Job(job))?
            }
            Object::CronJob(object) => {
                let job = object.spec.job_template.spec.as_ref()?;
                of(&job.template, "spec.jobTemplate.spec", Kind::Timed(job))?
            }
            _ => return None,
        };
        let mut replicas = replicas.map_or(1, |number| usize::try_from(number).unwrap_or(1));
        if replicas > 1 {
            let why = if replicas > MOST {
                Some(format!("there are {MOST} at most"))
            } else if spec.host_network == Some(true) {
                Some("they would share the ports of the host's network".to_owned())
            } else {
                None
            };
            if let Some(why) = why {
                context.lose(manifest, "spec.replicas", format!("one replica runs, not {replicas}: {why}"));
                replicas = 1;
            }
        }
        let is_default = manifest.namespace() == "default";
        let wanted = if is_default {
            name(manifest.name())
        } else {
            format!("{}-{}", name(manifest.namespace()), name(manifest.name()))
        };
        let mut chosen = wanted.clone();
        let members = |chosen: &str| {
            let all = spec.init_containers.iter().flatten().chain(&spec.containers);
            let mut all: Vec<String> = all.map(|container| format!("{chosen}-{}", container.name)).collect();
            all.push(chosen.to_owned());
            all
        };
        let mut number = 1;
        while members(&chosen).iter().any(|name| context.taken.contains(name)) {
            number += 1;
            chosen = format!("{wanted}-{number}");
        }
        context.taken.extend(members(&chosen));
        Some(Self { manifest, name: chosen, spec, path, metadata, kind, replicas, first, claims, service })
    }

    /// Whether the files of the workload are templates.
    pub fn is_template(&self) -> bool {
        self.replicas > 1
    }

    /// Iterates over the numbers of the pods.
    pub fn instances(&self) -> impl Iterator<Item = usize> {
        self.first..self.first + self.replicas
    }

    /// Returns the name of a written file without extension: `stem`, or `stem@` for a template.
    pub fn file(&self, stem: &str) -> String {
        if self.is_template() { format!("{stem}@") } else { stem.to_owned() }
    }

    /// Returns the name by which another file of this workload refers to a file: `stem`, or
    /// `stem@%i` for a template.
    pub fn reference(&self, stem: &str) -> String {
        if self.is_template() { format!("{stem}@{INSTANCE}") } else { stem.to_owned() }
    }

    /// Returns the name of the container, pod or volume that a file describes: `stem`, or `stem-%i`
    /// for a template.
    pub fn described(&self, stem: &str) -> String {
        if self.is_template() { format!("{stem}-{INSTANCE}") } else { stem.to_owned() }
    }

    /// Returns the name of a container's file without extension and without the at sign of a
    /// template.
    pub fn member(&self, container: &Container) -> String {
        format!("{}-{}", self.name, container.name)
    }

    /// Returns the host name of the pod, which is also its `metadata.name`.
    pub fn pod_name(&self) -> String {
        match &self.manifest.object {
            // A single pod of a StatefulSet has a number in its name, too.
            Object::StatefulSet(_) if !self.is_template() => format!("{}-{}", self.manifest.name(), self.first),
            _ if self.is_template() => format!("{}-{INSTANCE}", self.manifest.name()),
            _ => self.manifest.name().to_owned(),
        }
    }

    /// Returns the labels by which services select the pod.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.metadata.and_then(|metadata| metadata.labels.clone()).unwrap_or_default()
    }

    /// Whether the programs of the pod are meant to end.
    pub fn is_job(&self) -> bool {
        !matches!(self.kind, Kind::Stays)
    }

    /// Returns the number of the container port with this name, for `targetPort` of a service.
    pub fn port_named(&self, port: &str) -> Option<u16> {
        let ports = self.spec.containers.iter().chain(self.spec.init_containers.iter().flatten());
        let mut ports = ports.flat_map(|container| container.ports.iter().flatten());
        ports.find(|known| known.name.as_deref() == Some(port)).and_then(|port| port.container_port.try_into().ok())
    }

    /// Returns the kinds and names of the ConfigMaps and Secrets that the pod uses.
    pub fn references(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        let mut add = |kind, name: Option<&String>| all.extend(name.map(|name| (kind, name.clone())));
        for container in self.spec.containers.iter().chain(self.spec.init_containers.iter().flatten()) {
            for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
                add("ConfigMap", from.config_map_key_ref.as_ref().map(|r| &r.name));
                add("Secret", from.secret_key_ref.as_ref().map(|r| &r.name));
            }
            for from in container.env_from.iter().flatten() {
                add("ConfigMap", from.config_map_ref.as_ref().map(|r| &r.name));
                add("Secret", from.secret_ref.as_ref().map(|r| &r.name));
            }
        }
        for volume in self.spec.volumes.iter().flatten() {
            add("ConfigMap", volume.config_map.as_ref().map(|map| &map.name));
            add("Secret", volume.secret.as_ref().and_then(|secret| secret.secret_name.as_ref()));
            for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
                add("ConfigMap", source.config_map.as_ref().map(|map| &map.name));
                add("Secret", source.secret.as_ref().map(|secret| &secret.name));
            }
        }
        all
    }
}

/// Writes the host names and name servers that all containers of the pod use.
pub fn names(workload: &Workload<'_>, builder: &mut Builder) {
    for alias in workload.spec.host_aliases.iter().flatten() {
        for name in alias.hostnames.iter().flatten() {
            builder.put("hostAliases", "AddHost", &format!("{name}:{}", alias.ip));
        }
    }
    let Some(config) = &workload.spec.dns_config else { return };
    for server in config.nameservers.iter().flatten() {
        builder.put("dnsConfig.nameservers", "DNS", server);
    }
    for domain in config.searches.iter().flatten() {
        builder.put("dnsConfig.searches", "DNSSearch", domain);
    }
    for option in config.options.iter().flatten() {
        let name = option.name.as_deref().unwrap_or_default();
        let value = option.value.as_deref().map(|value| format!(":{value}")).unwrap_or_default();
        builder.put("dnsConfig.options", "DNSOption", &format!("{name}{value}"));
    }
}
