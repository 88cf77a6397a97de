// SPDX-License-Identifier: MIT
//! Determines the workloads of a configuration: pods with their members, containers without a pod,
//! and the instances of a template as one workload. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::keys::FileType;
use crate::config::sources::Sources;
use crate::model::{App, Container, Model, Network, Pod};

use super::dns;

/// The label by which services and policies select the pods of a workload.
const LABEL: &str = "app.kubernetes.io/name";

/// The containers that become one object of Kubernetes.
#[derive(Debug, Clone)]
pub struct Workload<'a> {
    /// The name of the object in the cluster.
    pub name: String,
    /// Names of pods and containers by which a user can select the workload.
    pub called: BTreeSet<String>,
    /// The pod; `None` for a container without a `.pod` file.
    pub pod: Option<&'a Pod>,
    /// The containers of the workload.
    pub containers: Vec<&'a Container>,
    /// The number of instances of a template; otherwise 1.
    pub replicas: usize,
    /// The instance name of the first instance of a template.
    pub instance: Option<String>,
    /// The names of the pods or containers of the other instances.
    pub others: Vec<String>,
}

impl<'a> Workload<'a> {
    /// Whether the user selects the workload by this name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.called.contains(name)
    }

    /// Returns the labels of its pods that do not depend on its networks.
    pub fn labels(&self) -> BTreeMap<String, String> {
        [(LABEL.to_owned(), self.name.clone())].into()
    }

    /// Returns all applications with their container and with the name that they get in the pod.
    pub fn applications(&self) -> Vec<(&'a Container, &'a App, String)> {
        let prefixes = self.prefixes();
        let mut taken = BTreeSet::new();
        let mut all = Vec::new();
        for container in &self.containers {
            for app in &container.apps {
                let own = prefixes.iter().find_map(|prefix| container.name.strip_prefix(prefix.as_str()));
                let own = own.filter(|own| !own.is_empty()).unwrap_or(&container.name);
                // The name of each member ends with the instance, which is not part of the exported
                // name.
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

    /// Returns the prefixes of member names that `convert kube` writes.
    fn prefixes(&self) -> Vec<String> {
        if self.pod.is_none() { Vec::new() } else { vec![format!("{}-", self.name)] }
    }

    /// Whether every container of the workload is a job.
    pub fn is_job(&self) -> bool {
        !self.containers.is_empty() && self.containers.iter().all(|container| container.is_job())
    }

    /// Whether the workload is in the network of the host.
    pub fn is_in_host_network(&self) -> bool {
        self.pod.is_none() && self.containers.iter().all(|container| container.connection.network == Network::Host)
    }

    /// Returns the pod that has the network of the workload: its own pod, or the implicit pod of a
    /// container.
    pub fn network_of(&self, model: &'a Model) -> Option<&'a Pod> {
        self.pod.or_else(|| match &self.containers.first()?.connection.network {
            Network::Pod(pod) => model.pods.get(pod.as_str()),
            _ => None,
        })
    }
}

/// Returns all workloads, sorted by name.
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
            // The containers of others joined the network of this container, so all of them form
            // one pod.
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
