// SPDX-License-Identifier: MIT
//! Image signatures, made by openssl from the published formats: containers-signature(5) and
//! cosign's specification for simple signing, DSSE and the in-toto statement for sigstore bundles.
//! No code of the program under test is used.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::host::Host;
use super::layout::hex;
use super::run;

/// The media type of payloads in the simple signing format.
pub const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The media type of bundles.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The media type of manifests.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of indexes.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A key pair.
#[derive(Debug, Clone)]
pub struct Signer {
    directory: PathBuf,
    kind: &'static str,
}

impl Signer {
    /// Creates a key of a kind: `p256`, `p384`, `ed25519` or `rsa`. The public key is `NAME.pub` in
    /// the directory.
    ///
    /// # Panics
    /// If openssl fails.
    pub fn new(directory: &Path, name: &str, kind: &'static str) -> Self {
        let own = directory.join(name);
        fs::create_dir_all(&own).unwrap();
        let arguments: &[&str] = match kind {
            "p256" => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "p384" => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            "ed25519" => &["-algorithm", "ED25519"],
            _ => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        };
        let key = own.join("key");
        run(Command::new("openssl").arg("genpkey").args(arguments).arg("-out").arg(&key).stderr(Stdio::null()));
        let public = directory.join(format!("{name}.pub"));
        run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&key).arg("-out").arg(public));
        Self { directory: own, kind }
    }

    /// Signs a message; `hash` is `sha256` or `sha384` and only applies to EC and RSA keys.
    ///
    /// # Panics
    /// If openssl fails.
    pub fn sign(&self, message: &[u8], hash: &str) -> Vec<u8> {
        let (input, key) = (self.directory.join("message"), self.directory.join("key"));
        fs::write(&input, message).unwrap();
        let mut openssl = Command::new("openssl");
        if self.kind == "ed25519" {
            openssl.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(key).arg("-in").arg(input);
        } else {
            openssl.args(["dgst", &format!("-{hash}"), "-sign"]).arg(key).arg(input);
        }
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

/// The payload of a signature for a manifest digest and an image reference, in cosign's format.
pub fn payload(digest: &str, reference: &str) -> String {
    let critical = json!({"identity": {"docker-reference": reference}, "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature"});
    json!({"critical": critical, "optional": null}).to_string()
}

/// A signature in the simple signing format, as a layer of a manifest.
pub fn simple(signer: &Signer, payload: &str) -> Layer {
    let signature = STANDARD.encode(signer.sign(payload.as_bytes(), "sha256"));
    Layer {
        media: SIMPLE,
        content: payload.as_bytes().to_vec(),
        annotations: json!({"dev.cosignproject.cosign/signature": signature}),
    }
}

/// A signature as a bundle: a DSSE envelope around an in-toto statement, whose subject has `name`
/// if there is one.
pub fn bundle(signer: &Signer, digest: &str, name: Option<&str>, predicate: &str) -> Layer {
    let hash = if signer.kind == "p384" { "sha384" } else { "sha256" };
    let mut subject = json!({"digest": {"sha256": digest.trim_start_matches("sha256:")}});
    if let Some(name) = name {
        subject["name"] = name.into();
    }
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": predicate, "predicate": {}});
    let (statement, kind) = (statement.to_string(), "application/vnd.in-toto+json");
    let message = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
    let signature = STANDARD.encode(signer.sign(message.as_bytes(), hash));
    let envelope =
        json!({"payload": STANDARD.encode(&statement), "payloadType": kind, "signatures": [{"sig": signature}]});
    let bundle =
        json!({"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": "x"}}, "dsseEnvelope": envelope});
    Layer { media: BUNDLE, content: bundle.to_string().into_bytes(), annotations: json!({}) }
}

/// The `predicateType` of a signature of an image.
pub const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// A layer of a manifest with signatures.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The media type of the layer.
    pub media: &'static str,
    /// The content of the layer.
    pub content: Vec<u8>,
    /// The annotations of the layer's descriptor.
    pub annotations: Value,
}

impl Layer {
    /// The layer as a file `signature-N` of a `dir:` directory.
    pub fn file(&self) -> Vec<u8> {
        let json =
            json!({"mimeType": self.media, "payload": STANDARD.encode(&self.content), "annotations": self.annotations});
        [b"\0sigstore-json\n", json.to_string().as_bytes()].concat()
    }
}

fn descriptor(media: &str, content: &[u8]) -> Value {
    json!({"mediaType": media, "digest": format!("sha256:{}", hex(content)), "size": content.len()})
}

/// A manifest with these signatures, and its blobs.
pub fn manifest(layers: &[Layer], subject: Option<&Value>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let digests: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", hex(&layer.content))).collect();
    let config = json!({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": digests}});
    let config = config.to_string().into_bytes();
    let described = layers.iter().map(|layer| {
        let mut described = descriptor(layer.media, &layer.content);
        described["annotations"] = layer.annotations.clone();
        described
    });
    let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": described.collect::<Vec<_>>()});
    if let Some(subject) = subject {
        manifest["artifactType"] = BUNDLE.into();
        manifest["subject"] = subject.clone();
    }
    let blobs = layers.iter().map(|layer| layer.content.clone()).chain([config]).collect();
    (manifest.to_string().into_bytes(), blobs)
}

/// An index with one manifest, whose descriptor also has the keys of `more`.
pub fn index(manifest: &[u8], more: &Value) -> Vec<u8> {
    let mut entry = descriptor(MANIFEST, manifest);
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string().into_bytes()
}

/// The tag of the manifest with cosign's signatures for a digest.
pub fn tag(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}

/// Pushes a manifest with its blobs to the registry on port 5000 of the host. Returns the digest of
/// the manifest.
///
/// # Panics
/// If the registry refuses the manifest or a blob.
pub fn push(host: &Host, repository: &str, tag: &str, media: &str, manifest: &[u8], blobs: &[Vec<u8>]) -> String {
    let script = r#"
        set -euo pipefail
        cd "$1"; base=http://127.0.0.1:5000/v2/$2
        for blob in blob-*; do
          [ -e "$blob" ] || continue
          location=$(curl -fsS -X POST -D - -o /dev/null "$base/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
          case $location in *\?*) location="$location&" ;; *) location="$location?" ;; esac
          curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$blob" \
            "${location}digest=sha256:$(sha256sum <"$blob" | cut -d ' ' -f 1)"
        done
        curl -fsS -o /dev/null -X PUT -H "Content-Type: $4" --data-binary @manifest "$base/manifests/$3"
    "#;
    let directory = tempfile::tempdir().unwrap();
    for (number, blob) in blobs.iter().enumerate() {
        fs::File::create(directory.path().join(format!("blob-{number}"))).unwrap().write_all(blob).unwrap();
    }
    fs::write(directory.path().join("manifest"), manifest).unwrap();
    let mut bash = host.outside("bash");
    run(bash.args(["-c", script, "push"]).arg(directory.path()).args([repository, tag, media]));
    format!("sha256:{}", hex(manifest))
}

/// Attaches signatures to an image in the registry, with cosign's tag.
pub fn attach(host: &Host, repository: &str, digest: &str, layers: &[Layer]) {
    let (manifest, blobs) = manifest(layers, None);
    push(host, repository, &tag(digest), MANIFEST, &manifest, &blobs);
}

/// Adds a manifest with its blobs to a layout, under a name unless that is empty.
///
/// # Panics
/// If the layout cannot be written.
pub fn add(layout: &Path, name: &str, media: &str, manifest: &[u8], blobs: &[Vec<u8>]) {
    for blob in blobs.iter().map(Vec::as_slice).chain([manifest]) {
        fs::write(layout.join("blobs/sha256").join(hex(blob)), blob).unwrap();
    }
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut entry = descriptor(media, manifest);
    if !name.is_empty() {
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    }
    index["manifests"].as_array_mut().unwrap().push(entry);
    fs::write(path, index.to_string()).unwrap();
}
