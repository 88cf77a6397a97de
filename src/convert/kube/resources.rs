// SPDX-License-Identifier: MIT
//! Converts limits and requests of a container. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::workload::Workload;
use super::{Context, accounts};
use crate::convert::Builder;
use crate::kube::quantity;

/// Writes the limits and requests. Their quantities have been validated before.
pub fn convert(own: &Container, path: &str, workload: &Workload<'_>, builder: &mut Builder, context: &mut Context<'_>) {
    let Some(resources) = &own.resources else { return };
    accounts::others(workload.manifest, &format!("{path}.resources"), &["limits", "requests"], context);
    let amount = |amounts: &Option<BTreeMap<String, Quantity>>, name: &str| {
        amounts.as_ref().and_then(|amounts| amounts.get(name)).map(|amount| amount.0.clone())
    };
    if let Some(Ok(limit)) = amount(&resources.limits, "memory").map(|text| quantity::whole(&text)) {
        builder.put("resources.limits.memory", "Memory", &quantity::size(limit).to_ascii_lowercase());
    }
    if let Some(Ok(milli)) = amount(&resources.limits, "cpu").map(|text| quantity::milli(&text)) {
        builder.set("resources.limits.cpu", "Service", "CPUQuota", &format!("{}%", milli.div_ceil(10).max(1)));
    }
    if let Some(Ok(request)) = amount(&resources.requests, "memory").map(|text| quantity::whole(&text)) {
        builder.set("resources.requests.memory", "Service", "MemoryLow", &quantity::size(request));
    }
    if let Some(Ok(milli)) = amount(&resources.requests, "cpu").map(|text| quantity::milli(&text)) {
        // One processor corresponds to the default CPU weight of 100.
        builder.set("resources.requests.cpu", "Service", "CPUWeight", &(milli / 10).clamp(1, 10000).to_string());
    }
    for (list, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for name in
            amounts.iter().flatten().map(|(name, _)| name).filter(|name| !["cpu", "memory"].contains(&name.as_str()))
        {
            let reason = match name.as_str() {
                "ephemeral-storage" => "the size of what a container writes is not limited; write a volume with a size",
                "nvidia.com/gpu" | "amd.com/gpu" => "write AddDevice= with the device nodes",
                _ => "this has no counterpart and is left out",
            };
            let path = crate::kube::field_path(&format!("{path}.resources.{list}"), name);
            context.lose(workload.manifest, &path, reason);
        }
    }
}
