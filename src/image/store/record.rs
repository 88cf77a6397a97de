// SPDX-License-Identifier: MIT
//! What is remembered of an imported image: `image.json` in its store entry.
//!
//! Everything that starting a container needs to know, so that no other module has to read image configurations.
//! Pure; `store` reads and writes it.

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

/// Version of what an import makes of an image. Part of the names of store entries: raising it makes every image
/// be unpacked anew.
pub const FORMAT: u32 = 2;

/// An imported image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// [`FORMAT`] at the time of the import.
    pub format: u32,
    /// The reference it was imported by, in full.
    pub reference: String,
    /// Digest of its manifest for its platform; of its configuration or archive where it has no manifest.
    pub manifest: String,
    /// Digest of the index that its reference stands for, which names the manifests for all platforms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The mode that was asked for.
    #[serde(with = "setting")]
    pub requested_mode: ModeSetting,
    /// The platform that was asked for, as `ARCH/VARIANT`; empty for the machine's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requested_platform: String,
    /// What was asked for about packages; empty for what is usual.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requested_installation: String,
    /// The command that installed systemd, if it came without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    /// By which keys it was accepted; empty where no signature was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accepted>,
    /// The shared layers that its tree is on top of, by name, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// The mode it has.
    pub mode: Mode,
    /// Processor architecture in Go's spelling.
    pub architecture: String,
    /// `ENTRYPOINT`
    pub entrypoint: Vec<String>,
    /// `CMD`
    pub cmd: Vec<String>,
    /// `ENV`, as `NAME=VALUE`
    pub env: Vec<String>,
    /// `USER`, resolved.
    pub user: User,
    /// `WORKDIR`, absolute.
    pub working_dir: String,
    /// `STOPSIGNAL`, as written; `None` means SIGTERM.
    pub stop_signal: Option<String>,
    /// `EXPOSE`, as `80/tcp` or `80-90/udp`.
    pub exposed_ports: Vec<String>,
    /// `VOLUME`, absolute paths.
    pub volumes: Vec<String>,
    /// `LABEL`
    pub labels: BTreeMap<String, String>,
    /// `HEALTHCHECK`
    pub healthcheck: Option<Healthcheck>,
}

/// What is known of an image before it is unpacked.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The reference in full.
    pub reference: &'a str,
    /// What it is addressed by.
    pub address: &'a Address,
    /// By which keys it was accepted.
    pub accepted: &'a [Accepted],
    /// `Mode=`
    pub mode: ModeSetting,
    /// `Arch=` and `Variant=`
    pub platform: &'a PlatformSetting,
}

impl ImageRecord {
    /// Whether a digest is that of its manifest or of its index.
    #[must_use]
    pub fn is(&self, digest: &str) -> bool {
        self.manifest == digest || self.index.as_deref() == Some(digest)
    }

    /// The digest by which machines of all platforms can ask for the image.
    #[must_use]
    pub fn shared(&self) -> &str {
        self.index.as_ref().unwrap_or(&self.manifest)
    }

    /// Whether this is what would be imported again for the same wishes.
    #[must_use]
    pub fn satisfies(&self, reference: &str, mode: ModeSetting, platform: &PlatformSetting) -> bool {
        self.reference == reference && self.requested_mode == mode && self.requested_platform == platform.to_string()
    }

    /// Puts together what is known after unpacking. Gives the record, and what in the configuration had to be ignored.
    #[must_use]
    pub fn new(known: Known<'_>, mode: Mode, config: ImageConfig, user: User) -> (Self, Vec<String>) {
        let execution = config.config;
        let (exposed_ports, bad_ports) = execution.ports();
        let (volumes, bad_volumes) = execution.volume_paths();
        let mut ignored: Vec<String> = bad_ports.iter().map(|port| format!("exposed port {port:?}")).collect();
        ignored.extend(bad_volumes.iter().map(|path| format!("volume {path:?}")));
        let (_, bad_variables) = render_env(&execution.env);
        ignored.extend(bad_variables.iter().map(|variable| format!("variable {variable:?}")));
        // Docker takes a relative working directory from the root.
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

    /// The image's health check, with what it does not say filled in.
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

/// `Mode=` in the words of the configuration.
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
