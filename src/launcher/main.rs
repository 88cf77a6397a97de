// SPDX-License-Identifier: MIT
//! The launcher: runs an image's program as the image's configuration requires. The launcher runs
//! inside the container in the application's root, is linked statically, and does not look up users
//! or hosts by name. The service manager passes it the application's directory
//! ([`application::handed`]).
//!
//! There are three processes ([`application`]): the service's main process, which relays output and
//! signals; its child, the init of the application's PID namespace; and the init's child, which
//! becomes the application.
//!
//! Called in the container's root, the launcher also manages applications: `sdme-oci-run
//! exec|exec-with|probe|health|await-health|status|ended`. On the host, `sdme-oci-run boot` runs
//! systemd-nspawn ([`boot`]).

mod application;
mod boot;
mod ended;
mod exec;
mod health;
mod host;
mod manager;
mod status;

use std::convert::Infallible;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use sdme_gen::contract::beside::Beside;
use sdme_gen::contract::process::{FILE, Process};

use application::handed::{self, Directory};
use application::{environment, mounts, relay};

/// The exit status of shells and container engines for a command that cannot be started.
const CANNOT_START: u8 = 127;

fn main() -> ExitCode {
    // An application with the same user and capabilities could otherwise follow this process's
    // descriptors in /proc. SAFETY: prctl(2) with numbers only.
    unsafe { nix::libc::prctl(nix::libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next();
    let verb = verb.as_deref().and_then(OsStr::to_str);
    let rest = arguments.map(|a| a.into_string().unwrap_or_else(|a| a.to_string_lossy().into_owned()));
    let rest: Vec<String> = rest.collect();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let ended = match (verb, rest.as_slice()) {
        (Some("exec"), [unit, directory, command @ ..]) => exec::exec(unit, directory, Beside::default(), command),
        (Some("exec-with"), [beside, unit, directory, command @ ..]) => exec::with(beside, unit, directory, command),
        (Some("probe"), [unit, probe]) => exec::probe(unit, probe),
        (Some("health"), [unit, app, directory]) => health::check(unit, app, directory),
        (Some("await-health"), [app]) => health::wait(app),
        (Some("status"), []) => host::report_after_boot(),
        (Some("ended"), units) => ended::ended(units),
        (Some("boot"), [unit, command @ ..]) => boot::boot(unit, command),
        _ => run().map(|never| match never {}),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(CANNOT_START)
        }
    }
}

fn run() -> Result<Infallible> {
    let handed = Directory::take()?;
    let commands = handed::commands()?;
    let directory = &handed.path();
    let process = description(directory)?;
    let environment = environment::build(&process, directory, |name| std::env::var_os(name))?;
    mounts::run_directory(directory)?;
    mounts::in_memory(directory, &process.copied)?;
    if !process.private_pids {
        mounts::hide_program()?;
    }
    // The container's root is above this directory, so the application must not be able to reach
    // the descriptor.
    drop(handed);
    relay::supervise(&process, &environment, commands)
}

/// Reads the description of the process from an application's directory.
fn description(directory: &Path) -> Result<Process> {
    let file = directory.join(FILE);
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))
}
