// SPDX-License-Identifier: MIT
//! `.container` files. Pure.

use super::app::apps;
use super::image::{BaseRef, Images, base_ref};
use super::install::links;
use super::model::{App, Assignment, Base, Container};
use super::network::{self, Outcome};
use super::pod::Pods;
use super::references::{Names, unit_section};
use super::security::user_ns;
use crate::config::settings::Settings;
use crate::config::source::ModeSetting;
use crate::diag::{Diagnostic, Location, Spanned};
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
    let apps = apps(settings, names, images, &mut problems);
    let base = base(&apps, settings, names, images, default_base, &mut problems);
    let host_name = host_name(settings, &mut problems).unwrap_or_else(|| name.to_owned());
    let timezone = timezone(settings, &mut problems);
    let unit = unit_section(settings.section("Unit"), names, &mut problems);
    let service = passed(settings, "Service", &SERVICE_TAKEN, &mut problems);
    let install = links(settings, &mut problems);
    let outcome = network::container((name, file), settings, (names, pods), !apps.is_empty(), &install, &mut problems);
    let user_ns = user_ns(settings, &outcome.connection, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let (name, file) = (name.to_owned(), Arc::clone(file));
    let connection = outcome.connection.clone();
    let container =
        Container { name, file, apps, base, host_name, timezone, connection, user_ns, unit, service, install };
    Ok((container, outcome))
}

/// What lies below the applications.
fn base(
    apps: &[App],
    settings: &Settings,
    names: &Names,
    images: &mut Images,
    default_base: &Result<Base, String>,
    problems: &mut Vec<Diagnostic>,
) -> Base {
    let own = settings.text("Container", "Base").and_then(|written| {
        let base = base_ref(written.value, names);
        match base.and_then(|b: BaseRef| images.base_of(&b)) {
            Ok(base) => Some(Spanned { value: base, at: written.at }),
            Err(message) => {
                problems.push(Diagnostic::error(&written.at, message));
                None
            }
        }
    });
    let of_image = apps.first().and_then(|a| images.good.get(&a.image));
    if let (Some(base), Some(ModeSetting::Base)) = (&own, of_image.map(|i| i.mode)) {
        problems.push(Diagnostic::error(&base.at, "the image says Mode=base and has nothing below it; remove Base="));
    }
    let whole = own.is_some();
    let base = own.map(|b| b.value).or_else(|| of_image.and_then(|i| i.base.clone()));
    let needed = of_image.is_some_and(|i| i.mode != ModeSetting::Base);
    let written = settings.text("Container", "Image").map(|i| i.at);
    let written = written.or_else(|| settings.words("Container", "App").first().map(|a| a.at.clone()));
    let base = match (base, default_base, &written) {
        (Some(base), ..) => base,
        (None, Ok(base), _) => base.clone(),
        (None, Err(message), Some(at)) if needed => {
            problems.push(Diagnostic::error(at, message.clone()));
            Base::Host
        }
        (None, Err(_), _) => Base::Host,
    };
    // One operating system carries them all.
    let others = apps.iter().skip(1).filter_map(|a| images.good.get(&a.image));
    let differs = others.filter(|_| !whole).find(|i| i.base.as_ref().is_some_and(|b| *b != base));
    if let (Some(image), Some(at)) = (differs, &written) {
        let message =
            format!("{}.image asks for another base than the first application's; write Base= here", image.name);
        problems.push(Diagnostic::error(at, message));
    }
    base
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
#[must_use]
pub fn bad_name(name: &str) -> Option<String> {
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.contains('@') {
        return Some(
            "a container's name is not the name of a template or an instance; write NAME@.container and link to it"
                .to_owned(),
        );
    }
    let good = name.len() <= 64 && name.split('.').all(label);
    (!good).then(|| "a container's name is a host name: letters, digits, '-' and '.', at most 64 of them".to_owned())
}
