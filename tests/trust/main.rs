// SPDX-License-Identifier: MIT
//! Tier 2: only images that the signature policy of the machine accepts are used. The tests compare
//! a table of policies and images with podman, and cover attacks by a registry and by a mirror,
//! updates, and the output of commands. openssl makes all signatures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod table;
mod updates;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::host::Host;
use support::layout::hex;
use support::sign;

/// The repositories of the tests in the registry on the host.
const TEAM: &str = "127.0.0.1:5000/team";

/// An image: its manifest, its blobs, and the digest of its manifest.
struct Image {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
    digest: String,
}

/// A small image; its content is its name.
fn image(name: &str) -> Image {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(name.len() as u64);
    header.set_mode(0o755);
    builder.append_data(&mut header, "bin/program", name.as_bytes()).unwrap();
    let layer = builder.into_inner().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({"architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/program"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex(&layer))]}});
    let config = config.to_string().into_bytes();
    let described = |media: &str, bytes: &[u8]| json!({"mediaType": media, "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": sign::MANIFEST,
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)]});
    let manifest = manifest.to_string().into_bytes();
    Image { digest: format!("sha256:{}", hex(&manifest)), manifest, blobs: vec![config, layer] }
}

/// Pushes an image to the registry as `team/NAME:TAG`.
fn push(host: &Host, name: &str, tag: &str, image: &Image) {
    sign::push(host, &format!("team/{name}"), tag, sign::MANIFEST, &image.manifest, &image.blobs);
}

/// Writes a layout with an image under the name `one`.
fn layout(path: &Path, image: &Image) {
    fs::create_dir_all(path.join("blobs/sha256")).unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(path.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    sign::add(path, "one", sign::MANIFEST, &image.manifest, &image.blobs);
}

/// The requirement `sigstoreSigned` by the key `/etc/pki/NAME.pub`, with a `signedIdentity` unless
/// that is null.
fn signed(name: &str, identity: &Value) -> Value {
    let mut requirement = json!({"type": "sigstoreSigned", "keyPath": format!("/etc/pki/{name}.pub")});
    if !identity.is_null() {
        requirement["signedIdentity"] = identity.clone();
    }
    requirement
}

fn reject() -> Value {
    json!([{"type": "reject"}])
}

fn accept() -> Value {
    json!([{"type": "insecureAcceptAnything"}])
}

/// A policy that rejects everything except images of one scope of one transport, which must meet
/// `requirements`.
fn only(transport: &str, scope: &str, requirements: &Value) -> Value {
    json!({"default": reject(), "transports": {transport: {scope: requirements}}})
}

fn write_policy(host: &Host, policy: &Value) {
    host.write("/etc/containers/policy.json", policy.to_string());
}

/// Enables sigstore attachments for all registries of the host.
fn attachments(host: &Host) {
    host.ok("mkdir -p /etc/containers/registries.d /etc/pki");
    host.write("/etc/containers/registries.d/team.yaml", "default-docker:\n  use-sigstore-attachments: true\n");
}
