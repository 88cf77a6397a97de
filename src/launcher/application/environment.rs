// SPDX-License-Identifier: MIT
//! The application's environment: the variables of the image and of the container, without those
//! that the service manager gives to every service.

use std::ffi::{CString, OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::unistd::gethostname;
use sdme_gen::contract::process::{IMAGE_ENVIRONMENT, OWN_ENVIRONMENT, Process, SECRET_ENVIRONMENT};
use sdme_gen::unit::parse_env;

/// Docker's default `PATH` for an image that has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables of the service manager that exist only because the application's unit has the
/// corresponding setting (systemd.exec(5), "Environment variables in spawned processes").
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

/// Variables that hold the ID of the process which another variable is meant for: the first name is
/// set if the second one is.
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

    /// A copy without these variables.
    pub fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.iter().all(|other| name != other)).cloned().collect())
    }

    /// The strings for execve(2). Must be called by the process that becomes the application,
    /// because `LISTEN_PID` and `WATCHDOG_PID` get its process ID.
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

/// Builds the environment: the variables that Docker gives to every container, then the image's,
/// then the container's. `given` reads the environment that the service manager gives to the
/// service.
///
/// # Errors
/// A file of variables cannot be read, or the host name is unknown.
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
