// SPDX-License-Identifier: MIT
//! Sections with settings of a service: settings that are passed to systemd, and settings that
//! cannot be changed. Pure.

use crate::config::settings::Settings;
use crate::config::values::parse_bool;
use crate::diag::{Code, Diagnostic};
use crate::ini::Entry;
use crate::model::Assignment;

/// A setting of a service that sdme-gen makes itself. An empty value and a value that applies
/// anyway are accepted and not passed to systemd.
pub struct Fixed {
    key: &'static str,
    /// The values that apply anyway.
    same: &'static [&'static str],
    /// The reason why the setting cannot be changed.
    reason: &'static str,
    /// The remedy, in the imperative.
    remedy: &'static str,
}

/// Makes an entry of the tables below.
pub const fn fixed(
    key: &'static str,
    same: &'static [&'static str],
    reason: &'static str,
    remedy: &'static str,
) -> Fixed {
    Fixed { key, same, reason, remedy }
}

const ROOT: &[&str] = &["root", "0"];

/// The settings of a container's service that sdme-gen makes, because the service runs
/// systemd-nspawn. [`container`] checks `Type=`.
const OF_CONTAINER: [Fixed; 9] = [
    fixed("BusName", &[], "the service has no bus name", "remove it"),
    fixed("DynamicUser", &["no"], "systemd-nspawn runs as root", "write UserNS=auto in [Container]"),
    fixed("ExecStart", &[], "it runs systemd-nspawn", "write Exec= in [Container] for the application's arguments"),
    fixed("Group", ROOT, "systemd-nspawn runs as root", "write Group= in [Container] for the application"),
    fixed("NotifyAccess", &["main"], "systemd-nspawn reports the container's state", "remove it"),
    fixed("PIDFile", &[], "systemd-nspawn is the main process", "remove it"),
    fixed("RootDirectory", &["/"], "systemd-nspawn runs in the host's root", "write Image= in [Container]"),
    fixed("RootImage", &[], "systemd-nspawn runs in the host's root", "write Image= in [Container]"),
    fixed("User", ROOT, "systemd-nspawn runs as root", "write User= in [Container] for the application"),
];

/// The settings of an image's service that sdme-gen makes, because the service pulls the image.
const OF_IMAGE: [Fixed; 12] = [
    fixed("BusName", &[], "the service has no bus name", "remove it"),
    fixed("DynamicUser", &["no"], "the image store belongs to root", "remove it"),
    fixed("ExecStart", &[], "it pulls the image", "write ExecStartPre= or ExecStartPost= for another command"),
    fixed("Group", ROOT, "the image store belongs to root", "remove it"),
    fixed("NotifyAccess", &["none"], "the pull reports nothing but its end", "remove it"),
    fixed("PIDFile", &[], "the pull is the main process", "remove it"),
    fixed("RemainAfterExit", &["no"], "every start of a container checks its image", "remove it"),
    fixed("RestartForceExitStatus", &[], "the service is of Type=oneshot", "write Restart=on-failure"),
    fixed("RootDirectory", &["/"], "the image store is in the host's root", "remove it"),
    fixed("RootImage", &[], "the image store is in the host's root", "remove it"),
    fixed("Type", &["oneshot"], "the containers of the image wait for the end of the pull", "remove it"),
    fixed("User", ROOT, "the image store belongs to root", "remove it"),
];

/// The settings of a pod's service that sdme-gen makes, because the service makes the pod's
/// network.
const OF_POD: [Fixed; 16] = [
    fixed("BusName", &[], "the service has no bus name", "remove it"),
    fixed("DynamicUser", &["no"], "root makes the pod's network", "write UserNS=auto in [Pod] for its containers"),
    fixed("ExecStart", &[], "it makes the pod's network", "write ExecStartPost= for another command"),
    fixed("Group", ROOT, "root makes the pod's network", "write Group= in [Container] of its containers"),
    fixed("NetworkNamespacePath", &[], "the service makes the pod's network", "remove it"),
    fixed("NotifyAccess", &["none"], "the service reports nothing but its end", "remove it"),
    fixed("PIDFile", &[], "the service has no process that stays", "remove it"),
    fixed("PrivateMounts", &["no"], "the host must see the mount of the pod's network", "remove it"),
    fixed("PrivateNetwork", &["yes"], "the service makes the pod's network", "remove it"),
    fixed("RemainAfterExit", &["yes"], "the pod's network stays until the pod is stopped", "remove it"),
    fixed("RestartForceExitStatus", &[], "the service is of Type=oneshot", "remove it"),
    fixed("RootDirectory", &["/"], "the service works in the host's root", "remove it"),
    fixed("RootImage", &[], "the service works in the host's root", "remove it"),
    fixed("StandardInput", &[], "it holds the pod's nftables rules", "remove it"),
    fixed("Type", &["oneshot"], "the containers of the pod wait for its network", "remove it"),
    fixed("User", ROOT, "root makes the pod's network", "write User= in [Container] of its containers"),
];

/// The settings of a network's service that sdme-gen makes, because the service makes the network.
const OF_NETWORK: [Fixed; 15] = [
    fixed("BusName", &[], "the service has no bus name", "remove it"),
    fixed("DynamicUser", &["no"], "root makes the network", "remove it"),
    fixed("ExecReload", &[], "it brings the network up to date", "remove it"),
    fixed("ExecStart", &[], "it makes the network", "write ExecStartPost= for another command"),
    fixed("Group", ROOT, "root makes the network", "remove it"),
    fixed("NetworkNamespacePath", &[], "the bridge is in the host's network", "remove it"),
    fixed("NotifyAccess", &["none"], "the service reports nothing but its end", "remove it"),
    fixed("PIDFile", &[], "the service has no process that stays", "remove it"),
    fixed("PrivateNetwork", &["no"], "the bridge is in the host's network", "remove it"),
    fixed("RemainAfterExit", &["yes"], "the network stays until it is stopped", "remove it"),
    fixed("RestartForceExitStatus", &[], "the service is of Type=oneshot", "remove it"),
    fixed("RootDirectory", &["/"], "the service works in the host's root", "remove it"),
    fixed("StandardInput", &[], "it holds the network's nftables rules", "remove it"),
    fixed("Type", &["oneshot"], "the members of the network wait for it", "remove it"),
    fixed("User", ROOT, "root makes the network", "remove it"),
];

/// Settings of a running process. They have no effect on a volume, for which no process runs.
const WITHOUT_EFFECT: [&str; 9] = [
    "RemainAfterExit",
    "Restart",
    "RestartMaxDelaySec",
    "RestartSec",
    "RestartSteps",
    "TimeoutSec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
];

/// The values of `Restart=` that systemd refuses for `Type=oneshot`, because the service would be
/// restarted after every success.
const ENDLESS: [&str; 2] = ["always", "on-success"];

/// Reads the section of a `.container` file.
pub fn container(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Assignment> {
    let mut out = passed(settings, "Service", &OF_CONTAINER, problems);
    for entry in settings.section("Service").filter(|entry| entry.key == "Type") {
        if !["", "notify", "oneshot"].contains(&entry.value.as_str()) {
            let remedy = "remove it, or write Type=oneshot for a start that waits for the container's end";
            problems.push(refused(entry, "systemd-nspawn reports when the container is up", remedy));
        }
    }
    out.retain(|(key, _)| key != "Type");
    let is_job = last(settings, "Type").is_some_and(|entry| entry.value == "oneshot");
    if is_job {
        out.push(("Type".to_owned(), "oneshot".to_owned()));
        let wrong = |key: &str, remedy: &str| {
            let entry = last(settings, key).filter(|entry| !entry.value.is_empty())?;
            let problem =
                Code::Combination.problem(format!("{key}={} cannot be used with Type=oneshot", entry.value), remedy);
            Some(Diagnostic::error(&entry.at, problem))
        };
        if last(settings, "Restart").is_some_and(|entry| ENDLESS.contains(&entry.value.as_str())) {
            problems.extend(wrong("Restart", "write Restart=on-failure"));
        }
        problems.extend(wrong("RestartForceExitStatus", "write Restart=on-failure"));
        problems.extend(wrong("RuntimeMaxSec", "write TimeoutStartSec="));
    }
    after_last_reset("ExecStopPost", out)
}

/// Reads the section of an `.image` file.
pub fn image(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Assignment> {
    if let Some(entry) = last(settings, "Restart").filter(|entry| ENDLESS.contains(&entry.value.as_str())) {
        problems.push(refused(entry, "a pull ends by itself", "write Restart=on-failure"));
    }
    if let Some(entry) = last(settings, "RuntimeMaxSec").filter(|entry| !entry.value.is_empty()) {
        problems.push(refused(entry, "the setting has no effect with Type=oneshot", "write TimeoutStartSec="));
    }
    passed(settings, "Service", &OF_IMAGE, problems)
}

/// Reads the section of a `.pod` file.
pub fn pod(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Assignment> {
    let mut out = passed(settings, "Service", &OF_POD, problems);
    // These values have no purpose, because a network does not end by itself, and systemd refuses
    // them for Type=oneshot.
    out.retain(|(key, value)| key != "Restart" || !ENDLESS.contains(&value.as_str()));
    after_last_reset("ExecStopPost", out)
}

/// Reads the section of a `.network` file.
pub fn network(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Vec<Assignment> {
    let mut out = passed(settings, "Service", &OF_NETWORK, problems);
    // These values have no purpose, because a network does not end by itself, and systemd refuses
    // them for Type=oneshot.
    out.retain(|(key, value)| key != "Restart" || !ENDLESS.contains(&value.as_str()));
    after_last_reset("ExecStopPost", out)
}

/// Checks the section of a `.volume` file. No setting is passed to systemd.
pub fn volume(settings: &Settings, problems: &mut Vec<Diagnostic>) {
    for entry in settings.section("Service") {
        let key = entry.key.as_str();
        let advice = match key {
            _ if WITHOUT_EFFECT.contains(&key) || entry.value.is_empty() => continue,
            "User" | "Group" => format!("write {key}= in [Volume] for the volume's owner"),
            _ if OF_CONTAINER.iter().any(|fixed| fixed.key == key) => "remove it".to_owned(),
            _ => "write it in [Service] of the .container files that use the volume".to_owned(),
        };
        let problem = Code::NoEffect
            .problem(format!("{key}= in [Service] has no effect here: no process runs for a volume"), advice);
        problems.push(Diagnostic::warning(&entry.at, problem));
    }
}

/// The settings of a section that are passed to systemd. A setting in `taken` with a value that
/// differs from the required one is an error.
pub fn passed(settings: &Settings, section: &str, taken: &[Fixed], problems: &mut Vec<Diagnostic>) -> Vec<Assignment> {
    let mut out = Vec::with_capacity(settings.section(section).count());
    for entry in settings.section(section) {
        match taken.iter().find(|fixed| fixed.key == entry.key) {
            Some(fixed) if fixed.is_met(&entry.value) => {}
            Some(fixed) => problems.push(refused(entry, fixed.reason, fixed.remedy)),
            None => out.push((entry.key.clone(), entry.value.clone())),
        }
    }
    out
}

impl Fixed {
    fn is_met(&self, value: &str) -> bool {
        let same = |known: &&str| match *known {
            "yes" => parse_bool(value) == Some(true),
            "no" => parse_bool(value) == Some(false),
            known => known == value,
        };
        value.is_empty() || self.same.iter().any(same)
    }
}

fn refused(entry: &Entry, reason: &str, remedy: &str) -> Diagnostic {
    Diagnostic::error(
        &entry.at,
        Code::OwnSetting.problem(format!("{}= cannot be set in [{}]: {reason}", entry.key, entry.section), remedy),
    )
}

/// The last assignment of a setting with a single value, which is the effective one.
fn last<'a>(settings: &'a Settings, key: &str) -> Option<&'a Entry> {
    settings.section("Service").filter(|entry| entry.key == key).last()
}

/// Removes the assignments of `key` up to the last empty one, which resets the list. The empty
/// assignment is removed, too, because it would also reset the command that sdme-gen adds in front
/// of those of the file.
fn after_last_reset(key: &str, mut all: Vec<Assignment>) -> Vec<Assignment> {
    if let Some(reset) = all.iter().rposition(|(k, value)| k == key && value.is_empty()) {
        let mut number = 0;
        all.retain(|(k, _)| {
            number += 1;
            k != key || number > reset + 1
        });
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::keys::{FileType, supported};

    #[test]
    fn values_that_apply_anyway_are_accepted() {
        let met = |all: &[Fixed], key: &str, value: &str| all.iter().find(|f| f.key == key).unwrap().is_met(value);
        assert!(
            met(&OF_CONTAINER, "User", "root") && met(&OF_CONTAINER, "User", "0") && met(&OF_CONTAINER, "User", "")
        );
        assert!(!met(&OF_CONTAINER, "User", "no") && !met(&OF_CONTAINER, "User", "www"));
        assert!(met(&OF_POD, "RemainAfterExit", "true") && !met(&OF_POD, "RemainAfterExit", "off"));
        assert!(met(&OF_IMAGE, "DynamicUser", "off") && !met(&OF_IMAGE, "DynamicUser", "1"));
    }

    #[test]
    fn remedies_name_supported_keys() {
        let types = [FileType::Container, FileType::Image, FileType::Pod, FileType::Network, FileType::Volume];
        let mut found = 0;
        for fixed in OF_CONTAINER.iter().chain(&OF_IMAGE).chain(&OF_POD).chain(&super::super::app::TAKEN) {
            assert!(!fixed.reason.contains(';') && !fixed.remedy.is_empty(), "{}", fixed.key);
            let Some((_, key)) = fixed.remedy.rsplit_once("write ") else { continue };
            let (key, rest) = key.split_once('=').unwrap();
            let Some((_, section)) = rest.split_once(" in [") else { continue };
            let file_type = types.into_iter().find(|t| section.starts_with(&format!("{}]", t.section()))).unwrap();
            assert!(supported(file_type, key).is_ok(), "{}", fixed.remedy);
            found += 1;
        }
        assert!(found > 10, "{found}");
    }
}
