// SPDX-License-Identifier: MIT
//! The applications of a container: their number, their names and their settings. Pure.

pub mod health;
pub mod mounts;
pub mod reload;
pub mod startup;

use super::image::Images;
use super::references::{ImageRef, Names};
use super::service::{Fixed, fixed, passed};
use crate::config::keys::{FileType, KeyName, Scope, key, keys, scope};
use crate::config::names::ApplicationName;
use crate::config::settings::Settings;
use crate::config::values::source::{ImageSource, ModeSetting, Pull};
use crate::diag::{Code, Diagnostic, Spanned, did_you_mean};
use crate::model::{App, Assignment, Startup};
use crate::resolve::app::health::health;
use crate::resolve::app::mounts::Place;
use crate::resolve::app::reload::reload;
use crate::unit::is_env_name;

/// The settings of an application's service that sdme-gen makes itself.
pub const TAKEN: [Fixed; 12] = [
    fixed("DynamicUser", &["no"], "the launcher becomes the application's user", "write User= in [Container]"),
    fixed("Environment", &[], "the launcher sets the environment", "write Environment= in [Container]"),
    fixed("EnvironmentFile", &[], "the launcher sets the environment", "write EnvironmentFile= in [Container]"),
    fixed("ExecStart", &[], "it runs the launcher", "write Exec= in [Container] for the application's arguments"),
    fixed("Group", &[], "the launcher becomes the application's user", "write Group= in [Container]"),
    fixed("MountAPIVFS", &["yes"], "an application has /proc, /sys, /dev and /run", "remove it"),
    fixed("PassEnvironment", &[], "the launcher sets the environment", "write Environment= in [Container]"),
    fixed("RootDirectory", &[], "the image is the root directory", "write Image= in [Container]"),
    fixed("RootImage", &[], "the image is the root directory", "write Image= in [Container]"),
    fixed("Type", &[], "the type follows from what counts as started", "write Notify= in [Container]"),
    fixed("UnsetEnvironment", &[], "the environment is the image's and yours only", "remove it"),
    fixed("User", &[], "the launcher becomes the application's user", "write User= in [Container]"),
];

/// The settings of `[App]` that belong in the section `[Unit]` of the application's unit
/// (systemd.unit(5)). All others belong in `[Service]`.
const OF_UNIT: [&str; 15] = [
    "After",
    "Before",
    "BindsTo",
    "FailureAction",
    "FailureActionExitStatus",
    "OnFailure",
    "OnSuccess",
    "PartOf",
    "Requires",
    "StartLimitAction",
    "StartLimitBurst",
    "StartLimitIntervalSec",
    "SuccessAction",
    "SuccessActionExitStatus",
    "Wants",
];

fn is_of_unit(key: &str) -> bool {
    OF_UNIT.contains(&key)
}

/// An application that the container's file requests.
struct Wanted {
    /// The name of the application, if the container has several.
    stem: String,
    /// The name of the image, and the location of the key that requests it.
    image: Spanned<String>,
}

/// Reads `Image=`, `App=` and all keys for applications.
pub fn apps(settings: &Settings, place: Place<'_>, images: &mut Images, problems: &mut Vec<Diagnostic>) -> Vec<App> {
    let written = problems.len();
    let wanted = wanted(settings, place.names, images, problems);
    if wanted.is_empty() && problems.len() > written {
        // The number of applications is unknown, so the other keys cannot be checked.
        return Vec::new();
    }
    let alone = wanted.len() == 1;
    if wanted.is_empty() {
        without_any(settings, problems);
    } else if !alone {
        one_of_several(settings, &wanted, problems);
    }
    let mut apps: Vec<App> = Vec::with_capacity(wanted.len());
    for (index, Wanted { stem, image }) in wanted.into_iter().enumerate() {
        let name = if alone { App::FIRST.to_owned() } else { stem };
        if let Some(cause) = (!alone).then(|| bad_name(&name, index, &apps)).flatten() {
            let remedy = "write an .image file with another name, and that name here";
            problems.push(Diagnostic::error(&image.at, Code::OneApplication.problem(cause, remedy)));
        }
        if let (false, Some(ModeSetting::Base)) = (alone, images.good.get(&image.value).map(|i| i.mode)) {
            let problem = Code::Combination
                .problem("the image is an operating system and runs no application", "name it with Base=");
            problems.push(Diagnostic::error(&image.at, problem));
        }
        apps.push(app((name, index == 0), image.value, alone, settings, place, problems));
    }
    for section in settings.applications() {
        if !apps.is_empty() && !apps.iter().any(|a| a.name == section.value) {
            let known: Vec<&str> = apps.iter().map(|a| a.name.as_str()).collect();
            let near = did_you_mean(&section.value, known.iter().copied());
            let remedy = if alone {
                "write [Container] and [App], because its only application needs no name".to_owned()
            } else {
                near.unwrap_or_else(|| format!("write one of the names {}", known.join(", ")))
            };
            let problem =
                Code::OneApplication.problem(format!("this container has no application {}", section.value), remedy);
            problems.push(Diagnostic::error(&section.at, problem));
        }
    }
    apps
}

/// Returns the requested applications. The application of `Image=` is the first one.
fn wanted(settings: &Settings, names: &Names, images: &mut Images, problems: &mut Vec<Diagnostic>) -> Vec<Wanted> {
    let text = |key| settings.text("Container", key);
    let (mode, pull) = (text(key::MODE), text(key::PULL));
    let first = text(key::IMAGE).map(|i| (true, Spanned { value: i.value.to_owned(), at: i.at }));
    let further = settings.words("Container", key::APP).into_iter().map(|i| (false, i));
    let (mut wanted, mut unusable) = (Vec::new(), Vec::new());
    let mut sources = 0;
    for (first, written) in first.into_iter().chain(further) {
        let resolved = images.read(&written.value, names).and_then(|reference| {
            let stem = stem(&reference);
            let image = match &*reference {
                ImageRef::File(name) => {
                    if let Some(mode) = mode.as_ref().filter(|_| first) {
                        let problem = Code::Combination
                            .problem("Mode= belongs to the image", format!("write Mode= in {name}.image"));
                        problems.push(Diagnostic::error(&mode.at, problem));
                    }
                    images.name_of(&reference, ModeSetting::Auto, Pull::Missing)?
                }
                ImageRef::Source(..) => {
                    sources += 1;
                    let mode = mode.as_ref().filter(|_| first).map(|m| ModeSetting::from_choice(m.value));
                    let pull = pull.as_ref().map(|p| Pull::from_choice(p.value));
                    images.name_of(&reference, mode.unwrap_or_default(), pull.unwrap_or_default())?
                }
            };
            Ok(Wanted { stem, image: Spanned { value: image, at: written.at.clone() } })
        });
        match resolved {
            Ok(app) => wanted.push(app),
            Err(problem) => {
                problems.push(Diagnostic::error(&written.at, problem));
                unusable.push(Wanted { stem: String::new(), image: written });
            }
        }
    }
    if let (Some(pull), 0, Some(app)) = (pull, sources, wanted.first()) {
        let problem = Code::NoEffect.problem(
            "Pull= has no effect here: it belongs to the image",
            format!("write Policy= in {}.image", app.image.value),
        );
        problems.push(Diagnostic::warning(&pull.at, problem));
    }
    if let (Some(mode), None, false) = (mode, text(key::IMAGE), wanted.is_empty()) {
        problems.push(Diagnostic::error(
            &mode.at,
            Code::Combination.problem("Mode= needs Image=, whose kind it names", "remove it"),
        ));
    }
    if wanted.is_empty() && unusable.len() == 1 {
        // The container is rejected because of this image. The keys for its only application are
        // still read, so that their problems are reported, too.
        wanted = unusable;
    }
    wanted
}

/// The name of an application: that of its `.image` file, or the last component of the image
/// reference or path.
fn stem(reference: &ImageRef) -> String {
    let path = match reference {
        ImageRef::File(name) => return name.clone(),
        ImageRef::Source(ImageSource::Registry(registry), _) => &registry.repository,
        ImageRef::Source(
            ImageSource::Layout { path, .. }
            | ImageSource::OciArchive { path, .. }
            | ImageSource::DockerArchive { path, .. }
            | ImageSource::Directory { path }
            | ImageSource::Rootfs { path },
            _,
        ) => path,
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    last.split_once(".tar").map_or(last, |(stem, _)| stem).to_owned()
}

/// The reason why one of several applications cannot have this name. `index` is its position, and
/// `before` has the applications in front of it.
fn bad_name(name: &str, index: usize, before: &[App]) -> Option<String> {
    if let Err(problem) = name.parse::<ApplicationName>() {
        return Some(problem.fault.cause);
    }
    if name.ends_with("-health") || name.ends_with("-health-gate") || (name == App::FIRST && index > 0) {
        return Some(format!("the name of the unit sdme-oci-{name}.service is reserved"));
    }
    before.iter().any(|a| a.name == name).then(|| format!("two applications are called {name}"))
}

/// Rejects the keys that need an image, because a container without an image is a clone of the
/// host.
fn without_any(settings: &Settings, problems: &mut Vec<Diagnostic>) {
    let of_image = |name: KeyName| [key::BASE, key::MODE, key::PULL].contains(&name);
    for key in keys(FileType::Container) {
        let of_any = [key::MOUNT, key::VOLUME].contains(&key.name);
        if (of_image(key.name) || (key.scope != Scope::Container && !of_any))
            && let Some(found) = settings.words("Container", key.name).first()
        {
            let problem = Code::Combination.problem(
                format!("{}= needs Image=: without an image, the container is a clone of the host", key.name),
                "write Image=, or remove it",
            );
            problems.push(Diagnostic::error(&found.at, problem));
        }
    }
    let sections = settings.section("App").map(|e| &e.at).chain(settings.applications().iter().map(|s| &s.at));
    if let Some(at) = sections.min() {
        let problem = Code::Combination.problem(
            "settings of an application need Image=: without an image, the container is a clone of the host",
            "write Image=, or remove them",
        );
        problems.push(Diagnostic::error(at, problem));
    }
}

/// Rejects the keys in `[Container]` that apply to a single application, because the container has
/// several.
fn one_of_several(settings: &Settings, wanted: &[Wanted], problems: &mut Vec<Diagnostic>) {
    let sections: Vec<String> = wanted.iter().map(|w| format!("[Container {}]", w.stem)).collect();
    let sections = sections.join(" or ");
    for entry in settings.section("Container").filter(|e| scope(&e.key) == Scope::Process) {
        let problem = Code::OneApplication.problem(
            format!("{}= is for one application, and there are several", entry.key),
            format!("write it in {sections}"),
        );
        problems.push(Diagnostic::error(&entry.at, problem));
    }
}

fn app(
    (name, first): (String, bool),
    image: String,
    alone: bool,
    settings: &Settings,
    place: Place<'_>,
    problems: &mut Vec<Diagnostic>,
) -> App {
    // With `UserNS=keep-id:uid=UID,gid=GID`, podman runs the application as this user, unless the
    // file has `User=`.
    let kept = super::container::mapping::kept_user(settings);
    let settings = settings.of_application(&name, alone);
    let mut startup = Startup::read(&settings, problems);
    if startup.identity.user.is_none() && startup.identity.group.is_none() {
        startup.identity.user = kept;
    }
    let environment = environment(&settings, problems);
    let (health, notify) = health(&settings, problems);
    let (unit, service) = passed(&settings, "App", &TAKEN, problems).into_iter().partition(|(key, _)| is_of_unit(key));
    let reload = reload(&settings, problems);
    let mounts = place.mounts(&settings, (!first).then_some(&name), problems);
    let secrets = place.secrets(&settings, &mounts, problems);
    let environment_files = place.environment_files(&settings, problems);
    App {
        name,
        first,
        image,
        environment,
        environment_files,
        secrets,
        mounts,
        startup,
        health,
        notify,
        reload,
        unit,
        service,
    }
}

fn environment(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Assignment> {
    let words = settings.words("Container", key::ENVIRONMENT);
    let mut out: Vec<Assignment> = Vec::with_capacity(words.len());
    for word in words {
        match word.value.split_once('=') {
            Some((name, value)) if is_env_name(name) => {
                // Only the last assignment of a variable takes effect.
                out.retain(|(n, _)| n != name);
                out.push((name.to_owned(), value.to_owned()));
            }
            Some((name, _)) => {
                problems.push(Diagnostic::error(
                    &word.at,
                    Code::Variable.problem(
                        format!("Environment=: {name:?} is not the name of a variable"),
                        "write letters, digits and underscores",
                    ),
                ));
            }
            None => {
                let problem = Code::NoEffect.problem(
                    format!(
                        "Environment={} has no effect here: nothing of the host's environment is passed on",
                        word.value
                    ),
                    "write NAME=VALUE",
                );
                problems.push(Diagnostic::warning(&word.at, problem));
            }
        }
    }
    out
}
