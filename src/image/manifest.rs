// SPDX-License-Identifier: MIT
//! From an index or manifest to the one manifest of this machine's platform.
//!
//! Indexes may be nested and may hold attestations, which are no images. What is fetched is checked against the digest
//! that announced it. Must not know where documents come from.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result, bail};
use oci_spec::image::{Descriptor, ImageManifest};
use serde::Deserialize;

use super::digest::Digest;
use super::imageconfig::{ImageConfig, lenient};
use super::json::{respell, respell_each, respell_field};
use super::source::Source;
use crate::config::source::{PlatformSetting, processor};

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

/// A processor, in the spelling of Go, which images use. The operating system is always Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// The variant that was asked for; without, the best one that runs everywhere.
    pub variant: Option<String>,
}

impl Platform {
    /// This machine.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match (std::env::consts::ARCH, cfg!(target_endian = "little")) {
            ("x86_64", _) => "amd64",
            ("x86", _) => "386",
            ("aarch64", _) => "arm64",
            ("powerpc64", true) => "ppc64le",
            ("powerpc64", false) => "ppc64",
            ("mips64", true) => "mips64le",
            ("loongarch64", _) => "loong64",
            (other, _) => other,
        };
        Self { architecture: architecture.to_owned(), variant: None }
    }

    /// This machine, but for what was asked for.
    #[must_use]
    pub fn of(setting: &PlatformSetting) -> Self {
        let host = Self::host();
        Self {
            architecture: setting.architecture.clone().unwrap_or(host.architecture),
            variant: setting.variant.clone(),
        }
    }

    /// How well a variant of this architecture suits, lower being better; `None` if it may not run here.
    fn variant_rank(&self, variant: &str) -> Option<u32> {
        if let Some(wanted) = &self.variant {
            // Programs for an earlier version of Arm run on a later one (containerd, platforms/compare.go).
            if self.architecture == "arm"
                && let (Some(wanted), Some(found)) = (arm_version(wanted), arm_version(variant))
            {
                return wanted.checked_sub(found);
            }
            let implied = matches!((self.architecture.as_str(), wanted.as_str()), ("arm64", "v8") | ("amd64", "v1"));
            return match variant {
                found if found == wanted => Some(0),
                "" if implied => Some(1),
                _ => None,
            };
        }
        match (self.architecture.as_str(), variant) {
            (_, "") | ("arm64", "v8") | ("arm", "v7") => Some(0),
            ("amd64", "v1") | ("arm", "v6") => Some(1),
            ("arm", "v5") => Some(2),
            // Later variants (amd64/v3, arm64/v9) need a processor that this machine may not have.
            _ => None,
        }
    }

    /// Makes sure that an image is for this platform; one that does not say is taken.
    ///
    /// # Errors
    /// When it says that it is for another one.
    pub fn check(&self, config: &ImageConfig) -> Result<()> {
        let elsewhere = |found: &str, here: &str| !found.is_empty() && found != here;
        let (architecture, _) = processor(&config.architecture, "");
        if elsewhere(&config.os, "linux") || elsewhere(&architecture, &self.architecture) {
            bail!("the image is for {}/{} and not for {self}", config.os, config.architecture);
        }
        Ok(())
    }
}

/// The version of a 32-bit Arm processor; one that is not named is the seventh.
fn arm_version(variant: &str) -> Option<u32> {
    if variant.is_empty() { Some(7) } else { variant.strip_prefix('v')?.parse().ok() }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)?;
        self.variant.as_deref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// The manifest that was chosen, and its digest.
#[derive(Debug)]
pub struct Chosen {
    /// The document.
    pub manifest: ImageManifest,
    /// What it is addressed by.
    pub digest: Digest,
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

/// An entry of an index. oci-spec's own type refuses a whole index for one entry that lacks a field, although such an entry need
/// not be the one that is chosen.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    media_type: String,
    digest: String,
    size: Option<u64>,
    platform: EntryPlatform,
    annotations: BTreeMap<String, Option<String>>,
}

/// What an entry is for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct EntryPlatform {
    #[serde(deserialize_with = "lenient")]
    os: String,
    #[serde(deserialize_with = "lenient")]
    architecture: String,
    #[serde(deserialize_with = "lenient")]
    variant: String,
}

/// The keys of a descriptor (image-spec, descriptor.md).
const DESCRIPTOR: [&str; 5] = ["mediaType", "digest", "size", "platform", "annotations"];

impl Entry {
    /// The entries of an index that can be understood.
    fn all(index: &mut serde_json::Value) -> Vec<Self> {
        respell_each(index, "manifests", &DESCRIPTOR);
        let entries = index.get("manifests").and_then(serde_json::Value::as_array).into_iter().flatten();
        entries.filter_map(|entry| serde_json::from_value(entry.clone()).ok()).collect()
    }

    fn blob(&self) -> Option<BlobRef> {
        Some(BlobRef { digest: Digest::parse(&self.digest).ok()?, size: self.size? })
    }

    fn name(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.ref.name")?.as_deref()
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
    let mut bytes = source.top()?;
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
            respell_field(&mut document, "config", &DESCRIPTOR);
            respell_each(&mut document, "layers", &DESCRIPTOR);
            let manifest: ImageManifest = serde_json::from_value(document).context(malformed)?;
            check(&manifest)?;
            return Ok(Chosen { manifest, digest: Digest::of(&bytes) });
        }
        let all = Entry::all(&mut document);
        let entries: Vec<&Entry> = match source.tag().filter(|_| level == 0) {
            Some(tag) => tagged(&all, tag)?,
            None => all.iter().collect(),
        };
        let wanted = select(&entries, platform)?;
        bytes = source.manifest(&wanted).with_context(|| format!("manifest {}", wanted.digest))?;
        if Digest::of(&bytes) != wanted.digest {
            bail!("manifest {} does not have the content its digest says", wanted.digest);
        }
    }
    bail!("the index is nested more than {MAX_NESTING} times")
}

fn tagged<'a>(entries: &'a [Entry], tag: &str) -> Result<Vec<&'a Entry>> {
    let found: Vec<_> = entries.iter().filter(|entry| entry.name() == Some(tag)).collect();
    if found.is_empty() {
        let mut known: Vec<_> = entries.iter().filter_map(Entry::name).map(str::to_owned).collect();
        known.dedup();
        bail!("the layout has no image named `{tag}`; it has: {}", listed(&known));
    }
    Ok(found)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none with a name".to_owned() } else { names.join(", ") }
}

/// The best entry for `platform`; the first one among equals.
fn select(entries: &[&Entry], platform: &Platform) -> Result<BlobRef> {
    /// Worse than any platform that fits, better than nothing: an entry that does not say what it is for.
    const UNSAID: u32 = 100;
    let mut seen = Vec::new();
    let mut best: Option<(u32, BlobRef)> = None;
    for entry in entries {
        let Some(blob) = entry.blob() else { continue };
        let attestation = entry.annotations.contains_key("vnd.docker.reference.type");
        // Without a type, the document itself tells what it is.
        if attestation || !(entry.media_type.is_empty() || ACCEPTED.contains(&entry.media_type.as_str())) {
            continue;
        }
        let EntryPlatform { os, architecture, variant } = &entry.platform;
        if os == "unknown" {
            continue;
        }
        let rank = if architecture.is_empty() && ["", "linux"].contains(&os.as_str()) {
            Some(UNSAID)
        } else {
            let slash = if variant.is_empty() { "" } else { "/" };
            seen.push(format!("{os}/{architecture}{slash}{variant}"));
            let (architecture, variant) = processor(architecture, variant);
            let here = os == "linux" && architecture == platform.architecture;
            here.then(|| platform.variant_rank(&variant)).flatten()
        };
        if let Some(rank) = rank
            && best.as_ref().is_none_or(|(known, _)| rank < *known)
        {
            best = Some((rank, blob));
        }
    }
    if let Some((_, blob)) = best {
        return Ok(blob);
    }
    seen.dedup();
    let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
    bail!("there is no image for {platform}; there are: {seen}")
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn entry(platform: &str, digit: char) -> serde_json::Value {
        let digest = format!("sha256:{}", digit.to_string().repeat(64));
        let mut value = serde_json::json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 10});
        let mut parts = platform.split('/');
        if let (Some(os), Some(architecture)) = (parts.next().filter(|os| !os.is_empty()), parts.next()) {
            value["platform"] = serde_json::json!({"os": os, "architecture": architecture});
            if let Some(variant) = parts.next() {
                value["platform"]["variant"] = variant.into();
            }
            if os == "unknown" {
                value["annotations"] = serde_json::json!({"vnd.docker.reference.type": "attestation-manifest"});
            }
        }
        value
    }

    fn selected(platforms: &[&str], architecture: &str) -> Result<usize> {
        let mut index = serde_json::json!({"manifests": platforms
            .iter()
            .zip('0'..)
            .map(|(platform, digit)| entry(platform, digit))
            .collect::<Vec<_>>()});
        let entries = Entry::all(&mut index);
        let entries: Vec<&Entry> = entries.iter().collect();
        let mut parts = architecture.split('/').map(str::to_owned);
        let platform = Platform { architecture: parts.next().unwrap(), variant: parts.next() };
        let found = select(&entries, &platform)?;
        Ok(entries.iter().position(|entry| entry.blob().unwrap() == found).unwrap())
    }

    #[test]
    fn selection() {
        for (platforms, architecture, want) in [
            (&["windows/amd64", "linux/arm64", "linux/amd64"][..], "amd64", 2),
            (&["unknown/unknown", "linux/amd64"], "amd64", 1),
            (&["", "linux/amd64"], "amd64", 1),
            (&["", ""], "amd64", 0),
            (&["linux/amd64/v3", "linux/amd64"], "amd64", 1),
            (&["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "arm", 2),
            (&["linux/arm64/v8"], "arm64", 0),
            (&["linux/amd64", "linux/amd64/v3"], "amd64/v3", 1),
            (&["linux/arm/v7", "linux/arm/v5"], "arm/v5", 1),
            (&["linux/arm/v7", "linux/arm64"], "arm64/v8", 1),
            (&["linux/arm/v5", "linux/arm/v6"], "arm/v7", 1),
            (&["linux/arm/v8", "linux/arm"], "arm/v7", 1),
            (&["linux/x86_64"], "amd64", 0),
            (&["linux/arm64", "linux/aarch64"], "arm64", 0),
            (&["linux/armhf"], "arm", 0),
            (&["linux/"], "amd64", 0),
            (&["linux/", "linux/amd64"], "amd64", 1),
        ] {
            assert_eq!(selected(platforms, architecture).unwrap(), want, "{platforms:?}");
        }
        let error = selected(&["windows/amd64", "linux/arm64/v8"], "amd64").unwrap_err().to_string();
        assert!(error.contains("windows/amd64, linux/arm64/v8"), "{error}");
        assert!(selected(&["linux/amd64/v3"], "amd64").is_err());
        assert!(selected(&["linux/amd64"], "amd64/v3").is_err());
        assert!(selected(&["linux/arm/v7"], "arm/v6").is_err());
        assert!(selected(&["unknown/unknown"], "amd64").is_err());
        assert!(selected(&[], "amd64").is_err());
    }
    /// An entry that lacks a field is passed over, and does not spoil the others.
    #[test]
    fn odd_entries() {
        let whole = entry("linux/amd64", '1');
        let platform = Platform { architecture: "amd64".to_owned(), variant: None };
        for odd in [
            serde_json::json!({"mediaType": OCI_MANIFEST, "digest": "sha256:x", "size": 5, "platform": {}}),
            serde_json::json!({"mediaType": OCI_MANIFEST, "size": 5, "platform": {"os": "linux", "architecture": "amd64"}}),
            serde_json::json!({"mediaType": OCI_MANIFEST, "digest": format!("sha256:{}", "2".repeat(64))}),
            serde_json::json!({"mediaType": 1}),
            serde_json::json!("text"),
        ] {
            let mut index = serde_json::json!({"manifests": [odd, whole]});
            let entries = Entry::all(&mut index);
            let found = select(&entries.iter().collect::<Vec<_>>(), &platform).unwrap();
            assert_eq!(found.digest.hex(), "1".repeat(64));
        }
        let mut index = serde_json::json!({"manifests": [{"MediaType": OCI_MANIFEST, "Digest": format!("sha256:{}", "3".repeat(64)),
            "Size": 1, "Platform": {"os": "linux", "architecture": "amd64", "variant": null}, "annotations": null}]});
        assert_eq!(
            select(&Entry::all(&mut index).iter().collect::<Vec<_>>(), &platform).unwrap().digest.hex(),
            "3".repeat(64)
        );
    }
}
