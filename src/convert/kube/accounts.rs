// SPDX-License-Identifier: MIT
//! What becomes of each field that is not converted. Nothing is ignored without a line, but for values that ask for what is the case
//! anyway. Pure.

use super::Context;
use crate::compose::value::{Map, Value};
use crate::kube::Manifest;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    /// It is converted, or its parts are looked at elsewhere.
    Done,
    /// Each of its fields has an account.
    Into,
    /// It has no effect on one machine; the text says why.
    Without(&'static str),
    /// It has no counterpart; the text says what to do.
    Lost(&'static str),
}

use Account::{Done, Into, Lost, Without};

const ONE_MACHINE: Account = Without("this chooses among machines, and there is one");
const ROLLOUT: Account = Without("a change is applied by sdme-gen restart --changed, not replica by replica");
const LATER_STATE: Account = Without("the state of a cluster is not converted");

/// The fields of a pod. What is not in this list has no counterpart.
const POD: [(&str, Account); 35] = [
    (
        "activeDeadlineSeconds",
        Lost("a pod here has no such limit; write RuntimeMaxSec= in [Service] of its containers"),
    ),
    ("affinity", ONE_MACHINE),
    ("automountServiceAccountToken", Without("there is no API server to speak to")),
    ("containers", Done),
    ("dnsConfig", Done),
    ("dnsPolicy", Done),
    ("enableServiceLinks", Without("services are found by their names; no variables are made for them")),
    ("hostAliases", Done),
    ("hostIPC", Lost("a container has its own IPC namespace")),
    ("hostNetwork", Done),
    (
        "hostPID",
        Lost("a container has its own process IDs; write a unit of the host for a program that needs all of them"),
    ),
    ("hostUsers", Done),
    ("hostname", Done),
    ("imagePullSecrets", Lost("write an .image file with AuthFile= for the images that need it")),
    ("initContainers", Done),
    ("nodeName", ONE_MACHINE),
    ("nodeSelector", ONE_MACHINE),
    ("os", Without("it is Linux")),
    ("overhead", ONE_MACHINE),
    ("preemptionPolicy", ONE_MACHINE),
    ("priority", ONE_MACHINE),
    ("priorityClassName", ONE_MACHINE),
    ("resources", Lost("write the limits at the containers")),
    ("restartPolicy", Done),
    ("runtimeClassName", Lost("the runtime is systemd-nspawn")),
    ("schedulerName", ONE_MACHINE),
    ("securityContext", Done),
    ("serviceAccount", Without("there is no API server to speak to")),
    ("serviceAccountName", Without("there is no API server to speak to")),
    ("shareProcessNamespace", Lost("each container has its own process IDs")),
    ("subdomain", Done),
    ("terminationGracePeriodSeconds", Done),
    ("tolerations", ONE_MACHINE),
    ("topologySpreadConstraints", ONE_MACHINE),
    ("volumes", Done),
];

/// The fields of a container.
const CONTAINER: [(&str, Account); 24] = [
    ("args", Done),
    ("command", Done),
    ("env", Done),
    ("envFrom", Done),
    ("image", Done),
    ("imagePullPolicy", Done),
    ("lifecycle", Done),
    ("livenessProbe", Done),
    ("name", Done),
    ("ports", Done),
    ("readinessProbe", Done),
    ("resizePolicy", Without("limits are changed with systemctl set-property, without a restart")),
    ("resources", Done),
    ("restartPolicy", Done),
    ("securityContext", Done),
    ("startupProbe", Done),
    ("stdin", Lost("standard input is empty; run sdme-gen exec for a command with input")),
    ("stdinOnce", Without("standard input is empty")),
    ("terminationMessagePath", Without("messages go to the journal")),
    ("terminationMessagePolicy", Without("messages go to the journal")),
    ("tty", Lost("an application has no terminal; run sdme-gen exec for a command with one")),
    ("volumeDevices", Lost("write AddDevice= with the device of the host")),
    ("volumeMounts", Done),
    ("workingDir", Done),
];

/// Fields by the kind of their object, with a point between levels.
const OBJECTS: [(&str, &[(&str, Account)]); 11] = [
    ("Pod", &[("spec", Done), ("status", LATER_STATE)]),
    (
        "Deployment",
        &[
            ("spec", Into),
            ("spec.minReadySeconds", ROLLOUT),
            ("spec.paused", ROLLOUT),
            ("spec.progressDeadlineSeconds", ROLLOUT),
            ("spec.replicas", Done),
            ("spec.revisionHistoryLimit", ROLLOUT),
            ("spec.selector", Done),
            ("spec.strategy", ROLLOUT),
            ("spec.template", Done),
            ("status", LATER_STATE),
        ],
    ),
    (
        "ReplicaSet",
        &[
            ("spec", Into),
            ("spec.minReadySeconds", ROLLOUT),
            ("spec.replicas", Done),
            ("spec.selector", Done),
            ("spec.template", Done),
            ("status", LATER_STATE),
        ],
    ),
    (
        "StatefulSet",
        &[
            ("spec", Into),
            ("spec.minReadySeconds", ROLLOUT),
            ("spec.ordinals", Done),
            (
                "spec.persistentVolumeClaimRetentionPolicy",
                Without("volumes stay until sdme-gen volume rm removes them"),
            ),
            ("spec.podManagementPolicy", Without("replicas start side by side")),
            ("spec.replicas", Done),
            ("spec.revisionHistoryLimit", ROLLOUT),
            ("spec.selector", Done),
            ("spec.serviceName", Done),
            ("spec.template", Done),
            ("spec.updateStrategy", ROLLOUT),
            ("spec.volumeClaimTemplates", Done),
            ("status", LATER_STATE),
        ],
    ),
    (
        "DaemonSet",
        &[
            ("spec", Into),
            ("spec.minReadySeconds", ROLLOUT),
            ("spec.revisionHistoryLimit", ROLLOUT),
            ("spec.selector", Done),
            ("spec.template", Done),
            ("spec.updateStrategy", ROLLOUT),
            ("status", LATER_STATE),
        ],
    ),
    ("Job", &[("spec", Done), ("status", LATER_STATE)]),
    (
        "CronJob",
        &[
            ("spec", Into),
            ("spec.concurrencyPolicy", Done),
            ("spec.failedJobsHistoryLimit", Without("messages of former runs are in the journal")),
            ("spec.jobTemplate", Done),
            ("spec.schedule", Done),
            ("spec.startingDeadlineSeconds", Done),
            ("spec.successfulJobsHistoryLimit", Without("messages of former runs are in the journal")),
            ("spec.suspend", Done),
            ("spec.timeZone", Done),
            ("status", LATER_STATE),
        ],
    ),
    ("Service", &[("spec", Done), ("status", LATER_STATE)]),
    (
        "ConfigMap",
        &[("data", Done), ("binaryData", Done), ("immutable", Without("a file is changed by whoever may write it"))],
    ),
    (
        "Secret",
        &[
            ("data", Done),
            ("stringData", Done),
            ("immutable", Without("a file is changed by whoever may write it")),
            ("type", Without("a credential has no type")),
        ],
    ),
    (
        "PersistentVolumeClaim",
        &[
            ("spec", Into),
            ("spec.accessModes", Without("every container of the machine can use a volume")),
            (
                "spec.resources",
                Without("a volume takes as much as there is; write Device= in the .volume file for a limit"),
            ),
            (
                "spec.storageClassName",
                Without("a volume is a directory; write Device= in the .volume file for another place"),
            ),
            ("spec.volumeMode", Done),
            (
                "spec.volumeName",
                Without("a volume is a directory; write Device= in the .volume file for another place"),
            ),
            ("spec.volumeAttributesClassName", Without("a volume is a directory")),
            ("status", LATER_STATE),
        ],
    ),
];

/// The fields of a job.
const JOB: [(&str, Account); 17] = [
    ("activeDeadlineSeconds", Done),
    ("backoffLimit", Done),
    ("backoffLimitPerIndex", Lost("a job runs once; write a template and an instance for each index")),
    ("completionMode", Done),
    ("completions", Done),
    ("managedBy", Without("systemd runs the job")),
    ("manualSelector", Without("there is no controller that selects pods")),
    ("maxFailedIndexes", Lost("a job runs once; write a template and an instance for each index")),
    ("parallelism", Done),
    ("podFailurePolicy", Lost("write SuccessExitStatus= or RestartPreventExitStatus= in [Service]")),
    ("podReplacementPolicy", Without("a job runs again when its former run has ended")),
    ("selector", Without("there is no controller that selects pods")),
    ("successPolicy", Lost("a job runs once; write SuccessExitStatus= in [Service]")),
    ("suspend", Done),
    ("template", Done),
    ("ttlSecondsAfterFinished", Without("nothing of a job that has ended takes room")),
    ("status", LATER_STATE),
];

/// Fields of `metadata` that are of consequence, or could be.
const METADATA: [(&str, Account); 6] = [
    ("annotations", Done),
    ("finalizers", Without("a file is removed by whoever may write it")),
    ("labels", Done),
    ("name", Done),
    ("namespace", Done),
    ("ownerReferences", Without("a file has no owner")),
];

/// Metadata that a cluster writes, and values that ask for what is the case anyway.
fn is_usual(name: &str, value: &Value) -> bool {
    let written_by_cluster = [
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    let usual = [
        ("schedulerName", "default-scheduler"),
        ("terminationMessagePath", "/dev/termination-log"),
        ("terminationMessagePolicy", "File"),
        ("serviceAccount", "default"),
        ("serviceAccountName", "default"),
        ("type", "Opaque"),
        ("preemptionPolicy", "PreemptLowerPriority"),
        ("priority", "0"),
    ];
    let empty = match value {
        Value::Null | Value::Bool(false) | Value::Reset => true,
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Text(text) => text.is_empty(),
        _ => false,
    };
    empty || written_by_cluster.contains(&name) || usual.contains(&(name, &value.scalar().unwrap_or_default()))
}

/// Looks at the fields of an object, but for those of its pod.
pub fn object(manifest: &Manifest, context: &mut Context<'_>) {
    let kind = manifest.object.kind();
    let fields = OBJECTS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, fields)| fields);
    let Some(map) = manifest.value.as_map() else { return };
    for (name, value) in map.iter().filter(|(name, _)| !["apiVersion", "kind"].contains(name)) {
        if name == "metadata" {
            table(manifest, "metadata", value, &METADATA, context);
        } else {
            field(manifest, name, name, value, fields, context);
        }
    }
}

/// Looks at the fields of a pod and its containers; `path` is that of its `spec`.
pub fn pod(manifest: &Manifest, path: &str, context: &mut Context<'_>) {
    let Some(value) = manifest.value_at(path) else { return };
    table(manifest, path, value, &POD, context);
    for part in ["volumes", "dnsConfig"] {
        if let Some(value) = value.get(part) {
            parts(manifest, &format!("{path}.{part}"), part, value, context);
        }
    }
    for list in ["initContainers", "containers"] {
        for (number, container) in value.get(list).and_then(Value::as_list).into_iter().flatten().enumerate() {
            let path = format!("{path}.{list}[{number}]");
            table(manifest, &path, container, &CONTAINER, context);
            for part in ["env", "envFrom", "ports", "livenessProbe", "readinessProbe", "startupProbe"] {
                if let Some(value) = container.get(part) {
                    parts(manifest, &format!("{path}.{part}"), part, value, context);
                }
            }
        }
    }
}

/// Fields of parts of a pod, by the end of their path without numbers.
const PARTS: [(&str, &[&str]); 19] = [
    ("volumes.emptyDir", &["medium", "sizeLimit", "mode"]),
    ("volumes.hostPath", &["path", "type"]),
    ("volumes.nfs", &["path", "readOnly", "server"]),
    ("volumes.persistentVolumeClaim", &["claimName", "readOnly"]),
    ("configMap", &["defaultMode", "items", "name", "optional"]),
    ("volumes.secret", &["defaultMode", "items", "optional", "secretName"]),
    ("sources.secret", &["items", "name", "optional"]),
    ("configMap.items", &["key", "mode", "path"]),
    ("secret.items", &["key", "mode", "path"]),
    ("downwardAPI", &["defaultMode", "items"]),
    ("downwardAPI.items", &["fieldRef", "mode", "path", "resourceFieldRef"]),
    ("volumes.projected", &["defaultMode", "sources"]),
    ("env", &["name", "value", "valueFrom"]),
    ("envFrom", &["configMapRef", "prefix", "secretRef"]),
    ("ports", &["containerPort", "hostIP", "hostPort", "name", "protocol"]),
    ("livenessProbe", &PROBE),
    ("readinessProbe", &PROBE),
    ("startupProbe", &PROBE),
    ("dnsConfig", &["nameservers", "options", "searches"]),
];

const PROBE: [&str; 10] = [
    "exec",
    "failureThreshold",
    "grpc",
    "httpGet",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "tcpSocket",
    "terminationGracePeriodSeconds",
    "timeoutSeconds",
];

/// Looks at the parts of the pod below `path`, whose place without numbers is `place`.
fn parts(manifest: &Manifest, path: &str, place: &str, value: &Value, context: &mut Context<'_>) {
    match value {
        Value::List(items) => {
            for (number, item) in items.iter().enumerate() {
                parts(manifest, &format!("{path}[{number}]"), place, item, context);
            }
        }
        Value::Map(map) => {
            let is_part = |end: &str| place == end || place.ends_with(&format!(".{end}"));
            // The longest end counts.
            let known = PARTS.iter().filter(|(end, _)| is_part(end)).max_by_key(|(end, _)| end.len());
            for (name, value) in map.iter() {
                let path = crate::kube::field_path(path, name);
                match known {
                    Some((_, fields)) if !fields.contains(&name) => {
                        if !is_usual(name, value) {
                            context.lose(manifest, &path, "this has no counterpart and is left out");
                        }
                    }
                    _ => parts(manifest, &path, &format!("{place}.{name}"), value, context),
                }
            }
        }
        _ => {}
    }
}

/// Looks at the fields of a job; `path` is that of its `spec`.
pub fn job(manifest: &Manifest, path: &str, context: &mut Context<'_>) {
    if let Some(value) = manifest.value_at(path) {
        table(manifest, path, value, &JOB, context);
    }
}

/// Looks at the fields of the mapping at `path`, of which only `known` are looked at elsewhere.
pub fn others(manifest: &Manifest, path: &str, known: &[&str], context: &mut Context<'_>) {
    let map = manifest.value_at(path).and_then(Value::as_map);
    for (name, value) in map.into_iter().flat_map(Map::iter) {
        if !known.contains(&name) && !is_usual(name, value) {
            context.lose(manifest, &format!("{path}.{name}"), "this has no counterpart and is left out");
        }
    }
}

fn table(manifest: &Manifest, path: &str, value: &Value, fields: &[(&str, Account)], context: &mut Context<'_>) {
    for (name, value) in value.as_map().into_iter().flat_map(Map::iter) {
        field(manifest, &format!("{path}.{name}"), name, value, fields, context);
    }
}

/// Looks at one field, which has this name in the table.
fn field(
    manifest: &Manifest,
    path: &str,
    name: &str,
    value: &Value,
    fields: &[(&str, Account)],
    context: &mut Context<'_>,
) {
    if is_usual(name.rsplit('.').next().unwrap_or(name), value) {
        return;
    }
    match fields.iter().find(|(known, _)| *known == name).map(|(_, account)| *account) {
        Some(Done) => {}
        Some(Into) => {
            for (inner, value) in value.as_map().into_iter().flat_map(Map::iter) {
                field(manifest, &format!("{path}.{inner}"), &format!("{name}.{inner}"), value, fields, context);
            }
        }
        Some(Without(why)) => context.remark(manifest, path, why),
        Some(Lost(remedy)) => context.lose(manifest, path, format!("this has no counterpart; {remedy}")),
        None => context.lose(manifest, path, "this has no counterpart and is left out"),
    }
}

/// What is said about an object of another kind.
pub fn other(kind: &str) -> String {
    let remedy = match kind {
        "Ingress" | "IngressClass" | "Gateway" | "HTTPRoute" => {
            "run a reverse proxy in a container, and write PublishPort= for it"
        }
        "Namespace" => "the network kube-NAMESPACE.network takes its place",
        "NetworkPolicy" => "write Internal=yes in the .network file, or a network for each group of pods",
        "PersistentVolume" | "StorageClass" => "write Device= in the .volume file of the claim",
        "HorizontalPodAutoscaler" | "PodDisruptionBudget" => "write the number of replicas",
        "ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
            "there is no API server here; leave it out"
        }
        "ReplicationController" => "write a Deployment",
        "Endpoints" | "EndpointSlice" => "write hostAliases in the pods",
        _ => "leave it out, or do by hand what its controller does",
    };
    format!("the kind {kind} has no counterpart; {remedy}")
}

/// The tables of fields, for tests.
#[cfg(test)]
#[derive(Clone, Copy)]
pub enum Table {
    Pod,
    Container,
    Job,
}

/// The names of the fields of a table.
#[cfg(test)]
pub fn names(table: Table) -> Vec<&'static str> {
    let table: &[(&'static str, Account)] = match table {
        Table::Pod => &POD,
        Table::Container => &CONTAINER,
        Table::Job => &JOB,
    };
    table.iter().map(|(name, _)| *name).collect()
}
