// SPDX-License-Identifier: MIT
//! References between files: images by file or by source, and file names in dependency keys of `[Unit]`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Assignment, Container, Image};
use super::pod::Pod;
use crate::config::access::Access;
use crate::config::install::InstallSetting;
use crate::config::keys::FileType;
use crate::config::source::{ImageSource, ModeSetting, PlatformSetting, Pull};
use crate::diag::{Diagnostic, Location, suggestion};
use crate::ini::Entry;
use crate::unit::escape_instance;

/// The names of all files found, usable or not, by type.
#[derive(Debug, Default)]
pub struct Names {
    files: BTreeMap<FileType, BTreeSet<String>>,
    /// What `.container` files describe, where that is not called as the file is.
    machines: BTreeMap<String, String>,
    /// The same of `.pod` files.
    pods: BTreeMap<String, String>,
}

impl Names {
    /// Notes a file, and the name of what it describes.
    pub fn add(&mut self, file_type: FileType, name: &str, described: &str) {
        self.files.entry(file_type).or_default().insert(name.to_owned());
        let renamed = match file_type {
            FileType::Container => &mut self.machines,
            FileType::Pod => &mut self.pods,
            _ => return,
        };
        if described != name {
            renamed.insert(name.to_owned(), described.to_owned());
        }
    }

    /// The names of a type's files.
    #[must_use]
    // As the map's own.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn get(&self, file_type: &FileType) -> Option<&BTreeSet<String>> {
        self.files.get(file_type)
    }

    /// The name of what a `.container` file describes.
    #[must_use]
    pub fn machine<'a>(&'a self, file: &'a str) -> &'a str {
        self.machines.get(file).map_or(file, String::as_str)
    }

    /// The name of the pod that a `.pod` file describes.
    #[must_use]
    pub fn pod<'a>(&'a self, file: &'a str) -> &'a str {
        self.pods.get(file).map_or(file, String::as_str)
    }

    /// The `.pod` file that describes a pod of this name.
    #[must_use]
    pub fn file_of_pod(&self, pod: &str) -> Option<&str> {
        self.files.get(&FileType::Pod)?.iter().map(String::as_str).find(|file| self.pod(file) == pod)
    }

    /// The file that describes a container of this name, if it is not called as the container is.
    #[must_use]
    pub fn renamed(&self, machine: &str) -> Vec<&str> {
        self.machines.iter().filter(|(_, name)| *name == machine).map(|(file, _)| file.as_str()).collect()
    }
}

/// An image as a user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageRef {
    /// `NAME.image`, the name of an existing file.
    File(String),
    /// A source of its own, and the name of the image it is: the escaped source, which no `.image` file can have, as it
    /// always contains a colon or an escaped at-sign.
    Source(ImageSource, String),
}

/// Reads `NAME.image`, a registry reference or a transport.
///
/// # Errors
/// A file that does not exist, or a reference that cannot be read.
pub fn image_ref(value: &str, names: &Names) -> Result<ImageRef, String> {
    let Some(name) = value.strip_suffix(".image") else {
        let source: ImageSource = value.parse()?;
        let name = escape_instance(&source.to_string());
        return Ok(ImageRef::Source(source, name));
    };
    existing(FileType::Image, name, names).map(|()| ImageRef::File(name.to_owned()))
}

/// Says what is wrong when there is no such file.
///
/// # Errors
/// There is none.
pub fn existing(file_type: FileType, name: &str, names: &Names) -> Result<(), String> {
    let extension = file_type.extension();
    let known = names.get(&file_type);
    if known.is_some_and(|k| k.contains(name)) {
        return Ok(());
    }
    let near = suggestion(name, known.into_iter().flatten().map(String::as_str));
    let near = near.strip_suffix('?').map_or(String::new(), |n| format!("{n}.{extension}?"));
    Err(format!("there is no {name}.{extension}{near}"))
}

/// The image for a source written directly into a `.container` file.
#[must_use]
pub fn implicit_image(source: &ImageSource, name: &str, mode: ModeSetting, pull: Pull) -> Image {
    Image {
        name: name.to_owned(),
        file: None,
        mode: mode.of(source),
        source: source.clone(),
        pull,
        install: InstallSetting::default(),
        platform: PlatformSetting::default(),
        access: Access::default(),
        base: None,
        unit: Vec::new(),
        service: Vec::new(),
        links: Vec::new(),
    }
}

/// The unit a file becomes.
///
/// # Errors
/// File types that have no unit yet.
pub fn unit_of(file_type: FileType, name: &str) -> Result<String, String> {
    match file_type {
        FileType::Container => Ok(Container::unit(name)),
        FileType::Image => Ok(format!("sdme-image@{name}.service")),
        FileType::Pod => Ok(Pod::service(name)),
        FileType::Volume => Ok(format!("sdme-volume@{name}.service")),
        FileType::Defaults => Err(format!("{name}.conf has no unit")),
    }
}

/// Keys of `[Unit]` whose values name units (systemd.unit(5)).
const DEPENDENCIES: [&str; 16] = [
    "After",
    "Before",
    "BindsTo",
    "Conflicts",
    "JoinsNamespaceOf",
    "OnFailure",
    "OnSuccess",
    "PartOf",
    "PropagatesReloadTo",
    "PropagatesStopTo",
    "ReloadPropagatedFrom",
    "Requires",
    "Requisite",
    "StopPropagatedFrom",
    "Upholds",
    "Wants",
];

/// `[Unit]` with `x.container` and `x.image` in dependency keys replaced by their units.
pub fn unit_section<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    names: &Names,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Assignment> {
    let mut out = Vec::new();
    for entry in entries {
        if !DEPENDENCIES.contains(&entry.key.as_str()) {
            out.push((entry.key.clone(), entry.value.clone()));
            continue;
        }
        let words = entry.value.split_whitespace().filter_map(|word| translate(word, names, &entry.at, problems));
        let words: Vec<String> = words.collect();
        if !words.is_empty() || entry.value.trim().is_empty() {
            out.push((entry.key.clone(), words.join(" ")));
        }
    }
    out
}

/// The unit behind a word. A volume has none, and is in place whenever a container needs it: nothing is left to wait for.
fn translate(word: &str, names: &Names, at: &Location, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let types = [FileType::Container, FileType::Image, FileType::Pod, FileType::Volume];
    let found = word.rsplit_once('.').and_then(|(n, e)| types.iter().find(|t| t.extension() == e).map(|t| (*t, n)));
    let Some((file_type, name)) = found else { return Some(word.to_owned()) };
    let described = match file_type {
        FileType::Container => names.machine(name),
        FileType::Pod => names.pod(name),
        _ => name,
    };
    let unit = existing(file_type, name, names).and_then(|()| unit_of(file_type, described));
    unit.map_err(|message| problems.push(Diagnostic::error(at, message))).ok().filter(|_| file_type != FileType::Volume)
}
