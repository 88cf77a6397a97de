// SPDX-License-Identifier: MIT
//! Follows an index or manifest to the one manifest for the requested platform.
//!
//! Indexes may be nested and may contain attestations, which are not images. Each fetched document
//! is checked against the digest that named it. This module must not know where documents come
//! from.

mod index;
mod platform;

use anyhow::{Context as _, Result, bail};
use oci_spec::image::{Descriptor, ImageManifest};
use serde::Deserialize;
use serde_json::Value;

use self::index::Entry;
pub use self::index::Pick;
pub use self::platform::Platform;
use crate::image::source::Source;
use crate::image::source::json::{only, respell};
use crate::image::store::digest::Digest;

/// Maximum size in bytes of a manifest or index, which is also the limit of registries.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Maximum size in bytes of an image configuration.
pub const MAX_CONFIG: u64 = 8 << 20;
/// Maximum number of layers of an image; overlayfs and Docker stop at 127.
pub const MAX_LAYERS: usize = 128;
/// Maximum nesting of indexes.
const MAX_NESTING: u32 = 4;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The media types that are accepted in response to a request for a manifest.
pub const ACCEPTED: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];

/// The keys of a descriptor (image-spec, descriptor.md).
const DESCRIPTOR: [&str; 6] = ["mediaType", "artifactType", "digest", "size", "platform", "annotations"];

/// The chosen manifest and its address.
#[derive(Debug)]
pub struct Chosen {
    /// The manifest.
    pub manifest: ImageManifest,
    /// The address of the image.
    pub address: Address,
}

/// The digests that address an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The digest of the manifest for one platform. For a source without manifests, it is the
    /// digest of the configuration or of the archive.
    pub digest: Digest,
    /// The digest of the index, which is the same for all platforms; `None` if the name does not
    /// stand for an index.
    pub index: Option<Digest>,
}

impl From<Digest> for Address {
    fn from(digest: Digest) -> Self {
        Self { digest, index: None }
    }
}

impl Address {
    /// Returns the digest by which machines of all platforms can request the image.
    #[must_use]
    pub fn shared(&self) -> &Digest {
        self.index.as_ref().unwrap_or(&self.digest)
    }
}

/// The digest and the size of a descriptor, with a valid digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// The digest of the content.
    pub digest: Digest,
    /// The exact size in bytes.
    pub size: u64,
}

impl BlobRef {
    /// Takes the digest and the size from a descriptor.
    ///
    /// # Errors
    /// Returns an error if the digest is invalid or of an unsupported algorithm.
    pub fn of(descriptor: &Descriptor) -> Result<Self> {
        Ok(Self { digest: Digest::parse(descriptor.digest().as_ref())?, size: descriptor.size() })
    }
}

/// The fields that determine the kind of a document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

/// Follows indexes from the top document of the source to a manifest for `platform`.
///
/// # Errors
/// Returns an error if there is no such manifest, or if a document is malformed, too large or does
/// not match its digest.
pub fn choose(source: &mut dyn Source, platform: &Platform) -> Result<Chosen> {
    match descend(source, platform, false)? {
        Found::Manifest(chosen) => Ok(*chosen),
        Found::Named(address) => bail!("the manifest {} was not read", address.digest),
    }
}

/// Returns the address of the image for `platform`. The manifest is not read if an index has its
/// digest.
///
/// # Errors
/// The same errors as those of [`choose`].
pub fn latest(source: &mut dyn Source, platform: &Platform) -> Result<Address> {
    Ok(match descend(source, platform, true)? {
        Found::Manifest(chosen) => chosen.address,
        Found::Named(address) => address,
    })
}

/// The result of following indexes.
enum Found {
    Manifest(Box<Chosen>),
    /// The address of a manifest that was not read.
    Named(Address),
}

/// Follows indexes to a manifest, or only to its address if `name_is_enough`.
fn descend(source: &mut dyn Source, platform: &Platform, name_is_enough: bool) -> Result<Found> {
    let mut bytes = source.top()?;
    let mut outermost = None;
    for level in 0..=MAX_NESTING {
        if bytes.len() as u64 > MAX_MANIFEST {
            bail!("a manifest of {} bytes is larger than {MAX_MANIFEST}", bytes.len());
        }
        let malformed = "the manifest is malformed";
        let mut document: serde_json::Value = serde_json::from_slice(&bytes).context(malformed)?;
        respell(&mut document, &["schemaVersion", "mediaType", "manifests", "config", "layers", "annotations"]);
        let probe: Probe = Deserialize::deserialize(&document).context(malformed)?;
        let index = match probe.media_type.as_deref() {
            Some(OCI_INDEX | DOCKER_LIST) => true,
            Some(OCI_MANIFEST | DOCKER_MANIFEST) => false,
            Some(other) => bail!("`{other}` is neither an image manifest nor an index"),
            // The media type is optional in both kinds of documents (image-spec, manifest.md).
            None if probe.manifests.is_some() && probe.layers.is_none() => true,
            None if probe.layers.is_some() && probe.manifests.is_none() => false,
            None if probe.schema_version == Some(1) => bail!("manifests of schema version 1 are not supported"),
            None => bail!("the document is neither an image manifest nor an index"),
        };
        if !index {
            reduce(&mut document);
            let manifest: ImageManifest = serde_json::from_value(document).context(malformed)?;
            check(&manifest)?;
            return Ok(Found::Manifest(Box::new(Chosen {
                manifest,
                address: Address { digest: Digest::of(&bytes), index: outermost },
            })));
        }
        // The index of a layout covers everything in the layout and changes with any part of it, so
        // its digest does not address an image.
        if outermost.is_none() && (level > 0 || source.pick() == Pick::Any) {
            outermost = Some(Digest::of(&bytes));
        }
        let pick = if level == 0 { source.pick() } else { Pick::Any };
        let entries = Entry::all(&mut document);
        let wanted = index::select(&entries, pick, platform)?;
        if name_is_enough && index::is_manifest(&entries, &wanted) {
            return Ok(Found::Named(Address { digest: wanted.digest, index: outermost }));
        }
        bytes = source.manifest(&wanted).with_context(|| format!("manifest {}", wanted.digest))?;
        if Digest::of(&bytes) != wanted.digest {
            bail!("manifest {} does not have the content its digest says", wanted.digest);
        }
    }
    bail!("the index is nested more than {MAX_NESTING} times")
}

/// Keeps only the fields of a manifest that are used. The types of oci-spec refuse a whole manifest
/// for one field of unexpected form, such as an annotation that is `null`.
fn reduce(manifest: &mut Value) {
    let needed = ["mediaType", "digest", "size"];
    only(manifest, &["schemaVersion", "mediaType", "config", "layers"]);
    let Some(fields) = manifest.as_object_mut() else { return };
    fields.entry("schemaVersion").or_insert(2.into());
    if let Some(config) = fields.get_mut("config") {
        only(config, &needed);
    }
    for layer in fields.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten() {
        only(layer, &needed);
    }
}

/// Refuses manifests of artifacts that are not container images.
fn check(manifest: &ImageManifest) -> Result<()> {
    let config = manifest.config().media_type().to_string();
    if config != OCI_CONFIG && config != DOCKER_CONFIG {
        bail!("this is not a container image: its configuration is of type `{config}`");
    }
    if manifest.config().size() > MAX_CONFIG {
        bail!("an image configuration of {} bytes is larger than {MAX_CONFIG}", manifest.config().size());
    }
    let count = manifest.layers().len();
    if count > MAX_LAYERS {
        bail!("the image has {count} layers, more than {MAX_LAYERS}");
    }
    for layer in manifest.layers() {
        let media = layer.media_type().to_string();
        let known = media.starts_with("application/vnd.oci.image.layer.")
            || media.starts_with("application/vnd.docker.image.rootfs.");
        if !known || media.ends_with("+encrypted") {
            bail!("layer {} is of type `{media}`, which cannot be unpacked", layer.digest());
        }
    }
    Ok(())
}
