// SPDX-License-Identifier: MIT
//! Converts a container of a pod to a `.container` file. Pure.

use k8s_openapi::api::core::v1::Container;

use super::environment::Variables;
use super::workload::{self, Kind, Workload};
use super::{Context, INSTANCE, environment, hooks, jobs, mounts, probes, resources, security};
use crate::config::keys::FileType;
use crate::convert::Builder;

/// The annotation in which `kubectl apply` keeps the whole manifest, which can contain secrets.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The role of a container in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The container has to complete before the next one starts.
    Init,
    /// The container starts before the next one, and keeps running.
    Sidecar,
    /// The container is an ordinary one, from the list `containers`.
    Main,
}

/// Converts a container. `before` has the files and roles of the containers that start before it.
pub fn convert(
    own: &Container,
    path: &str,
    role: Role,
    workload: &Workload<'_>,
    before: &[(String, Role)],
    context: &mut Context<'_>,
) -> String {
    let mut builder = Builder::new(FileType::Container);
    builder.put("image", "Image", own.image.as_deref().unwrap_or_default().trim());
    pull(own, &mut builder);
    if workload.spec.host_network == Some(true) {
        builder.put("hostNetwork", "Network", "host");
        builder.put("hostname", "HostName", &workload.pod_name());
        workload::names(workload, &mut builder);
    } else {
        builder.put("pod", "Pod", &format!("{}.pod", workload.reference(&workload.name)));
    }
    let annotations = workload.metadata.and_then(|metadata| metadata.annotations.as_ref());
    for (name, value) in annotations.into_iter().flatten().filter(|(name, _)| *name != LAST_APPLIED) {
        builder.put("metadata.annotations", "Annotation", &format!("{name}={value}"));
    }
    if matches!(workload.kind, Kind::Timed(_)) {
        builder.put("schedule", "StartWithPod", "no");
    }
    let variables = environment::environment(own, path, workload, &mut builder, context);
    command(own, path, &variables, workload, &mut builder, context);
    if let Some(directory) = own.working_dir.as_deref().filter(|directory| !directory.is_empty()) {
        builder.put("workingDir", "WorkingDir", directory);
    }
    mounts::convert(own, path, &variables, workload, &mut builder, context);
    security::convert(own, path, workload, &mut builder, context);
    resources::convert(own, path, workload, &mut builder, context);
    if role != Role::Init {
        probes::convert(own, path, workload, &mut builder, context);
    }
    hooks::convert(own, path, &variables, workload, &mut builder, context);
    if let Some(seconds) = workload.spec.termination_grace_period_seconds {
        builder.put("terminationGracePeriodSeconds", "StopTimeout", &seconds.to_string());
    }
    restart(role, workload, &mut builder);
    if role == Role::Main {
        jobs::limits(workload, &mut builder, context);
    }
    for (file, other) in before {
        let unit = format!("{}.container", workload.reference(file));
        if *other == Role::Init {
            builder.set("initContainers", "Unit", "Requires", &unit);
        } else {
            builder.set("initContainers", "Unit", "Wants", &unit);
        }
        builder.set("initContainers", "Unit", "After", &unit);
    }
    for note in std::mem::take(&mut builder.notes) {
        let (field, reason) = note.split_once(": ").unwrap_or((&note, ""));
        context.lose(workload.manifest, &format!("{path}.{field}"), reason);
    }
    finished(&builder)
}

/// Returns the text of a file. The placeholder of the instance becomes the specifier `%i`.
pub fn finished(builder: &Builder) -> String {
    builder.draft.to_string().replace(INSTANCE, "%i")
}

fn pull(own: &Container, builder: &mut Builder) {
    let policy = match own.image_pull_policy.as_deref() {
        Some("Always") => "always",
        Some("Never") => "never",
        Some("IfNotPresent") => "missing",
        _ => return,
    };
    builder.put("imagePullPolicy", "Pull", policy);
}

/// Writes the program and its arguments.
fn command(
    own: &Container,
    path: &str,
    variables: &Variables,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    for (field, key, words) in [("command", "Entrypoint", &own.command), ("args", "Exec", &own.args)] {
        let Some(words) = words.as_ref().filter(|words| !words.is_empty()) else { continue };
        match words.iter().map(|word| variables.expand(word)).collect::<Result<Vec<_>, _>>() {
            Ok(words) => builder.words(field, key, &words),
            Err(secret) => {
                context.lose(workload.manifest, &format!("{path}.{field}"), environment::of_secret(&secret));
            }
        }
    }
}

/// Writes the restart settings. They imitate the back-off of the kubelet, which waits ten seconds,
/// doubles the delay after each restart, and waits at most five minutes.
fn restart(role: Role, workload: &Workload<'_>, builder: &mut Builder) {
    let policy = workload.spec.restart_policy.as_deref().unwrap_or("Always");
    let ends = role == Role::Init || (role == Role::Main && workload.is_job());
    if ends {
        builder.set("restartPolicy", "Service", "Type", "oneshot");
        // A job that runs again has to run its init containers again, too, so they do not remain
        // active after their exit.
        if role == Role::Init && !workload.is_job() {
            builder.set("restartPolicy", "Service", "RemainAfterExit", "yes");
        }
    }
    let value = match (role, policy) {
        (Role::Sidecar, _) => "always",
        (_, "Never") => return,
        (_, "OnFailure") => "on-failure",
        _ if ends => "on-failure",
        _ => "always",
    };
    for (key, value) in
        [("Restart", value), ("RestartSec", "10s"), ("RestartSteps", "5"), ("RestartMaxDelaySec", "5min")]
    {
        builder.set("restartPolicy", "Service", key, value);
    }
}
