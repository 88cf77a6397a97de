// SPDX-License-Identifier: MIT
//! Accounts for each field that is not converted: every such field is listed, except for fields
//! whose value asks for the default behaviour. Pure.

mod tables;

use super::Context;
use crate::compose::value::{Map, Value};
use crate::kube::Manifest;
use tables::Account::{self, Done, Into, Lost, Without};
use tables::{CONTAINER, JOB, METADATA, OBJECTS, PARTS, POD};

/// Whether a field is metadata that a cluster writes, or has a value that asks for the default
/// behaviour.
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

/// Accounts for the fields of an object, except for those of its pod.
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

/// Accounts for the fields of a pod and its containers; `path` is the path of the pod's `spec`.
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

/// Accounts for the fields of a part of a pod at `path`, and of the parts below. `place` is the
/// same path without indices.
fn parts(manifest: &Manifest, path: &str, place: &str, value: &Value, context: &mut Context<'_>) {
    match value {
        Value::List(items) => {
            for (number, item) in items.iter().enumerate() {
                parts(manifest, &format!("{path}[{number}]"), place, item, context);
            }
        }
        Value::Map(map) => {
            let is_part = |end: &str| place == end || place.ends_with(&format!(".{end}"));
            // The longest matching end of the path is the most specific entry.
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

/// Accounts for the fields of a job; `path` is the path of its `spec`.
pub fn job(manifest: &Manifest, path: &str, context: &mut Context<'_>) {
    if let Some(value) = manifest.value_at(path) {
        table(manifest, path, value, &JOB, context);
    }
}

/// Accounts for the fields of the mapping at `path`, except for those in `known`, which are handled
/// elsewhere.
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

/// Accounts for one field; `name` is its name in the table.
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

/// Returns the message for an object of a kind that is not converted.
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

/// Selects a table of fields, for tests.
#[cfg(test)]
#[derive(Clone, Copy)]
pub enum Table {
    Pod,
    Container,
    Job,
}

/// Returns the names of the fields in a table.
#[cfg(test)]
pub fn names(table: Table) -> Vec<&'static str> {
    let table: &[(&'static str, Account)] = match table {
        Table::Pod => &POD,
        Table::Container => &CONTAINER,
        Table::Job => &JOB,
    };
    table.iter().map(|(name, _)| *name).collect()
}
