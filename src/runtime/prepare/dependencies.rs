// SPDX-License-Identifier: MIT
//! Checks the units that a starting container depends on: its network, its mounts and its images.

use anyhow::{Context as _, Result};

use crate::cause;
use crate::image::{Store, mark};
use crate::model::{Container, Image, Model};
use crate::plan;
use crate::resolve;
use crate::runtime::failure::{self, Unmet};
use crate::runtime::volumes::mounted;

/// Begins a start of a container: removes the cause of an earlier failure, and checks the units
/// that the container depends on.
///
/// # Errors
/// One of these units has failed.
pub(super) fn check(container: &Container, model: &Model, store: &Store) -> Result<()> {
    cause::forget(&Container::unit(&container.name)).context("cannot remove the cause of an earlier failure")?;
    failure::network(container)?;
    mounted::check(container, model)?;
    Ok(images(container, model, store)?)
}

/// Checks that the images of a container are imported, if this start needed an import.
///
/// # Errors
/// A required import has failed.
fn images(container: &Container, model: &Model, store: &Store) -> Result<(), Unmet> {
    for image in plan::images(container, model) {
        // The pull stamp shows that no import was needed. The cause of an earlier failure may still
        // be recorded.
        let is_marked = model
            .images
            .get(image)
            .and_then(|image| resolve::image::mark(image, &model.installers))
            .is_some_and(|wanted| mark::is_set(store, image, &wanted));
        if !is_marked && let Some(cause) = cause::of(&Image::service(image)) {
            return Err(Unmet::new(cause));
        }
    }
    Ok(())
}
