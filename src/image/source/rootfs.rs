// SPDX-License-Identifier: MIT
//! Reads archives of a bare root file system (`rootfs:`): one layer without an image configuration.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Blob, LayerInfo, Origin, regular};
use crate::image::kind::imageconfig::ImageConfig;
use crate::image::source::manifest::{Address, Platform};

/// An archive of a root file system. It is identified by the digest of the whole file.
#[derive(Debug)]
pub struct Rootfs<'a> {
    path: PathBuf,
    platform: &'a Platform,
}

impl<'a> Rootfs<'a> {
    /// Checks that the file exists.
    ///
    /// # Errors
    /// Returns an error if the file does not exist or is not a regular file.
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
