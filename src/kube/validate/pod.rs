// SPDX-License-Identifier: MIT
//! Checks of a pod: of its containers as a whole, and of its volumes. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, PodSpec, Volume};

use super::Checker;
use crate::kube::quantity;

impl Checker<'_> {
    /// Checks a pod. `policies` are the allowed values of its `restartPolicy`.
    pub(super) fn pod(&mut self, path: &str, spec: &PodSpec, policies: &[&str]) {
        self.choice(&format!("{path}.restartPolicy"), spec.restart_policy.as_ref(), policies);
        let words = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
        self.choice(&format!("{path}.dnsPolicy"), spec.dns_policy.as_ref(), &words);
        self.natural(&format!("{path}.terminationGracePeriodSeconds"), spec.termination_grace_period_seconds);
        if spec.dns_policy.as_deref() == Some("None")
            && spec.dns_config.as_ref().and_then(|config| config.nameservers.as_ref()).is_none_or(Vec::is_empty)
        {
            let message = "dnsPolicy: None needs a name server; write nameservers: here";
            self.wrong(&format!("{path}.dnsConfig"), message);
        }
        if let Some(name) = &spec.hostname {
            self.label(&format!("{path}.hostname"), "host", name);
        }
        for (number, alias) in spec.host_aliases.iter().flatten().enumerate() {
            if alias.ip.parse::<std::net::IpAddr>().is_err() {
                let message = format!("{:?} is no address; write an IPv4 or IPv6 address", alias.ip);
                self.wrong(&format!("{path}.hostAliases[{number}].ip"), message);
            }
        }
        if spec.containers.is_empty() {
            self.wrong(
                &format!("{path}.containers"),
                "the pod has no containers; write containers: and below it - name:",
            );
        }
        let mut volumes = BTreeSet::new();
        for (number, volume) in spec.volumes.iter().flatten().enumerate() {
            let path = format!("{path}.volumes[{number}]");
            self.label(&format!("{path}.name"), "volume", &volume.name);
            if !volumes.insert(volume.name.as_str()) {
                self.wrong(&format!("{path}.name"), format!("the volume {} is given twice; rename one", volume.name));
            }
            self.volume(&path, volume);
        }
        if let super::Object::StatefulSet(set) = &self.manifest.object {
            let claims = set.spec.volume_claim_templates.iter().flatten();
            volumes.extend(claims.filter_map(|claim| claim.metadata.name.as_deref()));
        }
        let mut names = BTreeSet::new();
        let mut ports = BTreeSet::new();
        let init = spec.init_containers.as_deref().unwrap_or_default();
        for (list, containers) in [("initContainers", init), ("containers", spec.containers.as_slice())] {
            for (number, container) in containers.iter().enumerate() {
                let path = format!("{path}.{list}[{number}]");
                self.label(&format!("{path}.name"), "container", &container.name);
                if !names.insert(container.name.as_str()) && !container.name.is_empty() {
                    let message = format!("the container {} is given twice; rename one", container.name);
                    self.wrong(&format!("{path}.name"), message);
                }
                for (number, port) in container.ports.iter().flatten().enumerate() {
                    let Some(host) = port.host_port else { continue };
                    if !ports.insert((host, port.protocol.as_deref().unwrap_or("TCP"), port.host_ip.as_deref())) {
                        let message = format!("port {host} of the host is given twice; write another hostPort");
                        self.wrong(&format!("{path}.ports[{number}].hostPort"), message);
                    }
                }
                self.container(&path, container, list == "initContainers", &volumes);
            }
        }
    }

    fn volume(&mut self, path: &str, volume: &Volume) {
        let sources =
            self.manifest.value_at(path).map_or(0, |value| value.as_map().map_or(0, |map| map.iter().count()));
        // The name is one of the fields, and the source another one.
        if sources > 2 {
            self.wrong(path, "the volume has several sources; write one volume for each");
        }
        if let Some(host) = &volume.host_path {
            if !host.path.starts_with('/') {
                let message = format!("{:?} is no absolute path; write it from / on", host.path);
                self.wrong(&format!("{path}.hostPath.path"), message);
            }
            if host.path.split('/').any(|part| part == "..") {
                let message = format!("{:?} has a part ..; write the path without it", host.path);
                self.wrong(&format!("{path}.hostPath.path"), message);
            }
            let words =
                ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
            self.choice(&format!("{path}.hostPath.type"), host.type_.as_ref(), &words);
        }
        if let Some(empty) = &volume.empty_dir {
            self.choice(&format!("{path}.emptyDir.medium"), empty.medium.as_ref(), &["", "Memory"]);
            if let Some(Err(message)) = empty.size_limit.as_ref().map(|limit| quantity::whole(&limit.0)) {
                self.wrong(&format!("{path}.emptyDir.sizeLimit"), message);
            }
        }
        if let Some(map) = &volume.config_map {
            self.items(&format!("{path}.configMap"), map.default_mode, map.items.as_deref());
            self.reference(&format!("{path}.configMap.name"), "ConfigMap", &map.name);
        }
        if let Some(secret) = &volume.secret {
            self.items(&format!("{path}.secret"), secret.default_mode, secret.items.as_deref());
            let name = secret.secret_name.as_deref().unwrap_or_default();
            self.reference(&format!("{path}.secret.secretName"), "Secret", name);
        }
        if let Some(downward) = &volume.downward_api {
            self.downward(&format!("{path}.downwardAPI"), downward.items.as_ref());
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            let path = format!("{path}.persistentVolumeClaim.claimName");
            self.reference(&path, "PersistentVolumeClaim", &claim.claim_name);
        }
        for (number, source) in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()).enumerate() {
            let path = format!("{path}.projected.sources[{number}]");
            if let Some(map) = &source.config_map {
                self.items(&format!("{path}.configMap"), None, map.items.as_deref());
                self.reference(&format!("{path}.configMap.name"), "ConfigMap", &map.name);
            }
            if let Some(downward) = &source.downward_api {
                self.downward(&format!("{path}.downwardAPI"), downward.items.as_ref());
            }
            if let Some(secret) = &source.secret {
                self.items(&format!("{path}.secret"), None, secret.items.as_deref());
                self.reference(&format!("{path}.secret.name"), "Secret", &secret.name);
            }
        }
    }

    fn reference(&mut self, path: &str, kind: &str, name: &str) {
        if name.is_empty() {
            self.wrong(path, format!("the name of the {kind} is missing; write it here"));
        }
    }

    fn items(&mut self, path: &str, mode: Option<i32>, items: Option<&[KeyToPath]>) {
        self.mode(&format!("{path}.defaultMode"), mode);
        for (number, item) in items.unwrap_or_default().iter().enumerate() {
            let path = format!("{path}.items[{number}]");
            self.mode(&format!("{path}.mode"), item.mode);
            self.inside(&format!("{path}.path"), &item.path);
        }
    }

    /// Checks files with information about the pod itself (downward API).
    fn downward(&mut self, path: &str, items: Option<&Vec<DownwardAPIVolumeFile>>) {
        for (number, item) in items.into_iter().flatten().enumerate() {
            let path = format!("{path}.items[{number}]");
            self.mode(&format!("{path}.mode"), item.mode);
            self.inside(&format!("{path}.path"), &item.path);
            if item.field_ref.is_some() == item.resource_field_ref.is_some() {
                self.wrong(&path, "a value comes from one place; write fieldRef: or resourceFieldRef:");
            }
        }
    }

    /// Checks the path of a file in a volume.
    fn inside(&mut self, path: &str, file: &str) {
        if file.is_empty() || file.split('/').any(|part| ["", ".", ".."].contains(&part)) {
            let message = format!("{file:?} is no path below the volume; write one without / in front and ..");
            self.wrong(path, message);
        }
    }

    fn mode(&mut self, path: &str, mode: Option<i32>) {
        if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
            self.wrong(path, format!("{mode} is no mode; write an octal number such as 0644"));
        }
    }
}
