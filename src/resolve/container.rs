// SPDX-License-Identifier: MIT
//! `.container` files. Pure.

use super::app::apps;
use super::image::{BaseRef, Images, base_ref};
use super::install::links;
use super::network::{self, Known, Outcome};
use super::references::{Names, unit_section};
use super::security::security;
use super::service;
use super::volume::Volumes;
use crate::config::keys::{KeyName, key};
use crate::config::names::{ContainerName, machine_name};
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::update;
use crate::config::values;
use crate::config::values::source::{AutoUpdate, ModeSetting};
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned, errors_first, has_errors};
use crate::model::{App, Base, Container, Network, Preset, Resolver};
use crate::resolve::app::mounts::Place;
use std::net::IpAddr;
use std::sync::Arc;

/// Reads a `.container` file. `default_base` is `BaseFs=`.
///
/// # Errors
/// All its problems.
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
    let _: Option<ContainerName> = reader.name(name, file, key::CONTAINER_NAME);
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
        let message = "AddHost=: host-gateway needs a network with a way to the host, such as Network=uplink";
        problems.push(Diagnostic::error(&at, Code::Combination.problem(message)));
    }
    let security = security(settings, &mut outcome.connection, !apps.is_empty(), &mut problems);
    if outcome.connection.network == Network::Host && outcome.connection.oci_pod.is_none() {
        for (name, at) in apps.iter().flat_map(|app| app.startup.network_settings()) {
            let message = "would change the host's network; give the container another with Network= or Pod=";
            problems.push(Diagnostic::error(at, Code::KernelSetting.problem(format!("Sysctl=: {name} {message}"))));
        }
        for port in outcome.claims.iter().filter(|port| security.user_ns && port.host < network::FIRST_UNPRIVILEGED) {
            let message = "in the host's network, an application with a user namespace binds no port below";
            let message =
                format!("PublishPort={}: {message} {}; write Network=private", port.host, network::FIRST_UNPRIVILEGED);
            problems.push(Diagnostic::error(&port.at, Code::Port.problem(message)));
        }
    }
    if let (Preset::Strict, Some(device)) = (security.preset, settings.words("Container", key::ADD_DEVICE).first()) {
        let message = "AddDevice= cannot be used with Strict=yes, whose applications have devices of their own; \
                       write Hardened=yes";
        problems.push(Diagnostic::error(&device.at, Code::Combination.problem(message)));
    }
    let profile = security.seccomp_profile.as_ref().filter(|_| apps.iter().any(|app| app.startup.mounts()));
    if let Some(profile) = profile {
        let message =
            "SeccompProfile= cannot be used with Sysctl=, Mask= or ReadOnlyTmpfs=no: no profile allows to mount";
        problems.push(Diagnostic::error(&profile.at, Code::Combination.problem(message)));
    }
    if has_errors(&problems) {
        return Err(errors_first(problems));
    }
    warnings.append(&mut problems);
    let (name, file) = (name.to_owned(), Arc::clone(file));
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

/// `AddDevice=`
fn devices(reader: &mut Reader<'_, '_>) -> Vec<Spanned<values::Device>> {
    // A name of the Container Device Interface, such as nvidia.com/gpu=all.
    let is_cdi = |value: &str| !value.starts_with(['/', '-']) && value.contains('/') && value.contains('=');
    let read = |value: &str| if is_cdi(value) { Ok(Err(value.to_owned())) } else { values::device(value).map(Ok) };
    let mut devices = Vec::new();
    for Spanned { value, at } in reader.words(key::ADD_DEVICE, read) {
        match value {
            Ok(value) => devices.push(Spanned { value, at }),
            Err(name) => {
                let message = format!(
                    "AddDevice={name} has no effect here: names of CDI are not known; write AddDevice= for each device \
                     node, and Volume= for the driver's files"
                );
                reader.warning(&at, Code::NoEffect.problem(message));
            }
        }
    }
    devices
}

/// What lies below the applications.
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
            Code::Combination.problem("the image says Mode=base and has nothing below it; remove Base="),
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
    // One operating system carries them all.
    let others = apps.iter().skip(1).filter_map(|a| images.good.get(&a.image));
    let differs = others.filter(|_| !whole).find(|i| i.base.as_ref().is_some_and(|b| *b != base));
    if let (Some(image), Some(at)) = (differs, &written) {
        let message =
            format!("{}.image asks for another base than the first application's; write Base= here", image.name);
        problems.push(Diagnostic::error(at, Code::Combination.problem(message)));
    }
    base
}

/// The name that podman gives the container, where that cannot be the name of a machine.
fn podman_name(name: &str, file: &Arc<str>, settings: &Settings, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let of_file = file.rsplit('/').next().and_then(|file| file.strip_suffix(".container"));
    let (key, written, at) = match (settings.text("Container", key::CONTAINER_NAME), of_file) {
        (Some(written), _) => ("ContainerName=", written.value.to_owned(), written.at),
        (None, Some(of_file)) => ("", of_file.to_owned(), Location::new(file, 1)),
        (None, None) => return None,
    };
    if written == name || machine_name(&written) != name {
        return None;
    }
    let message = format!(
        "{key}{written} cannot be the name of a machine: the container is called {name}, and others find it by both names; \
         write {name}"
    );
    problems.push(Diagnostic::warning(&at, Code::Name.problem(message)));
    Some(written)
}

fn host_name(reader: &mut Reader<'_, '_>) -> Option<String> {
    let written = reader.text(key::HOST_NAME)?;
    let problem = written.value.parse::<ContainerName>().err();
    if let (Some(_), Ok(name)) = (&problem, ContainerName::of_podman(written.value)) {
        let message = format!("HostName={}: a host name has no underscore; it becomes {name}", written.value);
        reader.warning(&written.at, Code::Differs.problem(message));
        return Some(name.into());
    }
    if let Some(problem) = problem {
        reader.error(&written.at, problem.of(&format!("HostName={}", written.value)));
    }
    Some(written.value.to_owned())
}

fn timezone(reader: &mut Reader<'_, '_>) -> Option<String> {
    let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b));
    reader.value(key::TIMEZONE, |value| {
        let wrong = || format!("Timezone={value} is not a time zone; write local or a name such as Europe/Berlin");
        value.split('/').all(part).then(|| value.to_owned()).ok_or_else(|| Code::Value.problem(wrong()))
    })
}

/// What it is called, and how it finds others: `HostName=`, `AddHost=` and `DNS*=`.
pub fn environs(settings: &Settings, problems: &mut Vec<Diagnostic>) -> (Option<String>, String, Resolver) {
    let mut reader = Reader::new(settings, "Container", problems);
    let hosts = hosts(&mut reader);
    (host_name(&mut reader), hosts, resolver(&mut reader))
}

/// `AddHost=`. A name whose address is a placeholder, or mistyped, is left out: other members of a network are found without it.
fn hosts(reader: &mut Reader<'_, '_>) -> String {
    let mut lines = String::new();
    for Spanned { value, at } in reader.words(key::ADD_HOST, values::host_line) {
        match value {
            Ok(line) => lines += &line,
            Err(problem) => reader.warning(&at, problem),
        }
    }
    lines
}

/// Where `AddHost=` asks for the address of the host.
fn asks_for_host(settings: &Settings) -> Option<Location> {
    let words = settings.words("Container", key::ADD_HOST);
    words.into_iter().find(|word| word.value.ends_with(values::HOST_GATEWAY)).map(|word| word.at)
}

/// Looks at keys that nothing is done with.
pub fn labels(reader: &mut Reader<'_, '_>, keys: &[KeyName]) {
    for key in keys {
        let wrong = |label: &str| Code::Variable.problem(format!("{key}=: {label:?} is not NAME=VALUE"));
        reader.words(*key, |label| if label.contains('=') { Ok(()) } else { Err(wrong(label)) });
    }
}

fn resolver(reader: &mut Reader<'_, '_>) -> Resolver {
    let server = |value: &str| {
        let good = value.parse::<IpAddr>().is_ok();
        good.then(|| value.to_owned()).ok_or_else(|| Code::Address.problem(format!("DNS={value} is not an address")))
    };
    let search = |value: &str| {
        let good = value == "." || values::is_domain(value);
        let wrong = || Code::Address.problem(format!("DNSSearch={value} is not a domain; . is for none"));
        good.then(|| value.to_owned()).ok_or_else(wrong)
    };
    let option = |value: &str| {
        let good = !value.contains(char::is_whitespace) && !value.is_empty();
        let wrong = || Code::Address.problem(format!("DNSOption={value:?} is not an option of resolv.conf(5)"));
        good.then(|| value.to_owned()).ok_or_else(wrong)
    };
    let plain = |words: Vec<Spanned<String>>| words.into_iter().map(|word| word.value).collect();
    Resolver {
        servers: plain(reader.words(key::DNS, server)),
        search: plain(reader.words(key::DNS_SEARCH, search)),
        options: plain(reader.words(key::DNS_OPTION, option)),
    }
}

/// `PidsLimit=`, as systemd writes it.
fn tasks(value: &str) -> Result<String, Problem> {
    match value {
        "-1" | "0" => Ok("infinity".to_owned()),
        _ => value
            .parse()
            .map(|number: u64| number.to_string())
            .map_err(|_| Code::Quantity.problem(format!("PidsLimit={value} is not a number; -1 is for no limit"))),
    }
}
