// SPDX-License-Identifier: MIT
//! An application in a container: its service, its files, and the process that the launcher starts.
//! Pure.

use std::collections::BTreeMap;

use super::health;
use crate::config::values;
use crate::config::values::parse_bool;
use crate::config::values::time::span;
use crate::contract::health::Health;
use crate::contract::process;
use crate::contract::process::{Log, Process, User};
use crate::model::{App, Container, Facts, ImageFacts, Mount, Network, Notify, What};
use crate::output::tree::{Node, Place, Tree};
use crate::plan::inside::UNITS;
use crate::plan::network::pod;
use crate::plan::nspawn::LAUNCHER;
use crate::plan::{security, volumes};
use crate::unit::{UnitFile, env_assignment};

/// The default mode of a file system in memory.
const USUAL_MODE: &str = "mode=1777";

/// The files that an application shares with its container, as in Docker.
const RESOLVER_FILES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// Plans the application's part of the configuration layer. Returns whether the application has a
/// health check.
pub fn plan(app: &App, container: &Container, facts: &Facts, tree: &mut Tree) -> bool {
    let image = facts.images.get(&app.image);
    let health = health::check(app, image);
    let place = Place::Layer(container.name.to_string());
    let directory = app.directory();
    let directory = directory.trim_start_matches('/');
    tree.file(
        place.clone(),
        format!("{UNITS}/{}.service", app.unit()),
        &service(app, container, facts, health.as_ref()),
    );
    tree.file(place.clone(), format!("{UNITS}/{}.socket", app.unit()), &commands(app, container));
    if let Some(health) = &health {
        health::plan(app, container, health, tree);
    }
    if app.first && container.apps.len() > 1 {
        // The first application has two names.
        tree.add(place.clone(), format!("oci/apps/{}", app.name), Node::Link("..".to_owned()));
        if app.name != App::FIRST {
            let alias = format!("{UNITS}/sdme-oci-{}.service", app.name);
            tree.add(place.clone(), alias, Node::Link(format!("{}.service", app.unit())));
        }
    }
    // These are mount points, so that none is made in the upper layer.
    for file in RESOLVER_FILES {
        tree.file(place.clone(), format!("{directory}/root{file}"), &"");
    }
    if app.has_secret_variables() {
        tree.file(place.clone(), format!("{directory}/{}", process::SECRET_ENVIRONMENT), &"");
    }
    let environment: String = app.environment.iter().map(|(n, v)| env_assignment(n, v)).collect();
    // The variables often include passwords.
    tree.add(place.clone(), format!("{directory}/{}", process::OWN_ENVIRONMENT), Node::Private(environment));
    let known = image.and_then(|image| Some((image, image.users.get(&app.startup.identity)?.as_ref().ok()?)));
    if let Some(Ok(json)) = known.map(|known| serde_json::to_string_pretty(&process(app, container, known))) {
        // The arguments can include passwords, too.
        tree.add(place, format!("{directory}/{}", process::FILE), Node::Private(json + "\n"));
    }
    health.is_some()
}

/// The description of the process that the launcher starts.
fn process(app: &App, container: &Container, (image, user): (&ImageFacts, &User)) -> Process {
    let startup = &app.startup;
    // As in Docker, another entrypoint does not get the arguments of the image's entrypoint.
    let command = match (&startup.exec, &startup.entrypoint) {
        (Some(arguments), _) => arguments.as_slice(),
        (None, Some(_)) => &[],
        (None, None) => &image.command,
    };
    let args = startup.entrypoint.as_ref().unwrap_or(&image.entrypoint).iter().chain(command).cloned().collect();
    Process {
        args,
        cwd: startup.working_dir.as_ref().unwrap_or(&image.working_dir).clone(),
        user: user.clone(),
        capabilities: container.security.application,
        // As in podman, the capabilities that AddCapability= names are ambient. Root has all of its
        // capabilities anyway.
        kept: Some(container.security.named).filter(|named| user.uid != 0 && !named.is_empty()),
        private_pids: security::private_pids(app, container),
        log: log(app, container),
        sysctl: kernel_settings(app, container),
        protect_kernel_tunables: security::launcher_protects_kernel(app, container),
        masked_paths: startup.masked.clone(),
        copied: copied(app, &container.mounts_of(app, Some(image))),
        read_only_run: startup.read_only && !startup.read_only_tmpfs,
    }
}

/// The sysctls that the launcher sets. If the container has a user namespace, the pod's service
/// sets those of the pod's network.
fn kernel_settings(app: &App, container: &Container) -> BTreeMap<String, String> {
    let of_pod = container.security.user_ns && matches!(container.connection.network, Network::Pod(_));
    let own = app.startup.sysctl.iter().filter(|(name, _)| !of_pod || !name.starts_with("net."));
    own.map(|(name, value)| (name.clone(), value.value.clone())).collect()
}

/// The file systems in memory that start with the image's content. The value tells whether they
/// also get the image's owner and mode.
fn copied(app: &App, mounts: &[Mount]) -> BTreeMap<String, bool> {
    let is_filled = |mount: &&Mount| mount.options.copy && !mount.options.read_only;
    let mounted = mounts.iter().filter(is_filled).filter_map(|mount| match &mount.what {
        What::Tmpfs(options) => Some((&mount.target, options)),
        _ => None,
    });
    let short = app.startup.tmpfs.iter().filter(|(path, _)| app.startup.copied.contains(*path));
    // The default mode was not requested by the file.
    let is_written = |option: &str| ["mode=", "uid=", "gid="].iter().any(|key| option.starts_with(key));
    let as_image = |options: &str| options.split(',').filter(|option| is_written(option)).eq([USUAL_MODE]);
    let all = short.chain(mounted).filter(|(path, _)| *path != "/run");
    all.map(|(path, options)| (path.clone(), as_image(options))).collect()
}

/// The log settings of the application's unit. The launcher needs them for its own log streams.
fn log(app: &App, container: &Container) -> Log {
    // The index is the number of the severity (syslog(3)).
    const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let written = |key: &str| app.service.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    let level = written("SyslogLevel").and_then(|name| (0..).zip(LEVELS).find(|(_, level)| *level == name));
    // Only the service manager can expand specifiers.
    let own = written("SyslogIdentifier").filter(|text| !text.is_empty() && !text.contains('%'));
    Log {
        identifier: own.unwrap_or(identifier(app, container)).to_owned(),
        unit: format!("{}.service", app.unit()),
        level: level.map_or(6, |(number, _)| number),
        prefix: written("SyslogLevelPrefix").and_then(parse_bool).unwrap_or(true),
    }
}

/// The syslog identifier of the application's messages in the journal.
fn identifier<'a>(app: &'a App, container: &'a Container) -> &'a str {
    if container.apps.len() > 1 { &app.name } else { &container.name }
}

fn service(app: &App, container: &Container, facts: &Facts, health: Option<&Health>) -> UnitFile {
    let several = container.apps.len() > 1;
    let directory = app.directory();
    let mut unit = UnitFile::generated_from(&container.file);
    let what = if several { format!(" {}", app.name) } else { String::new() };
    unit.set_literal("Unit", "Description", &format!("Application{what} of container {}", container.name));
    unit.set("Unit", "Documentation", "man:sdme.container(5)");
    // The journal is the only part of the operating system that an application depends on.
    unit.set("Unit", "DefaultDependencies", "no")
        .set("Unit", "Requires", "systemd-journald.socket")
        .set("Unit", "Wants", format!("{}.socket", app.unit()))
        .set("Unit", "After", format!("systemd-journald.socket {}.socket", app.unit()))
        .set("Unit", "Conflicts", "shutdown.target")
        .set("Unit", "Before", "shutdown.target");
    health::watched(app, health, &mut unit);
    unit.set_literal("Service", "SyslogIdentifier", identifier(app, container));
    unit.set("Service", "Type", if app.notify == Notify::Yes { "notify" } else { "exec" })
        // The launcher passes signals on to the application.
        .set("Service", "KillMode", "mixed")
        .set("Service", "RootDirectory", format!("{directory}/root"))
        .set("Service", "MountAPIVFS", "yes")
        // The directory is opened instead of bound: in a user namespace, a directory cannot be
        // bound without the mounts below it.
        .set("Service", "OpenFile", format!("{directory}:{}:read-only", process::HANDED_OVER))
        .set("Service", "BindReadOnlyPaths", format!("{LAUNCHER}:{}", process::PROGRAM));
    for file in RESOLVER_FILES {
        unit.set("Service", "BindReadOnlyPaths", format!("-{file}"));
    }
    // A rate limit would lose messages; journald.conf(5) limits the size of the journal. An
    // interval of 0 counts as not set, in spite of systemd.exec(5), and the journal's default would
    // apply.
    unit.set("Service", "LogRateLimitIntervalSec", "1ms").set("Service", "LogRateLimitBurst", "10000000").set(
        "Service",
        "ExecStart",
        process::PROGRAM,
    );
    startup(app, facts.images.get(&app.image), container, &mut unit);
    if app.notify == Notify::Yes {
        // The launcher is the main process, and the application is a child of the launcher.
        unit.set("Service", "NotifyAccess", "all");
    }
    volumes::application(container, app, facts.images.get(&app.image), &mut unit);
    pod::application(container, &mut unit);
    security::application(app, container, facts, &mut unit);
    for (key, value) in &app.unit {
        unit.set("Unit", key, value.as_str());
    }
    for (key, value) in app.service.iter().filter(|(key, _)| key != security::FILTER) {
        unit.set("Service", key, value.as_str());
    }
    unit
}

/// The socket on which the application's init accepts commands that run next to the application.
/// The service manager opens the socket, because the application's filters may not let the init do
/// that, and only root of the container can connect.
fn commands(app: &App, container: &Container) -> UnitFile {
    let mut unit = UnitFile::generated_from(&container.file);
    unit.set_literal("Unit", "Description", &format!("Commands beside {}", app.unit()));
    unit.set("Unit", "Documentation", "man:sdme.container(5)");
    unit.set("Unit", "DefaultDependencies", "no")
        .set("Unit", "PartOf", format!("{}.service", app.unit()))
        .set("Unit", "Conflicts", "shutdown.target")
        .set("Unit", "Before", "shutdown.target")
        .set("Socket", "ListenStream", format!("{}/{}", process::COMMAND_SOCKETS, app.unit()))
        .set("Socket", "FileDescriptorName", process::COMMANDS)
        .set("Socket", "SocketMode", "0600")
        .set("Socket", "DirectoryMode", "0700")
        .set("Socket", "RemoveOnStop", "yes")
        // A request that an application has not answered must not start the application again.
        .set("Socket", "FlushPending", "yes")
        .set("Socket", "TriggerLimitIntervalSec", "0");
    unit
}

/// Adds the settings that the service manager applies instead of the launcher.
fn startup(app: &App, image: Option<&ImageFacts>, container: &Container, unit: &mut UnitFile) {
    let startup = &app.startup;
    let of_image =
        || image.and_then(|i| i.stop_signal.as_ref()).map(|s| values::signal(s).unwrap_or_else(|| s.clone()));
    if let Some(signal) = startup.stop_signal.clone().or_else(of_image) {
        unit.set_literal("Service", "KillSignal", &signal);
    }
    if let Some(time) = startup.stop_timeout {
        // With a timeout of 0, systemd would wait for ever.
        unit.set("Service", "TimeoutStopSec", span(time.max(1)));
    }
    for (setting, value) in &startup.limits {
        unit.set("Service", setting, value);
    }
    if startup.read_only {
        unit.set("Service", "ReadOnlyPaths", "+/");
    }
    let mounts = container.mounts_of(app, image);
    for (path, options) in startup.in_memory() {
        // A volume replaces a default file system at the same path, but not one from Tmpfs=.
        if !startup.tmpfs.contains_key(&path) && mounts.iter().any(|mount| mount.target == path) {
            continue;
        }
        unit.set_literal("Service", "TemporaryFileSystem", &format!("{path}:{options}"));
    }
}
