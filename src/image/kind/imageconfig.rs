// SPDX-License-Identifier: MIT
//! The image configuration: the command, environment and other settings with which an image should
//! run.
//!
//! Uses its own types instead of those of oci-spec, which lack the health check and refuse
//! documents that some builders write (without an architecture, or with `null` instead of an empty
//! list). Pure.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Deserializer, Serialize};

use crate::image::source::json::{respell, respell_field};
use crate::image::store::digest::Digest;

/// Deserializes `null` and a missing field as the default value.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// The same as [`lenient`], for a list of texts. A text that is `null` becomes empty.
fn lenient_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list: Vec<Option<String>> = lenient(deserializer)?;
    Ok(list.into_iter().map(Option::unwrap_or_default).collect())
}

/// The same as [`lenient`], for a mapping to texts. A text that is `null` becomes empty.
fn lenient_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: BTreeMap<String, Option<String>> = lenient(deserializer)?;
    Ok(map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

/// The same as [`lenient`], for a number that should not be negative. A negative number becomes
/// zero.
fn lenient_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number: i64 = lenient(deserializer)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// A configuration document (OCI image specification, config.md; Docker's older format has the same
/// fields).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ImageConfig {
    /// CPU architecture in the spelling of Go.
    #[serde(default, deserialize_with = "lenient")]
    pub architecture: String,
    /// Operating system in the spelling of Go.
    #[serde(default, deserialize_with = "lenient")]
    pub os: String,
    /// The settings with which the image runs.
    #[serde(default, deserialize_with = "lenient")]
    pub config: Execution,
    /// The layers of the image.
    pub rootfs: RootFs,
}

/// The layers by the digests of their uncompressed content.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RootFs {
    /// The digests in the order in which the layers are applied.
    #[serde(default, deserialize_with = "lenient_list")]
    pub diff_ids: Vec<String>,
}

/// The `config` object of the document.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// The value of `USER`.
    #[serde(deserialize_with = "lenient")]
    pub user: String,
    /// The ports of `EXPOSE`; only the keys have a meaning.
    #[serde(deserialize_with = "lenient")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// The variables of `ENV`, as `NAME=VALUE`.
    #[serde(deserialize_with = "lenient_list")]
    pub env: Vec<String>,
    /// The words of `ENTRYPOINT`.
    #[serde(deserialize_with = "lenient_list")]
    pub entrypoint: Vec<String>,
    /// The words of `CMD`.
    #[serde(deserialize_with = "lenient_list")]
    pub cmd: Vec<String>,
    /// The paths of `VOLUME`; only the keys have a meaning.
    #[serde(deserialize_with = "lenient")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// The value of `WORKDIR`.
    #[serde(deserialize_with = "lenient")]
    pub working_dir: String,
    /// The labels of `LABEL`.
    #[serde(deserialize_with = "lenient_map")]
    pub labels: BTreeMap<String, String>,
    /// The value of `STOPSIGNAL`.
    #[serde(deserialize_with = "lenient")]
    pub stop_signal: String,
    /// The health check of `HEALTHCHECK`, a Docker extension.
    #[serde(deserialize_with = "lenient")]
    pub healthcheck: Option<Healthcheck>,
    /// The words of `SHELL`, a Docker extension: the shell that runs a `CMD-SHELL` health check;
    /// `/bin/sh -c` if empty.
    #[serde(deserialize_with = "lenient_list")]
    pub shell: Vec<String>,
}

/// The keys of [`Execution`] in an image configuration.
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

/// A health check of Docker. Durations are in nanoseconds; zero stands for Docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", command]`.
    #[serde(alias = "Test", deserialize_with = "lenient_list")]
    pub test: Vec<String>,
    /// Interval between two checks.
    #[serde(alias = "Interval", deserialize_with = "lenient_number")]
    pub interval: u64,
    /// Timeout of one check.
    #[serde(alias = "Timeout", deserialize_with = "lenient_number")]
    pub timeout: u64,
    /// Time after the start during which failures do not count.
    #[serde(alias = "StartPeriod", deserialize_with = "lenient_number")]
    pub start_period: u64,
    /// Interval between two checks during the start period.
    #[serde(alias = "StartInterval", deserialize_with = "lenient_number")]
    pub start_interval: u64,
    /// Number of consecutive failures after which the container is unhealthy.
    #[serde(alias = "Retries", deserialize_with = "lenient_number")]
    pub retries: u64,
}

impl Execution {
    /// Returns the health check. A line for a shell other than the default one is converted to a
    /// list of words.
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
    /// Returns an error if the document is not an image configuration.
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

    /// Returns the digests of the uncompressed layers, whose number must be `count`.
    ///
    /// # Errors
    /// Returns an error if the number of layers differs, or if a digest is invalid.
    pub fn layers(&self, count: usize) -> Result<Vec<Digest>> {
        let ids = &self.rootfs.diff_ids;
        if ids.len() != count {
            bail!("the manifest has {count} layers, but the configuration has {}", ids.len());
        }
        ids.iter().map(|id| Digest::parse(id).context("a diff_id of the image configuration")).collect()
    }
}

impl Execution {
    /// Returns the ports as `NUMBER/PROTOCOL` or `FIRST-LAST/PROTOCOL`, sorted by number, and the
    /// invalid entries separately.
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

    /// Returns the volume paths that are absolute and without control characters or `..`, and the
    /// others separately.
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
    fn nulls_and_unknown_fields_are_accepted() {
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
    fn keys_are_read_regardless_of_case() {
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
    fn invalid_ports_and_volumes_are_separated() {
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
