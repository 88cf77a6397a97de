// SPDX-License-Identifier: MIT
//! Encrypted credentials, by means of systemd-creds(1).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::runtime::systemd;

const PROGRAM: &str = "systemd-creds";

/// Whether values can be encrypted for the system below `root`. This needs the key of that system,
/// so it must be the running one.
#[must_use]
pub fn can_encrypt(root: &Path) -> bool {
    systemd::is_live(root)
        && Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Encrypts a value under the name of its credential, and writes the result to a new file. The
/// program reads the value from standard input, because other users can see command lines.
///
/// # Errors
/// systemd-creds(1) cannot be run, or fails. The message contains its output.
pub fn encrypt(name: &str, value: &[u8], path: &Path) -> Result<()> {
    let mut command = Command::new(PROGRAM);
    command.args(["encrypt", &format!("--name={name}"), "-"]).arg(path);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run systemd-creds")?;
    if let Some(mut input) = child.stdin.take() {
        // An error is ignored: if the program has failed, its exit status and output are reported
        // below.
        let _ = input.write_all(value);
    }
    let output = child.wait_with_output().context("cannot run systemd-creds")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("systemd-creds cannot encrypt {name}: {reason}; run systemd-creds setup, and convert again");
    }
    Ok(())
}

/// The value of an encrypted credential. None if it cannot be decrypted.
#[must_use]
pub fn decrypt(name: &str, path: &Path) -> Option<Vec<u8>> {
    let mut command = Command::new(PROGRAM);
    command.args(["decrypt", &format!("--name={name}")]).arg(path).arg("-");
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}
