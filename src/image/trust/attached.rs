// SPDX-License-Identifier: MIT
//! What is attached to an image beside it: signatures, and other things that are told apart by their media type.
//!
//! Three forms are known: cosign's tag `sha256-DIGEST.sig`, referrers of the OCI distribution specification with their fallback tag
//! `sha256-DIGEST`, and the files that `skopeo copy … dir:` writes. Everything here comes from strangers; nothing is true before a key
//! says so.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::image::source::json::{respell, respell_each, respell_field};
use crate::image::source::manifest::{BlobRef, MAX_MANIFEST};
use crate::image::store::digest::Digest;

/// Signatures in simple signing format.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation with the signature of a payload in simple signing format, in base64.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Largest attachment that is read, as the reference implementation limits it.
pub const MAX_ATTACHMENT: u64 = 4 << 20;
/// Largest size of all attachments of one image that are looked at.
const MAX_TOTAL: u64 = 16 << 20;
/// Most attachments of one image that are looked at.
pub const MAX_ATTACHMENTS: usize = 64;
/// Most manifests that refer to one image that are looked at.
const MAX_REFERRERS: usize = 32;
/// What the files of `dir:` begin with that hold a signature of this form.
const FILE_HEADER: &[u8] = b"\0sigstore-json\n";

/// A thing that is attached, in the form in which podman keeps it in files, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// What it is.
    #[serde(rename = "mimeType")]
    pub media_type: String,
    /// Its content.
    #[serde(with = "base64_text")]
    pub payload: Vec<u8>,
    /// Annotations of its descriptor.
    #[serde(default, deserialize_with = "maybe_null")]
    pub annotations: BTreeMap<String, String>,
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
    /// Reads a file `signature-N` of a `dir:` directory. What is of another form, such as one of `GnuPG`, is no signature that could be
    /// verified.
    ///
    /// # Errors
    /// It has the header of this form and is malformed.
    pub fn from_file(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(json) = bytes.strip_prefix(FILE_HEADER) else { return Ok(None) };
        serde_json::from_slice(json).map(Some).context("the signature is malformed")
    }
}

/// Which form of attachment is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// cosign's tag, or the files of a `dir:` directory.
    Tagged,
    /// Referrers.
    Referring,
}

/// A place that has attachments beside images.
pub trait Shelf {
    /// The document of a tag; nothing if there is no such tag.
    ///
    /// # Errors
    /// The place cannot tell.
    fn tagged(&mut self, tag: &str) -> Result<Option<Vec<u8>>>;

    /// An index of the manifests that refer to a digest; nothing if the place keeps none.
    ///
    /// # Errors
    /// The place cannot tell.
    fn referrers(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>>;

    /// A manifest, verified.
    ///
    /// # Errors
    /// It is not there, or not what its digest says.
    fn document(&mut self, wanted: &BlobRef) -> Result<Vec<u8>>;

    /// A blob of at most [`MAX_ATTACHMENT`] bytes, verified.
    ///
    /// # Errors
    /// It is not there, or not what its digest says.
    fn content(&mut self, wanted: &BlobRef) -> Result<Vec<u8>>;
}

/// The tag that the attachments of a digest have.
fn tag(digest: &Digest, end: &str) -> String {
    format!("sha256-{}{end}", digest.hex())
}

/// Whether the name of an image in a layout is such a tag: there is no image behind it.
#[must_use]
pub fn is_tag(name: &str) -> bool {
    let rest = name.strip_prefix("sha256-").and_then(|rest| Some((rest.get(..64)?, rest.get(64..)?)));
    rest.is_some_and(|(hex, end)| {
        hex.bytes().all(|b| b.is_ascii_hexdigit()) && (end.is_empty() || end.starts_with('.'))
    })
}

/// What is attached to the manifest with this digest.
///
/// # Errors
/// The place cannot tell, or something is malformed.
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

/// Whether a manifest says that it is about this digest.
#[must_use]
pub fn refers_to(manifest: &[u8], digest: &Digest) -> bool {
    let subject = parse(manifest).ok().and_then(|manifest| manifest.get("subject").and_then(blob));
    subject.is_some_and(|subject| subject.digest == *digest)
}

/// Digest and size of a descriptor.
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
        // What is something else, such as a list of components, may be large.
        if attached.media_type != SIMPLE_SIGNING && !super::bundle::is_bundle(&attached) {
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
    fn files_and_tags() {
        let file = b"\0sigstore-json\n{\"mimeType\":\"x\",\"payload\":\"QQ==\",\"annotations\":null}";
        let found = Attached::from_file(file).unwrap().unwrap();
        assert_eq!((found.media_type.as_str(), found.payload.as_slice()), ("x", &b"A"[..]));
        assert!(Attached::from_file(b"\x90gpg").unwrap().is_none());
        assert!(Attached::from_file(b"\0sigstore-json\n{}").is_err());
        let hex = "a".repeat(64);
        for (name, want) in [
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}x"), false),
            ("sha256-1.sig".to_owned(), false),
            ("latest".to_owned(), false),
        ] {
            assert_eq!(is_tag(&name), want, "{name}");
        }
    }
}
