// SPDX-License-Identifier: MIT
//! What the units call back into on a running host.

mod base;
pub mod prepare;
pub mod pull;

use std::path::Path;

use anyhow::Result;

use crate::Compiled;
use crate::image::Store;
use crate::resolve::model::{Facts, ImageFacts};
use crate::search::{SearchPath, search};

/// Compiles the configuration below `root` with what its store knows about images.
///
/// # Errors
/// The store cannot be read.
pub fn compile(root: &Path) -> Result<Compiled> {
    let sources = search(&SearchPath::from_environment(root));
    Ok(crate::compile(&sources, &facts(&Store::open(root))?))
}

fn facts(store: &Store) -> Result<Facts> {
    let imported = store.list()?.into_iter().map(|imported| {
        let record = imported.image;
        let facts = ImageFacts {
            mode: record.mode,
            process: record.process(),
            entrypoint: record.entrypoint,
            stop_signal: record.stop_signal,
        };
        (imported.name, facts)
    });
    Ok(Facts { images: imported.collect() })
}
