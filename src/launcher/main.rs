// SPDX-License-Identifier: MIT
//! The launcher: runs an image's program as the image asks for. It runs inside the container, in the application's root,
//! linked statically, and resolves nothing by name. Usage: `sdme-oci-run DIRECTORY`, the application's directory, which
//! is hidden from the application.
//!
//! Three processes: the service's own, which relays output and signals ([`relay`]); its child, the init of the
//! application's PID namespace ([`init`]); and the child of that, which becomes the application ([`start`]).

mod environment;
mod init;
mod journal;
mod mounts;
mod relay;
mod start;
mod status;

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use sdme_gen::process::{FILE, Process};

/// As shells and container engines report a command that cannot be started.
const CANNOT_START: u8 = 127;

fn main() -> ExitCode {
    match run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(CANNOT_START)
        }
    }
}

fn run() -> Result<Infallible> {
    let directory = std::env::args_os().nth(1).context("usage: sdme-oci-run DIRECTORY")?;
    let directory = Path::new(&directory);
    let file = directory.join(FILE);
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let process: Process = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))?;
    let environment = environment::build(&process, directory)?;
    mounts::run_directory(directory)?;
    relay::supervise(&process, &environment)
}
