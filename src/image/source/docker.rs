// SPDX-License-Identifier: MIT
//! Reads archives of `docker save` (`docker-archive:`): `manifest.json` lists images, each with the
//! names of a configuration and of layers.
//!
//! The format has no digests of its own. An image is identified by the digest of its configuration,
//! which contains the digests of the uncompressed layers, so everything that is unpacked is still
//! verified.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::archive::Archive;
use super::{Blob, LayerInfo, Origin, Surroundings};
use crate::config::values::source::ImageSource;
use crate::diag::Fault;
use crate::image::kind::imageconfig::ImageConfig;
use crate::image::source::json::respell;
use crate::image::source::manifest::{Address, MAX_CONFIG, MAX_LAYERS, MAX_MANIFEST, Platform};
use crate::image::store::digest::{Digest, read_limited};

/// One image of `manifest.json` (image specification 1.2 of moby).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// An image in an archive of `docker save`.
#[derive(Debug)]
pub struct DockerArchive<'a> {
    archive: Archive,
    item: Item,
    platform: &'a Platform,
}

impl<'a> DockerArchive<'a> {
    /// Opens an archive and selects the image.
    ///
    /// # Errors
    /// Returns an error if the file is not such an archive, or if the archive does not have the
    /// image.
    pub fn open(path: &Path, reference: Option<&str>, around: Surroundings<'a>) -> Result<Self> {
        let archive = Archive::read(path, around)?;
        let bytes = archive
            .open("manifest.json")
            .and_then(|blob| read_limited(blob, MAX_MANIFEST, "manifest.json"))
            .with_context(|| format!("`{}` is not an archive of `docker save`", path.display()))?;
        let items = parse(&bytes).context("`manifest.json` is malformed")?;
        let item = select(items, reference)?;
        if item.layers.len() > MAX_LAYERS {
            bail!("the image has {} layers, more than {MAX_LAYERS}", item.layers.len());
        }
        Ok(Self { archive, item, platform: around.platform })
    }

    fn config(&self) -> Result<Vec<u8>> {
        let bytes = read_limited(self.archive.open(&self.item.config)?, MAX_CONFIG, "the image configuration")?;
        // The configuration is named after a digest. Programs differ in the digest that they use,
        // so another name is accepted.
        let name = self.item.config.rsplit('/').next().unwrap_or_default();
        let hex = name.strip_suffix(".json").unwrap_or(name);
        if let Ok(wanted) = Digest::parse(&format!("sha256:{hex}"))
            && Digest::of(&bytes) != wanted
        {
            bail!("the image configuration does not have the digest {wanted} it is named by");
        }
        Ok(bytes)
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Item>, serde_json::Error> {
    let mut items: Vec<serde_json::Value> = serde_json::from_slice(bytes)?;
    for item in &mut items {
        respell(item, &["Config", "RepoTags", "Layers"]);
    }
    items.into_iter().map(serde_json::from_value).collect()
}

fn select(mut items: Vec<Item>, reference: Option<&str>) -> Result<Item> {
    let full = |tag: &String| tag.parse::<ImageSource>().map_or_else(|_| tag.clone(), |source| source.to_string());
    let tags = |item: &Item| item.repo_tags.iter().flatten().map(full).collect::<Vec<_>>();
    let found = match reference {
        Some(wanted) => items.iter().position(|item| tags(item).iter().any(|tag| tag == wanted)),
        None if items.len() == 1 => Some(0),
        None => None,
    };
    if let Some(found) = found {
        return Ok(items.swap_remove(found));
    }
    let known: Vec<String> = items.iter().flat_map(tags).collect();
    let known = if known.is_empty() { "none with a name".to_owned() } else { known.join(", ") };
    match reference {
        Some(wanted) => bail!(Fault::new(format!("the archive has no image `{wanted}`"), format!("it has: {known}"))),
        None => bail!(Fault::new(
            format!("the archive has {} images", items.len()),
            format!("write :REFERENCE behind its path, one of: {known}")
        )),
    }
}

impl Origin for DockerArchive<'_> {
    fn identify(&mut self) -> Result<Address> {
        self.config().map(|bytes| Digest::of(&bytes).into())
    }

    fn describe(&mut self) -> Result<(ImageConfig, Vec<LayerInfo>)> {
        let config = ImageConfig::parse(&self.config()?)?;
        self.platform.check(&config)?;
        let diff_ids = config.layers(self.item.layers.len())?;
        let label = |name: &String| format!("`{}`", name.escape_debug());
        let layers = self.item.layers.iter().zip(diff_ids);
        let layers = layers.map(|(name, diff_id)| LayerInfo { label: label(name), diff_id: Some(diff_id) }).collect();
        Ok((config, layers))
    }

    fn layers(&mut self, first: usize, take: &mut dyn FnMut(usize, Blob) -> Result<()>) -> Result<()> {
        for (number, name) in self.item.layers.iter().enumerate().skip(first) {
            take(number, self.archive.open(name)?)?;
        }
        Ok(())
    }
}
