// SPDX-License-Identifier: MIT
//! `sdme-gen pull NAME`, run by `sdme-image@NAME.service`.

use std::path::Path;

use anyhow::{Result, bail};

use crate::config::keys::FileType;
use crate::config::source::ImageSource;
use crate::image::{self, Progress, Pull, Request, Store, import};
use crate::resolve;

/// Imports the image called `name` as the configuration asks for.
///
/// # Errors
/// The configuration does not know the image, or it cannot be imported.
pub fn pull(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    pull_with(root, name, None, progress)
}

/// As [`pull`], with another policy than the configuration's.
///
/// # Errors
/// As for [`pull`].
pub fn pull_with(root: &Path, name: &str, policy: Option<Pull>, progress: &dyn Progress) -> Result<()> {
    let model = super::model(root);
    if let Some(image) = model.images.get(name) {
        let defaults = model.rejected.iter().find(|r| r.file_type == FileType::Defaults);
        if let Some(problem) = defaults.and_then(|r| r.problems.first())
            && matches!(image.source, ImageSource::Registry(_))
        {
            // Mirrors may be named there: past them, nothing is fetched.
            bail!("{problem}");
        }
        let request = Request {
            mode: image.mode,
            pull: policy.unwrap_or(image.pull),
            platform: &image.platform,
            access: &image.access,
            registries: &model.registries,
            install: image.install,
            installers: &model.installers,
            ..Request::new(name, &image.source)
        };
        let imported = import(&Store::open(root), &request, progress)?;
        if let Some(mark) = resolve::image::mark(image, &model.installers) {
            image::mark::set(&imported, &mark);
        }
        return Ok(());
    }
    match model.rejection(FileType::Image, name) {
        Some(problem) => bail!("{problem}"),
        None => bail!("no .image file and no Image= asks for {name}"),
    }
}
