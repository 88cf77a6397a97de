// SPDX-License-Identifier: MIT
//! Translates the options of Podman that are not one key with the same value. Pure.

use super::Reader;
use crate::config::keys::FileType;
use crate::config::values;
use crate::diag::{Code, Location};
use crate::ini::Entry;

/// Limits that two options, or an option and a key, set together.
#[derive(Debug, Default)]
pub struct Limits {
    /// `Memory=` or `--memory`, in bytes.
    memory: Option<u64>,
    /// `--memory-swap`
    swap: Option<String>,
    /// `--cpu-period`, in microseconds.
    period: Option<f64>,
    /// `--cpu-quota`, in microseconds.
    quota: Option<f64>,
    /// The location of the last of these options.
    pub at: Option<Location>,
}

impl Limits {
    /// Reads the limits that the keys of the section `own` set.
    pub fn new(own: &str, entries: &[Entry]) -> Self {
        let memory = entries.iter().rev().find(|entry| entry.key == "Memory" && &*entry.section == own);
        Self { memory: memory.and_then(|entry| values::size("Memory", &entry.value).ok()), ..Self::default() }
    }
}

/// The default of `--cpu-period` in microseconds (podman-run(1)).
const PERIOD: f64 = 100_000.0;

impl Reader<'_> {
    /// Translates an option that is `Special` in the table of options.
    pub fn special(&mut self, option: &'static str, value: &str) {
        if ["cpu-period", "cpu-quota", "memory-swap"].contains(&option) {
            self.limits.at = Some(self.at.clone());
        }
        match option {
            "blkio-weight" => self.scaled(option, value, "IOWeight", (10.0, 1000.0)),
            "cpu-shares" => self.scaled(option, value, "CPUWeight", (2.0, 262_144.0)),
            "cap-add" | "cap-drop" => {
                let key = if option == "cap-add" { "AddCapability" } else { "DropCapability" };
                for name in value.split(',') {
                    self.key(option, key, name);
                }
            }
            "cpus" => match value.parse::<f64>() {
                Ok(0.0) => {}
                Ok(cpus) if cpus > 0.0 => self.set("Service", "CPUQuota", &percent(cpus)),
                _ => self.error(
                    Code::Quantity,
                    &format!("--cpus={value} is not a number of processors"),
                    "write a number such as 1.5",
                ),
            },
            "cpu-period" => self.limits.period = value.parse().ok().filter(|time| *time > 0.0),
            "cpu-quota" => self.limits.quota = value.parse().ok().filter(|time| *time > 0.0),
            "device-read-bps" => self.device(option, value, "IOReadBandwidthMax"),
            "device-read-iops" => self.device(option, value, "IOReadIOPSMax"),
            "device-write-bps" => self.device(option, value, "IOWriteBandwidthMax"),
            "device-write-iops" => self.device(option, value, "IOWriteIOPSMax"),
            "env" if value.contains('=') => self.key(option, "Environment", value),
            "env" => self.without(option, ("the host's environment is not passed on", "write Environment=NAME=VALUE")),
            "gpus" => self.key(option, "AddDevice", &format!("nvidia.com/gpu={value}")),
            "memory" => {
                self.limits.memory = values::size("Memory", value).ok();
                self.memory(value);
            }
            "memory-swap" => self.limits.swap = Some(value.to_owned()),
            "net" | "network" => {
                let (name, _) = value.split_once(':').unwrap_or((value, ""));
                let value =
                    if ["pasta", "slirp4netns", "private", "default"].contains(&name) { "uplink" } else { value };
                self.key(option, "Network", value);
            }
            "no-healthcheck" => self.key(option, "HealthCmd", "none"),
            "opt" => self.volume_option(value),
            "platform" => {
                let mut parts = value.split('/');
                for key in ["OS", "Arch", "Variant"] {
                    if let Some(part) = parts.next() {
                        self.key(option, key, part);
                    }
                }
            }
            "pod" => self.key(option, "Pod", &format!("{}.pod", value.trim_end_matches(".pod"))),
            "privileged" if value == "false" => {}
            "privileged" => {
                self.key(option, "AddCapability", "all");
                self.warn(
                    Code::Differs,
                    "--privileged differs from Podman: the applications get all capabilities, but no device of the host, and \
                     the system call filter stays",
                    "write AddDevice= and SystemCallFilter= for what they need",
                );
            }
            "restart" => match value.split(':').next().unwrap_or_default() {
                "always" | "unless-stopped" => self.set("Service", "Restart", "always"),
                "on-failure" => self.set("Service", "Restart", "on-failure"),
                "no" | "" => {}
                other => {
                    self.error(
                        Code::Choice,
                        &format!("--restart={other} is not a restart policy"),
                        "write Restart= in [Service]",
                    );
                }
            },
            "sdnotify" => match value {
                "healthy" => self.key(option, "Notify", "healthy"),
                "container" => self.key(option, "Notify", "yes"),
                _ => {}
            },
            "security-opt" => self.security(option, value),
            "umask" => self.set("App", "UMask", value),
            _ => self.without(option, ("it has no counterpart", "remove the option")),
        }
    }

    /// Adds the settings that several options determine together.
    pub fn finish(&mut self) {
        if let Some(quota) = self.limits.quota {
            let period = self.limits.period.unwrap_or(PERIOD);
            self.set("Service", "CPUQuota", &percent(quota / period));
            if self.limits.period.is_some() {
                self.set("Service", "CPUQuotaPeriodSec", &format!("{period:.0}us"));
            }
        }
        let Some(swap) = self.limits.swap.take() else { return };
        let total = values::size("--memory-swap", &swap);
        match (swap.as_str(), total, self.limits.memory) {
            ("-1", ..) => self.set("Service", "MemorySwapMax", "infinity"),
            (_, Err(problem), _) => self.error(problem.code, &problem.fault.cause, &problem.fault.remedy),
            (_, Ok(total), Some(memory)) if total >= memory => {
                self.set("Service", "MemorySwapMax", &(total - memory).to_string());
            }
            (_, Ok(_), Some(_)) => {
                self.error(
                    Code::Quantity,
                    "--memory-swap is less than the memory",
                    "write at least as much as Memory=",
                );
            }
            (_, Ok(_), None) => self.error(Code::Combination, "--memory-swap needs --memory", "write Memory=, too"),
        }
    }

    /// Adds the memory limit. For a container, 0 means no limit.
    fn memory(&mut self, value: &str) {
        match self.file_type {
            FileType::Container if value == "0" => {}
            _ => self.key("memory", "Memory", value),
        }
    }

    /// Adds a weight for control groups of version 2, from 1 to 10000 (cgroup-v2.rst of the
    /// kernel). The option has a weight of version 1.
    fn scaled(&mut self, option: &str, value: &str, setting: &str, (low, high): (f64, f64)) {
        match value.parse::<f64>() {
            Ok(0.0) => {}
            Ok(weight) if (low..=high).contains(&weight) => {
                let scaled = 1.0 + (weight - low) * 9999.0 / (high - low);
                self.set("Service", setting, &format!("{scaled:.0}"));
            }
            _ => self.error(
                Code::Value,
                &format!("--{option}={value} is not a number from {low} to {high}"),
                &format!("write {setting}= in [Service]"),
            ),
        }
    }

    fn device(&mut self, option: &str, value: &str, setting: &str) {
        match value.rsplit_once(':') {
            Some((device, rate)) if device.starts_with('/') && !device.contains(char::is_whitespace) => {
                self.set("Service", setting, &format!("{device} {}", values::systemd_size(rate)));
            }
            _ => self.error(
                Code::Value,
                &format!("--{option}={value} is not DEVICE:RATE"),
                &format!("write {setting}= in [Service]"),
            ),
        }
    }

    /// Translates an option of `podman volume create --opt`.
    fn volume_option(&mut self, value: &str) {
        match value.split_once('=') {
            Some(("type", kind)) => self.key("opt", "Type", kind),
            Some(("device", device)) => self.key("opt", "Device", device),
            Some(("o", options)) => self.key("opt", "Options", options),
            _ if value == "nocopy" => self.key("opt", "Copy", "no"),
            _ => self.without("opt", ("volumes are directories", "write Device=, Type= and Options= for a mount")),
        }
    }

    fn security(&mut self, option: &str, value: &str) {
        match value.split_once(['=', ':']).unwrap_or((value, "")) {
            ("no-new-privileges", "false") => self.key(option, "NoNewPrivileges", "no"),
            ("no-new-privileges", _) => self.key(option, "NoNewPrivileges", "yes"),
            ("apparmor", profile) => self.key(option, "AppArmor", profile),
            ("seccomp", profile) => self.key(option, "SeccompProfile", profile),
            ("mask", paths) => self.key(option, "Mask", paths),
            ("unmask", paths) => self.key(option, "Unmask", paths),
            ("systempaths", _) => self.key(option, "Unmask", "ALL"),
            ("label", label) => match label.split_once(['=', ':']).unwrap_or((label, "")) {
                ("disable" | "nested", _) => {}
                ("type", label) => self.key(option, "SecurityLabelType", label),
                ("level", label) => self.key(option, "SecurityLabelLevel", label),
                ("filetype", label) => self.key(option, "SecurityLabelFileType", label),
                _ => self.without(option, ("the container gets no SELinux label", "remove the option")),
            },
            ("proc-opts", _) => {
                self.without(option, ("/proc has the options of systemd", "write ProtectProc= in [App]"));
            }
            (other, _) => self.error(Code::UnknownKey, &format!("podman has no --security-opt={other}"), "remove it"),
        }
    }
}

/// Returns a number of processors as a percentage for systemd, with at most two decimals.
fn percent(processors: f64) -> String {
    let text = format!("{:.2}", processors * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
