// SPDX-License-Identifier: MIT
//! The additional checks of `sdme-gen check` for root: the conditions on this host that a start
//! checks. Every problem is a warning, because it may be solved before the start.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use nix::unistd::{Group, User};

use crate::Compiled;
use crate::admin::show::ps::units;
use crate::config::values::envfile;
use crate::diag::{Code, Diagnostic, Fault, Location};
use crate::image::Store;
use crate::model::{Account, Container, Facts, Model, What};
use crate::plan;
use crate::runtime::ports::listening::{self, Listening};
use crate::runtime::prepare::apparmor;
use crate::runtime::prepare::layers::links;
use crate::runtime::prepare::refused::{no_application, no_check, no_device};
use crate::runtime::systemd;
use crate::runtime::volumes::snapshots;

/// The subjects of these checks, as text.
pub const SUBJECTS: &str = "sources of volumes, environment files, secrets, devices, profiles, ports in use, what imported images are, and whether volumes can be copied";

/// The directories in which systemd searches credentials (systemd.exec(5), `ImportCredential=`).
const CREDENTIALS: [&str; 7] = [
    "/run/credentials/@system",
    "/etc/credstore",
    "/etc/credstore.encrypted",
    "/run/credstore",
    "/run/credstore.encrypted",
    "/usr/lib/credstore",
    "/usr/lib/credstore.encrypted",
];

/// Runs the checks and adds their warnings to the diagnostics.
pub fn add(root: &Path, compiled: &mut Compiled) {
    let (model, facts) = (&compiled.model, &compiled.facts);
    let mut found = Vec::new();
    let units = if systemd::is_live(root) { units::read().ok() } else { None };
    let store = Store::open(root);
    for container in model.containers.values() {
        mounts(root, container, (model, facts), &mut found);
        environment(root, container, &mut found);
        secrets(root, container, &mut found);
        let running = units.as_ref().and_then(|units| units.get(&Container::unit(&container.name)));
        if root == Path::new("/") {
            devices(container, &mut found);
            profile(container, &mut found);
            snapshot(container, (model, facts), &mut found);
        }
        // A running container has its images already; ps compares them with the configuration.
        if !running.is_some_and(units::Unit::is_active) {
            images(&store, container, (model, facts), &mut found);
        }
    }
    owners(model, &mut found);
    if let Some(units) = &units {
        ports(model, units, &mut found);
    }
    found.retain(|problem| !compiled.diagnostics.contains(problem));
    compiled.diagnostics.extend(found);
    compiled.diagnostics.sort();
    compiled.diagnostics.dedup();
}

fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn start_of(container: &Container) -> Location {
    Location::whole(&container.file)
}

fn mounts(root: &Path, container: &Container, (model, facts): (&Model, &Facts), found: &mut Vec<Diagnostic>) {
    for placed in container.placed(model.stack(container, facts), facts) {
        let (What::Host(path), Some(at)) = (&placed.mount.what, &placed.mount.at) else { continue };
        if fs::metadata(below(root, path)).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            let problem = Code::MissingFile.problem(
                format!("there is no {path} on this host"),
                "make it, or name a volume, which is made if it is missing",
            );
            found.push(Diagnostic::warning(at, problem));
        }
    }
}

fn environment(root: &Path, container: &Container, found: &mut Vec<Diagnostic>) {
    for file in container.apps.iter().flat_map(|app| &app.environment_files) {
        let path = &file.path;
        match fs::read(below(root, path)) {
            Err(error) if error.kind() == ErrorKind::NotFound && file.optional => {}
            Err(error) => {
                let problem = Code::MissingFile.problem(
                    format!("EnvironmentFile=: cannot read {path}: {error}"),
                    "write the file, or put - in front of its path",
                );
                found.push(Diagnostic::warning(&file.at, problem));
            }
            Ok(bytes) => {
                if let Err((line, fault)) = envfile::parse(&bytes) {
                    let problem = Code::Variable.of(fault.of(&format!("EnvironmentFile=: {path}:{line}")));
                    found.push(Diagnostic::warning(&file.at, problem));
                }
            }
        }
    }
}

fn secrets(root: &Path, container: &Container, found: &mut Vec<Diagnostic>) {
    for (_, _, secret) in container.secrets() {
        let name = &secret.value.name;
        if !CREDENTIALS.iter().any(|directory| below(root, directory).join(name.as_str()).exists()) {
            let problem = Code::Secret.problem(
                format!("there is no credential {name}"),
                format!(
                    "put it into /etc/credstore/{name}, or encrypted by systemd-creds(1) into /etc/credstore.encrypted/{name}"
                ),
            );
            found.push(Diagnostic::warning(&secret.at, problem));
        }
    }
}

fn devices(container: &Container, found: &mut Vec<Diagnostic>) {
    for device in &container.devices {
        let path = &device.value.source;
        let fault = match fs::metadata(path) {
            Err(_) if device.value.optional => continue,
            Ok(found) if found.is_dir() && device.value.is_directory() => continue,
            Err(error) => Fault::new(format!("AddDevice={path}: {error}"), "load the driver, or remove the key"),
            Ok(found) => match no_device(path, &found) {
                Some(fault) => fault,
                None => continue,
            },
        };
        found.push(Diagnostic::warning(&device.at, Code::Mount.of(fault)));
    }
}

fn profile(container: &Container, found: &mut Vec<Diagnostic>) {
    let Some(profile) = &container.security.app_armor else { return };
    if let Err(fault) = apparmor::problem(profile) {
        found.push(Diagnostic::warning(&profile.at, Code::Confinement.of(fault)));
    }
}

/// Warns about `UpdateSnapshot=yes` if volumes cannot be copied, because an automatic update would
/// be refused.
fn snapshot(container: &Container, (model, facts): (&Model, &Facts), found: &mut Vec<Diagnostic>) {
    let Some(at) = model.update_snapshot(container) else { return };
    if snapshots::volumes(container, model, facts, true).is_empty() {
        return;
    }
    if let Err(error) = snapshots::reflinks() {
        found.push(Diagnostic::warning(at, Code::Combination.of(snapshots::without_reflinks(&error))));
    }
}

fn images(store: &Store, container: &Container, (model, facts): (&Model, &Facts), found: &mut Vec<Diagnostic>) {
    let stack = model.stack(container, facts);
    let at = start_of(container);
    if let Some(fault) = no_application(container, stack) {
        found.push(Diagnostic::warning(&at, Code::Confinement.of(fault)));
        return;
    }
    // The start pulls an image that is not imported, so that its kind is not known yet.
    let missing = |image: &str| matches!(store.lookup(image), Ok(None));
    if plan::images(container, model).into_iter().any(missing) {
        return;
    }
    let apps = model.applications(container, facts);
    if let Err(error) = links::layers(store, stack).and_then(|_| links::additional(store, apps)) {
        found.push(Diagnostic::warning(
            &at,
            Code::UnusableFile.problem(format!("{error:#}"), "correct Image=, App=, Base= or Mode="),
        ));
    }
    found.extend(
        apps.iter()
            .filter_map(|app| no_check(app, facts))
            .map(|fault| Diagnostic::warning(&at, Code::HealthCheck.of(fault))),
    );
}

/// Warns about owners of new volumes that are not users or groups of the host.
fn owners(model: &Model, found: &mut Vec<Diagnostic>) {
    for volume in model.volumes.values() {
        let user = match &volume.owner.user {
            Some(Account::Name(name)) if User::from_name(name).is_ok_and(|user| user.is_none()) => Some(("user", name)),
            _ => None,
        };
        let group = match &volume.owner.group {
            Some(Account::Name(name)) if Group::from_name(name).is_ok_and(|group| group.is_none()) => {
                Some(("group", name))
            }
            _ => None,
        };
        for (what, name) in user.into_iter().chain(group) {
            let problem = Code::User
                .problem(format!("there is no {what} {name} on this host"), "write the number of the account");
            found.push(Diagnostic::warning(&Location::whole(&volume.file), problem));
        }
    }
}

/// Warns about ports on which a program other than a unit of sdme-gen listens.
fn ports(model: &Model, units: &units::Units, found: &mut Vec<Diagnostic>) {
    let listening = Listening::read();
    for pod in model.pods.values() {
        let sockets = crate::plan::sockets(pod);
        for (port, socket) in pod.proxied().zip(sockets) {
            if units.get(&socket).is_some_and(units::Unit::is_active) || !listening.takes(port.address, port.host) {
                continue;
            }
            // A socket unit of a former file closes its port when its container restarts.
            let ours = units.iter().filter(|(_, unit)| unit.is_active()).any(|(name, _)| {
                let listen = crate::plan::published_by(name, &pod.name).and_then(listening::parse);
                listen.is_some_and(|(_, host)| host == port.host)
            });
            if !ours {
                let problem = Code::Conflict.problem(
                    format!("port {} of the host is in use by another program", port.listen()),
                    "stop that program (ss -ltnp shows it), or publish another port",
                );
                found.push(Diagnostic::warning(&port.at, problem));
            }
        }
    }
}
