// SPDX-License-Identifier: MIT
//! Converts limits, restart policies and `deploy` of a service. Pure.

use super::{Context, cdi};
use crate::compose::value::{Map, Value};
use crate::convert::Builder;

/// Writes the restart policy. `deploy.restart_policy` takes precedence over `restart`.
pub fn restart(settings: &Map, active: bool, container: &mut Builder) {
    let deploy = settings.get("deploy").and_then(|deploy| deploy.get("restart_policy"));
    let text = |key: &str| deploy.and_then(|policy| policy.get(key)).and_then(Value::scalar);
    let (key, policy, attempts) = if deploy.is_some() {
        ("deploy.restart_policy", text("condition").unwrap_or_else(|| "any".to_owned()), text("max_attempts"))
    } else {
        let policy = settings.get("restart").and_then(Value::scalar).unwrap_or_default();
        let (policy, attempts) =
            policy.split_once(':').map_or((policy.clone(), None), |(p, n)| (p.to_owned(), Some(n.to_owned())));
        ("restart", policy, attempts)
    };
    let condition = match policy.as_str() {
        "" | "no" | "none" | "false" => return,
        "always" | "unless-stopped" | "any" => "always",
        "on-failure" => "on-failure",
        other => return container.note(key, &format!("{other} is no restart policy")),
    };
    container.set(key, "Service", "Restart", condition);
    if let Some(delay) = text("delay") {
        container.set(key, "Service", "RestartSec", &delay);
    }
    if let Some(attempts) = attempts.filter(|attempts| attempts != "0") {
        container.set(key, "Unit", "StartLimitBurst", &attempts);
        container.set(key, "Unit", "StartLimitIntervalSec", "1h");
    }
    if let Some(window) = text("window") {
        container.note(&format!("{key}.window"), &format!("a restart counts at once as a success, not after {window}"));
    }
    if condition == "always" && active && deploy.is_none() {
        container.set(key, "Install", "WantedBy", "machines.target");
    }
}

/// Writes the limits and devices of `deploy`. The restart policy is written by [`restart`];
/// settings that concern only Swarm have no effect.
pub fn deploy(value: &Value, settings: &Map, container: &mut Builder, context: &Context<'_>) {
    let part = |path: &[&str]| path.iter().try_fold(value, |value, key| value.get(key));
    for (path, key) in [
        (["resources", "limits", "memory"], "MemoryMax"),
        (["resources", "reservations", "memory"], "MemoryLow"),
        (["resources", "limits", "pids"], "TasksMax"),
        (["resources", "limits", "cpus"], "CPUQuota"),
    ] {
        let Some(text) = part(&path).and_then(Value::scalar) else { continue };
        let same = match key {
            "MemoryMax" => settings.get("mem_limit").is_some(),
            "CPUQuota" => settings.get("cpus").is_some(),
            _ => false,
        };
        if !same {
            let name = format!("deploy.{}", path.join("."));
            limit(&name, key, &text, container);
        }
    }
    for device in part(&["resources", "reservations", "devices"]).and_then(Value::as_list).unwrap_or_default() {
        cdi::request("deploy.resources.reservations.devices", device, container, context);
    }
}

/// Writes a limit that is set directly at the service.
pub fn resource(key: &str, value: &Value, settings: &Map, container: &mut Builder) {
    let Some(text) = value.scalar().filter(|text| text != "0") else { return };
    match key {
        "mem_limit" => limit(key, "MemoryMax", &text, container),
        "mem_reservation" => limit(key, "MemoryLow", &text, container),
        "cpus" => limit(key, "CPUQuota", &text, container),
        "cpu_shares" => match text.parse::<u64>() {
            // Docker's default is 1024 shares, systemd's default is a weight of 100.
            Ok(shares) => {
                let weight = (shares.saturating_mul(100) / 1024).clamp(1, 10000);
                container.set(key, "Service", "CPUWeight", &weight.to_string());
            }
            Err(_) => container.note(key, &format!("{text} is no number")),
        },
        "cpu_quota" => {
            let period = settings.get("cpu_period").and_then(Value::scalar).and_then(|text| microseconds(&text));
            match microseconds(&text).zip(period.or(Some(100_000.0)).filter(|period| *period > 0.0)) {
                Some((quota, period)) if quota > 0.0 => percent(key, quota / period, container),
                _ => container.note(key, &format!("{text} is no time")),
            }
        }
        // A `cpu_period` without a `cpu_quota` limits nothing.
        _ => {}
    }
}

fn microseconds(text: &str) -> Option<f64> {
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => crate::config::values::time::milliseconds(text)
            .and_then(|ms| u32::try_from(ms).ok())
            .map(|ms| f64::from(ms) * 1000.0),
    }
}

fn limit(key: &str, ours: &str, text: &str, container: &mut Builder) {
    match ours {
        "CPUQuota" => match text.parse::<f64>() {
            Ok(cpus) if cpus > 0.0 => percent(key, cpus, container),
            Ok(_) => {}
            Err(_) => container.note(key, &format!("{text} is not a number of processors")),
        },
        "TasksMax" => container.set(key, "Service", ours, text),
        _ => match size(text) {
            Some(size) => container.set(key, "Service", ours, &size),
            None => container.note(key, &format!("{text} is no size")),
        },
    }
}

fn percent(key: &str, cpus: f64, container: &mut Builder) {
    container.set(key, "Service", "CPUQuota", &format!("{}%", (cpus * 100.0).round().max(1.0)));
}

/// Converts a size of Docker, in bytes or with a unit to the base 1024, to the notation of systemd.
fn size(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = match unit.trim() {
        "" | "b" => "",
        "k" | "kb" | "kib" => "K",
        "m" | "mb" | "mib" => "M",
        "g" | "gb" | "gib" => "G",
        "t" | "tb" | "tib" => "T",
        _ => return None,
    };
    number.parse::<f64>().ok().map(|_| format!("{number}{unit}"))
}

/// Writes `ulimits`. Each is one number for both limits, or a soft and a hard limit.
pub fn ulimits(value: &Value, container: &mut Builder) {
    for (name, limits) in value.as_map().into_iter().flat_map(Map::iter) {
        let part = |key: &str| limits.get(key).and_then(Value::scalar);
        let text = match (limits.scalar(), part("soft"), part("hard")) {
            (Some(both), ..) => both,
            (None, Some(soft), Some(hard)) => format!("{soft}:{hard}"),
            (None, Some(one), None) | (None, None, Some(one)) => one,
            (None, None, None) => continue,
        };
        container.put("ulimits", "Ulimit", &format!("{name}={text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_docker_become_sizes_of_systemd() {
        for (text, expected) in [
            ("512m", Some("512M")),
            ("1GiB", Some("1G")),
            ("1gb", Some("1G")),
            ("1048576", Some("1048576")),
            ("1.5g", Some("1.5G")),
            ("10 MB", Some("10M")),
            ("x", None),
            ("1x", None),
        ] {
            assert_eq!(size(text).as_deref(), expected, "{text}");
        }
    }
}
