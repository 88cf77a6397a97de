// SPDX-License-Identifier: MIT
//! The image configuration: what an image wants to be run as.
//!
//! Our own types instead of oci-spec's, which leave out the health check and refuse what sloppy builders write
//! (missing architecture, `null` for an empty list). Pure.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Deserializer, Serialize};

use crate::image::source::json::{respell, respell_field};
use crate::image::store::digest::Digest;

/// `null` and a missing field are both the default value.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// As [`lenient`], for a list of texts: one that is `null` is empty.
fn lenient_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list: Vec<Option<String>> = lenient(deserializer)?;
    Ok(list.into_iter().map(Option::unwrap_or_default).collect())
}

/// As [`lenient`], for texts by name: one that is `null` is empty.
fn lenient_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: BTreeMap<String, Option<String>> = lenient(deserializer)?;
    Ok(map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

/// As [`lenient`], for a number that cannot be negative but may be written so.
fn lenient_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number: i64 = lenient(deserializer)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// A configuration document (OCI image specification, config.md; Docker's older form has the same fields).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ImageConfig {
    /// CPU architecture in Go's spelling.
    #[serde(default, deserialize_with = "lenient")]
    pub architecture: String,
    /// Operating system in Go's spelling.
    #[serde(default, deserialize_with = "lenient")]
    pub os: String,
    /// How to run it.
    #[serde(default, deserialize_with = "lenient")]
    pub config: Execution,
    /// What it is made of.
    pub rootfs: RootFs,
}

/// The layers, by the digests of their uncompressed form.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RootFs {
    /// Digests in the order of application.
    #[serde(default, deserialize_with = "lenient_list")]
    pub diff_ids: Vec<String>,
}

/// The `config` object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// `USER`
    #[serde(deserialize_with = "lenient")]
    pub user: String,
    /// `EXPOSE`; only the keys mean anything.
    #[serde(deserialize_with = "lenient")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// `ENV`
    #[serde(deserialize_with = "lenient_list")]
    pub env: Vec<String>,
    /// `ENTRYPOINT`
    #[serde(deserialize_with = "lenient_list")]
    pub entrypoint: Vec<String>,
    /// `CMD`
    #[serde(deserialize_with = "lenient_list")]
    pub cmd: Vec<String>,
    /// `VOLUME`; only the keys mean anything.
    #[serde(deserialize_with = "lenient")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// `WORKDIR`
    #[serde(deserialize_with = "lenient")]
    pub working_dir: String,
    /// `LABEL`
    #[serde(deserialize_with = "lenient_map")]
    pub labels: BTreeMap<String, String>,
    /// `STOPSIGNAL`
    #[serde(deserialize_with = "lenient")]
    pub stop_signal: String,
    /// `HEALTHCHECK`, a Docker extension.
    #[serde(deserialize_with = "lenient")]
    pub healthcheck: Option<Healthcheck>,
    /// `SHELL`, a Docker extension: what a health check in the shell's form is run by, `/bin/sh -c` where there is none.
    #[serde(deserialize_with = "lenient_list")]
    pub shell: Vec<String>,
}

/// The keys of [`Execution`].
const EXECUTION: [&str; 11] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Shell",
];

/// The keys of [`Healthcheck`] in an image configuration.
const HEALTHCHECK: [&str; 6] = ["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];

/// Docker's health check. Durations are nanoseconds, zero meaning Docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", command]`.
    #[serde(alias = "Test", deserialize_with = "lenient_list")]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(alias = "Interval", deserialize_with = "lenient_number")]
    pub interval: u64,
    /// Time one check may take.
    #[serde(alias = "Timeout", deserialize_with = "lenient_number")]
    pub timeout: u64,
    /// Time after the start in which failures do not count.
    #[serde(alias = "StartPeriod", deserialize_with = "lenient_number")]
    pub start_period: u64,
    /// Time between two checks during the start period.
    #[serde(alias = "StartInterval", deserialize_with = "lenient_number")]
    pub start_interval: u64,
    /// Failures in a row that make it unhealthy.
    #[serde(alias = "Retries", deserialize_with = "lenient_number")]
    pub retries: u64,
}

impl Execution {
    /// The health check, a line for another shell than the usual one written out.
    #[must_use]
    pub fn checked_by(&self) -> Option<Healthcheck> {
        let mut check = self.healthcheck.clone()?;
        if let Some((kind, line)) = check.test.split_first()
            && kind == "CMD-SHELL"
            && !self.shell.is_empty()
            && !line.is_empty()
        {
            let words = self.shell.iter().cloned().chain([line.join(" ")]);
            check.test = ["CMD".to_owned()].into_iter().chain(words).collect();
        }
        Some(check)
    }
}

impl ImageConfig {
    /// Parses a document whose digest has been verified.
    ///
    /// # Errors
    /// When it is not a configuration.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let parse = || {
            let mut document: serde_json::Value = serde_json::from_slice(bytes)?;
            respell(&mut document, &["architecture", "os", "config", "rootfs"]);
            respell_field(&mut document, "rootfs", &["diff_ids"]);
            respell_field(&mut document, "config", &EXECUTION);
            if let Some(config) = document.get_mut("config") {
                respell_field(config, "Healthcheck", &HEALTHCHECK);
            }
            serde_json::from_value(document)
        };
        parse().context("the image configuration is malformed")
    }

    /// The digests of its uncompressed layers, of which there are to be `count`.
    ///
    /// # Errors
    /// When there are more or less, or one is no digest.
    pub fn layers(&self, count: usize) -> Result<Vec<Digest>> {
        let ids = &self.rootfs.diff_ids;
        if ids.len() != count {
            bail!("the manifest has {count} layers, but the configuration has {}", ids.len());
        }
        ids.iter().map(|id| Digest::parse(id).context("a diff_id of the image configuration")).collect()
    }
}

impl Execution {
    /// Ports as `NUMBER/PROTOCOL` or `FIRST-LAST/PROTOCOL`, sorted by number; what is no port is given separately.
    #[must_use]
    pub fn ports(&self) -> (Vec<String>, Vec<String>) {
        let mut good = Vec::new();
        let mut bad = Vec::new();
        for key in self.exposed_ports.keys() {
            let (number, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
            let protocol = protocol.to_ascii_lowercase();
            let mut range = number.splitn(2, '-').map(|n| n.parse::<u16>().ok().filter(|n| *n > 0));
            let first = range.next().flatten();
            let last = range.next().unwrap_or(first);
            match (first, last) {
                (Some(first), Some(last)) if first <= last && matches!(protocol.as_str(), "tcp" | "udp" | "sctp") => {
                    let text = if first == last { first.to_string() } else { format!("{first}-{last}") };
                    good.push((first, format!("{text}/{protocol}")));
                }
                _ => bad.push(key.clone()),
            }
        }
        good.sort();
        good.dedup();
        (good.into_iter().map(|(_, text)| text).collect(), bad)
    }

    /// Volume paths, absolute and without control characters or `..`; others are given separately.
    #[must_use]
    pub fn volume_paths(&self) -> (Vec<String>, Vec<String>) {
        self.volumes.keys().cloned().partition(|path| {
            path.starts_with('/') && !path.chars().any(char::is_control) && !path.split('/').any(|part| part == "..")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nulls_and_unknown_fields() {
        let text = br#"{"architecture":"amd64","os":"linux","created":null,"container_config":{},
            "config":{"Entrypoint":null,"Cmd":["sh"],"Env":null,"ExposedPorts":null,"OnBuild":[],"ArgsEscaped":true,
            "Healthcheck":{"Test":["CMD","true"],"Interval":5000000000}},
            "rootfs":{"type":"layers","diff_ids":null},"history":[]}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!(config.config.cmd, ["sh"]);
        let odd = br#"{"config":{"Labels":{"a":null,"b":"c"},"Env":["A=1",null],"ExposedPorts":{"80/tcp":null},
            "Healthcheck":{"Test":["CMD","true"],"Interval":-1}},"rootfs":{"diff_ids":[]}}"#;
        let odd = ImageConfig::parse(odd).unwrap().config;
        assert_eq!(odd.labels, [("a", ""), ("b", "c")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!((odd.env, odd.exposed_ports.len()), (vec!["A=1".to_owned(), String::new()], 1));
        assert_eq!(odd.healthcheck.unwrap().interval, 0);
        assert!(config.config.entrypoint.is_empty());
        let check = config.config.healthcheck.unwrap();
        assert_eq!((check.test.len(), check.interval), (2, 5_000_000_000));
        let text = br#"{"config":{"Shell":["/bin/bash","-ec"],"Healthcheck":{"Test":["CMD-SHELL","a | b"]}},
            "rootfs":{"type":"layers"}}"#;
        let config = ImageConfig::parse(text).unwrap().config;
        assert_eq!(config.checked_by().unwrap().test, ["CMD", "/bin/bash", "-ec", "a | b"]);
        let usual = Execution { shell: Vec::new(), ..config };
        assert_eq!(usual.checked_by(), usual.healthcheck);
        assert!(ImageConfig::parse(br#"{"rootfs":{"type":"layers"},"config":null}"#).is_ok());
        assert!(ImageConfig::parse(b"[]").is_err());
        assert!(ImageConfig::parse(b"{}").is_err());
    }

    #[test]
    fn keys_in_another_case() {
        let text = br#"{"OS":"linux","Architecture":"amd64","Config":{"cmd":["/app"],"env":["A=1"],"workingDir":"/w",
            "healthcheck":{"test":["CMD","true"],"RETRIES":2}},"RootFS":{"Diff_IDs":["x"]}}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!((config.architecture.as_str(), config.rootfs.diff_ids.len()), ("amd64", 1));
        let Execution { cmd, env, working_dir, healthcheck, .. } = config.config;
        assert_eq!((cmd.len(), env.len(), working_dir.as_str()), (1, 1, "/w"));
        let check = healthcheck.unwrap();
        assert_eq!((check.test.len(), check.retries), (2, 2));
    }

    #[test]
    fn ports_and_volumes() {
        let mut config = Execution::default();
        for key in ["8080/tcp", "80", "53/UDP", "9000-9010/tcp", "80/tcp", "0/tcp", "x\n/tcp", "1/quic", "9-1"] {
            config.exposed_ports.insert(key.into(), serde_json::Value::Null);
        }
        let (good, bad) = config.ports();
        assert_eq!(good, ["53/udp", "80/tcp", "8080/tcp", "9000-9010/tcp"]);
        assert_eq!(bad.len(), 4);
        for key in ["/data", "relative", "/a/../b", "/x\ny"] {
            config.volumes.insert(key.into(), serde_json::Value::Null);
        }
        assert_eq!(config.volume_paths().0, ["/data"]);
    }
}
