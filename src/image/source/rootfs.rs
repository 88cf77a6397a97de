// SPDX-License-Identifier: MIT
//! Archives of a bare root file system (`rootfs:`): one layer, and nothing said about how to run it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Blob, LayerInfo, Origin, regular};
use crate::image::kind::imageconfig::ImageConfig;
use crate::image::source::manifest::{Address, Platform};

/// Such an archive. It is known by the digest of the whole file.
#[derive(Debug)]
pub struct Rootfs<'a> {
    path: PathBuf,
    platform: &'a Platform,
}

impl<'a> Rootfs<'a> {
    /// Looks whether there is a file.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path, platform: &'a Platform) -> Result<Self> {
        regular(path)?;
        Ok(Self { path: path.to_owned(), platform })
    }
}

impl Origin for Rootfs<'_> {
    fn identify(&mut self) -> Result<Address> {
        Blob::whole(regular(&self.path)?)?.digest().map(Into::into)
    }

    fn describe(&mut self) -> Result<(ImageConfig, Vec<LayerInfo>)> {
        let config = ImageConfig { architecture: self.platform.architecture.clone(), ..ImageConfig::default() };
        Ok((config, vec![LayerInfo { label: format!("`{}`", self.path.display()), diff_id: None }]))
    }

    fn layers(&mut self, _first: usize, take: &mut dyn FnMut(usize, Blob) -> Result<()>) -> Result<()> {
        take(0, Blob::whole(regular(&self.path)?)?)
    }
}
