// SPDX-License-Identifier: MIT
//! The drop-in of an image's service. Pure.

use crate::model::{Container, Image, Model};
use crate::output::tree::{Place, Tree};
use crate::paths::STATE;
use crate::resolve::image::mark;
use crate::unit::UnitFile;

/// Plans the drop-in. `user` is the first of the containers that need the image.
pub fn plan(image: &Image, user: Option<&Container>, model: &Model, tree: &mut Tree) {
    let Some(origin) = image.file.as_ref().or(user.map(|c| &c.file)) else { return };
    let mut unit = UnitFile::generated_from(origin);
    if let Some(file) = &image.file {
        unit.set_literal("Unit", "SourcePath", file);
    }
    unit.set_literal("Unit", "Description", &format!("Image {} ({})", image.name, image.source));
    if let Some(mark) = mark(image, &model.installers) {
        unit.set("Unit", "ConditionPathExists", format!("!{STATE}/fs/%i/{mark}"));
    }
    for (key, value) in &image.unit {
        unit.set("Unit", key, value.as_str());
    }
    for (key, value) in &image.service {
        unit.set("Service", key, value.as_str());
    }
    tree.file(Place::Units, format!("{}.d/10-sdme.conf", Image::service(&image.name)), &unit);
    if image.service.is_empty() {
        return;
    }
    // A download for an update is an import without the switch, and needs the same settings, such
    // as paths and proxies.
    let mut unit = UnitFile::generated_from(origin);
    for (key, value) in &image.service {
        unit.set("Service", key, value.as_str());
    }
    tree.file(Place::Units, format!("sdme-download@{}.service.d/10-sdme.conf", image.name), &unit);
}
