// SPDX-License-Identifier: MIT
//! Writes OCI image layouts from archives.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The SHA-256 digest in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Writes an OCI layout with one image, tagged `one`, whose layers are these uncompressed archives.
pub fn layout(path: &Path, layers: &[Vec<u8>]) -> PathBuf {
    tagged(path, layers, &[("one", serde_json::json!({"Cmd": ["x"]}))])
}

/// Writes an OCI layout of images with the same uncompressed archives as layers. Each has its tag
/// and its configuration (`config` of the OCI image specification).
pub fn tagged(path: &Path, layers: &[Vec<u8>], images: &[(&str, serde_json::Value)]) -> PathBuf {
    fs::create_dir_all(path.join("blobs/sha256")).unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let blob = |media: &str, bytes: &[u8]| {
        fs::write(path.join("blobs/sha256").join(hex(bytes)), bytes).unwrap();
        serde_json::json!({"mediaType": format!("application/vnd.oci.image.{media}"),
                           "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len()})
    };
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for layer in layers {
        diff_ids.push(format!("sha256:{}", hex(layer)));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(layer).unwrap();
        descriptors.push(blob("layer.v1.tar+gzip", &encoder.finish().unwrap()));
    }
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let entry = |(tag, config): &(&str, serde_json::Value)| {
        let config = serde_json::json!({"architecture": architecture, "os": "linux", "config": config,
                                        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("config.v1+json", &serde_json::to_vec(&config).unwrap()), "layers": descriptors
        });
        let mut entry = blob("manifest.v1+json", &serde_json::to_vec(&manifest).unwrap());
        entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": tag});
        entry
    };
    let entries: Vec<_> = images.iter().map(entry).collect();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": entries});
    fs::write(path.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    path.to_owned()
}
