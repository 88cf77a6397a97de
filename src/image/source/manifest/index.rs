// SPDX-License-Identifier: MIT
//! Selects the entry of an index that is the requested image. Pure.
//!
//! An index in a registry has one image for several platforms. An index of a layout may have
//! several images, which are distinguished by their names.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::config::values::source::processor;
use crate::diag::Fault;
use crate::image::kind::imageconfig::lenient;
use crate::image::source::json::{respell_each, respell_field};
use crate::image::source::manifest::{ACCEPTED, BlobRef, DESCRIPTOR, DOCKER_MANIFEST, OCI_MANIFEST, Platform};
use crate::image::store::digest::Digest;

/// The way to choose an entry in addition to its platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick<'a> {
    /// All entries are the same image.
    Any,
    /// There may be several images; choosing between them is an error.
    Only,
    /// There may be several images; the one with this name is chosen.
    Named(&'a str),
}

/// An entry of an index. The type of oci-spec refuses a whole index if one entry lacks a field,
/// even if that entry is not chosen.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Entry {
    media_type: String,
    artifact_type: String,
    digest: String,
    size: Option<u64>,
    platform: EntryPlatform,
    annotations: BTreeMap<String, Option<String>>,
}

/// The platform of an entry.
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

/// An entry whose platform is acceptable.
struct Fit<'a> {
    /// The rank of the platform; the lowest one is the best.
    rank: u32,
    blob: BlobRef,
    entry: &'a Entry,
}

impl Entry {
    /// Returns the valid entries of an index.
    pub(crate) fn all(index: &mut Value) -> Vec<Self> {
        respell_each(index, "manifests", &DESCRIPTOR);
        let mut entries = index.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default();
        for entry in &mut entries {
            respell_field(entry, "platform", &["os", "architecture", "variant"]);
        }
        entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect()
    }

    fn blob(&self) -> Option<BlobRef> {
        Some(BlobRef { digest: Digest::parse(&self.digest).ok()?, size: self.size? })
    }

    /// The name in a layout (image-spec, annotations.md).
    fn name(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.ref.name")?.as_deref()
    }

    /// Whether this entry is the image of a name. containerd and `docker save` write the full
    /// reference in addition to a short name, and an image without a name can be selected by its
    /// digest.
    fn is_called(&self, name: &str) -> bool {
        let whole = self.annotations.get("io.containerd.image.name").and_then(Option::as_deref);
        self.name() == Some(name) || whole == Some(name) || self.digest == name
    }

    /// The name or digest by which [`Self::is_called`] recognizes the entry.
    fn handle(&self) -> &str {
        self.name().unwrap_or(&self.digest)
    }

    /// Whether the entry is not an image but describes one: an attestation, a signature or an SBOM.
    fn is_companion(&self) -> bool {
        let cosign = self.annotations.get("kind").and_then(Option::as_deref).unwrap_or_default();
        let cosign = cosign.strip_prefix("dev.cosignproject.cosign/");
        self.annotations.contains_key("vnd.docker.reference.type")
            || !self.artifact_type.is_empty()
            || self.name().is_some_and(is_attachment_tag)
            || self.platform.os == "unknown"
            || cosign.is_some_and(|kind| !kind.starts_with("image"))
    }
}

/// Returns the best entry for `platform`; the first one among equals.
///
/// # Errors
/// Returns an error if no entry is acceptable, or if several images are.
pub(crate) fn select(all: &[Entry], pick: Pick<'_>, platform: &Platform) -> Result<BlobRef> {
    let mut entries: Vec<&Entry> = all.iter().filter(|entry| !entry.is_companion()).collect();
    if let Pick::Named(name) = pick {
        let known = handles(&entries);
        entries.retain(|entry| entry.is_called(name));
        if entries.is_empty() {
            bail!(Fault::new(format!("the layout has no image named `{name}`"), format!("it has: {known}")));
        }
    }
    let mut seen = Vec::new();
    let fits: Vec<Fit<'_>> = entries.iter().filter_map(|entry| fit(entry, platform, &mut seen)).collect();
    if pick == Pick::Only && are_several(&fits) {
        let fitting: Vec<&Entry> = fits.iter().map(|fit| fit.entry).collect();
        let remedy = format!("write :NAME behind its path, one of: {}", handles(&fitting));
        bail!(Fault::new("the layout has several images", remedy));
    }
    if let Some(best) = fits.into_iter().min_by_key(|fit| fit.rank) {
        return Ok(best.blob);
    }
    seen.dedup();
    let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
    bail!(Fault::new(format!("there is no image for {platform}"), format!("there are: {seen}")))
}

/// Whether the index says that an entry is a manifest, and not another index.
pub(crate) fn is_manifest(all: &[Entry], wanted: &BlobRef) -> bool {
    let mut same = all.iter().filter(|entry| entry.digest == wanted.digest.to_string());
    same.any(|entry| [OCI_MANIFEST, DOCKER_MANIFEST].contains(&entry.media_type.as_str()))
}

/// Whether the entries are several images instead of one image for several platforms: their names
/// differ, or two of them are for the same platform.
fn are_several(fits: &[Fit<'_>]) -> bool {
    fits.iter().enumerate().any(|(at, one)| {
        let mut others = fits.iter().skip(at + 1).filter(|other| other.blob.digest != one.blob.digest);
        others.any(|other| other.entry.name() != one.entry.name() || other.rank == one.rank)
    })
}

/// Returns the names or digests of entries, for a message.
fn handles(entries: &[&Entry]) -> String {
    let mut handles: Vec<&str> = entries.iter().map(|entry| entry.handle()).collect();
    handles.sort_unstable();
    handles.dedup();
    if handles.is_empty() { "none".to_owned() } else { handles.join(", ") }
}

/// Returns an entry if it is an image for `platform`; otherwise, its platform is added to `seen`.
fn fit<'a>(entry: &'a Entry, platform: &Platform, seen: &mut Vec<String>) -> Option<Fit<'a>> {
    /// The rank of an entry without a platform: worse than any acceptable platform, better than no
    /// entry.
    const UNSAID: u32 = u32::MAX;
    let blob = entry.blob()?;
    // An entry without a media type is accepted, because the document itself has a type.
    if !(entry.media_type.is_empty() || ACCEPTED.contains(&entry.media_type.as_str())) {
        return None;
    }
    let EntryPlatform { os, architecture, variant } = &entry.platform;
    let is_linux = os.eq_ignore_ascii_case("linux");
    if architecture.is_empty() && (os.is_empty() || is_linux) {
        return Some(Fit { rank: UNSAID, blob, entry });
    }
    let slash = if variant.is_empty() { "" } else { "/" };
    seen.push(format!("{os}/{architecture}{slash}{variant}"));
    let (architecture, variant) = processor(architecture, variant);
    let rank =
        (is_linux && architecture == platform.architecture).then(|| platform.variant_rank(&variant)).flatten()?;
    Some(Fit { rank, blob, entry })
}

/// Whether the name of an image in a layout is the tag of attachments, so that it is not an image.
fn is_attachment_tag(name: &str) -> bool {
    let rest = name.strip_prefix("sha256-").and_then(|rest| Some((rest.get(..64)?, rest.get(64..)?)));
    rest.is_some_and(|(hex, end)| {
        hex.bytes().all(|b| b.is_ascii_hexdigit()) && (end.is_empty() || end.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::json;

    use super::*;

    fn entry(platform: &str, digit: char) -> Value {
        let digest = format!("sha256:{}", digit.to_string().repeat(64));
        let mut value = json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 10});
        let mut parts = platform.split('/');
        if let (Some(os), Some(architecture)) = (parts.next().filter(|os| !os.is_empty()), parts.next()) {
            value["platform"] = json!({"os": os, "architecture": architecture});
            if let Some(variant) = parts.next() {
                value["platform"]["variant"] = variant.into();
            }
            if os == "unknown" {
                value["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
            }
        }
        value
    }

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform { architecture: parts.next().unwrap(), variant: parts.next() }
    }

    /// Returns the digit that the digest of the chosen entry consists of.
    fn chosen(entries: &[Value], pick: Pick<'_>, on: &str) -> Result<char> {
        let found = select(&Entry::all(&mut json!({"manifests": entries})), pick, &platform(on))?;
        Ok(found.digest.hex().chars().next().unwrap())
    }

    fn selected(platforms: &[&str], on: &str) -> Result<usize> {
        let entries: Vec<Value> = platforms.iter().zip('0'..).map(|(platform, digit)| entry(platform, digit)).collect();
        chosen(&entries, Pick::Any, on).map(|digit| usize::try_from(digit.to_digit(10).unwrap()).unwrap())
    }

    #[test]
    fn the_best_platform_is_selected() {
        for (platforms, architecture, want) in [
            (&["windows/amd64", "linux/arm64", "linux/amd64"][..], "amd64", 2),
            (&["unknown/unknown", "linux/amd64"], "amd64", 1),
            (&["", "linux/amd64"], "amd64", 1),
            (&["", ""], "amd64", 0),
            (&["linux/amd64/v3", "linux/amd64"], "amd64", 1),
            (&["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "arm", 2),
            (&["linux/arm64/v8"], "arm64", 0),
            (&["linux/amd64", "linux/amd64/v3"], "amd64/v3", 1),
            (&["linux/amd64/v4", "linux/amd64", "linux/amd64/v2"], "amd64/v3", 2),
            (&["linux/arm/v7", "linux/arm/v5"], "arm/v5", 1),
            (&["linux/arm/v7", "linux/arm64"], "arm64/v8", 1),
            (&["linux/arm/v5", "linux/arm/v6"], "arm/v7", 1),
            (&["linux/arm/v8", "linux/arm"], "arm/v7", 1),
            (&["linux/x86_64"], "amd64", 0),
            (&["Linux/AMD64"], "amd64", 0),
            (&["linux/arm64", "linux/aarch64"], "arm64", 0),
            (&["linux/armhf"], "arm", 0),
            (&["linux/armv7l", "linux/armv6l"], "arm/v6", 1),
            (&["linux/"], "amd64", 0),
            (&["linux/", "linux/amd64"], "amd64", 1),
        ] {
            assert_eq!(selected(platforms, architecture).unwrap(), want, "{platforms:?}");
        }
        let error = selected(&["windows/amd64", "linux/arm64/v8"], "amd64").unwrap_err().to_string();
        assert!(error.contains("windows/amd64, linux/arm64/v8"), "{error}");
        assert!(selected(&["linux/amd64/v3"], "amd64").is_err());
        assert!(selected(&["linux/arm/v7"], "arm/v6").is_err());
        assert!(selected(&["unknown/unknown"], "amd64").is_err());
        assert!(selected(&[], "amd64").is_err());
    }

    /// An entry that lacks a field is skipped, and the other entries are used.
    #[test]
    fn malformed_entries_are_skipped() {
        let whole = entry("linux/amd64", '1');
        let digest = format!("sha256:{}", "2".repeat(64));
        for odd in [
            json!({"mediaType": OCI_MANIFEST, "digest": "sha256:x", "size": 5, "platform": {}}),
            json!({"mediaType": OCI_MANIFEST, "size": 5, "platform": {"os": "linux", "architecture": "amd64"}}),
            json!({"mediaType": OCI_MANIFEST, "digest": digest}),
            json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": "5"}),
            json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 5, "platform": "linux/amd64"}),
            json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 5, "annotations": {"a": 1}}),
            json!({"mediaType": 1}),
            json!("text"),
            Value::Null,
        ] {
            for pick in [Pick::Any, Pick::Only] {
                assert_eq!(chosen(&[odd.clone(), whole.clone()], pick, "amd64").unwrap(), '1', "{odd}");
            }
        }
        let spelt = json!({"MediaType": OCI_MANIFEST, "Digest": digest, "Size": 1, "annotations": null,
            "Platform": {"OS": "linux", "Architecture": "amd64", "variant": null}});
        assert_eq!(chosen(&[entry("linux/arm64", '1'), spelt], Pick::Any, "amd64").unwrap(), '2');
    }

    fn named(name: &str, platform: &str, digit: char) -> Value {
        let mut value = entry(platform, digit);
        if !name.is_empty() {
            value["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        value
    }

    /// A layout with several images is refused unless one of them is named; one image for several
    /// platforms counts as one.
    #[test]
    fn several_images_need_a_name() {
        let pair = |one: (&str, &str), other: (&str, &str)| [named(one.0, one.1, '1'), named(other.0, other.1, '2')];
        for (entries, want) in [
            (pair(("a", "linux/amd64"), ("a", "linux/arm64")), '1'),
            (pair(("", "linux/arm64"), ("", "linux/amd64")), '2'),
            (pair(("", "linux/arm/v6"), ("", "linux/amd64")), '2'),
            (pair(("a", "windows/amd64"), ("b", "linux/amd64")), '2'),
            (pair(("", ""), ("", "linux/amd64")), '2'),
        ] {
            assert_eq!(chosen(&entries, Pick::Only, "amd64").unwrap(), want, "{entries:?}");
        }
        let same = [named("a", "", '1'), named("b", "", '1')];
        assert_eq!(chosen(&same, Pick::Only, "amd64").unwrap(), '1');

        let two = format!("sha256:{}", "2".repeat(64));
        for (entries, known) in [
            (pair(("b", ""), ("a", "")), "a, b".to_owned()),
            (pair(("a", "linux/amd64"), ("b", "linux/amd64")), "a, b".to_owned()),
            (pair(("a", "linux/amd64"), ("b", "")), "a, b".to_owned()),
            (pair(("a", ""), ("", "")), format!("a, {two}")),
            (pair(("", ""), ("", "")), format!("sha256:{}, {two}", "1".repeat(64))),
            (pair(("a", "linux/amd64"), ("a", "linux/amd64")), "a".to_owned()),
        ] {
            let error = chosen(&entries, Pick::Only, "amd64").unwrap_err().to_string();
            assert_eq!(error, format!("the layout has several images; write :NAME behind its path, one of: {known}"));
            assert!(chosen(&entries, Pick::Any, "amd64").is_ok());
        }
        let entries = pair(("a", ""), ("", ""));
        assert_eq!(chosen(&entries, Pick::Named("a"), "amd64").unwrap(), '1');
        assert_eq!(chosen(&entries, Pick::Named(&two), "amd64").unwrap(), '2');
        let error = chosen(&entries, Pick::Named("c"), "amd64").unwrap_err().to_string();
        assert_eq!(error, format!("the layout has no image named `c`; it has: a, {two}"));
    }

    #[test]
    fn full_names_select_and_companions_are_no_images() {
        let mut saved = named("1", "", '1');
        saved["annotations"]["io.containerd.image.name"] = "docker.io/library/app:1".into();
        let mut other = named("1", "", '2');
        other["annotations"]["io.containerd.image.name"] = "docker.io/library/web:1".into();
        let pick = Pick::Named("docker.io/library/web:1");
        assert_eq!(chosen(&[saved.clone(), other], pick, "amd64").unwrap(), '2');
        let mut signature = named("s", "", '3');
        signature["annotations"]["kind"] = "dev.cosignproject.cosign/sigs".into();
        let mut artifact = named("x", "", '4');
        artifact["artifactType"] = "application/spdx+json".into();
        assert_eq!(chosen(&[signature, artifact, saved], Pick::Only, "amd64").unwrap(), '1');
    }

    #[test]
    fn tags_of_attachments_are_recognized() {
        let hex = "a".repeat(64);
        for (name, want) in [
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}x"), false),
            ("sha256-1.sig".to_owned(), false),
            ("latest".to_owned(), false),
        ] {
            assert_eq!(is_attachment_tag(&name), want, "{name}");
        }
    }
}
