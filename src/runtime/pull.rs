// SPDX-License-Identifier: MIT
//! `sdme-gen pull NAME`, run by `sdme-image@NAME.service`.

use std::path::Path;

use anyhow::{Result, bail};

use crate::config::keys::FileType;
use crate::image::{Progress, Request, Store, import};

/// Imports the image called `name` as the configuration asks for.
///
/// # Errors
/// The configuration does not know the image, or it cannot be imported.
pub fn pull(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    let compiled = super::compile(root);
    if let Some(image) = compiled.model.images.get(name) {
        let request = Request { mode: image.mode, pull: image.pull, ..Request::new(name, &image.source) };
        import(&Store::open(root), &request, progress)?;
        return Ok(());
    }
    let rejected = compiled.model.rejected.iter().find(|r| r.file_type == FileType::Image && r.name == name);
    match rejected.and_then(|r| r.problems.first()) {
        Some(problem) => bail!("{problem}"),
        None => bail!("no .image file and no Image= asks for {name}"),
    }
}
