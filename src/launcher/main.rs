// SPDX-License-Identifier: MIT
//! The launcher: becomes the user an image asks for and executes its program. It runs inside the container, in the
//! application's root, linked statically, and resolves no user by name. Usage: `sdme-oci-run PROCESS.json`.

mod relay;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::unistd::{Gid, Uid, chdir, execve, setgid, setgroups, setuid};
use sdme_gen::process::Process;

/// What the kernel and shells search when `PATH` is not set (execvp(3)).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn main() -> ExitCode {
    match run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("{error:#}");
            // As shells and container engines report a command that cannot be started.
            ExitCode::from(127)
        }
    }
}

fn run() -> Result<Infallible> {
    let path = std::env::args_os().nth(1).context("usage: sdme-oci-run PROCESS.json")?;
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.to_string_lossy()))?;
    let process: Process = serde_json::from_slice(&text).context("the process description is damaged")?;
    // The unit's own files are in a /run of its own; the application sees the image's /run from here on.
    umount2("/run", MntFlags::MNT_DETACH).context("cannot uncover /run")?;
    let user = &process.user;
    relay::supervise(Uid::from_raw(user.uid), Gid::from_raw(user.gid), || start(&process))
}

/// Becomes the application.
fn start(process: &Process) -> Result<Infallible> {
    let program = process.args.first().context("the image names no program; write Exec= in the .container file")?;
    let environment = environment(process)?;
    enter(&process.cwd)?;
    become_user(process)?;

    let path = environment.iter().find_map(|v| v.to_bytes().strip_prefix(b"PATH="));
    let search = path.map_or(OsStr::new(DEFAULT_PATH), OsStr::from_bytes);
    let arguments: Vec<CString> = process.args.iter().map(|a| CString::new(a.as_str())).collect::<Result<_, _>>()?;
    let mut last = nix::Error::ENOENT;
    for candidate in candidates(program, search) {
        match execve(&candidate?, &arguments, &environment) {
            Ok(never) => match never {},
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR) => {}
            Err(error) => last = error,
        }
    }
    bail!("cannot start {program}: {}", last.desc())
}

/// Enters the working directory; one that is missing is made, as Docker does.
fn enter(directory: &str) -> Result<()> {
    if directory.is_empty() || chdir(directory).is_ok() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .and_then(|()| chdir(directory).map_err(Into::into))
        .with_context(|| format!("cannot enter the working directory {directory}"))
}

/// The unit's environment, and what the process adds to it. The unit's settings come from the user and beat the image's.
fn environment(process: &Process) -> Result<Vec<CString>> {
    let mut names = BTreeSet::new();
    let mut out = Vec::new();
    for (name, value) in std::env::vars_os() {
        let line = [name.as_bytes(), b"=", value.as_bytes()].concat();
        names.insert(name);
        out.push(CString::new(line)?);
    }
    for variable in &process.env {
        let name = variable.split('=').next().unwrap_or_default();
        if !names.contains(OsStr::new(name)) {
            out.push(CString::new(variable.as_str())?);
        }
    }
    Ok(out)
}

fn become_user(process: &Process) -> Result<()> {
    let user = &process.user;
    let groups: Vec<Gid> = user.additional_gids.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).context("cannot set the supplementary groups")?;
    setgid(Gid::from_raw(user.gid)).with_context(|| format!("cannot become group {}", user.gid))?;
    setuid(Uid::from_raw(user.uid)).with_context(|| format!("cannot become user {}", user.uid))
}

/// Where the program may be (execvp(3)).
fn candidates<'a>(
    program: &'a str,
    search: &'a OsStr,
) -> impl Iterator<Item = Result<CString, std::ffi::NulError>> + use<'a> {
    let directories = if program.contains('/') { b"".as_slice() } else { search.as_bytes() };
    directories.split(|b| *b == b':').map(move |directory| {
        let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        CString::new([directory, slash, program.as_bytes()].concat())
    })
}
