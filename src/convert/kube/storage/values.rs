// SPDX-License-Identifier: MIT
//! Provides the values of ConfigMaps and Secrets, and the fields of a pod that are known before it
//! runs. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, ResourceFieldSelector};

use crate::convert::kube::Context;
use crate::convert::kube::workload::Workload;
use crate::kube::{Manifest, Object, quantity};

/// Returns the values of a ConfigMap by key, or `None` if it is not in the files.
pub fn config_map(name: &str, beside: &Manifest, context: &Context<'_>) -> Option<BTreeMap<String, Vec<u8>>> {
    let Object::ConfigMap(map) = &context.find(beside, "ConfigMap", name)?.object else { return None };
    let texts = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    Some(texts.chain(binary).collect())
}

/// Returns the values of a Secret by key, or `None` if it is not in the files. `stringData`
/// overrides `data`.
pub fn secret(name: &str, beside: &Manifest, context: &Context<'_>) -> Option<BTreeMap<String, Vec<u8>>> {
    let Object::Secret(secret) = &context.find(beside, "Secret", name)?.object else { return None };
    let encoded = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    let texts = secret.string_data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    Some(encoded.chain(texts).collect())
}

/// Returns the name of the credential for a key of a Secret. If the files have its value, the
/// credential is written with the project.
pub fn credential(
    secret: &str,
    key: &str,
    value: Option<&Vec<u8>>,
    beside: &Manifest,
    context: &mut Context<'_>,
) -> String {
    let name = match beside.namespace() {
        "default" => format!("{secret}-{key}"),
        namespace => format!("{namespace}-{secret}-{key}"),
    };
    if let Some(value) = value {
        context.out.secrets.insert(name.clone(), value.clone());
    }
    name
}

/// Returns the value of a field of the pod for `fieldRef`.
///
/// # Errors
/// Returns a message if the field is not known before the pod runs.
pub fn field(reference: &ObjectFieldSelector, workload: &Workload<'_>) -> Result<String, String> {
    let path = reference.field_path.as_str();
    let subscript = |list: &str| path.strip_prefix(list)?.strip_prefix("['")?.strip_suffix("']").map(str::to_owned);
    let metadata = |list: &str| {
        let metadata = workload.metadata;
        match list {
            "labels" => metadata.and_then(|metadata| metadata.labels.clone()),
            _ => metadata.and_then(|metadata| metadata.annotations.clone()),
        }
        .unwrap_or_default()
    };
    match path {
        "metadata.name" => return Ok(workload.pod_name()),
        "metadata.namespace" => return Ok(workload.manifest.namespace().to_owned()),
        "spec.serviceAccountName" => {
            return Ok(workload.spec.service_account_name.clone().unwrap_or_else(|| "default".to_owned()));
        }
        _ => {}
    }
    for list in ["labels", "annotations"] {
        let values = metadata(list);
        if path == format!("metadata.{list}") {
            // The kubelet writes such a file with one line NAME="VALUE" for each entry, sorted.
            return Ok(values.iter().fold(String::new(), |all, (name, value)| all + &format!("{name}={value:?}\n")));
        }
        if let Some(name) = subscript(&format!("metadata.{list}")) {
            return Ok(values.get(&name).cloned().unwrap_or_default());
        }
    }
    Err(match path {
        "status.podIP" | "status.podIPs" => {
            "the address is not known before the pod runs; let the program ask, or use the pod's name"
        }
        "status.hostIP" | "status.hostIPs" => {
            "the host's address is not known here; write the name host.containers.internal"
        }
        "spec.nodeName" => "the machine is not known here; write its name",
        "metadata.uid" => "a pod has no UID here; write a value",
        _ => "this field is not known; write a value",
    }
    .to_owned())
}

/// Returns a limit or request of a container as a number, for `resourceFieldRef`.
///
/// # Errors
/// Returns a message if the container or the quantity is not set or is invalid.
pub fn resource(reference: &ResourceFieldSelector, own: &Container, workload: &Workload<'_>) -> Result<String, String> {
    let container = match reference.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => own,
        Some(name) => {
            let mut all = workload.spec.containers.iter().chain(workload.spec.init_containers.iter().flatten());
            all.find(|container| container.name == name)
                .ok_or_else(|| format!("the pod has no container {name}; write another containerName"))?
        }
    };
    let (list, name) = reference.resource.split_once('.').unwrap_or(("", &reference.resource));
    let resources = container.resources.clone().unwrap_or_default();
    let amounts = match list {
        "limits" => resources.limits.or(resources.requests),
        "requests" => resources.requests.or(resources.limits),
        _ => None,
    };
    let amount = amounts.as_ref().and_then(|amounts| amounts.get(name));
    let amount = amount
        .ok_or_else(|| format!("{} is not set, and depends on the machine; write a value", reference.resource))?;
    let divisor = reference.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
    let divisor = if divisor == "0" { "1" } else { divisor };
    // Kubernetes rounds up processors and sizes to whole multiples of the divisor.
    if name == "cpu" {
        let (amount, divisor) = (quantity::milli(&amount.0)?, quantity::milli(divisor)?.max(1));
        return Ok(amount.div_ceil(divisor).to_string());
    }
    let (amount, divisor) = (quantity::whole(&amount.0)?, quantity::whole(divisor)?.max(1));
    Ok(amount.div_ceil(divisor).to_string())
}
