// SPDX-License-Identifier: MIT
//! Reasons to refuse a start that `sdme-gen check` looks for, too.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use crate::model::{App, Container, Facts, Notify, Stack};

/// Why the first image cannot be the application that the file takes it for.
#[must_use]
pub fn no_application(container: &Container, stack: Stack<'_>) -> Option<String> {
    let (Stack::System(image), [first, _, ..]) = (stack, container.apps.as_slice()) else { return None };
    let name = &first.name;
    Some(format!("the image {image} is an operating system, and so no application {name}; name it with Base="))
}

/// Why what `AddDevice=` names is not a device.
#[must_use]
pub fn no_device(path: &str, found: &fs::Metadata) -> Option<String> {
    let kind = found.file_type();
    let is_device = kind.is_char_device() || kind.is_block_device();
    (!is_device).then(|| format!("AddDevice={path} is no device node; name each that is needed"))
}

/// Why an application cannot be waited for until it is healthy.
#[must_use]
pub fn no_check(app: &App, facts: &Facts) -> Option<String> {
    let image = facts.images.get(&app.image).and_then(|image| image.health.as_ref());
    let is_unchecked = app.notify == Notify::Healthy && app.health.on(image).is_none();
    is_unchecked
        .then(|| format!("Notify=healthy needs a health check, and the image {} has none; write HealthCmd=", app.image))
}
