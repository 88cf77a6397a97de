// SPDX-License-Identifier: MIT
//! `.container` files. Pure.

use super::image::{BaseRef, Images, base_ref};
use super::install::links;
use super::model::{Assignment, Base, Container};
use super::network::{self, Outcome};
use super::pod::Pods;
use super::references::{ImageRef, Names, image_ref, unit_section};
use crate::config::settings::Settings;
use crate::config::source::{ModeSetting, Pull};
use crate::diag::{Diagnostic, Location, Spanned};
use crate::unit::is_env_name;
use std::sync::Arc;

/// Settings of the container's service that belong to systemd-nspawn, and what to use.
const SERVICE_TAKEN: [(&str, &str); 10] = [
    ("BusName", "remove it"),
    ("DynamicUser", "use UserNS="),
    ("ExecStart", "use Exec= for the application's arguments"),
    ("Group", "set it in [App]"),
    ("NotifyAccess", "remove it"),
    ("PIDFile", "remove it"),
    ("RootDirectory", "use Image="),
    ("RootImage", "use Image="),
    ("Type", "systemd-nspawn reports when the container is up; remove it"),
    ("User", "systemd-nspawn runs as root; see UserNS="),
];

/// Settings of the application's service that are ours.
const APP_TAKEN: [(&str, &str); 8] = [
    ("DynamicUser", "the image's user applies"),
    ("ExecStart", "use Exec="),
    ("Group", "the image's user applies"),
    ("MountAPIVFS", "remove it"),
    ("RootDirectory", "use Image="),
    ("RootImage", "use Image="),
    ("Type", "remove it"),
    ("User", "the image's user applies"),
];

/// Reads a `.container` file. `default_base` is `BaseFs=`.
///
/// # Errors
/// All its problems.
pub fn container(
    name: &str,
    file: &Arc<str>,
    settings: &Settings,
    (names, pods): (&Names, &Pods),
    images: &mut Images,
    default_base: &Result<Base, String>,
) -> Result<(Container, Outcome), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    if let Some(message) = bad_name(name) {
        problems.push(Diagnostic::error(&Location::new(file, 1), message));
    }
    let (image, base) = root(settings, names, images, default_base, &mut problems);
    let environment = environment(settings, &mut problems);
    let words = settings.words("Container", "Exec");
    let exec = (!words.is_empty()).then(|| words.into_iter().map(|w| w.value).collect());
    let host_name = host_name(settings, &mut problems).unwrap_or_else(|| name.to_owned());
    let timezone = timezone(settings, &mut problems);
    if image.is_none() {
        for key in ["Base", "Mode", "Pull", "Exec", "Environment"] {
            if let Some(found) = settings.text("Container", key) {
                let message = format!("{key}= needs an Image=; without one the container is a clone of the host");
                problems.push(Diagnostic::error(&found.at, message));
            }
        }
    }
    let unit = unit_section(settings.section("Unit"), names, &mut problems);
    let service = passed(settings, "Service", &SERVICE_TAKEN, &mut problems);
    let app = passed(settings, "App", &APP_TAKEN, &mut problems);
    let install = links(settings, &mut problems);
    let outcome = network::container((name, file), settings, (names, pods), image.is_some(), &install, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let (name, file) = (name.to_owned(), Arc::clone(file));
    let connection = outcome.connection.clone();
    let container = Container {
        name,
        file,
        image,
        base,
        environment,
        exec,
        host_name,
        timezone,
        connection,
        unit,
        service,
        app,
        install,
    };
    Ok((container, outcome))
}

/// The image and what lies below it.
fn root(
    settings: &Settings,
    names: &Names,
    images: &mut Images,
    default_base: &Result<Base, String>,
    problems: &mut Vec<Diagnostic>,
) -> (Option<String>, Base) {
    let text = |key| settings.text("Container", key);
    let mode = text("Mode");
    let pull = text("Pull");
    let mut image = None;
    if let Some(written) = text("Image") {
        let resolved = image_ref(written.value, names).and_then(|reference| {
            if let ImageRef::File(name) = &reference {
                for (key, value) in [("Mode", &mode), ("Pull", &pull)] {
                    if let Some(value) = value {
                        let instead = if key == "Pull" { "Policy" } else { key };
                        let message = format!("{key}= belongs to the image; write {instead}= in {name}.image");
                        problems.push(Diagnostic::error(&value.at, message));
                    }
                }
            }
            let mode = mode.as_ref().map(|m| ModeSetting::from_choice(m.value)).unwrap_or_default();
            let pull = pull.as_ref().map(|p| Pull::from_choice(p.value)).unwrap_or_default();
            match reference {
                ImageRef::File(_) => images.name_of(&reference, ModeSetting::Auto, Pull::Missing),
                ImageRef::Source(_) => images.name_of(&reference, mode, pull),
            }
        });
        match resolved {
            Ok(name) => image = Some(name),
            Err(message) => problems.push(Diagnostic::error(&written.at, message)),
        }
    }
    let own = text("Base").and_then(|written| {
        let base = base_ref(written.value, names);
        match base.and_then(|b: BaseRef| images.base_of(&b)) {
            Ok(base) => Some(Spanned { value: base, at: written.at }),
            Err(message) => {
                problems.push(Diagnostic::error(&written.at, message));
                None
            }
        }
    });
    let of_image = image.as_ref().and_then(|i| images.good.get(i));
    if let (Some(base), Some(ModeSetting::Base)) = (&own, of_image.map(|i| i.mode)) {
        problems.push(Diagnostic::error(&base.at, "the image says Mode=base and has nothing below it; remove Base="));
    }
    let base = own.map(|b| b.value).or_else(|| of_image.and_then(|i| i.base.clone()));
    let needed = of_image.is_some_and(|i| i.mode != ModeSetting::Base);
    let base = match (base, default_base, text("Image")) {
        (Some(base), ..) => base,
        (None, Ok(base), _) => base.clone(),
        (None, Err(message), Some(written)) if needed => {
            problems.push(Diagnostic::error(&written.at, message.clone()));
            Base::Host
        }
        (None, Err(_), _) => Base::Host,
    };
    (image, base)
}

fn environment(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Assignment> {
    let mut out: Vec<Assignment> = Vec::new();
    for word in settings.words("Container", "Environment") {
        match word.value.split_once('=') {
            Some((name, value)) if is_env_name(name) => {
                // The last assignment of a variable counts.
                out.retain(|(n, _)| n != name);
                out.push((name.to_owned(), value.to_owned()));
            }
            Some((name, _)) => {
                problems
                    .push(Diagnostic::error(&word.at, format!("Environment=: {name:?} is not the name of a variable")));
            }
            None => {
                let message = format!(
                    "Environment=: {:?} is not NAME=VALUE; the host's environment is not passed on",
                    word.value
                );
                problems.push(Diagnostic::error(&word.at, message));
            }
        }
    }
    out
}

fn host_name(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let written = settings.text("Container", "HostName")?;
    if let Some(message) = bad_name(written.value) {
        problems.push(Diagnostic::error(&written.at, format!("HostName={}: {message}", written.value)));
    }
    Some(written.value.to_owned())
}

fn timezone(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let written = settings.text("Container", "Timezone")?;
    let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b));
    if !written.value.split('/').all(part) {
        let message =
            format!("Timezone={} is not a time zone; write local or a name such as Europe/Berlin", written.value);
        problems.push(Diagnostic::error(&written.at, message));
    }
    Some(written.value.to_owned())
}

/// A section that is passed through, without the settings that are `taken`.
pub fn passed(
    settings: &Settings,
    section: &str,
    taken: &[(&str, &str)],
    problems: &mut Vec<Diagnostic>,
) -> Vec<Assignment> {
    let mut out = Vec::new();
    for entry in settings.section(section) {
        match taken.iter().find(|(key, _)| *key == entry.key) {
            Some((key, instead)) => {
                problems.push(Diagnostic::error(&entry.at, format!("{key}= cannot be set in [{section}]; {instead}")));
            }
            None => out.push((entry.key.clone(), entry.value.clone())),
        }
    }
    out
}

/// Why `name` cannot be the name of a machine: it has to be a host name (hostname(7)) of at most 64 bytes.
pub fn bad_name(name: &str) -> Option<String> {
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.contains('@') {
        return Some("templates are not supported yet; write one file for each container".to_owned());
    }
    let good = name.len() <= 64 && name.split('.').all(label);
    (!good).then(|| "a container's name is a host name: letters, digits, '-' and '.', at most 64 of them".to_owned())
}
