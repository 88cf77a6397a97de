// SPDX-License-Identifier: MIT
//! The configuration files that were found, with their names, contents and drop-ins.
//! `crate::search` reads them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keys::FileType;
use super::quadlet::variables::Files;
use crate::diag::{Diagnostic, Fault};

/// The content of one file, or the reason why it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The path that diagnostics show.
    pub path: Arc<str>,
    /// The content, or the cause and the remedy of the error.
    pub content: Result<Vec<u8>, Fault>,
}

/// A configuration file and the drop-ins that apply to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The file type, which follows from the extension.
    pub file_type: FileType,
    /// The file name without the extension.
    pub name: String,
    /// The content of the file itself.
    pub main: Text,
    /// The drop-ins in the order in which they apply: sorted by file name.
    pub drop_ins: Vec<Text>,
}

/// The result of a search for configuration files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The configuration files. For each type, a name occurs once.
    pub files: Vec<SourceFile>,
    /// The host name of the host, if it is known.
    pub host: Option<String>,
    /// Warnings and errors about files that are not read, for example because their extension is
    /// misspelt, or because another file of the same name takes precedence.
    pub remarks: Vec<Diagnostic>,
    /// The variables in the files that `EnvironmentFile=` in `[Service]` sections names.
    pub variables: Files,
    /// The names of the images that `.build` files build, as [`super::quadlet::quadlets::plain`]
    /// returns them, each with the path of its `.build` file.
    pub built: BTreeMap<String, String>,
    /// The content of `sdme.lock`, if the file exists.
    pub lock: Option<Text>,
    /// The signature policy of the machine, if one of the files in [`super::trust::POLICIES`]
    /// exists.
    pub policy: Option<Text>,
}

impl SourceFile {
    /// Returns the name of the object that the file describes. An instance of a template, such as
    /// `web@1`, describes `web-1`, because the name of a machine cannot have an at sign. Pods and
    /// volumes follow the same rule.
    #[must_use]
    pub fn described(&self) -> String {
        described(&self.name)
    }

    /// Whether the file is a template, such as `web@`, which describes no object itself. Images and
    /// `sdme.conf` have no templates.
    #[must_use]
    pub fn is_template(&self) -> bool {
        let any = !matches!(self.file_type, FileType::Image | FileType::Defaults);
        any && self.name.len() > 1 && self.name.ends_with('@')
    }
}

/// Returns the same as [`SourceFile::described`], for the name of a file.
#[must_use]
pub fn described(name: &str) -> String {
    instance(name).map_or_else(|| name.to_owned(), |(template, instance)| format!("{template}-{instance}"))
}

/// Splits the name of an instance, such as `web@1`, into the name of the template and the name of
/// the instance.
#[must_use]
pub fn instance(name: &str) -> Option<(&str, &str)> {
    name.split_once('@').filter(|(template, instance)| !template.is_empty() && !instance.is_empty())
}

/// Returns the names of the drop-in directories of `name`, the most specific one first:
/// `a-b.container.d`, `a-.container.d`, `container.d` (systemd.unit(5)).
#[must_use]
pub fn drop_in_directories(file_type: FileType, name: &str) -> Vec<String> {
    let extension = file_type.extension();
    if file_type == FileType::Defaults {
        return vec![format!("{name}.{extension}.d")];
    }
    let mut out = vec![format!("{name}.{extension}.d")];
    if let Some((template, _)) = instance(name) {
        out.push(format!("{template}@.{extension}.d"));
    }
    let dashes: Vec<usize> = name.match_indices('-').map(|(i, _)| i).collect();
    for dash in dashes.into_iter().rev() {
        let prefix = name.get(..=dash).unwrap_or_default();
        // The directory of the name itself is already in the list.
        if prefix != name {
            out.push(format!("{prefix}.{extension}.d"));
        }
    }
    out.push(format!("{extension}.d"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_in_directories_are_ordered_from_specific_to_general() {
        assert_eq!(
            drop_in_directories(FileType::Container, "a-b-c"),
            ["a-b-c.container.d", "a-b-.container.d", "a-.container.d", "container.d"]
        );
        assert_eq!(
            drop_in_directories(FileType::Container, "a@1"),
            ["a@1.container.d", "a@.container.d", "container.d"]
        );
        assert_eq!(drop_in_directories(FileType::Image, "x"), ["x.image.d", "image.d"]);
        assert_eq!(drop_in_directories(FileType::Defaults, "sdme"), ["sdme.conf.d"]);
    }
}
