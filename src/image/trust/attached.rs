// SPDX-License-Identifier: MIT
//! Reads the attachments of an image: signatures and other artifacts, which are distinguished by
//! their media type.
//!
//! Three formats are supported: cosign's tag `sha256-DIGEST.sig`, referrers of the OCI distribution
//! specification with their fallback tag `sha256-DIGEST`, and the files of `skopeo copy … dir:`.
//! All of this data is untrusted until a key verifies it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::image::source::json::{respell, respell_each, respell_field};
use crate::image::source::manifest::{BlobRef, MAX_MANIFEST};
use crate::image::store::digest::Digest;

/// The media type of signatures in simple signing format.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that has the signature of a simple signing payload, in base64.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Maximum size of an attachment in bytes, the same as that of the reference implementation.
pub const MAX_ATTACHMENT: u64 = 4 << 20;
/// Maximum total size in bytes of the attachments of one image.
const MAX_TOTAL: u64 = 16 << 20;
/// Maximum number of attachments of one image.
pub const MAX_ATTACHMENTS: usize = 64;
/// Maximum number of manifests that refer to one image and are read.
const MAX_REFERRERS: usize = 32;
/// The first bytes of files in a `dir:` directory that contain a sigstore signature.
const FILE_HEADER: &[u8] = b"\0sigstore-json\n";

/// An attachment, in the form that podman also writes to files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The media type.
    #[serde(rename = "mimeType")]
    pub media_type: String,
    /// The content.
    #[serde(with = "base64_text")]
    pub payload: Vec<u8>,
    /// The annotations of the descriptor.
    #[serde(default, deserialize_with = "maybe_null")]
    pub annotations: BTreeMap<String, String>,
}

impl Attached {
    /// Whether the attachment is a sigstore bundle.
    #[must_use]
    pub fn is_bundle(&self) -> bool {
        self.media_type.starts_with("application/vnd.dev.sigstore.bundle")
    }
}

fn maybe_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

mod base64_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Attached {
    /// Reads a file `signature-N` of a `dir:` directory. Returns `None` for another format, such as
    /// that of `GnuPG`, which cannot be verified.
    ///
    /// # Errors
    /// Returns an error if the file has the header of this format but is malformed.
    pub fn from_file(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(json) = bytes.strip_prefix(FILE_HEADER) else { return Ok(None) };
        serde_json::from_slice(json).map(Some).context("the signature is malformed")
    }
}

/// The form of attachments to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The tag of cosign, or the files of a `dir:` directory.
    Tagged,
    /// Referrers.
    Referring,
}

/// A place that has attachments of images.
pub trait Shelf {
    /// Returns the document of a tag, or `None` if the tag does not exist.
    ///
    /// # Errors
    /// Returns an error if the place cannot be read.
    fn tagged(&mut self, tag: &str) -> Result<Option<Vec<u8>>>;

    /// Returns an index of the manifests that refer to a digest, or `None` if the place has no such
    /// index.
    ///
    /// # Errors
    /// Returns an error if the place cannot be read.
    fn referrers(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>>;

    /// Returns a manifest. An implementation should verify its digest.
    ///
    /// # Errors
    /// Returns an error if the manifest is missing or does not match its digest.
    fn document(&mut self, wanted: &BlobRef) -> Result<Vec<u8>>;

    /// Returns a verified blob of at most [`MAX_ATTACHMENT`] bytes.
    ///
    /// # Errors
    /// Returns an error if the blob is missing or does not match its digest.
    fn content(&mut self, wanted: &BlobRef) -> Result<Vec<u8>>;
}

/// Returns the tag of the attachments of a digest.
fn tag(digest: &Digest, end: &str) -> String {
    format!("sha256-{}{end}", digest.hex())
}

/// Returns the attachments of the manifest with this digest.
///
/// # Errors
/// Returns an error if the place cannot be read, or if a document is malformed.
pub fn gather(shelf: &mut dyn Shelf, digest: &Digest, form: Form) -> Result<Vec<Attached>> {
    let mut all = Vec::new();
    match form {
        Form::Tagged => {
            if let Some(bytes) = shelf.tagged(&tag(digest, ".sig"))? {
                let manifest = parse(&bytes).context("the manifest of the signatures is malformed")?;
                layers(shelf, &manifest, &mut all)?;
            }
        }
        Form::Referring => {
            let index = match shelf.referrers(digest)? {
                Some(index) => Some(index),
                None => shelf.tagged(&tag(digest, ""))?,
            };
            let Some(index) = index else { return Ok(all) };
            let index = parse(&index).context("the list of referrers is malformed")?;
            let entries = index.get("manifests").and_then(Value::as_array).into_iter().flatten();
            for entry in entries.take(MAX_REFERRERS) {
                let Some(wanted) = blob(entry).filter(|wanted| wanted.size <= MAX_MANIFEST) else { continue };
                let manifest = parse(&shelf.document(&wanted)?).context("the manifest of a referrer is malformed")?;
                let subject = manifest.get("subject").and_then(blob);
                if subject.is_some_and(|subject| subject.digest == *digest) {
                    layers(shelf, &manifest, &mut all)?;
                }
            }
        }
    }
    Ok(all)
}

fn parse(bytes: &[u8]) -> Result<Value> {
    if bytes.len() as u64 > MAX_MANIFEST {
        bail!("a manifest of {} bytes is larger than {MAX_MANIFEST}", bytes.len());
    }
    let mut value: Value = serde_json::from_slice(bytes)?;
    let descriptor = ["mediaType", "digest", "size", "annotations"];
    respell(&mut value, &["layers", "manifests", "subject"]);
    respell_each(&mut value, "layers", &descriptor);
    respell_each(&mut value, "manifests", &descriptor);
    respell_field(&mut value, "subject", &descriptor);
    Ok(value)
}

/// Whether a manifest names this digest as its subject.
#[must_use]
pub fn refers_to(manifest: &[u8], digest: &Digest) -> bool {
    let subject = parse(manifest).ok().and_then(|manifest| manifest.get("subject").and_then(blob));
    subject.is_some_and(|subject| subject.digest == *digest)
}

/// Returns the digest and the size of a descriptor, if they are valid.
#[must_use]
pub fn blob(descriptor: &Value) -> Option<BlobRef> {
    let digest = Digest::parse(descriptor.get("digest")?.as_str()?).ok()?;
    Some(BlobRef { digest, size: descriptor.get("size")?.as_u64()? })
}

/// Adds the layers of a manifest that may be signatures.
fn layers(shelf: &mut dyn Shelf, manifest: &Value, all: &mut Vec<Attached>) -> Result<()> {
    for layer in manifest.get("layers").and_then(Value::as_array).into_iter().flatten() {
        let media_type = layer.get("mediaType").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut attached = Attached { media_type, payload: Vec::new(), annotations: BTreeMap::new() };
        // Other artifacts, such as an SBOM, may be large and are skipped.
        if attached.media_type != SIMPLE_SIGNING && !attached.is_bundle() {
            continue;
        }
        let wanted = blob(layer).context("a signature has no digest and size")?;
        if wanted.size > MAX_ATTACHMENT {
            bail!("a signature of {} bytes is larger than {MAX_ATTACHMENT}", wanted.size);
        }
        if all.len() == MAX_ATTACHMENTS {
            bail!("the image has more than {MAX_ATTACHMENTS} signatures");
        }
        let total: usize = all.iter().map(|one| one.payload.len()).sum();
        if total as u64 + wanted.size > MAX_TOTAL {
            bail!("the signatures of the image have more than {MAX_TOTAL} bytes");
        }
        attached.payload = shelf.content(&wanted).context("a signature")?;
        let annotations = layer.get("annotations").and_then(Value::as_object).into_iter().flatten();
        let texts = annotations.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        attached.annotations = texts.collect();
        all.push(attached);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn signature_files_are_recognized() {
        let file = b"\0sigstore-json\n{\"mimeType\":\"x\",\"payload\":\"QQ==\",\"annotations\":null}";
        let found = Attached::from_file(file).unwrap().unwrap();
        assert_eq!((found.media_type.as_str(), found.payload.as_slice()), ("x", &b"A"[..]));
        assert!(Attached::from_file(b"\x90gpg").unwrap().is_none());
        assert!(Attached::from_file(b"\0sigstore-json\n{}").is_err());
    }
}
