// SPDX-License-Identifier: MIT
//! Converts probes: a liveness or readiness probe becomes the health check, a startup probe the
//! startup health check. Pure.

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Context;
use super::workload::Workload;
use crate::convert::Builder;

/// Writes the health checks of a container.
pub fn convert(own: &Container, path: &str, workload: &Workload<'_>, builder: &mut Builder, context: &mut Context<'_>) {
    let mut at = ProbeWriter { own, path, workload, builder, context };
    let startup = own.startup_probe.as_ref().filter(|probe| at.can("startupProbe", probe));
    let live = own.liveness_probe.as_ref().filter(|probe| at.can("livenessProbe", probe));
    let ready = own.readiness_probe.as_ref().filter(|probe| at.can("readinessProbe", probe));
    if live.is_none() && ready.is_none() && startup.is_none() {
        // Kubernetes ignores the health check of an image.
        if workload.replicas > 0 {
            at.builder.put("livenessProbe", "HealthCmd", "none");
        }
        return;
    }
    if let Some(probe) = startup {
        at.check("startupProbe", probe, "HealthStartup");
        let period = probe.period_seconds.unwrap_or(10);
        at.put("startupProbe", "HealthStartupRetries", &probe.failure_threshold.unwrap_or(3).to_string());
        at.put("startupProbe", "HealthStartupInterval", &format!("{period}s"));
        at.put("startupProbe", "HealthStartupTimeout", &format!("{}s", probe.timeout_seconds.unwrap_or(1)));
        if probe.initial_delay_seconds.unwrap_or(0) > 0 {
            at.remark("startupProbe.initialDelaySeconds", "the first check comes with the start, not later");
        }
    }
    let (name, probe) = match (live, ready) {
        (Some(live), Some(ready)) => {
            if !same_check(live, ready) {
                let reason =
                    "there is one health check, that of livenessProbe; write the same for both, or leave one out";
                at.lose("readinessProbe", reason);
            }
            ("livenessProbe", live)
        }
        (Some(live), None) => ("livenessProbe", live),
        (None, Some(ready)) => ("readinessProbe", ready),
        (None, None) => {
            // A startup check needs a regular check to follow it, so the same check is written as
            // the regular one, disabled.
            let Some(probe) = startup else { return };
            at.check("startupProbe", probe, "Health");
            at.put("startupProbe", "HealthInterval", "disable");
            return;
        }
    };
    at.check(name, probe, "Health");
    at.put(name, "HealthInterval", &format!("{}s", probe.period_seconds.unwrap_or(10)));
    at.put(name, "HealthTimeout", &format!("{}s", probe.timeout_seconds.unwrap_or(1)));
    at.put(name, "HealthRetries", &probe.failure_threshold.unwrap_or(3).to_string());
    if let Some(delay) = probe.initial_delay_seconds.filter(|delay| *delay > 0) {
        at.put(name, "HealthStartPeriod", &format!("{delay}s"));
    }
    if live.is_some() {
        at.put(name, "HealthOnFailure", "restart");
    }
    if let Some(ready) = ready {
        at.put("readinessProbe", "Notify", "healthy");
        if ready.success_threshold.unwrap_or(1) > 1 {
            at.remark("readinessProbe.successThreshold", "one success counts");
        }
    }
}

/// Whether two probes run the same check.
fn same_check(one: &Probe, other: &Probe) -> bool {
    (&one.exec, &one.http_get, &one.tcp_socket) == (&other.exec, &other.http_get, &other.tcp_socket)
}

struct ProbeWriter<'p, 'c, 'm> {
    own: &'p Container,
    path: &'p str,
    workload: &'p Workload<'m>,
    builder: &'p mut Builder,
    context: &'p mut Context<'c>,
}

impl ProbeWriter<'_, '_, '_> {
    fn put(&mut self, field: &str, key: &str, value: &str) {
        self.builder.put(field, key, value);
    }

    fn lose(&mut self, field: &str, reason: &str) {
        self.context.lose(self.workload.manifest, &format!("{}.{field}", self.path), reason);
    }

    fn remark(&mut self, field: &str, text: &str) {
        self.context.remark(self.workload.manifest, &format!("{}.{field}", self.path), text);
    }

    /// Whether the probe can be converted. Parts without a counterpart are listed.
    fn can(&mut self, field: &str, probe: &Probe) -> bool {
        if probe.grpc.is_some() {
            self.lose(
                &format!("{field}.grpc"),
                "a probe does not speak gRPC; write tcpSocket:, or exec: with a program of the image",
            );
            return false;
        }
        if probe.termination_grace_period_seconds.is_some() {
            let reason = "an application has one time to stop; write it at the pod";
            self.lose(&format!("{field}.terminationGracePeriodSeconds"), reason);
        }
        let Some(http) = &probe.http_get else { return true };
        if http.scheme.as_deref() == Some("HTTPS") {
            let field = format!("{field}.httpGet.scheme");
            self.lose(&field, "a probe does not speak TLS; write tcpSocket:, or exec: with a program of the image");
            return false;
        }
        if http.http_headers.as_ref().is_some_and(|headers| !headers.is_empty()) {
            self.lose(
                &format!("{field}.httpGet.httpHeaders"),
                "a probe sends no further headers; write exec:, or leave them out",
            );
        }
        true
    }

    fn port(&self, port: &IntOrString) -> String {
        match port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => {
                let mut ports = self.own.ports.iter().flatten();
                let named = ports.find(|port| port.name.as_ref() == Some(name));
                named.map_or_else(|| name.clone(), |port| port.container_port.to_string())
            }
        }
    }

    /// Writes the action of a probe. `keys` is the prefix of its keys.
    fn check(&mut self, field: &str, probe: &Probe, keys: &str) {
        if let Some(exec) = &probe.exec {
            let words = serde_json::Value::from(exec.command.clone().unwrap_or_default()).to_string();
            self.put(field, &format!("{keys}Cmd"), &words);
        } else if let Some(http) = &probe.http_get {
            let host = host(http.host.as_ref()).map(|host| format!("http://{host}")).unwrap_or_default();
            let path = http.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
            let slash = if path.starts_with('/') { "" } else { "/" };
            self.put(field, &format!("{keys}Http"), &format!("{host}:{}{slash}{path}", self.port(&http.port)));
        } else if let Some(tcp) = &probe.tcp_socket {
            let host = host(tcp.host.as_ref()).map(|host| format!("{host}:")).unwrap_or_default();
            self.put(field, &format!("{keys}Tcp"), &format!("{host}{}", self.port(&tcp.port)));
        }
    }
}

/// Returns the host of a probe, unless that is the pod itself.
fn host(host: Option<&String>) -> Option<&String> {
    host.filter(|host| !["", "localhost", "127.0.0.1"].contains(&host.as_str()))
}
