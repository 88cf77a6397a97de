// SPDX-License-Identifier: MIT
//! The verbs of `sdme-gen`. Thin: each calls into the library and prints.

mod complete;
mod daily;
mod fs;
mod manual;
mod show;
mod update;
mod write;

use self::show::check;
use self::show::diff;
use self::show::graph;
use self::show::render;
use self::show::security;
use self::write::config;
use self::write::convert;
use self::write::create;
use self::write::export;
use self::write::network;
use self::write::pod;
use self::write::volume;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _, Parser, Subcommand};
use clap_complete::CompleteEnv;

use crate::Compiled;
use crate::admin;
use crate::diag::Severity;
use crate::image::{Store, shown};
use crate::model::Container;
use crate::output::apply::apply;
use crate::runtime::{self, failure, ports};
use crate::text;
use crate::update::lock;

/// OCI images and systemd-nspawn containers as ordinary systemd units.
#[derive(Debug, Parser)]
#[command(name = "sdme-gen", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the files the configuration becomes, or write them to a directory
    Render {
        /// Directory to read the configuration from and to know images from
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Write the files below this directory, which must not exist or be empty
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Show behind each line the line of the configuration that it comes from
        #[arg(long, conflicts_with = "output")]
        origin: bool,
        /// Show only the files of these containers, pods, images, networks and volumes
        names: Vec<String>,
    },
    /// Write units and settings to /etc/systemd, and remove those written earlier that are no longer wanted
    Apply {
        /// Work on the system below this directory
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Say what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Check the configuration; exits with 1 if anything is wrong
    Check {
        /// Work on the system below this directory
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// As JSON, on standard output
        #[arg(long)]
        json: bool,
        /// Print what each container may do
        #[arg(long, conflicts_with = "json")]
        security: bool,
        /// Check only the files of these names, such as web for web.container
        names: Vec<String>,
    },
    /// Show the planned units and what each pulls in
    Graph {
        /// Work on the system below this directory
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// For Graphviz
        #[arg(long, conflicts_with = "mermaid")]
        dot: bool,
        /// For Mermaid
        #[arg(long)]
        mermaid: bool,
        /// Show only what hangs together with these containers
        names: Vec<String>,
    },
    /// Write /etc/sdme/NAME.container
    Create {
        /// Work on the system below this directory
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(flatten)]
        wanted: Box<create::Wanted>,
    },
    /// Write /etc/sdme/NAME.container, start the container, and open a shell in it if this is a terminal
    New {
        /// Open no shell
        #[arg(long, short)]
        detach: bool,
        #[command(flatten)]
        wanted: Box<create::Wanted>,
    },
    /// Remove containers: their files in /etc/sdme, and what they changed or left; volumes stay
    Rm {
        /// Work on the system below this directory
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Names of the containers
        #[arg(required = true)]
        names: Vec<String>,
        /// Stop those that run
        #[arg(long, short)]
        force: bool,
        /// Say what would be removed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the files that the applications of a container have added (A), modified (M) and deleted (D)
    Diff {
        /// Work on the system below this directory
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Name of the container
        name: String,
        /// Show also the files of the container around the applications, with paths from the container's root
        #[arg(long)]
        all: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make files from those of Quadlet, a docker or podman command line, a Compose file, or manifests of Kubernetes
    Convert {
        /// Work on the system below this directory
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Write the files to /etc/sdme; else they are only shown
        #[arg(long, global = true)]
        write: bool,
        #[command(subcommand)]
        verb: convert::Verb,
    },
    /// Make objects of Kubernetes from the configuration
    Export {
        /// Work on the system below this directory
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: export::Verb,
    },
    /// Show and set what is the same for all containers
    Config {
        /// Work on the system below this directory
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: config::Verb,
    },
    /// Import, list, remove and check images
    Fs {
        /// Work on the system below this directory
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: fs::Fs,
    },
    /// Write, list and remove pods
    Pod {
        /// Work on the system below this directory
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: pod::Verb,
    },
    /// Write, list and remove networks
    Network {
        /// Work on the system below this directory
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: network::Verb,
    },
    /// List and remove volumes
    Volume {
        /// Work on the system below this directory
        #[arg(long, global = true, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        #[command(subcommand)]
        verb: volume::Verb,
    },
    #[command(flatten)]
    Daily(daily::Verb),
    #[command(flatten)]
    Update(update::Verb),
    /// Remove former versions of images beyond those that are kept, what interrupted imports left, and downloads beyond the limit; list
    /// containers without a file and unused volumes, which stay
    Prune {
        /// Work on the system below this directory
        #[arg(long, default_value = "/", value_name = "DIR")]
        root: PathBuf,
        /// Say what would be removed, and change nothing
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
    Rejected { problems: Vec<String> },
}

/// The command line's definition, from which the manual pages and completions are made, too.
#[must_use]
pub fn command() -> Command {
    complete::with_names(Cli::command())
}

/// Runs the tool: 0 for success, 1 for failure, 2 for a wrong command line.
#[must_use]
pub fn run() -> ExitCode {
    CompleteEnv::with_factory(command).var(complete::VARIABLE).complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, and a closed pipe there is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Only messages of these verbs have several lines, and none of them contains text of an image.
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
        Verb::Check { root, json, security, names } => {
            // Anybody may ask; what users images have, and what a start will look at, is for root to see.
            let is_root = nix::unistd::geteuid().is_root();
            let mut compiled = if is_root { runtime::compile(&root) } else { runtime::check(&root) };
            if is_root {
                admin::preflight::add(&root, &mut compiled);
                let deviations = lock::deviations(&Store::open(&root), &compiled.model);
                compiled.diagnostics.extend(deviations);
            } else {
                eprintln!("sdme-gen: only root can check {}", admin::preflight::SUBJECTS);
            }
            check::only(&mut compiled.diagnostics, &compiled.model, &names)?;
            if security {
                security::print(&compiled.model, &mut out)?;
            }
            check::run(&compiled, json, &names, &mut out)
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
            admin::pods::started(&unit)?;
            admin::networks::renew(&unit).map(|()| ExitCode::SUCCESS)
        }
        Verb::Failed { unit } => {
            failure::stopped(&unit);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Rejected { problems } => {
            for problem in problems {
                eprintln!("{problem}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Removes what nothing needs any more, and names what is left. What has content of containers in it is removed by name only.
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

/// Runs a command of a container's service, which leaves severities to its commands ([`crate::journal::parse_severities`]).
fn in_service_of(container: &str, command: impl Fn(&str) -> Result<()>) -> Result<ExitCode> {
    crate::journal::parse_severities("sdme-gen", &Container::unit(container));
    command(container).map(|()| ExitCode::SUCCESS)
}

/// As [`in_service_of`], for the command before a start. If it fails, the status of the unit says why.
fn starting(container: &str, command: impl Fn(&str) -> Result<()>) -> Result<ExitCode> {
    let unit = Container::unit(container);
    let command = |container: &str| {
        let outcome = failure::of_command(&unit, failure::of_start, || command(container));
        outcome.or_else(|error| failure::leave_to_program(&unit, error))
    };
    in_service_of(container, command)
}

/// Prints a JSON document. Its strings may come from an image or a container, and it may be printed on a terminal.
fn print_json(document: &(impl serde::Serialize + ?Sized), out: &mut dyn Write) -> Result<()> {
    let text = serde_json::to_string_pretty(document).context("cannot render the JSON document")?;
    Ok(writeln!(out, "{}", text::json(&text))?)
}

/// Prints all diagnostics to standard error.
fn report(compiled: &Compiled) -> ExitCode {
    for diagnostic in &compiled.diagnostics {
        eprintln!("{diagnostic}");
    }
    let bad = compiled.diagnostics.iter().any(|d| d.severity == Severity::Error);
    if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
