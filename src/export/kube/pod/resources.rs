// SPDX-License-Identifier: MIT
//! Exports limits and requests of resources. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::config::values;
use crate::export::kube::Context;
use crate::kube::quantity;
use crate::model::{App, Container};

/// Returns the resources of a container. Limits apply to all applications of a container together,
/// so they are exported at the first application only.
pub fn export(own: &Container, app: &App, context: &mut Context<'_>) -> Option<ResourceRequirements> {
    if !app.first {
        return None;
    }
    let mut limits: BTreeMap<String, Quantity> = BTreeMap::new();
    let mut requests: BTreeMap<String, Quantity> = BTreeMap::new();
    let mut memory = own.memory;
    for (key, value) in &own.service {
        let at = context.at(&own.file, "Service", key);
        match key.as_str() {
            "MemoryMax" | "MemoryLow" => match values::size(key, value) {
                Ok(size) if key == "MemoryMax" => memory = Some(size),
                Ok(size) => {
                    requests.insert("memory".to_owned(), Quantity(quantity::bytes(size)));
                }
                Err(_) if value == "infinity" || value.is_empty() => {}
                Err(_) => context.lose(&at, key, format!("{value} depends on this machine; write a number of bytes")),
            },
            "CPUQuota" => match value.strip_suffix('%').and_then(|percent| percent.parse::<u64>().ok()) {
                Some(percent) => {
                    limits.insert("cpu".to_owned(), Quantity(quantity::processors(percent * 10)));
                }
                None if value.is_empty() => {}
                None => context.lose(&at, key, format!("{value} is no whole number of percent; write one")),
            },
            "CPUWeight" => match value.parse::<u64>() {
                Ok(weight) => {
                    requests.insert("cpu".to_owned(), Quantity(quantity::processors(weight * 10)));
                }
                Err(_) => context.lose(&at, key, format!("{value} is no share of processors; write a number")),
            },
            _ => {}
        }
    }
    if let Some(memory) = memory {
        limits.insert("memory".to_owned(), Quantity(quantity::bytes(memory)));
    }
    for (name, key) in [("cpu", "CPUWeight"), ("memory", "MemoryLow")] {
        let amount = |amounts: &BTreeMap<String, Quantity>| {
            let text = &amounts.get(name)?.0;
            if name == "cpu" { quantity::milli(text).ok() } else { quantity::whole(text).ok() }
        };
        if let (Some(request), Some(limit)) = (amount(&requests), amount(&limits))
            && request > limit
        {
            requests.extend(limits.get(name).map(|limit| (name.to_owned(), limit.clone())));
            let at = context.at(&own.file, "Service", key);
            context.lose(&at, key, "a request is no more than the limit, which is written in its place");
        }
    }
    if own.apps.len() > 1 && !limits.is_empty() {
        let at = context.at(&own.file, "Container", "App");
        let reason = "the limits of the container are those of its first application; write limits for each";
        context.lose(&at, "App", reason);
    }
    let some = |amounts: BTreeMap<String, Quantity>| Some(amounts).filter(|amounts| !amounts.is_empty());
    let out = ResourceRequirements { limits: some(limits), requests: some(requests), claims: None };
    Some(out).filter(|out| *out != ResourceRequirements::default())
}
