// SPDX-License-Identifier: MIT
//! `sdme-gen stats` and `sdme-gen metrics`: the resources that containers use, as a table and as
//! `OpenMetrics` (<https://openmetrics.io>).

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;

use crate::admin::show::ps::{self, Listed};
use crate::admin::show::usage::{self, Usage};
use crate::cli::print::{print_json, print_table};

/// The time over which `stats` measures the use of processors.
const INTERVAL: Duration = Duration::from_secs(1);

/// Prints the resources of running containers, as a table or as JSON.
///
/// # Errors
/// As for [`usage::read`].
pub fn stats(names: &[String], json: bool, out: &mut dyn Write) -> Result<()> {
    let all = usage::read(names, Some(INTERVAL))?;
    if json {
        return print_json(&all, out);
    }
    let head = ["NAME", "CPU", "MEMORY", "TASKS", "RECEIVED", "SENT", "UPPER", "VOLUMES"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(all.iter().map(row)).collect();
    print_table(&rows, out)
}

fn row(usage: &Usage) -> [String; 8] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let bytes = |number: Option<u64>| or_dash(number.map(size));
    let memory = usage.memory_limit.map(|limit| format!("{} of {}", bytes(usage.memory), size(limit)));
    [
        usage.name.clone(),
        or_dash(usage.cpu_percent.map(|percent| format!("{percent:.1} %"))),
        memory.unwrap_or_else(|| bytes(usage.memory)),
        or_dash(usage.tasks.map(|tasks| tasks.to_string())),
        bytes(usage.received),
        bytes(usage.sent),
        bytes(usage.upper),
        bytes(usage.volumes),
    ]
}

/// A number of bytes as text, in the largest unit that gives a number of at least one.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut number = bytes;
    let mut tenths = 0;
    while number >= 1024 && unit < UNITS.len() - 1 {
        tenths = number % 1024 * 10 / 1024;
        number /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{number} {name}") } else { format!("{number}.{tenths} {name}") }
}

/// Prints the state and the resources of all containers, in the text format of `OpenMetrics`.
///
/// # Errors
/// The errors of [`ps::list`] and of [`usage::read`].
pub fn metrics(out: &mut dyn Write) -> Result<()> {
    write!(out, "{}", exposition(&ps::list(&[], false)?, &usage::read(&[], None)?))?;
    Ok(())
}

/// A metric family: its name, type, unit and help text.
type Family = (&'static str, &'static str, &'static str, &'static str);

/// A sample: its labels and its value.
type Sample = (Vec<(&'static str, String)>, String);

/// A function that returns the value of a metric for a container.
type Amount = fn(&Usage) -> Option<u64>;

fn exposition(listed: &[Listed], used: &[Usage]) -> String {
    let mut text = String::new();
    let one = |name: &str| vec![("container", name.to_owned())];
    let of_listed = |value: &dyn Fn(&Listed) -> Option<String>| -> Vec<Sample> {
        listed.iter().filter_map(|listed| Some((one(&listed.name), value(listed)?))).collect()
    };
    let of_used = |value: &dyn Fn(&Usage) -> Option<String>| -> Vec<Sample> {
        used.iter().filter_map(|usage| Some((one(&usage.name), value(usage)?))).collect()
    };
    let yes = |yes: bool| u8::from(yes).to_string();
    let number = |number: Option<u64>| number.map(|number| number.to_string());

    let images = listed.iter().flat_map(|listed| {
        let digests = listed.digests.iter().map(|digest| digest.clone().unwrap_or_default());
        let digests = digests.chain(std::iter::repeat(String::new()));
        listed.images.iter().zip(digests).map(|(image, digest)| {
            (vec![("container", listed.name.clone()), ("image", image.clone()), ("digest", digest)], "1".to_owned())
        })
    });
    family(&mut text, ("sdme_container_image", "info", "", "An image of the container."), &images.collect::<Vec<_>>());
    let states = listed
        .iter()
        .map(|listed| (vec![("container", listed.name.clone()), ("state", listed.state.clone())], "1".to_owned()));
    let help = "The state of the container, as sdme-gen ps names it.";
    family(&mut text, ("sdme_container_state", "gauge", "", help), &states.collect::<Vec<_>>());
    let running = of_listed(&|listed| Some(yes(listed.state == "running")));
    family(&mut text, ("sdme_container_running", "gauge", "", "Whether the container runs."), &running);
    let health = listed.iter().flat_map(|listed| {
        listed.health.iter().map(|(app, word)| {
            (vec![("container", listed.name.clone()), ("application", app.clone())], yes(word == "healthy"))
        })
    });
    let help = "Whether the health check of an application succeeds.";
    family(&mut text, ("sdme_application_healthy", "gauge", "", help), &health.collect::<Vec<_>>());
    let changed = of_listed(&|listed| Some(yes(!listed.changed.is_empty())));
    let help = "Whether the container runs on older files or images than a start would give it.";
    family(&mut text, ("sdme_container_changed", "gauge", "", help), &changed);
    let pending = |listed: &Listed| listed.update.as_deref().is_some_and(|state| state != "rolled back");
    let help = "Whether a newer version of an image is known.";
    family(&mut text, ("sdme_container_update_pending", "gauge", "", help), &of_listed(&|one| Some(yes(pending(one)))));
    let up = of_listed(&|listed| number(listed.uptime));
    family(&mut text, ("sdme_container_up_seconds", "gauge", "seconds", "Time since the start."), &up);

    let cpu = of_used(&|usage| usage.cpu_seconds.map(|seconds| seconds.to_string()));
    family(&mut text, ("sdme_container_cpu_seconds", "counter", "seconds", "Time on processors."), &cpu);
    let gauges: [(Family, Amount); 4] = [
        (("sdme_container_memory_bytes", "gauge", "bytes", "Memory, with the cache of files."), |u| u.memory),
        (("sdme_container_tasks", "gauge", "", "Processes and threads."), |u| u.tasks),
        (("sdme_container_upper_bytes", "gauge", "bytes", "Disk space of changes in the root."), |u| u.upper),
        (("sdme_container_volumes_bytes", "gauge", "bytes", "Disk space of the volumes."), |u| u.volumes),
    ];
    for (about, value) in gauges {
        family(&mut text, about, &of_used(&|usage| number(value(usage))));
    }
    let received = of_used(&|usage| number(usage.received));
    family(
        &mut text,
        ("sdme_container_received_bytes", "counter", "bytes", "Bytes received by its network."),
        &received,
    );
    let sent = of_used(&|usage| number(usage.sent));
    family(&mut text, ("sdme_container_sent_bytes", "counter", "bytes", "Bytes sent by its network."), &sent);
    text + "# EOF\n"
}

/// Writes a metric family, unless it has no samples. The names of samples of counters and of
/// information have a suffix.
fn family(text: &mut String, (name, kind, unit, help): Family, samples: &[Sample]) {
    if samples.is_empty() {
        return;
    }
    let suffix = match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let _ = writeln!(text, "# TYPE {name} {kind}");
    if !unit.is_empty() {
        let _ = writeln!(text, "# UNIT {name} {unit}");
    }
    let _ = writeln!(text, "# HELP {name} {help}");
    for (labels, value) in samples {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let _ = writeln!(text, "{name}{suffix}{{{}}} {value}", labels.join(","));
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_600_000, "1.5 MiB"), (u64::MAX, "16777215.9 TiB")];
        for (bytes, wanted) in cases {
            assert_eq!(size(bytes), wanted);
        }
    }

    #[test]
    fn metrics_of_two_containers() {
        let running = Listed {
            name: "web".into(),
            state: "running".into(),
            images: vec!["a\"b".into()],
            health: [("app".to_owned(), "unhealthy".to_owned())].into(),
            ..Listed::default()
        };
        let failed = Listed { name: "db".into(), state: "failed".into(), ..Listed::default() };
        let used = Usage { name: "web".into(), cpu_seconds: Some(1.5), memory: Some(4096), ..Usage::default() };
        let text = exposition(&[failed, running], &[used]);
        for line in [
            "# TYPE sdme_container_image info",
            "sdme_container_image_info{container=\"web\",image=\"a\\\"b\",digest=\"\"} 1",
            "sdme_container_running{container=\"db\"} 0",
            "sdme_application_healthy{container=\"web\",application=\"app\"} 0",
            "# UNIT sdme_container_cpu_seconds seconds",
            "sdme_container_cpu_seconds_total{container=\"web\"} 1.5",
            "sdme_container_memory_bytes{container=\"web\"} 4096",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n") && !text.contains("sent"), "{text}");
    }
}
