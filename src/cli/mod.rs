// SPDX-License-Identifier: MIT
//! The verbs of `sdme-gen`. Each verb only calls the library and prints the result.

mod complete;
mod cp;
mod daily;
mod examples;
mod fs;
mod manual;
mod print;
mod remove;
mod show;
mod update;
mod write;

use self::print::report;
use self::show::check;
use self::show::diff;
use self::show::graph;
use self::show::inspect;
use self::show::render;
use self::show::security;
use self::write::config;
use self::write::convert;
use self::write::create;
use self::write::export;
use self::write::network;
use self::write::pod;
use self::write::volume;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::error::{ContextKind, ContextValue};
use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::CompleteEnv;

use crate::admin;
use crate::image::{Store, shown};
use crate::model::Container;
use crate::output::apply::apply;
use crate::runtime::{self, failure, ports};
use crate::text;
use crate::update::lock;

/// Runs OCI images and clones of the host as systemd-nspawn containers, each of them a systemd unit.
#[derive(Debug, Parser)]
#[command(name = "sdme-gen", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::doc_markdown, reason = "these texts are shown by --help")]
enum Verb {
    /// Print the units and files that the configuration becomes, or write them to a directory
    Render {
        /// Root directory of the system whose configuration and images are read
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Write the files below this directory, which must be empty or missing
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Print behind each line the line of the configuration that it comes from
        #[arg(long, conflicts_with = "output")]
        origin: bool,
        /// Containers, pods, images, networks and volumes to print (default: all)
        names: Vec<String>,
    },
    /// Write units and settings to /etc/systemd, and remove those of an earlier apply that are not needed any more
    Apply {
        /// Root directory of the system to work on
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Print what would be done without doing it
        #[arg(long)]
        dry_run: bool,
    },
    /// Check the configuration; exit with 1 if there is an error
    Check {
        /// Root directory of the system to work on
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Also print the privileges of each container
        #[arg(long, conflicts_with = "json")]
        security: bool,
        /// Exit with 1 for a warning, too
        #[arg(long)]
        strict: bool,
        /// Names of files without the extension, such as web for web.container (default: all)
        names: Vec<String>,
    },
    /// Print the planned units and the units that each of them starts
    Graph {
        /// Root directory of the system to work on
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Print the language of Graphviz
        #[arg(long, conflicts_with = "mermaid")]
        dot: bool,
        /// Print the language of Mermaid
        #[arg(long)]
        mermaid: bool,
        /// Containers whose units are printed (default: all)
        names: Vec<String>,
    },
    /// Write /etc/sdme/NAME.container
    Create {
        /// Root directory of the system to work on
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(flatten)]
        wanted: Box<create::Wanted>,
    },
    /// Write /etc/sdme/NAME.container, start the container, and open a shell in it on a terminal
    New {
        /// Open no shell
        #[arg(long, short)]
        detach: bool,
        #[command(flatten)]
        wanted: Box<create::Wanted>,
    },
    /// Remove containers: their files in /etc/sdme and their changes; volumes stay
    Rm {
        /// Root directory of the system to work on
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Names of the containers
        #[arg(required = true)]
        names: Vec<String>,
        /// Stop running containers first
        #[arg(long, short)]
        force: bool,
        /// Print what would be removed without removing it
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the files that the applications of a container have added (A), modified (M) and deleted (D)
    Diff {
        /// Root directory of the system to work on
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Name of the container
        name: String,
        /// Also print files around the applications; paths begin at the container's root
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Convert Quadlet files, docker and podman command lines, Compose projects or Kubernetes manifests
    Convert {
        /// Root directory of the system to work on
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Write the files to /etc/sdme instead of printing them
        #[arg(long, global = true)]
        write: bool,
        #[command(subcommand)]
        verb: convert::Verb,
    },
    /// Convert the configuration to Kubernetes manifests
    Export {
        /// Root directory of the system to work on
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: export::Verb,
    },
    /// Print or change global defaults (/etc/sdme/sdme.conf)
    Config {
        /// Root directory of the system to work on
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: config::Verb,
    },
    /// Import, list, verify and remove images
    Fs {
        /// Root directory of the system to work on
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: fs::Fs,
    },
    /// Write, list and remove pods
    Pod {
        /// Root directory of the system to work on
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: pod::Verb,
    },
    /// Write, list and remove networks
    Network {
        /// Root directory of the system to work on
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: network::Verb,
    },
    /// List and remove volumes
    Volume {
        /// Root directory of the system to work on
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: volume::Verb,
    },
    /// Print everything that is known about containers: state, files, units, images, networks, mounts and user IDs
    Inspect {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Names of the containers
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Copy files between the host and an application, whether its container runs or not
    Cp(cp::Arguments),
    #[command(flatten)]
    Daily(daily::Verb),
    #[command(flatten)]
    Update(update::Verb),
    /// Remove former versions of images beyond KeepVersions=, leftovers of interrupted imports, and downloads beyond CacheSize=; list
    /// containers without a file and unused volumes, which are not removed
    Prune {
        /// Root directory of the system to work on
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Print what would be removed without removing it
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the version
    #[command(hide = true)]
    Version,
    /// Called by make build: writes the manual pages and what shells complete with
    #[command(hide = true)]
    Documents { directory: PathBuf },
    /// Called by systemd-nspawn@.service before a container starts
    #[command(hide = true)]
    Prepare { name: String },
    /// Called by systemd-nspawn@.service when a container has ended
    #[command(hide = true)]
    Release { name: String },
    /// Called by systemd-nspawn@.service of a container with Secret=
    #[command(hide = true)]
    Secrets { name: String },
    /// Called by sdme-image@.service
    #[command(hide = true)]
    Pull { name: String },
    /// Called by sdme-download@.service
    #[command(hide = true)]
    Download { name: String },
    /// Called after an import: removes former versions of an image beyond those that are kept
    #[command(hide = true)]
    Retire { name: String },
    /// Called by the service of a published port: waits until the port is listened on in this network, then runs the proxy
    #[command(hide = true)]
    AwaitPort {
        port: u16,
        seconds: u64,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        proxy: Vec<String>,
    },
    /// Called by the proxy of a port whose target the image says
    #[command(hide = true)]
    ExposedPort { pod: String, port: u16, file: PathBuf },
    /// Called by the units of pods and of ports: keeps a copy of the unit as long as it runs
    #[command(hide = true)]
    Started { unit: String },
    /// Called by the units of pods and networks when they have failed: writes down why
    #[command(hide = true)]
    Failed { unit: String },
    /// Called by the unit of a rejected file
    #[command(hide = true)]
    Rejected {
        /// The unit whose cause is recorded, too
        #[arg(long)]
        unit: Option<String>,
        problems: Vec<String>,
    },
}

/// The definition of the command line, from which the manual pages and completions are also made.
#[must_use]
pub fn command() -> Command {
    examples::with_examples(complete::with_names(Cli::command()))
}

/// Parses the command line.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments).map_err(|error| without_hidden(error, &command))?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Removes hidden verbs, which only units call, from the suggestions of an error.
fn without_hidden(mut error: clap::Error, command: &Command) -> clap::Error {
    let is_hidden = |name: &str| command.get_subcommands().any(|verb| verb.get_name() == name && verb.is_hide_set());
    let kept = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(name)) if is_hidden(name) => Vec::new(),
        Some(ContextValue::Strings(names)) => names.iter().filter(|name| !is_hidden(name)).cloned().collect(),
        _ => return error,
    };
    error.remove(ContextKind::SuggestedSubcommand);
    if !kept.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(kept));
    }
    error
}

/// Runs the tool. The exit status is 0 for success, 1 for failure, 2 for an invalid command line.
#[must_use]
pub fn run() -> ExitCode {
    CompleteEnv::with_factory(command).var(complete::VARIABLE).complete();
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // An error is ignored: help and version go to standard output, and a closed pipe there
            // is not a failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // The error messages of these verbs can have several lines. They contain no text of an image.
    let several_lines = matches!(
        cli.verb,
        Verb::Apply { .. }
            | Verb::Create { .. }
            | Verb::New { .. }
            | Verb::Convert { .. }
            | Verb::Config { .. }
            | Verb::Export { .. }
            | Verb::Pod { .. }
            | Verb::Network { .. }
    );
    match dispatch(cli.verb) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let error = format!("sdme-gen: {error:#}");
            eprintln!("{}", if several_lines { text::lines(&error) } else { text::line(&error) });
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    match verb {
        Verb::Render { root, output, origin, names } => render::run(&root, output.as_deref(), origin, &names, &mut out),
        Verb::Apply { root, dry_run } => {
            let compiled = runtime::compile(&root);
            if report(&compiled) != ExitCode::SUCCESS {
                eprintln!("sdme-gen: nothing was changed");
                return Ok(ExitCode::FAILURE);
            }
            for change in apply(&compiled.tree, &root, dry_run)? {
                writeln!(out, "{}", change.below(&root))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Check { root, json, security, strict, names } => {
            // All users may run the check, but only root can read the users of images and the state
            // of this host that a start checks.
            let is_root = nix::unistd::geteuid().is_root();
            let mut compiled = if is_root { runtime::compile(&root) } else { runtime::check(&root) };
            if is_root {
                admin::show::preflight::add(&root, &mut compiled);
                let deviations = lock::deviations(&Store::open(&root), &compiled.model);
                compiled.diagnostics.extend(deviations);
            } else {
                eprintln!("sdme-gen: only root can check {}", admin::show::preflight::SUBJECTS);
            }
            check::only(&mut compiled.diagnostics, &compiled.model, &names)?;
            if security {
                security::print(&compiled.model, &mut out)?;
            }
            check::run(&compiled, json, strict, &names, &mut out)
        }
        Verb::Graph { root, dot, mermaid, names } => graph::run(&root, dot, mermaid, &names, &mut out),
        Verb::Create { root, wanted } => create::create(&wanted, &root, &mut out).map(|_| ExitCode::SUCCESS),
        Verb::New { detach, wanted } => create::new(&wanted, detach, &mut out),
        Verb::Rm { root, names, force, dry_run } => create::remove(&names, &root, force, dry_run, &mut out),
        Verb::Diff { root, name, all, json } => diff::run(&root, &name, all, json, &mut out),
        Verb::Convert { root, write, verb } => convert::run(&verb, &root, write, &mut out),
        Verb::Export { root, verb } => export::run(&verb, &root, &mut out),
        Verb::Config { root, verb } => config::run(verb, &root, &mut out),
        Verb::Pod { root, verb } => pod::run(verb, &root, &mut out),
        Verb::Network { root, verb } => network::run(verb, &root, &mut out),
        Verb::Volume { root, verb } => volume::run(&verb, &root, &mut out),
        Verb::Inspect { json, names } => inspect::run(&names, json, &mut out),
        Verb::Cp(arguments) => cp::run(&arguments),
        Verb::Daily(verb) => daily::run(&verb, &mut out),
        Verb::Update(verb) => update::run(&verb, &mut out),
        Verb::Fs { root, verb } => fs::run(verb, &root, &mut out),
        Verb::Prune { root, dry_run } => prune(&root, dry_run, &mut out),
        Verb::Version => {
            writeln!(out, "sdme-gen {}", env!("CARGO_PKG_VERSION"))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Documents { directory } => manual::write(command(), &directory).map(|()| ExitCode::SUCCESS),
        Verb::Release { name } => in_service_of(&name, runtime::prepare::release),
        Verb::Prepare { name } => starting(&name, runtime::prepare::prepare),
        Verb::Secrets { name } => starting(&name, runtime::secrets::secrets),
        Verb::Pull { name } => runtime::pull::of_unit(Path::new("/"), &name, &*shown()).map(|()| ExitCode::SUCCESS),
        Verb::Download { name } => {
            runtime::pull::download(Path::new("/"), &name, &*shown()).context(name).map(|()| ExitCode::SUCCESS)
        }
        Verb::Retire { name } => {
            for removed in admin::images::retire(Path::new("/"), &name)? {
                writeln!(out, "removed {removed}")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::AwaitPort { port, seconds, proxy } => {
            ports::proxy(port, Duration::from_secs(seconds), &proxy).map(|()| ExitCode::SUCCESS)
        }
        Verb::ExposedPort { pod, port, file } => ports::exposed_port(&pod, port, &file).map(|()| ExitCode::SUCCESS),
        Verb::Started { unit } => {
            admin::write::pods::started(&unit)?;
            admin::write::networks::renew(&unit).map(|()| ExitCode::SUCCESS)
        }
        Verb::Failed { unit } => {
            failure::stopped(&unit);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Rejected { unit, problems } => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            if let Some(unit) = unit {
                failure::rejected(&unit, &problems);
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Removes files that nothing needs any more, and lists leftovers. Leftovers with data of
/// containers are only removed by commands that name them.
fn prune(root: &Path, dry_run: bool, out: &mut dyn Write) -> Result<ExitCode> {
    for removed in admin::images::prune(root, dry_run)? {
        writeln!(out, "{removed}")?;
    }
    for name in admin::leftovers::containers(root, &runtime::model(root))? {
        writeln!(out, "left: container {name} has no file; sdme-gen rm {name} removes what it left")?;
    }
    for volume in admin::leftovers::volumes(root)?.iter().filter(|volume| volume.users.is_empty()) {
        let name = text::line(&volume.name);
        writeln!(out, "left: volume {name} is not used; sdme-gen volume rm {name} removes it with its content")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command of a container's service. The service lets its commands mark the severity of
/// their messages ([`crate::journal::parse_severities`]).
fn in_service_of(container: &str, command: impl Fn(&str) -> Result<()>) -> Result<ExitCode> {
    crate::journal::parse_severities("sdme-gen", &Container::unit(container));
    command(container).map(|()| ExitCode::SUCCESS)
}

/// Like [`in_service_of`], for a command before a start. If the command fails, the status of the
/// unit shows the cause.
fn starting(container: &str, command: impl Fn(&str) -> Result<()>) -> Result<ExitCode> {
    let unit = Container::unit(container);
    let command = |container: &str| {
        let outcome = failure::of_command(&unit, failure::of_start, || command(container));
        outcome.or_else(|error| failure::leave_to_program(&unit, error))
    };
    in_service_of(container, command)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn verbs_that_units_call_are_not_suggested() {
        let said = |verb: &str| parse(["sdme-gen", verb].map(OsString::from)).unwrap_err().to_string();
        for verb in ["prepar", "releas", "downloads", "document", "secret", "retir", "await", "rejecte"] {
            let text = said(verb);
            assert!(text.contains("unrecognized subcommand"), "{text}");
            for hidden in Cli::command().get_subcommands().filter(|verb| verb.is_hide_set()) {
                assert!(!text.contains(&format!("'{}'", hidden.get_name())), "{text}");
            }
        }
        assert!(said("inspct").contains("'inspect'"));
    }
}
