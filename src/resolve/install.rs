// SPDX-License-Identifier: MIT
//! The section `[Install]`: the links by which other units start a unit. The generator makes these
//! links, because `systemctl enable` refuses generated units. Pure.

use super::references::{Names, existing, unit_of};
use crate::config::keys::FileType;
use crate::config::settings::Settings;
use crate::diag::{Code, Diagnostic, Problem, did_you_mean};
use crate::ini::Entry;
use crate::model::Link;

const KEYS: [(&str, &str); 3] = [("WantedBy", "wants"), ("RequiredBy", "requires"), ("UpheldBy", "upholds")];

/// Suffixes of unit names (systemd.unit(5)).
const TYPES: [&str; 11] =
    ["automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer"];

/// Reads the section, and returns the links without duplicates.
pub fn links(settings: &Settings, names: &Names, problems: &mut Vec<Diagnostic>) -> Vec<Link> {
    let mut out: Vec<Link> = Vec::new();
    for entry in settings.section("Install") {
        match assignment(entry, names) {
            // As for every list, an empty assignment removes the earlier values.
            Ok((directory, _)) if entry.value.is_empty() => out.retain(|l| l.directory != directory),
            Ok((_, links)) => out.extend(links),
            Err(problem) => problems.push(Diagnostic::error(&entry.at, problem)),
        }
    }
    out.sort();
    out.dedup();
    out
}

fn assignment(entry: &Entry, names: &Names) -> Result<(&'static str, Vec<Link>), Problem> {
    let key = entry.key.as_str();
    let Some((_, directory)) = KEYS.iter().find(|(k, _)| *k == key) else {
        let install = |cause: &str| Code::Install.problem(cause, "remove it");
        return Err(match key {
            // systemd refuses an alias without an instance name for an instance of a template.
            "Alias" => install("Alias= is not possible, because the unit is an instance of a template"),
            "DefaultInstance" => install("DefaultInstance= is for a template, whose name ends in @"),
            "Also" => install("Also= has no effect on a generated unit"),
            _ => {
                let near = did_you_mean(key, KEYS.map(|(k, _)| k));
                let remedy = near.unwrap_or_else(|| "write WantedBy=, RequiredBy= or UpheldBy=".to_owned());
                Code::UnknownKey.problem(format!("unknown key {key}= in [Install]"), remedy)
            }
        });
    };
    let links = entry.value.split_whitespace().filter_map(|unit| link(key, unit, directory, names).transpose());
    Ok((directory, links.collect::<Result<_, _>>()?))
}

/// Returns None for the unit of a volume: a volume is ready whenever a container needs it.
fn link(key: &str, unit: &str, directory: &'static str, names: &Names) -> Result<Option<Link>, Problem> {
    if unit.contains('%') {
        let problem =
            Code::Install.problem(format!("{key}={unit}: specifiers are not expanded here"), "write the whole name");
        return Err(problem);
    }
    let types = [FileType::Container, FileType::Image, FileType::Pod, FileType::Network, FileType::Volume];
    let file = unit.rsplit_once('.').and_then(|(stem, extension)| {
        types.iter().find(|t| t.extension() == extension).map(|file_type| (*file_type, stem))
    });
    if let Some((file_type, name)) = file.or_else(|| names.of_unit(unit)) {
        existing(file_type, name, names)?;
        let unit = unit_of(file_type, names.described(file_type, name))?;
        return Ok((file_type != FileType::Volume).then_some(Link { unit, directory }));
    }
    let known = unit.rsplit_once('.').is_some_and(|(stem, suffix)| !stem.is_empty() && TYPES.contains(&suffix));
    if unit.contains('/') || unit.len() > 255 || !known {
        let problem = Code::Install.problem(
            format!("{key}={unit} is not the name of a unit"),
            "write the name of a unit, such as machines.target",
        );
        return Err(problem);
    }
    Ok(Some(Link { unit: unit.to_owned(), directory }))
}
