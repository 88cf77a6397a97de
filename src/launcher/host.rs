// SPDX-License-Identifier: MIT
//! What the host is told about applications: a line in the status of the container's unit. systemd-nspawn passes on what
//! the container's service manager says; this speaks in its name.

use std::fs;
use std::io::IoSlice;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, sendmsg, socket,
};
use sdme_gen::contract::health::State;

use super::manager;

/// What is known about each application, by its name.
pub const STATES: &str = "/run/sdme/health";
/// Where systemd-nspawn listens (systemd-nspawn(1), `--notify-ready=`).
const SOCKET: &str = "/run/host/notify";

/// Tells the state of all applications.
///
/// # Errors
/// The addresses are not known, or nothing listens there.
pub fn tell() -> Result<()> {
    let mut all = Vec::new();
    for entry in fs::read_dir(STATES).context("nothing is known about health")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            // About to replace another one.
            continue;
        }
        if let Some(state) = fs::read(entry.path()).ok().and_then(|text| serde_json::from_slice::<State>(&text).ok()) {
            all.push((name, state.status.word()));
        }
    }
    all.sort();
    let words: Vec<String> = match all.as_slice() {
        [(_, word)] => vec![(*word).to_owned()],
        _ => all.iter().map(|(name, word)| format!("{name} {word}")).collect(),
    };
    let message = format!("STATUS={}", words.join(", "));
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let address = UnixAddr::new(SOCKET)?;
    // Only the first process of the container is heard.
    let sender = UnixCredentials::from(libc::ucred { pid: 1, uid: 0, gid: 0 });
    let control = [ControlMessage::ScmCredentials(&sender)];
    let text = [IoSlice::new(message.as_bytes())];
    sendmsg(std::os::fd::AsRawFd::as_raw_fd(&socket), &text, &control, MsgFlags::empty(), Some(&address))
        .context("the host does not listen")?;
    Ok(())
}

/// Tells it once more after the boot: its end has a status line of its own.
///
/// # Errors
/// As for [`tell`].
pub fn tell_after_boot() -> Result<ExitCode> {
    // Also when it has not ended well.
    let _ = manager::systemctl(&["--quiet", "--wait", "is-system-running"]);
    if fs::metadata(STATES).is_ok() {
        tell()?;
    }
    Ok(ExitCode::SUCCESS)
}
