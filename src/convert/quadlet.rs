// SPDX-License-Identifier: MIT
//! Converts files of Podman's Quadlet (podman-systemd.unit(5)). Supported settings are copied as
//! they are, without comments. Defaults of podman that differ from those of sdme-gen are written
//! explicitly, and lines that `check` would refuse are removed and listed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Builder, Converted, without_refused};
use crate::compile;
use crate::config::keys::{FileType, supported};
use crate::config::quadlet::quadlets::{self, unread};
use crate::config::sources::drop_in_directories;
use crate::diag::Severity;
use crate::ini;
use crate::model::Facts;

/// A file to convert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The name of the file. The name of a drop-in includes its directory:
    /// `web.container.d/10-ports.conf`.
    pub name: String,
    /// The directory to which relative paths in the file refer; empty if it is not known.
    pub directory: String,
    /// The text of the file.
    pub text: String,
}

/// The result of converting a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// The converted files, with notes on settings that were not converted.
    pub converted: Converted,
    /// Names of the files that were converted completely.
    pub whole: BTreeSet<String>,
    /// Names of the files that lost lines.
    pub partly: BTreeSet<String>,
    /// Names of the files that were not converted.
    pub lost: BTreeSet<String>,
}

impl Folder {
    /// Returns a sentence with the numbers of converted files.
    #[must_use]
    pub fn summary(&self) -> String {
        let (whole, partly, lost) = (self.whole.len(), self.partly.len(), self.lost.len());
        format!("{} files: {whole} converted as a whole, {partly} in part, {lost} not at all", whole + partly + lost)
    }
}

/// The sections and keys whose values are names of units (systemd.unit(5)).
const NAMING: [(&str, &[&str]); 2] = [
    (
        "Unit",
        &[
            "Requires",
            "Wants",
            "BindsTo",
            "PartOf",
            "Requisite",
            "Upholds",
            "After",
            "Before",
            "Conflicts",
            "OnFailure",
            "OnSuccess",
            "PropagatesReloadTo",
            "ReloadPropagatedFrom",
            "StopPropagatedFrom",
            "JoinsNamespaceOf",
        ],
    ),
    ("Install", &["WantedBy", "RequiredBy", "UpheldBy"]),
];

/// Maps the names of the units that Quadlet generates to the files of this folder.
#[derive(Default)]
struct Siblings(BTreeMap<String, String>);

/// Converts files that belong together.
#[must_use]
pub fn quadlet(sources: &[Source]) -> Folder {
    let mut out = Folder::default();
    let mut units: BTreeMap<String, (FileType, &Source, String)> = BTreeMap::new();
    let is_drop_in = |source: &&Source| source.name.contains('/');
    for source in sources.iter().filter(|source| !is_drop_in(source)) {
        let (stem, extension) = source.name.rsplit_once('.').unwrap_or((&source.name, ""));
        if extension != quadlets::EXTENSION {
            add(&source.name, source, source.text.clone(), &mut units, &mut out);
            continue;
        }
        for part in quadlets::split(source.text.as_bytes(), stem) {
            match part {
                // The text is UTF-8 and was split at line ends, so the lossy conversion loses
                // nothing.
                Ok(part) => {
                    add(&part.name, source, String::from_utf8_lossy(&part.text).into_owned(), &mut units, &mut out);
                }
                Err((line, message)) => {
                    out.lost.insert(format!("{}:{line}", source.name));
                    out.converted.notes.push(format!("{}:{line}: {message}", source.name));
                }
            }
        }
    }
    let drop_ins: BTreeMap<&str, &Source> =
        sources.iter().filter(is_drop_in).map(|source| (source.name.as_str(), source)).collect();
    let siblings = Siblings::of(&units);
    for (name, (file_type, source, text)) in &units {
        let mut builder = Builder::new(*file_type);
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let mut texts = vec![(source.name.as_str(), text.as_str())];
        texts.extend(drop_ins_of(*file_type, stem, &drop_ins));
        let mut problems = Vec::new();
        for (path, text) in texts {
            match document(path, text) {
                Ok(document) => entries(&document, &source.directory, &siblings, &mut builder),
                Err(lines) => problems.extend(lines),
            }
        }
        let image = |line: &str| line.starts_with("Image=") || line.starts_with("Rootfs=");
        if *file_type == FileType::Container && !builder.draft.section(file_type.section()).lines().any(image) {
            // Without an image, the container would be a clone of the host here.
            problems.push(format!("{name}: the file has no Image=, and podman refuses it; write Image="));
        }
        let lost = !builder.notes.is_empty();
        if problems.is_empty() {
            default_network(*file_type, &mut builder);
            out.converted.files.insert(name.clone(), builder.draft.to_string());
            let kept = if lost { &mut out.partly } else { &mut out.whole };
            kept.insert(name.clone());
        } else {
            out.lost.insert(name.clone());
        }
        out.converted.notes.extend(builder.notes.into_iter().chain(problems));
    }
    checked(out)
}

/// Adds the text of a unit, unless its kind is not supported or its name is taken.
fn add<'a>(
    name: &str,
    source: &'a Source,
    text: String,
    units: &mut BTreeMap<String, (FileType, &'a Source, String)>,
    out: &mut Folder,
) {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let types = [FileType::Container, FileType::Pod, FileType::Network, FileType::Volume, FileType::Image];
    let reason = match types.into_iter().find(|t| t.extension() == extension) {
        Some(_) if units.contains_key(name) => "another file of this name comes first; rename one of them".to_owned(),
        Some(file_type) => {
            units.insert(name.to_owned(), (file_type, source, text));
            return;
        }
        None => unread(extension).map_or_else(
            || format!(".{extension} is not a kind of Quadlet file; leave the file out"),
            |fault| fault.to_string(),
        ),
    };
    // A second file of the same name must not change the state of the first one.
    let place = if units.contains_key(name) { format!("{}/{name}", source.directory) } else { name.to_owned() };
    out.converted.notes.push(format!("{place}: {reason}"));
    out.lost.insert(place);
}

fn drop_ins_of<'a>(
    file_type: FileType,
    stem: &str,
    all: &BTreeMap<&'a str, &'a Source>,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let mut chosen: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for directory in drop_in_directories(file_type, stem) {
        for (name, source) in all {
            if let Some((_, file)) = name.split_once('/').filter(|(place, _)| *place == directory) {
                chosen.entry(file).or_insert((name, &source.text));
            }
        }
    }
    chosen.into_values()
}

fn document(path: &str, text: &str) -> Result<ini::Document, Vec<String>> {
    ini::parse(&Arc::from(path), text.as_bytes())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn entries(document: &ini::Document, directory: &str, siblings: &Siblings, builder: &mut Builder) {
    let own = builder.file_type.section();
    for entry in &document.entries {
        let origin = format!("{}: {}=", entry.at, entry.key);
        if &*entry.section == "Quadlet" {
            // Default dependencies wait for the network, and no such dependencies are added here.
        } else if &*entry.section != own {
            let value = siblings.renamed(&entry.section, &entry.key, &entry.value);
            builder.set(&origin, &entry.section, &entry.key, &value);
        } else if entry.key == "Network" && !entry.value.is_empty() {
            network(builder, &origin, &entry.value);
        } else {
            match supported(builder.file_type, &entry.key) {
                // The value is copied as it is, because quotes have the same meaning.
                Ok(_) => builder.set(&origin, own, &entry.key, &absolute(directory, &entry.key, &entry.value)),
                Err(problem) => builder.note(&entry.at.to_string(), &problem.to_string()),
            }
        }
    }
}

/// Writes `Network=`. Podman's modes without a named network become `uplink`.
fn network(builder: &mut Builder, origin: &str, value: &str) {
    let value = match value.split(':').next().unwrap_or_default() {
        "pasta" | "slirp4netns" | "private" => "uplink",
        _ => value,
    };
    let own = builder.file_type.section();
    builder.set(origin, own, "Network", value);
}

/// Writes podman's default network for a container or pod that names no network. That network is
/// called `bridge` here.
fn default_network(file_type: FileType, builder: &mut Builder) {
    if !matches!(file_type, FileType::Container | FileType::Pod) {
        return;
    }
    let own = builder.draft.section(file_type.section());
    if !own.lines().any(|line| ["Network=", "Pod="].iter().any(|key| line.starts_with(key))) {
        own.push_str("Network=bridge\n");
    }
}

/// Makes a relative path in a value absolute, because the converted file is in another directory.
fn absolute(directory: &str, key: &str, value: &str) -> String {
    let dotted = |path: &str| path.starts_with("./") || path.starts_with("../");
    let full = |path: &str| format!("{directory}/{}", path.strip_prefix("./").unwrap_or(path));
    if directory.is_empty() {
        return value.to_owned();
    }
    match key {
        "EnvironmentFile" => {
            let (dash, path) = value.strip_prefix('-').map_or(("", value), |path| ("-", path));
            let relative = !path.is_empty() && !path.starts_with(['/', '%', '"', '\'']) && !path.contains(' ');
            if relative { format!("{dash}{}", full(path)) } else { value.to_owned() }
        }
        "Volume" | "SeccompProfile" if dotted(value) => full(value),
        "Mount" => {
            let part = |part: &str| match part.split_once('=') {
                Some((name @ ("source" | "src"), path)) if dotted(path) => format!("{name}={}", full(path)),
                _ => part.to_owned(),
            };
            value.split(',').map(part).collect::<Vec<_>>().join(",")
        }
        _ => value.to_owned(),
    }
}

impl Siblings {
    /// Maps the unit of each file to that file. The unit is named by `ServiceName=`, or by
    /// Quadlet's naming scheme.
    fn of(units: &BTreeMap<String, (FileType, &Source, String)>) -> Self {
        let service = |(name, (file_type, _, text)): (&String, &(FileType, &Source, String))| {
            let stem = name.strip_suffix(file_type.extension()).unwrap_or(name).trim_end_matches('.').to_owned();
            let document = document(name, text).unwrap_or_default();
            let named = document.entries.iter().rfind(|e| &*e.section == file_type.section() && e.key == "ServiceName");
            let unit = match (named, file_type) {
                (Some(entry), _) => entry.value.clone(),
                (None, FileType::Container) => stem,
                // Quadlet inserts its suffix before the `@` of a template.
                (None, _) => match stem.split_once('@') {
                    Some((template, instance)) => format!("{template}-{}@{instance}", file_type.extension()),
                    None => format!("{stem}-{}", file_type.extension()),
                },
            };
            (format!("{unit}.service"), name.clone())
        };
        Self(units.iter().map(service).collect())
    }

    /// Replaces the names of units that Quadlet would generate by the names of their files.
    fn renamed(&self, section: &str, key: &str, value: &str) -> String {
        let naming = NAMING.iter().any(|(name, keys)| *name == section && keys.contains(&key));
        if !naming || !value.split_whitespace().any(|word| self.0.contains_key(word)) {
            return value.to_owned();
        }
        let words = value.split_whitespace().map(|word| self.0.get(word).map_or(word, String::as_str));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Removes the lines and files that `check` would refuse, and adds its warnings.
fn checked(mut out: Folder) -> Folder {
    for refused in without_refused(&mut out.converted.files) {
        let name = refused.file;
        out.whole.remove(&name);
        let (list, what) = if refused.whole {
            out.partly.remove(&name);
            (&mut out.lost, "the file is left out")
        } else {
            (&mut out.partly, "the line is left out")
        };
        list.insert(name.clone());
        let line = if refused.line.is_empty() { String::new() } else { format!("{}: ", refused.line) };
        out.converted.notes.push(format!("{name}: {line}{}; {what}", refused.reason));
    }
    let problems = compile(&super::sources(&out.converted.files), &Facts::default()).diagnostics;
    let warnings = problems.iter().filter(|problem| problem.severity == Severity::Warning);
    out.converted.notes.extend(warnings.map(ToString::to_string));
    out
}

#[cfg(test)]
#[path = "quadlet_tests.rs"]
mod tests;
