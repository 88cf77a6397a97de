// SPDX-License-Identifier: MIT
//! The application's environment: the image's and the container's, and nothing of the service manager's around it.

use std::ffi::{CString, OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::unistd::gethostname;
use sdme_gen::contract::process::{IMAGE_ENVIRONMENT, OWN_ENVIRONMENT, Process, SECRET_ENVIRONMENT};
use sdme_gen::unit::parse_env;

/// What Docker gives to an image without a `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables of the service manager that are there only because the application's unit asks for what they are about
/// (systemd.exec(5), "Environment variables in spawned processes").
const ASKED_FOR: [&str; 11] = [
    "CACHE_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "CREDENTIALS_DIRECTORY",
    "FDSTORE",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LOGS_DIRECTORY",
    "NOTIFY_SOCKET",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "WATCHDOG_USEC",
];

/// Variables that hold the process ID of whom another one is meant for.
const MEANT_FOR: [(&str, &str); 2] = [("LISTEN_PID", "LISTEN_FDS"), ("WATCHDOG_PID", "WATCHDOG_USEC")];

/// Variables in the order they were first assigned.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_os_str())
    }

    pub fn set(&mut self, name: OsString, value: OsString) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// A copy that lacks these variables.
    pub fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.iter().all(|other| name != other)).cloned().collect())
    }

    /// For execve(2), called by the process that is to become the application.
    ///
    /// # Errors
    /// A variable has a NUL byte.
    pub fn strings(&self) -> Result<Vec<CString>> {
        let own_id = std::process::id().to_string();
        let meant = MEANT_FOR.iter().filter(|(_, about)| self.get(about).is_some());
        let meant = meant.map(|(name, _)| (OsStr::new(name), OsStr::new(&own_id)));
        let all = self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())).chain(meant);
        all.map(|(name, value)| Ok(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?)).collect()
    }
}

/// Puts it together: what Docker gives to every container, then the image's, then the container's own. `given` is the
/// environment that the service manager gives to the service.
///
/// # Errors
/// A file of variables cannot be read, or a variable is refused.
pub fn build(process: &Process, directory: &Path, given: impl Fn(&str) -> Option<OsString>) -> Result<Environment> {
    let mut environment = Environment::default();
    environment.set("PATH".into(), DEFAULT_PATH.into());
    environment.set("HOSTNAME".into(), gethostname().context("cannot get the host name")?);
    for name in ASKED_FOR {
        if let Some(value) = given(name) {
            environment.set(name.into(), value);
        }
    }
    for file in [IMAGE_ENVIRONMENT, OWN_ENVIRONMENT, SECRET_ENVIRONMENT] {
        let path = directory.join(file);
        let text = match std::fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound && file == SECRET_ENVIRONMENT => continue,
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        for (name, value) in parse_env(&text) {
            environment.set(OsString::from_vec(name), OsString::from_vec(value));
        }
    }
    if environment.get("HOME").is_none_or(OsStr::is_empty) {
        environment.set("HOME".into(), process.user.home.clone().into());
    }
    Ok(environment)
}
