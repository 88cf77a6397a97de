// SPDX-License-Identifier: MIT
//! The record of an imported image: `image.json` in its store entry.
//!
//! The record has everything that the start of a container needs, so no other module has to read
//! image configurations. Pure; `store` reads and writes the record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::values::source::{ModeSetting, PlatformSetting};
use crate::contract::health::{Health, START_INTERVAL, Test};
use crate::image::kind::imageconfig::{Healthcheck, ImageConfig};
use crate::image::kind::user::User;
use crate::image::source::manifest::Address;
use crate::image::trust::Accepted;
use crate::model::Mode;
use crate::unit::render_env;

/// The version of the result of an import. It is part of the names of store entries, so increasing
/// it causes every image to be unpacked again.
pub const FORMAT: u32 = 2;

/// An imported image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The value of [`FORMAT`] at the time of the import.
    pub format: u32,
    /// The full reference of the image.
    pub reference: String,
    /// The digest of the manifest for the platform. For a source without manifests, it is the
    /// digest of the configuration or of the archive.
    pub manifest: String,
    /// The digest of the index that the reference stands for, which names the manifests of all
    /// platforms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The requested mode.
    #[serde(with = "setting")]
    pub requested_mode: ModeSetting,
    /// The requested platform as `ARCH/VARIANT`; empty for the platform of the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requested_platform: String,
    /// The requested package installation; empty for the default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requested_installation: String,
    /// The command that installed systemd, if the image came without systemd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    /// The keys by which the image was accepted; empty if no signature was required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accepted>,
    /// The names of the shared layers below the image's own tree, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// The mode of the image.
    pub mode: Mode,
    /// The processor architecture in the spelling of Go.
    pub architecture: String,
    /// The words of `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// The words of `CMD`.
    pub cmd: Vec<String>,
    /// The variables of `ENV`, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// The resolved user of `USER`.
    pub user: User,
    /// The path of `WORKDIR`, always absolute.
    pub working_dir: String,
    /// The signal of `STOPSIGNAL` as written; `None` stands for SIGTERM.
    pub stop_signal: Option<String>,
    /// The ports of `EXPOSE`, as `80/tcp` or `80-90/udp`.
    pub exposed_ports: Vec<String>,
    /// The absolute paths of `VOLUME`.
    pub volumes: Vec<String>,
    /// The labels of `LABEL`.
    pub labels: BTreeMap<String, String>,
    /// The health check of `HEALTHCHECK`.
    pub healthcheck: Option<Healthcheck>,
}

/// The properties of an image that are known before it is unpacked.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The full reference.
    pub reference: &'a str,
    /// The address of the image.
    pub address: &'a Address,
    /// The keys by which the image was accepted.
    pub accepted: &'a [Accepted],
    /// The value of `Mode=`.
    pub mode: ModeSetting,
    /// The values of `Arch=` and `Variant=`.
    pub platform: &'a PlatformSetting,
}

impl ImageRecord {
    /// Whether a digest is that of the manifest or of the index.
    #[must_use]
    pub fn is(&self, digest: &str) -> bool {
        self.manifest == digest || self.index.as_deref() == Some(digest)
    }

    /// Returns the digest by which machines of all platforms can request the image.
    #[must_use]
    pub fn shared(&self) -> &str {
        self.index.as_ref().unwrap_or(&self.manifest)
    }

    /// Whether the image satisfies the same request, so that a new import would yield the same
    /// result.
    #[must_use]
    pub fn satisfies(&self, reference: &str, mode: ModeSetting, platform: &PlatformSetting) -> bool {
        self.reference == reference && self.requested_mode == mode && self.requested_platform == platform.to_string()
    }

    /// Creates the record of an unpacked image. The second result lists the settings of the
    /// configuration that are invalid and ignored.
    #[must_use]
    pub fn new(known: Known<'_>, mode: Mode, config: ImageConfig, user: User) -> (Self, Vec<String>) {
        let execution = config.config;
        let (exposed_ports, bad_ports) = execution.ports();
        let (volumes, bad_volumes) = execution.volume_paths();
        let mut ignored: Vec<String> = bad_ports.iter().map(|port| format!("exposed port {port:?}")).collect();
        ignored.extend(bad_volumes.iter().map(|path| format!("volume {path:?}")));
        let (_, bad_variables) = render_env(&execution.env);
        ignored.extend(bad_variables.iter().map(|variable| format!("variable {variable:?}")));
        // Docker resolves a relative working directory against the root directory.
        let slash = if execution.working_dir.starts_with('/') { "" } else { "/" };
        let healthcheck = execution.checked_by();
        let record = Self {
            format: FORMAT,
            reference: known.reference.to_owned(),
            manifest: known.address.digest.to_string(),
            index: known.address.index.as_ref().map(ToString::to_string),
            requested_mode: known.mode,
            requested_platform: known.platform.to_string(),
            requested_installation: String::new(),
            installed: None,
            accepted: known.accepted.to_vec(),
            layers: Vec::new(),
            mode,
            architecture: config.architecture,
            entrypoint: execution.entrypoint,
            cmd: execution.cmd,
            env: execution.env,
            user,
            working_dir: format!("{slash}{}", execution.working_dir),
            stop_signal: Some(execution.stop_signal).filter(|signal| !signal.is_empty()),
            exposed_ports,
            volumes,
            labels: execution.labels,
            healthcheck,
        };
        (record, ignored)
    }

    /// Returns the health check of the image, with defaults for missing values.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        let check = self.healthcheck.as_ref()?;
        let milliseconds = |nanoseconds: u64| (nanoseconds > 0).then(|| (nanoseconds / 1_000_000).max(1));
        let usual = Health::default();
        let retries = u32::try_from(check.retries).unwrap_or(u32::MAX);
        Some(Health {
            test: Test::Command(Health::command(&check.test)?),
            interval: milliseconds(check.interval).or(usual.interval),
            timeout: milliseconds(check.timeout).unwrap_or(usual.timeout),
            retries: if retries == 0 { usual.retries } else { retries },
            start_period: milliseconds(check.start_period).unwrap_or(0),
            start_interval: Some(milliseconds(check.start_interval).unwrap_or(START_INTERVAL)),
            ..usual
        })
    }
}

/// Serializes `Mode=` in the spelling of the configuration.
mod setting {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::config::values::source::ModeSetting;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(mode: &ModeSetting, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match mode {
            ModeSetting::Auto => "auto",
            ModeSetting::Base => "base",
            ModeSetting::App => "app",
        })
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ModeSetting, D::Error> {
        String::deserialize(deserializer).map(|word| ModeSetting::from_choice(&word))
    }
}
