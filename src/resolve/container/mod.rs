// SPDX-License-Identifier: MIT
//! Reads `.container` files. Pure.

pub mod mapping;
pub mod security;
pub mod userns;

use self::security::security;
use super::app::apps;
use super::image::{BaseRef, Images, base_ref};
use super::install::links;
use super::network::{self, Known};
use super::pod::Outcome;
use super::references::{Names, unit_section};
use super::service;
use super::surroundings::{environs, labels};
use super::volume::Volumes;
use crate::config::keys::key;
use crate::config::names::{ContainerName, machine_name};
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::update;
use crate::config::values;
use crate::config::values::source::{AutoUpdate, ModeSetting};
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned, errors_first, has_errors};
use crate::model::{App, Base, Container, Network, Preset};
use crate::resolve::app::mounts::Place;
use std::sync::Arc;

/// Reads a `.container` file and adds its warnings to `warnings`. `default_base` is the default for
/// `Base=`, from `BaseFs=` in `sdme.conf`.
///
/// # Errors
/// All problems of the file, including its warnings.
pub fn container(
    name: &str,
    file: &Arc<str>,
    settings: &Settings,
    (known, volumes): (Known<'_>, &Volumes),
    images: &mut Images,
    default_base: &Result<Base, Problem>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<(Container, Outcome), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let names = known.names;
    let mut reader = Reader::new(settings, "Container", &mut problems);
    let own_name: Option<ContainerName> = reader.name(name, file, key::CONTAINER_NAME);
    let podman_name = podman_name(name, file, settings, &mut problems);
    let place = Place { container: name, file, names, volumes };
    let apps = apps(settings, place, images, &mut problems);
    let mounts = if apps.is_empty() { place.mounts(settings, None, &mut problems) } else { Vec::new() };
    let base = base(&apps, settings, names, images, default_base, &mut problems);
    let (host_name, hosts, resolver) = environs(settings, &mut problems);
    let host_name = host_name.unwrap_or_else(|| name.to_owned());
    let mut reader = Reader::new(settings, "Container", &mut problems);
    let timezone = timezone(&mut reader);
    labels(&mut reader, &[key::ANNOTATION, key::LABEL]);
    let devices = devices(&mut reader);
    let memory = reader.size(key::MEMORY);
    let tasks = reader.value(key::PIDS_LIMIT, tasks);
    let auto_update = reader.text(key::AUTO_UPDATE).and_then(|written| AutoUpdate::from_choice(written.value));
    let update_settle = update::settle(&mut reader);
    let update_snapshot = reader.flag(key::UPDATE_SNAPSHOT);
    let pods: Vec<&str> = [key::POD, key::OCI_POD].iter().filter_map(|key| Some(reader.text(*key)?.value)).collect();
    let unit = unit_section(settings.section("Unit"), names, &pods, &mut problems);
    let service = service::container(settings, &mut problems);
    let install = links(settings, names, &mut problems);
    let mut outcome = network::container((name, file), settings, known, !apps.is_empty(), &install, &mut problems);
    if let Some(at) = asks_for_host(settings)
        && !known.reaches_host(&outcome)
    {
        let problem = Code::Combination.problem(
            "AddHost=: host-gateway needs a network that reaches the host",
            "write Network=uplink, or a network without Internal=yes",
        );
        problems.push(Diagnostic::error(&at, problem));
    }
    let security = security(settings, &mut outcome.connection, !apps.is_empty(), &mut problems);
    if outcome.connection.network == Network::Host && outcome.connection.oci_pod.is_none() {
        for (name, at) in apps.iter().flat_map(|app| app.startup.network_settings()) {
            let problem = Code::KernelSetting.problem(
                format!("Sysctl=: {name} would change the host's network"),
                "give the container another network with Network= or Pod=",
            );
            problems.push(Diagnostic::error(at, problem));
        }
        for port in outcome.claims.iter().filter(|port| security.user_ns && port.host < network::FIRST_UNPRIVILEGED) {
            let message = "in the host's network, an application with a user namespace cannot bind a port below";
            let problem = Code::Port.problem(
                format!("PublishPort={}: {message} {}", port.host, network::FIRST_UNPRIVILEGED),
                "write Network=private",
            );
            problems.push(Diagnostic::error(&port.at, problem));
        }
    }
    if let (Preset::Strict, Some(device)) = (security.preset, settings.words("Container", key::ADD_DEVICE).first()) {
        let problem = Code::Combination.problem(
            "AddDevice= cannot be used with Strict=yes, which gives applications a /dev without devices of the host",
            "write Hardened=yes instead of Strict=yes",
        );
        problems.push(Diagnostic::error(&device.at, problem));
    }
    let profile = security.seccomp_profile.as_ref().filter(|_| apps.iter().any(|app| app.startup.mounts()));
    if let Some(profile) = profile {
        let problem = Code::Combination.problem(
            "SeccompProfile= cannot be used with Sysctl=, Mask= or ReadOnlyTmpfs=no, which need mount(2)",
            "remove one of the two",
        );
        problems.push(Diagnostic::error(&profile.at, problem));
    }
    let Some(own_name) = own_name.filter(|_| !has_errors(&problems)) else { return Err(errors_first(problems)) };
    warnings.append(&mut problems);
    let (name, file) = (own_name, Arc::clone(file));
    let connection = outcome.connection.clone();
    let container = Container {
        name,
        podman_name,
        file,
        apps,
        base,
        host_name,
        timezone,
        hosts,
        resolver,
        memory,
        tasks,
        devices,
        mounts,
        connection,
        security,
        auto_update,
        update_settle,
        update_snapshot,
        unit,
        service,
        install,
    };
    if let Some(own) = &mut outcome.own {
        own.job = container.is_job();
    }
    Ok((container, outcome))
}

/// Reads `AddDevice=`. Names of the Container Device Interface (CDI) cause a warning.
fn devices(reader: &mut Reader<'_, '_>) -> Vec<Spanned<values::Device>> {
    // The name of a CDI device, such as nvidia.com/gpu=all.
    let is_cdi = |value: &str| !value.starts_with(['/', '-']) && value.contains('/') && value.contains('=');
    let read = |value: &str| if is_cdi(value) { Ok(Err(value.to_owned())) } else { values::device(value).map(Ok) };
    let mut devices = Vec::new();
    for Spanned { value, at } in reader.words(key::ADD_DEVICE, read) {
        match value {
            Ok(value) => devices.push(Spanned { value, at }),
            Err(name) => {
                let problem = Code::NoEffect.problem(
                    format!("AddDevice={name} has no effect here: names of the Container Device Interface (CDI) are not supported"),
                    "write AddDevice= for each device node, and Volume= for the driver's files",
                );
                reader.warning(&at, problem);
            }
        }
    }
    devices
}

/// Returns the operating system below the applications: that of `Base=`, that of the first image,
/// or the default.
fn base(
    apps: &[App],
    settings: &Settings,
    names: &Names,
    images: &mut Images,
    default_base: &Result<Base, Problem>,
    problems: &mut Vec<Diagnostic>,
) -> Base {
    let own = settings.text("Container", key::BASE).and_then(|written| {
        let base = base_ref(written.value, names);
        match base.and_then(|b: BaseRef| images.base_of(&b)) {
            Ok(base) => Some(Spanned { value: base, at: written.at }),
            Err(problem) => {
                problems.push(Diagnostic::error(&written.at, problem));
                None
            }
        }
    });
    let of_image = apps.first().and_then(|a| images.good.get(&a.image));
    if let (Some(base), Some(ModeSetting::Base)) = (&own, of_image.map(|i| i.mode)) {
        problems.push(Diagnostic::error(
            &base.at,
            Code::Combination.problem("an image with Mode=base has no base", "remove Base="),
        ));
    }
    let whole = own.is_some();
    let base = own.map(|b| b.value).or_else(|| of_image.and_then(|i| i.base.clone()));
    let needed = of_image.is_some_and(|i| i.mode != ModeSetting::Base);
    let written = settings.text("Container", key::IMAGE).map(|i| i.at);
    let written = written.or_else(|| settings.words("Container", key::APP).first().map(|a| a.at.clone()));
    let base = match (base, default_base, &written) {
        (Some(base), ..) => base,
        (None, Ok(base), _) => base.clone(),
        (None, Err(problem), Some(at)) if needed => {
            problems.push(Diagnostic::error(at, problem.clone()));
            Base::Host
        }
        (None, Err(_), _) => Base::Host,
    };
    // All applications run on the same base, so that different bases of their images need a Base=
    // in the container's file.
    let others = apps.iter().skip(1).filter_map(|a| images.good.get(&a.image));
    let differs = others.filter(|_| !whole).find(|i| i.base.as_ref().is_some_and(|b| *b != base));
    if let (Some(image), Some(at)) = (differs, &written) {
        let problem = Code::Combination.problem(
            format!("{}.image has another base than the image of the first application", image.name),
            "write Base= here",
        );
        problems.push(Diagnostic::error(at, problem));
    }
    base
}

/// The name that Podman gives the container, if that is not valid as the name of a machine. Other
/// containers then find the container by both names.
fn podman_name(name: &str, file: &Arc<str>, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let of_file = file.rsplit('/').next().and_then(|file| file.strip_suffix(".container"));
    let (key, written, at) = match (settings.text("Container", key::CONTAINER_NAME), of_file) {
        (Some(written), _) => ("ContainerName=", written.value.to_owned(), written.at),
        (None, Some(of_file)) => ("", of_file.to_owned(), Location::whole(file)),
        (None, None) => return None,
    };
    if written == name || machine_name(&written) != name {
        return None;
    }
    let problem = Code::Name.problem(
        format!(
            "{key}{written} cannot be a host name: the container is called {name}, and other containers find it by both names"
        ),
        format!("write {name}"),
    );
    problems.push(Diagnostic::warning(&at, problem));
    Some(written)
}

fn timezone(reader: &mut Reader<'_, '_>) -> Option<String> {
    let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b));
    reader.value(key::TIMEZONE, |value| {
        let remedy = "write local or a name such as Europe/Berlin";
        let wrong = || Code::Value.problem(format!("Timezone={value} is not a time zone"), remedy);
        value.split('/').all(part).then(|| value.to_owned()).ok_or_else(wrong)
    })
}

/// The location of an `AddHost=` that asks for the address of the host (`host-gateway`).
fn asks_for_host(settings: &Settings) -> Option<Location> {
    let words = settings.words("Container", key::ADD_HOST);
    words.into_iter().find(|word| word.value.ends_with(values::HOST_GATEWAY)).map(|word| word.at)
}

/// Converts a value of `PidsLimit=` to a value of `TasksMax=` (systemd.resource-control(5)).
fn tasks(value: &str) -> Result<String, Problem> {
    match value {
        "-1" | "0" => Ok("infinity".to_owned()),
        _ => value.parse().map(|number: u64| number.to_string()).map_err(|_| {
            Code::Quantity.problem(format!("PidsLimit={value} is not a number"), "write a number, or -1 for no limit")
        }),
    }
}
