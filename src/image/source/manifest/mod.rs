// SPDX-License-Identifier: MIT
//! From an index or manifest to the one manifest of this machine's platform.
//!
//! Indexes may be nested and may hold attestations, which are no images. What is fetched is checked against the digest
//! that announced it. Must not know where documents come from.

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

/// Largest manifest or index, as registries themselves limit it.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Largest image configuration.
pub const MAX_CONFIG: u64 = 8 << 20;
/// Layers of one image; overlayfs and Docker stop at 127.
pub const MAX_LAYERS: usize = 128;
/// Indexes inside indexes.
const MAX_NESTING: u32 = 4;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What may come back when a manifest is asked for.
pub const ACCEPTED: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];

/// The keys of a descriptor (image-spec, descriptor.md).
const DESCRIPTOR: [&str; 6] = ["mediaType", "artifactType", "digest", "size", "platform", "annotations"];

/// The manifest that was chosen, and its digest.
#[derive(Debug)]
pub struct Chosen {
    /// The document.
    pub manifest: ImageManifest,
    /// What it is addressed by.
    pub address: Address,
}

/// What an image is addressed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The digest of its manifest for one platform; of its configuration or archive where it has no manifest.
    pub digest: Digest,
    /// The digest of the index that its name stands for, which is the same for all platforms.
    pub index: Option<Digest>,
}

impl From<Digest> for Address {
    fn from(digest: Digest) -> Self {
        Self { digest, index: None }
    }
}

impl Address {
    /// The digest by which machines of all platforms can ask for the image.
    #[must_use]
    pub fn shared(&self) -> &Digest {
        self.index.as_ref().unwrap_or(&self.digest)
    }
}

/// A descriptor's digest and size, checked for form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// Digest of the content.
    pub digest: Digest,
    /// Its exact length.
    pub size: u64,
}

impl BlobRef {
    /// Takes digest and size from a descriptor.
    ///
    /// # Errors
    /// When the digest is not one we can verify.
    pub fn of(descriptor: &Descriptor) -> Result<Self> {
        Ok(Self { digest: Digest::parse(descriptor.digest().as_ref())?, size: descriptor.size() })
    }
}

/// Enough of a document to tell what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

/// Follows indexes from the source's top document to a manifest for `platform`.
///
/// # Errors
/// When there is none, or a document is malformed, too large or not what its digest says.
pub fn choose(source: &mut dyn Source, platform: &Platform) -> Result<Chosen> {
    match descend(source, platform, false)? {
        Found::Manifest(chosen) => Ok(*chosen),
        Found::Named(address) => bail!("the manifest {} was not read", address.digest),
    }
}

/// What the image for `platform` is addressed by. Where an index names its manifest, the manifest itself is not read.
///
/// # Errors
/// As for [`choose`].
pub fn latest(source: &mut dyn Source, platform: &Platform) -> Result<Address> {
    Ok(match descend(source, platform, true)? {
        Found::Manifest(chosen) => chosen.address,
        Found::Named(address) => address,
    })
}

/// Where an index has led to.
enum Found {
    Manifest(Box<Chosen>),
    /// An index names a manifest that is addressed so.
    Named(Address),
}

/// Follows indexes to a manifest, or to the name of one if that is enough.
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
            // The field is optional in both (image-spec manifest.md).
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
        // The index of a layout is about everything in the layout, and changes with any of it.
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

/// Leaves of a manifest what is read of it. oci-spec's types refuse a whole manifest for one field that they do not know in that form,
/// such as an annotation that is `null`.
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

/// Refuses manifests of things that are not container images.
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
