// SPDX-License-Identifier: MIT
//! The host side of a container: a drop-in of the stock service, the overlay, and what is prepared before it. Pure.

use super::pod;
use crate::config::source::ModeSetting;
use crate::output::tree::{Place, Tree};
use crate::paths::{container_runtime, container_state, machine_root};
use crate::resolve::model::{Base, Container, Model};
use crate::unit::{UnitFile, escape_path};

/// Plans the units.
pub fn plan(container: &Container, model: &Model, tree: &mut Tree) {
    let name = &container.name;
    let service = format!("systemd-nspawn@{name}.service");
    let mount = format!("{}.mount", escape_path(&machine_root(name)));
    let prepare = format!("sdme-prepare@{name}.service");

    tree.file(Place::Units, format!("{service}.d/10-sdme.conf"), &drop_in(container, model));
    let images = images(container, model);
    tree.file(Place::Units, mount, &overlay(container, &service, &prepare, &images));
}

/// The stock unit's command line stays as it is; settings are in the `.nspawn` file.
fn drop_in(container: &Container, model: &Model) -> UnitFile {
    let source = container.image.as_ref().and_then(|i| model.images.get(i)).map(|i| i.source.to_string());
    let what = source.as_deref().unwrap_or("clone of the host");
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "SourcePath", &container.file);
    unit.set_literal("Unit", "Description", &format!("Container {} ({what})", container.name));
    pod::member(container, &mut unit);
    for (key, value) in &container.unit {
        unit.set("Unit", key, value.as_str());
    }
    for (key, value) in &container.service {
        unit.set("Service", key, value.as_str());
    }
    unit
}

/// The root file system. systemd-nspawn@.service pulls it in by its own `RequiresMountsFor=`.
fn overlay(container: &Container, service: &str, prepare: &str, images: &[&str]) -> UnitFile {
    let runtime = container_runtime(&container.name);
    let state = container_state(&container.name);
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "Description", &format!("Root of container {}", container.name));
    unit.set_literal("Unit", "SourcePath", &container.file);
    // Not before local-fs.target, which the default dependencies of a mount ask for: prepare runs later than that.
    unit.set("Unit", "DefaultDependencies", "no")
        .set("Unit", "Conflicts", "umount.target")
        .set("Unit", "Before", "umount.target")
        .set("Unit", "Requires", prepare)
        .set("Unit", "After", prepare)
        // Every start of the container begins with nothing mounted, however the last one ended.
        .set("Unit", "PartOf", service)
        .set("Unit", "StopWhenUnneeded", "yes")
        // How often it may start is the container's own limit to say.
        .set("Unit", "StartLimitIntervalSec", "0");
    // The image's own drop-in puts it before prepare. After, although prepare is: in a restart, everything is stopped
    // before an image is looked at, and a failure does not reach units that are yet to stop.
    for image in images {
        let image = format!("sdme-image@{image}.service");
        unit.set("Unit", "Requires", image.as_str()).set("Unit", "After", image);
    }
    unit.set("Mount", "What", "overlay")
        .set("Mount", "Where", machine_root(&container.name))
        .set("Mount", "Type", "overlay")
        .set(
            "Mount",
            "Options",
            format!(
                "lowerdir={runtime}/config:{runtime}/app:{runtime}/base,upperdir={state}/upper,workdir={state}/work"
            ),
        );
    unit
}

/// The images it needs, the one it is named after first.
pub fn images<'a>(container: &'a Container, model: &Model) -> Vec<&'a str> {
    let Some(image) = container.image.as_deref() else { return Vec::new() };
    let is_base = model.images.get(image).is_some_and(|i| i.mode == ModeSetting::Base);
    let mut out = vec![image];
    if let Base::Image(base) = &container.base
        && base != image
        && !is_base
    {
        out.push(base);
    }
    out
}
