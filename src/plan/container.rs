// SPDX-License-Identifier: MIT
//! The host side of a container: a drop-in of the stock service, the overlay, and what is prepared before it. Pure.

use super::{pod, security, volumes};
use crate::config::source::ModeSetting;
use crate::output::tree::{Place, Tree};
use crate::paths::{BINDIR, app_part, container_runtime, container_state, idmapped, machine_root};
use crate::resolve::model::{App, Base, Container, Model};
use crate::resolve::reload::Reload;
use crate::unit::{UnitFile, escape_path, exec_word, unit_value};

/// Plans the units.
pub fn plan(container: &Container, model: &Model, tree: &mut Tree) {
    let name = &container.name;
    tree.file(Place::Units, format!("systemd-nspawn@{name}.service.d/10-sdme.conf"), &drop_in(container, model));
    let images = images(container, model);
    if container.security.user_ns && overlaid(container).next().is_some() {
        tree.file(Place::Units, format!("{}.d/10-sdme.conf", mapping(name)), &further_mappings(container));
    }
    for overlay in std::iter::once(root(container)).chain(overlaid(container).map(|app| application(container, app))) {
        tree.file(Place::Units, unit_name(&overlay.path), &overlay.unit(container, &images));
    }
    volumes::plan(container, tree);
}

/// The drop-in's head. Like containers have like drop-ins, which are then one file in memory (see `output::emit`): the
/// container's name is the instance's.
fn instance(container: &Container) -> UnitFile {
    let directory = container.file.strip_suffix(".container").and_then(|f| f.strip_suffix(&container.name));
    match directory.filter(|d| d.ends_with('/')) {
        Some(directory) => UnitFile::with_source(&format!("{}%i.container", unit_value(directory))),
        None => UnitFile::with_source(&unit_value(&container.file)),
    }
}

/// The applications that are not a layer of the root: each has an overlay of its own.
fn overlaid(container: &Container) -> impl Iterator<Item = &App> {
    container.apps.iter().filter(|a| !a.first)
}

/// The mount units of a container.
#[must_use]
pub fn mounts(container: &Container) -> Vec<String> {
    let root = machine_root(&container.name);
    let apps = overlaid(container).map(|a| unit_name(&format!("{root}{}", a.directory())));
    std::iter::once(unit_name(&root)).chain(apps).chain(volumes::units(container)).collect()
}

/// The name of the unit that is mounted at `path`.
pub(super) fn unit_name(path: &str) -> String {
    format!("{}.mount", escape_path(path))
}

/// The stock unit's command line stays as it is; settings are in the `.nspawn` file.
fn drop_in(container: &Container, model: &Model) -> UnitFile {
    let sources = container.apps.iter().filter_map(|a| model.images.get(&a.image)).map(|i| i.source.to_string());
    let sources: Vec<String> = sources.collect();
    let what = if sources.is_empty() { "clone of the host".to_owned() } else { sources.join(", ") };
    let mut unit = instance(container);
    unit.set("Unit", "Description", format!("Container %i ({})", unit_value(&what)));
    pod::member(container, &mut unit);
    security::host(container, &mut unit);
    // The root is pulled in by the template's own RequiresMountsFor=.
    for mount in mounts(container).into_iter().skip(1) {
        unit.set("Unit", "Requires", mount.as_str()).set("Unit", "After", mount);
    }
    volumes::needs(container, &mut unit);
    for (key, value) in &container.unit {
        unit.set("Unit", key, value.as_str());
    }
    limits(container, &mut unit);
    for app in &container.apps {
        if let Some(reload) = &app.reload {
            unit.set("Service", "ExecReload", reload_line(container, app, reload));
        }
    }
    volumes::secrets(container, &mut unit);
    for (key, value) in &container.service {
        unit.set("Service", key, value.as_str());
    }
    unit
}

/// What `systemctl reload` runs for one of its applications.
fn reload_line(container: &Container, app: &App, reload: &Reload) -> String {
    let name = &container.name;
    match reload {
        Reload::Command(words) => {
            let words: Vec<String> = words.iter().map(|word| exec_word(word)).collect();
            format!("{BINDIR}/sdme-gen exec {name} --app {} -- {}", app.name, words.join(" "))
        }
        // The main process is the launcher, which passes it on.
        Reload::Signal(signal) => {
            format!("systemctl --machine={name} kill --kill-whom=main --signal={signal} {}.service", app.unit())
        }
    }
}

/// The unit that holds the ID-mapped mounts of a container with a user namespace.
fn mapping(name: &str) -> String {
    format!("sdme-idmap@{name}.service")
}

/// Where the layers below the configuration layer are.
fn lower(container: &Container) -> String {
    let runtime = container_runtime(&container.name);
    if container.security.user_ns { idmapped(&runtime) } else { runtime }
}

/// The template maps the root's layers; further applications are known here.
fn further_mappings(container: &Container) -> UnitFile {
    let runtime = container_runtime(&container.name);
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "SourcePath", &container.file);
    for app in overlaid(container) {
        let [from, to] = [&runtime, &idmapped(&runtime)].map(|directory| app_part(directory, &app.name));
        unit.set("Service", "ExecStart", format!("mount --bind -o X-mount.idmap=${{IDMAP}} {from} {to}")).set(
            "Service",
            "ExecStopPost",
            format!("-umount --quiet {to}"),
        );
    }
    unit
}

fn root(container: &Container) -> Overlay {
    let Container { name, .. } = container;
    let (runtime, lower) = (container_runtime(name), lower(container));
    Overlay {
        what: format!("Root of container {name}"),
        path: machine_root(name),
        lower: format!("{runtime}/config:{lower}/app:{lower}/base"),
        state: container_state(name),
    }
}

/// Settings of the container's service that have keys of their own; `[Service]` has the last word.
fn limits(container: &Container, unit: &mut UnitFile) {
    // The time the service manager inside gets for itself, on top of what an application may take.
    const MORE: u32 = 30;
    if let Some(bytes) = container.memory {
        unit.set("Service", "MemoryMax", bytes.to_string());
    }
    if let Some(tasks) = &container.tasks {
        unit.set("Service", "TasksMax", tasks);
    }
    if let Some(seconds) = container.apps.iter().filter_map(|app| app.startup.stop_timeout).max() {
        unit.set("Service", "TimeoutStopSec", seconds.saturating_add(MORE).to_string());
    }
}

/// The files of a further application: what the configuration layer has for it, on its image.
fn application(container: &Container, app: &App) -> Overlay {
    let (runtime, state) = (container_runtime(&container.name), container_state(&container.name));
    Overlay {
        what: format!("Application {} of container {}", app.name, container.name),
        path: format!("{}{}", machine_root(&container.name), app.directory()),
        lower: format!("{runtime}/config{}:{}/oci", app.directory(), app_part(&lower(container), &app.name)),
        state: app_part(&state, &app.name),
    }
}

/// A mount of which nothing but the upper layer outlives the container's run.
struct Overlay {
    what: String,
    path: String,
    /// Lower layers, the topmost first.
    lower: String,
    /// Where the upper layer and the work directory are.
    state: String,
}

impl Overlay {
    fn unit(&self, container: &Container, images: &[&str]) -> UnitFile {
        let mut unit = head(container, &self.what);
        if container.security.user_ns {
            let mapping = mapping(&container.name);
            unit.set("Unit", "Requires", mapping.as_str()).set("Unit", "After", mapping);
        }
        // The image's own drop-in puts it before prepare. After, although prepare is: in a restart, everything is stopped
        // before an image is looked at, and a failure does not reach units that are yet to stop.
        for image in images {
            let image = format!("sdme-image@{image}.service");
            unit.set("Unit", "Requires", image.as_str()).set("Unit", "After", image);
        }
        let Self { path, lower, state, .. } = self;
        unit.set("Mount", "What", "overlay").set("Mount", "Where", path.as_str()).set("Mount", "Type", "overlay").set(
            "Mount",
            "Options",
            format!("lowerdir={lower},upperdir={state}/upper,workdir={state}/work"),
        );
        unit
    }
}

/// The beginning of a mount unit that comes and goes with the container.
pub(super) fn head(container: &Container, what: &str) -> UnitFile {
    let prepare = format!("sdme-prepare@{}.service", container.name);
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "Description", what);
    unit.set_literal("Unit", "SourcePath", &container.file);
    // Not before local-fs.target, which the default dependencies of a mount ask for: prepare runs later than that.
    unit.set("Unit", "DefaultDependencies", "no")
        .set("Unit", "Conflicts", "umount.target")
        .set("Unit", "Before", "umount.target")
        .set("Unit", "Requires", prepare.as_str())
        .set("Unit", "After", prepare)
        // Every start of the container begins with nothing mounted, however the last one ended.
        .set("Unit", "PartOf", format!("systemd-nspawn@{}.service", container.name))
        .set("Unit", "StopWhenUnneeded", "yes")
        // How often it may start is the container's own limit to say.
        .set("Unit", "StartLimitIntervalSec", "0");
    unit
}

/// The images it needs, the one it is named after first.
pub fn images<'a>(container: &'a Container, model: &Model) -> Vec<&'a str> {
    let mut out: Vec<&str> = Vec::new();
    for app in &container.apps {
        if !out.contains(&app.image.as_str()) {
            out.push(&app.image);
        }
    }
    let is_base = out.iter().any(|image| model.images.get(*image).is_some_and(|i| i.mode == ModeSetting::Base));
    if let Base::Image(base) = &container.base
        && !out.is_empty()
        && !out.contains(&base.as_str())
        && !is_base
    {
        out.push(base);
    }
    out
}
