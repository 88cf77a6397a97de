// SPDX-License-Identifier: MIT
//! The drop-in of an image's service. Pure.

use crate::output::tree::{Place, Tree};
use crate::resolve::model::Image;
use crate::unit::UnitFile;

/// An image without a file of its own needs nothing beyond the template.
pub fn plan(image: &Image, tree: &mut Tree) {
    let Some(file) = &image.file else { return };
    let mut unit = UnitFile::generated_from(file);
    unit.set_literal("Unit", "SourcePath", file);
    unit.set_literal("Unit", "Description", &format!("Image {} ({})", image.name, image.source));
    for (key, value) in &image.unit {
        unit.set("Unit", key, value.as_str());
    }
    for (key, value) in &image.service {
        unit.set("Service", key, value.as_str());
    }
    tree.file(Place::Units, format!("sdme-image@{}.service.d/10-sdme.conf", image.name), &unit);
}
