// SPDX-License-Identifier: MIT
//! Exports health checks as probes. Pure.

use k8s_openapi::api::core::v1::{Container as Exported, ExecAction, HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::contract::health::{Health, OnFailure, Test};
use crate::contract::probe;
use crate::export::kube::Context;
use crate::kube::write::escaped;
use crate::model::{App, Container, Notify};

/// Writes the probes of an application.
pub fn export(own: &Container, app: &App, out: &mut Exported, context: &mut Context<'_>) {
    let Some(health) = app.health.on(None) else {
        if app.notify != Notify::No {
            let at = context.at(&own.file, "Container", "Notify");
            let reason =
                "the start does not wait for the program; write HealthCmd=, HealthHttp= or HealthTcp= for a probe";
            context.lose(&at, "Notify", reason);
        }
        return;
    };
    let at = ["HealthCmd", "HealthHttp", "HealthTcp"].map(|key| (key, context.at(&own.file, "Container", key)));
    let (key, at) = at
        .into_iter()
        .max_by_key(|(_, at)| at.line)
        .unwrap_or(("HealthCmd", context.at(&own.file, "Container", "HealthCmd")));
    if app.notify == Notify::Yes {
        let at = context.at(&own.file, "Container", "Notify");
        context.lose(&at, "Notify", "a program cannot say that it has started; the probe is asked");
    }
    if let Some(startup) = &health.startup {
        out.startup_probe = Some(Probe {
            period_seconds: seconds(startup.interval),
            timeout_seconds: seconds(startup.timeout),
            // Without HealthStartupRetries=, the startup check is repeated without limit;
            // Kubernetes needs a number.
            failure_threshold: Some(i32::try_from(startup.retries).ok().filter(|number| *number > 0).unwrap_or(1000)),
            ..test(&startup.test)
        });
        if startup.success > 1 {
            let at = context.at(&own.file, "Container", "HealthStartupSuccess");
            context.lose(&at, "HealthStartupSuccess", "one success counts for a startup probe");
        }
    }
    let Some(interval) = health.interval else {
        if out.startup_probe.is_none() {
            let at = context.at(&own.file, "Container", "HealthInterval");
            context.lose(&at, "HealthInterval", "a check by hand has no counterpart; write a time for a probe");
        }
        return;
    };
    let probe = probe(&health, interval);
    let ready = app.notify == Notify::Healthy || health.on_failure == OnFailure::None;
    if health.on_failure != OnFailure::None {
        out.liveness_probe = Some(probe.clone());
        if health.on_failure == OnFailure::Stop {
            let at = context.at(&own.file, "Container", "HealthOnFailure");
            context.lose(&at, "HealthOnFailure", "a container that is not alive is started again, not stopped");
        }
    }
    if ready {
        out.readiness_probe = Some(probe);
        if app.notify != Notify::Healthy {
            let reason =
                "the pod gets no connections while the check fails, which nothing does here; leave readinessProbe: out";
            context.lose(&at, key, reason);
        }
    }
}

fn probe(health: &Health, interval: u64) -> Probe {
    Probe {
        period_seconds: seconds(interval),
        timeout_seconds: seconds(health.timeout),
        failure_threshold: i32::try_from(health.retries).ok(),
        initial_delay_seconds: seconds(health.start_period).filter(|delay| *delay > 0),
        ..test(&health.test)
    }
}

/// Converts milliseconds to seconds, rounded up.
fn seconds(milliseconds: u64) -> Option<i32> {
    i32::try_from(milliseconds.div_ceil(1000)).ok()
}

fn test(test: &Test) -> Probe {
    match test {
        Test::Command(words) => {
            let command: Vec<String> = words.iter().map(|word| escaped(word)).collect();
            Probe { exec: Some(ExecAction { command: Some(command) }), ..Probe::default() }
        }
        Test::Probe(probe) => {
            let port = IntOrString::Int(i32::from(probe.port));
            if let Some(path) = &probe.path {
                let http =
                    HTTPGetAction { host: host(probe), path: Some(path.clone()), port, ..HTTPGetAction::default() };
                return Probe { http_get: Some(http), ..Probe::default() };
            }
            let tcp = TCPSocketAction { host: host(probe), port };
            Probe { tcp_socket: Some(tcp), ..Probe::default() }
        }
    }
}

/// Returns the host of a probe, unless it is the pod itself: the kubelet connects from the node,
/// where `localhost` is the node.
fn host(probe: &probe::Probe) -> Option<String> {
    Some(probe.host.clone()).filter(|host| !["localhost", "127.0.0.1", "::1"].contains(&host.as_str()))
}
