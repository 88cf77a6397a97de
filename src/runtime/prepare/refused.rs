// SPDX-License-Identifier: MIT
//! Reasons to refuse a start. `sdme-gen check` reports them, too.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use crate::model::{App, Container, Facts, Notify, Stack};

/// An error if the first image is an operating system although the file has several applications.
#[must_use]
pub fn no_application(container: &Container, stack: Stack<'_>) -> Option<String> {
    let (Stack::System(image), [first, _, ..]) = (stack, container.apps.as_slice()) else { return None };
    let name = &first.name;
    Some(format!("the image {image} is an operating system, and so no application {name}; name it with Base="))
}

/// An error if the path in `AddDevice=` is not a device node.
#[must_use]
pub fn no_device(path: &str, found: &fs::Metadata) -> Option<String> {
    let kind = found.file_type();
    let is_device = kind.is_char_device() || kind.is_block_device();
    (!is_device).then(|| format!("AddDevice={path} is no device node; name each that is needed"))
}

/// An error if the start shall wait until an application is healthy, but the application has no
/// health check.
#[must_use]
pub fn no_check(app: &App, facts: &Facts) -> Option<String> {
    let image = facts.images.get(&app.image).and_then(|image| image.health.as_ref());
    let is_unchecked = app.notify == Notify::Healthy && app.health.on(image).is_none();
    is_unchecked
        .then(|| format!("Notify=healthy needs a health check, and the image {} has none; write HealthCmd=", app.image))
}
