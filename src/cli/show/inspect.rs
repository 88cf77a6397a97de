// SPDX-License-Identifier: MIT
//! `sdme-gen inspect`: all information about containers, as text or as JSON.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::admin::show::inspect::{self, Inspected};
use crate::cli::print::print_json;
use crate::cli::show::ps::duration;
use crate::text;

/// Prints the information about the containers with these names.
///
/// # Errors
/// As for [`inspect::inspect`].
pub fn run(names: &[String], json: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let all = inspect::inspect(names)?;
    if json {
        print_json(&all, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (number, found) in all.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        for (heading, values) in lines(found) {
            for (number, value) in values.iter().filter(|value| !value.is_empty()).enumerate() {
                let heading = if number == 0 { heading } else { "" };
                // Names and ports can come from images and containers, so control characters are
                // escaped.
                writeln!(out, "{heading:>12}  {}", text::line(value))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The values with their headings. Headings without values are not printed.
fn lines(found: &Inspected) -> Vec<(&'static str, Vec<String>)> {
    let listed = &found.listed;
    let each = |values: &[String]| values.to_vec();
    let optional = |value: Option<String>| value.into_iter().collect::<Vec<String>>();
    let pairs = |values: &std::collections::BTreeMap<String, String>| -> Vec<String> {
        values.iter().map(|(name, word)| format!("{name} {word}")).collect()
    };
    let uptime = listed.uptime.map(|seconds| format!(" for {}", duration(seconds))).unwrap_or_default();
    let cause = listed.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let images = listed.images.iter().enumerate().map(|(number, image)| {
        let digest = listed.digests.get(number).cloned().flatten().map(|digest| format!(" ({digest})"));
        format!("{image}{}", digest.unwrap_or_default())
    });
    let applications = found
        .applications
        .iter()
        .map(|app| format!("{}: image {}, {} inside, root {}", app.name, app.image, app.unit, app.root));
    let connections = found.connections.iter().map(|one| {
        let names = if one.names.is_empty() { String::new() } else { format!(" as {}", one.names.join(", ")) };
        format!("{} {}{names}", one.network, joined(&one.addresses))
    });
    let mounts = found.mounts.iter().map(|mount| {
        let application = mount.application.as_ref().filter(|_| found.applications.len() > 1);
        let application = application.map(|name| format!("{name}: ")).unwrap_or_default();
        let source = mount.source.as_ref().map(|source| format!(" {source}")).unwrap_or_default();
        let read_only = if mount.read_only { " (read-only)" } else { "" };
        format!("{application}{} from {}{source}{read_only}", mount.target, mount.kind)
    });
    let range = |range: Option<(u32, u32)>| optional(range.map(|(first, count)| format!("{first}, {count} IDs")));
    vec![
        ("Name", vec![listed.name.clone()]),
        ("State", vec![format!("{}{cause}{uptime}", listed.state)]),
        ("Note", optional(listed.note.as_ref().map(ToString::to_string))),
        ("Changed", listed.changed.iter().cloned().collect()),
        ("Health", pairs(&listed.health)),
        ("Files", each(&found.files)),
        ("Unit", vec![found.unit.clone()]),
        ("Needs", found.units.iter().filter(|unit| **unit != found.unit).cloned().collect()),
        ("Image", images.collect()),
        ("Update", optional(listed.update.clone())),
        ("Base", optional(found.base.clone())),
        ("Application", applications.collect()),
        ("Host name", vec![found.host_name.clone()]),
        ("Pod", optional(listed.pod.clone())),
        ("Network", connections.collect()),
        ("Address", optional(found.address.map(|address| address.to_string()))),
        ("Published", each(&found.configured_ports)),
        ("Open ports", each(&listed.published)),
        ("Exposed", vec![joined(&listed.exposed)]),
        ("Mounts", mounts.collect()),
        ("User IDs", range(listed.users.filter(|(first, _)| *first > 0).or(found.user_range))),
        ("Changes", vec![found.changes_directory.clone()]),
        ("Root", vec![found.root_directory.clone()]),
    ]
}

fn joined(values: &[impl Display]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::show::ps::Listed;

    #[test]
    fn headings_without_values_are_left_out() {
        let listed = Listed {
            name: "web".into(),
            state: "running".into(),
            uptime: Some(61),
            images: vec!["nginx".into()],
            digests: vec![Some("sha256:ab".into())],
            ..Listed::default()
        };
        let found = Inspected { listed, unit: "systemd-nspawn@web.service".into(), ..Inspected::default() };
        let all = lines(&found);
        let of = |heading: &str| all.iter().find(|(name, _)| *name == heading).map(|(_, values)| values.join("|"));
        assert_eq!(of("State").as_deref(), Some("running for 1min1s"));
        assert_eq!(of("Image").as_deref(), Some("nginx (sha256:ab)"));
        assert_eq!(of("Note").as_deref(), Some(""));
    }
}
