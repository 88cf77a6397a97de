// SPDX-License-Identifier: MIT
//! Checks of a container of a pod. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVar, Lifecycle, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Checker;
use crate::kube::quantity;

impl Checker<'_> {
    pub(super) fn container(&mut self, path: &str, container: &Container, init: bool, volumes: &BTreeSet<&str>) {
        if container.image.as_deref().unwrap_or_default().trim().is_empty() {
            self.wrong(&format!("{path}.image"), "the container has no image; write image:");
        }
        self.choice(
            &format!("{path}.imagePullPolicy"),
            container.image_pull_policy.as_ref(),
            &["Always", "IfNotPresent", "Never"],
        );
        if init {
            self.choice(&format!("{path}.restartPolicy"), container.restart_policy.as_ref(), &["Always"]);
        }
        let mut names = BTreeSet::new();
        for (number, port) in container.ports.iter().flatten().enumerate() {
            let path = format!("{path}.ports[{number}]");
            self.port(&format!("{path}.containerPort"), port.container_port);
            if let Some(host) = port.host_port.filter(|host| *host != 0) {
                self.port(&format!("{path}.hostPort"), host);
            }
            self.choice(&format!("{path}.protocol"), port.protocol.as_ref(), &["TCP", "UDP", "SCTP"]);
            if let Some(name) = &port.name {
                if name.len() > 15 {
                    self.wrong(&format!("{path}.name"), format!("{name:?} is too long; write 15 characters at most"));
                }
                if !names.insert(name.as_str()) {
                    self.wrong(&format!("{path}.name"), format!("the port {name} is given twice; rename one"));
                }
            }
        }
        for (number, variable) in container.env.iter().flatten().enumerate() {
            self.variable(&format!("{path}.env[{number}]"), variable);
        }
        for (number, source) in container.env_from.iter().flatten().enumerate() {
            if source.config_map_ref.is_some() == source.secret_ref.is_some() {
                let message = "variables come from one place; write configMapRef: or secretRef:";
                self.wrong(&format!("{path}.envFrom[{number}]"), message);
            }
        }
        let mut places = BTreeSet::new();
        for (number, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let path = format!("{path}.volumeMounts[{number}]");
            if !volumes.contains(mount.name.as_str()) {
                let near = crate::diag::suggestion(&mount.name, volumes.iter().copied());
                let near = if near.is_empty() { "; write it below volumes:".to_owned() } else { near };
                self.wrong(&format!("{path}.name"), format!("the pod has no volume {:?}{near}", mount.name));
            }
            if !mount.mount_path.starts_with('/') {
                let message = format!("{:?} is no absolute path; write it from / on", mount.mount_path);
                self.wrong(&format!("{path}.mountPath"), message);
            }
            if !places.insert(mount.mount_path.trim_end_matches('/')) {
                let message = format!("{} is given twice; write another path", mount.mount_path);
                self.wrong(&format!("{path}.mountPath"), message);
            }
            let below = mount.sub_path.iter().chain(&mount.sub_path_expr);
            if below.clone().any(|path| path.starts_with('/') || path.split('/').any(|part| part == "..")) {
                self.wrong(
                    &format!("{path}.subPath"),
                    "the path leaves the volume; write one without / in front and ..",
                );
            }
            if below.count() > 1 {
                self.wrong(&format!("{path}.subPathExpr"), "there is a subPath, too; remove one of the two");
            }
        }
        for (name, probe) in [
            ("livenessProbe", &container.liveness_probe),
            ("readinessProbe", &container.readiness_probe),
            ("startupProbe", &container.startup_probe),
        ] {
            if let Some(probe) = probe {
                let path = format!("{path}.{name}");
                if init && container.restart_policy.as_deref() != Some("Always") {
                    self.wrong(&path, "an init container has no probes; remove it, or write restartPolicy: Always");
                }
                self.probe(&path, name, probe, container);
            }
        }
        if let Some(lifecycle) = &container.lifecycle {
            self.lifecycle(&format!("{path}.lifecycle"), lifecycle);
        }
        self.resources(path, container);
        if let Some(context) = &container.security_context {
            for (name, id) in [("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)] {
                if let Some(id) = id.filter(|id| !(0..=2_147_483_647).contains(id)) {
                    let path = format!("{path}.securityContext.{name}");
                    self.wrong(&path, format!("{id} is no ID; write a number from 0 to 2147483647"));
                }
            }
            if context.run_as_non_root == Some(true) && context.run_as_user == Some(0) {
                let message = "the user is root, and runAsNonRoot forbids that; write another number";
                self.wrong(&format!("{path}.securityContext.runAsUser"), message);
            }
        }
    }

    fn variable(&mut self, path: &str, variable: &EnvVar) {
        if variable.name.is_empty() {
            self.wrong(&format!("{path}.name"), "the variable has no name; write name:");
        } else if variable.name.contains(['=', ' ', '\0']) {
            self.wrong(&format!("{path}.name"), format!("{:?} is no name of a variable; write another", variable.name));
        }
        let Some(from) = &variable.value_from else { return };
        if variable.value.as_deref().is_some_and(|value| !value.is_empty()) {
            self.wrong(path, "there are value: and valueFrom:; remove one of the two");
        }
        let sources = [
            from.config_map_key_ref.is_some(),
            from.secret_key_ref.is_some(),
            from.field_ref.is_some(),
            from.resource_field_ref.is_some(),
            from.file_key_ref.is_some(),
        ];
        if sources.iter().filter(|source| **source).count() != 1 {
            let message =
                "a value comes from one place; write configMapKeyRef:, secretKeyRef:, fieldRef: or resourceFieldRef:";
            self.wrong(&format!("{path}.valueFrom"), message);
        }
        for (name, reference, key) in [
            (
                "configMapKeyRef",
                from.config_map_key_ref.as_ref().map(|r| &r.name),
                from.config_map_key_ref.as_ref().map(|r| &r.key),
            ),
            (
                "secretKeyRef",
                from.secret_key_ref.as_ref().map(|r| &r.name),
                from.secret_key_ref.as_ref().map(|r| &r.key),
            ),
        ] {
            for (field, text) in [("name", reference), ("key", key)] {
                if text.is_some_and(String::is_empty) {
                    self.wrong(&format!("{path}.valueFrom.{name}"), format!("the {field} is missing; write {field}:"));
                }
            }
        }
    }

    fn probe(&mut self, path: &str, name: &str, probe: &Probe, container: &Container) {
        let handlers =
            [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.grpc.is_some()];
        if handlers.iter().filter(|handler| **handler).count() != 1 {
            self.wrong(path, "a probe asks one thing; write exec:, httpGet: or tcpSocket:");
        }
        if probe.exec.as_ref().is_some_and(|exec| exec.command.as_ref().is_none_or(Vec::is_empty)) {
            self.wrong(&format!("{path}.exec.command"), "the command is missing; write command:");
        }
        if let Some(http) = &probe.http_get {
            self.named_port(&format!("{path}.httpGet.port"), &http.port, container);
            self.choice(&format!("{path}.httpGet.scheme"), http.scheme.as_ref(), &["HTTP", "HTTPS"]);
        }
        if let Some(tcp) = &probe.tcp_socket {
            self.named_port(&format!("{path}.tcpSocket.port"), &tcp.port, container);
        }
        for (field, number, least) in [
            ("periodSeconds", probe.period_seconds, 1),
            ("timeoutSeconds", probe.timeout_seconds, 1),
            ("failureThreshold", probe.failure_threshold, 1),
            ("successThreshold", probe.success_threshold, 1),
            ("initialDelaySeconds", probe.initial_delay_seconds, 0),
        ] {
            if let Some(number) = number.filter(|number| *number < least) {
                self.wrong(&format!("{path}.{field}"), format!("{number} is too small; write {least} or more"));
            }
        }
        if name != "readinessProbe" && probe.success_threshold.is_some_and(|number| number > 1) {
            let message = format!("one success counts for a {name}; write successThreshold: 1");
            self.wrong(&format!("{path}.successThreshold"), message);
        }
    }

    fn named_port(&mut self, path: &str, port: &IntOrString, container: &Container) {
        match port {
            IntOrString::Int(number) => self.port(path, *number),
            IntOrString::String(name) if name.parse::<u16>().is_ok() => {}
            IntOrString::String(name) => {
                let names: Vec<&str> =
                    container.ports.iter().flatten().filter_map(|port| port.name.as_deref()).collect();
                if !names.contains(&name.as_str()) {
                    let near = crate::diag::suggestion(name, names);
                    let near = if near.is_empty() { "; write a number, or name: at a port".to_owned() } else { near };
                    self.wrong(path, format!("the container has no port {name:?}{near}"));
                }
            }
        }
    }

    fn lifecycle(&mut self, path: &str, lifecycle: &Lifecycle) {
        for (name, handler) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            let Some(handler) = handler else { continue };
            let handlers = [
                handler.exec.is_some(),
                handler.http_get.is_some(),
                handler.sleep.is_some(),
                handler.tcp_socket.is_some(),
            ];
            if handlers.iter().filter(|handler| **handler).count() != 1 {
                self.wrong(&format!("{path}.{name}"), "a hook does one thing; write exec:, httpGet: or sleep:");
            }
        }
    }

    fn resources(&mut self, path: &str, container: &Container) {
        let Some(resources) = &container.resources else { return };
        for (list, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
            for (name, amount) in amounts.iter().flatten() {
                let read = if name == "cpu" { quantity::milli(&amount.0) } else { quantity::whole(&amount.0) };
                if let Err(message) = read {
                    self.wrong(&crate::kube::strict::key(&format!("{path}.resources.{list}"), name), message);
                }
            }
        }
        for name in ["cpu", "memory"] {
            let amount = |amounts: &Option<std::collections::BTreeMap<String, _>>| {
                amounts.as_ref().and_then(|amounts| {
                    amounts.get(name).and_then(|amount: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| {
                        if name == "cpu" { quantity::milli(&amount.0).ok() } else { quantity::whole(&amount.0).ok() }
                    })
                })
            };
            if let (Some(request), Some(limit)) = (amount(&resources.requests), amount(&resources.limits))
                && request > limit
            {
                let message = format!("the request is more than the limit of {name}; write a smaller one");
                self.wrong(&format!("{path}.resources.requests.{name}"), message);
            }
        }
    }
}
