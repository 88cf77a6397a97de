// SPDX-License-Identifier: MIT
//! Reports the health of the applications to the host, in the status line of the container's unit.
//! systemd-nspawn forwards the notifications of the container's first process, so this program
//! sends in the name of that process.

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

/// The directory of the health states, one file per application with the application's name.
pub const STATES: &str = "/run/sdme/health";
/// The socket on which systemd-nspawn receives notifications (systemd-nspawn(1),
/// `--notify-ready=`).
const SOCKET: &str = "/run/host/notify";

/// Sends the health status of all applications.
///
/// # Errors
/// There are no health states, or systemd-nspawn does not listen.
pub fn report() -> Result<()> {
    let mut all = Vec::new();
    for entry in fs::read_dir(STATES).context("nothing is known about health")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            // A temporary file that will replace another one.
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
    // systemd-nspawn accepts notifications only from the first process of the container.
    let sender = UnixCredentials::from(libc::ucred { pid: 1, uid: 0, gid: 0 });
    let control = [ControlMessage::ScmCredentials(&sender)];
    let text = [IoSlice::new(message.as_bytes())];
    sendmsg(std::os::fd::AsRawFd::as_raw_fd(&socket), &text, &control, MsgFlags::empty(), Some(&address))
        .context("the host does not listen")?;
    Ok(())
}

/// Sends the status again after the boot, because systemd replaces the status line at the end of
/// the boot.
///
/// # Errors
/// As for [`report`].
pub fn report_after_boot() -> Result<ExitCode> {
    // The exit status of systemctl is ignored: the boot may have ended with failed units.
    let _ = manager::systemctl(&["--quiet", "--wait", "is-system-running"]);
    if fs::metadata(STATES).is_ok() {
        report()?;
    }
    Ok(ExitCode::SUCCESS)
}
