// SPDX-License-Identifier: MIT
//! Kubernetes manifests, parsed strictly into the typed objects of k8s-openapi, and written from
//! these objects. Used by `convert kube` and `export kube`. Pure.

mod lines;
pub mod quantity;
mod read;
pub mod schedule;
mod strict;
pub mod validate;
pub mod write;

pub use strict::key as field_path;

pub use read::{Field, Manifest, Object, Other, Problem, Read, read};

/// The section `metadata` of every object.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
