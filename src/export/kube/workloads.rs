// SPDX-License-Identifier: MIT
//! The workloads of a configuration: pods with their members, containers alone, and the instances of a template together. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::keys::FileType;
use crate::config::sources::Sources;
use crate::model::{App, Container, Model, Network, Pod};

use super::dns;

/// The label by which services and policies find the pods of a workload.
const LABEL: &str = "app.kubernetes.io/name";

/// What becomes one object.
#[derive(Debug, Clone)]
pub struct Workload<'a> {
    /// Its name in the cluster.
    pub name: String,
    /// Names by which it can be asked for.
    pub called: BTreeSet<String>,
    /// The `.pod` file, if it is not a container alone.
    pub pod: Option<&'a Pod>,
    /// Its containers.
    pub containers: Vec<&'a Container>,
    /// How many there are, where it is a template.
    pub replicas: usize,
    /// The instance of the first one.
    pub instance: Option<String>,
    /// The pods of the other instances.
    pub others: Vec<String>,
}

impl<'a> Workload<'a> {
    /// Whether a name that was given is its own.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.called.contains(name)
    }

    /// The labels of its pods that do not depend on its networks.
    pub fn labels(&self) -> BTreeMap<String, String> {
        [(LABEL.to_owned(), self.name.clone())].into()
    }

    /// Its containers with their applications, each with its name in the pod.
    pub fn applications(&self) -> Vec<(&'a Container, &'a App, String)> {
        let prefixes = self.prefixes();
        let mut taken = BTreeSet::new();
        let mut all = Vec::new();
        for container in &self.containers {
            for app in &container.apps {
                let own = prefixes.iter().find_map(|prefix| container.name.strip_prefix(prefix.as_str()));
                let own = own.filter(|own| !own.is_empty()).unwrap_or(&container.name);
                // The instance is at the end of each member's name.
                let instance = self.instance.as_ref().map(|instance| format!("-{instance}"));
                let own = instance.and_then(|instance| own.strip_suffix(&instance)).unwrap_or(own);
                let wanted = if container.apps.len() > 1 { format!("{own}-{}", app.name) } else { own.to_owned() };
                let mut name = dns(&wanted);
                let mut number = 1;
                while !taken.insert(name.clone()) {
                    number += 1;
                    name = format!("{}-{number}", dns(&wanted));
                }
                all.push((*container, app, name));
            }
        }
        all
    }

    /// What the names of members begin with, as `convert kube` writes them.
    fn prefixes(&self) -> Vec<String> {
        if self.pod.is_none() { Vec::new() } else { vec![format!("{}-", self.name)] }
    }

    /// Whether all of its containers end.
    pub fn is_job(&self) -> bool {
        !self.containers.is_empty() && self.containers.iter().all(|container| container.is_job())
    }

    /// Whether it is in the network of the host.
    pub fn is_in_host_network(&self) -> bool {
        self.pod.is_none() && self.containers.iter().all(|container| container.connection.network == Network::Host)
    }

    /// The pod that has its network: that of its file, or the one of a container alone.
    pub fn network_of(&self, model: &'a Model) -> Option<&'a Pod> {
        self.pod.or_else(|| match &self.containers.first()?.connection.network {
            Network::Pod(pod) => model.pods.get(pod.as_str()),
            _ => None,
        })
    }
}

/// All workloads by name.
pub fn all<'a>(sources: &Sources, model: &'a Model) -> Vec<Workload<'a>> {
    let mut out: BTreeMap<String, Workload<'a>> = BTreeMap::new();
    let mut in_pods: BTreeMap<&str, Vec<&'a Container>> = BTreeMap::new();
    let mut alone: Vec<&'a Container> = Vec::new();
    for container in model.containers.values() {
        let joined = container.connection.joined.as_deref().and_then(|name| model.containers.get(name));
        let network = joined.map_or(&container.connection.network, |joined| &joined.connection.network);
        match network {
            Network::Pod(pod) if model.pods.get(pod.as_str()).is_some_and(|pod| !pod.own) => {
                in_pods.entry(pod).or_default().push(container);
            }
            Network::Pod(pod) if container.name != *pod => in_pods.entry(pod).or_default().push(container),
            _ => alone.push(container),
        }
    }
    let template = |file_type: FileType, file: &str| {
        let source = sources.files.iter().find(|f| f.file_type == file_type && *f.main.path == *file)?;
        let (template, instance) = source.name.split_once('@')?;
        Some((template.to_owned(), instance.to_owned())).filter(|(_, instance)| !instance.is_empty())
    };
    let mut add =
        |name: &str, instance: Option<(String, String)>, pod: Option<&'a Pod>, members: Vec<&'a Container>| {
            let (workload, instance) = match instance {
                Some((template, instance)) => (dns(&template), Some(instance)),
                None => (dns(name), None),
            };
            let mut called: BTreeSet<String> = members.iter().map(|member| member.name.to_string()).collect();
            called.insert(name.to_owned());
            let known = out.get_mut(&workload).filter(|known| known.instance.is_some() && instance.is_some());
            if let Some(known) = known {
                known.replicas += 1;
                known.called.extend(called);
                known.others.push(name.to_owned());
                return;
            }
            let mut free = workload.clone();
            let mut number = 1;
            while out.contains_key(&free) {
                number += 1;
                free = format!("{workload}-{number}");
            }
            let workload = Workload {
                name: free.clone(),
                called,
                pod,
                containers: members,
                replicas: 1,
                instance,
                others: Vec::new(),
            };
            out.insert(free, workload);
        };
    for (name, members) in in_pods {
        let Some(pod) = model.pods.get(name) else { continue };
        if pod.own {
            // A container with a network of its own that others have joined.
            let mut all: Vec<&Container> = alone.iter().copied().filter(|container| container.name == name).collect();
            alone.retain(|container| container.name != name);
            all.extend(members);
            add(name, None, None, all);
        } else {
            add(name, template(FileType::Pod, &pod.file), Some(pod), members);
        }
    }
    for container in alone {
        add(&container.name, template(FileType::Container, &container.file), None, vec![container]);
    }
    out.into_values().collect()
}
