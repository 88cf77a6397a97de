// SPDX-License-Identifier: MIT
//! Reasons to refuse a start. `sdme-gen check` reports them, too.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use crate::diag::Fault;
use crate::model::{App, Container, Facts, Notify, Stack};

/// An error if the first image is an operating system although the file has several applications.
#[must_use]
pub fn no_application(container: &Container, stack: Stack<'_>) -> Option<Fault> {
    let (Stack::System(image), [first, _, ..]) = (stack, container.apps.as_slice()) else { return None };
    let name = &first.name;
    Some(Fault::new(
        format!("the image {image} is an operating system, so it cannot be the application {name}"),
        "name it with Base=",
    ))
}

/// An error if the path in `AddDevice=` is not a device node.
#[must_use]
pub fn no_device(path: &str, found: &fs::Metadata) -> Option<Fault> {
    let kind = found.file_type();
    let is_device = kind.is_char_device() || kind.is_block_device();
    let fault = || Fault::new(format!("AddDevice={path} is not a device node"), "name each device node that is needed");
    (!is_device).then(fault)
}

/// An error if the start shall wait until an application is healthy, but the application has no
/// health check.
#[must_use]
pub fn no_check(app: &App, facts: &Facts) -> Option<Fault> {
    let image = facts.images.get(&app.image).and_then(|image| image.health.as_ref());
    let is_unchecked = app.notify == Notify::Healthy && app.health.on(image).is_none();
    is_unchecked.then(|| {
        Fault::new(
            format!("Notify=healthy needs a health check, and the image {} has none", app.image),
            "write HealthCmd=, HealthHttp= or HealthTcp=",
        )
    })
}
