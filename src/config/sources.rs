// SPDX-License-Identifier: MIT
//! The configuration files as they were found: names, contents, drop-ins. Pure; `crate::search` fills it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keys::FileType;
use super::quadlet::variables::Files;
use crate::diag::{Diagnostic, Fault};

/// The text of one file, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Path as the user knows it.
    pub path: Arc<str>,
    /// Contents, or the message of the diagnostic.
    pub content: Result<Vec<u8>, Fault>,
}

/// A configuration file and the drop-ins that apply to it, in the order they apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Told by the extension.
    pub file_type: FileType,
    /// File name without the extension.
    pub name: String,
    /// The file itself.
    pub main: Text,
    /// Drop-ins, sorted by file name.
    pub drop_ins: Vec<Text>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Files, each name of a type once.
    pub files: Vec<SourceFile>,
    /// The host's name, if it is known.
    pub host: Option<String>,
    /// Remarks about files that are not ours by name, but nearly.
    pub remarks: Vec<Diagnostic>,
    /// The files of variables that `[Service]` sections name.
    pub variables: Files,
    /// The images that `.build` files make, as [`super::quadlet::quadlets::plain`] has them, each with the path of its file.
    pub built: BTreeMap<String, String>,
    /// `sdme.lock`, if there is one.
    pub lock: Option<Text>,
    /// The machine's signature policy, if there is one: [`super::trust::POLICIES`].
    pub policy: Option<Text>,
}

impl SourceFile {
    /// The name of what the file describes. An instance of a template, `web@1`, describes `web-1`: no machine can have an
    /// at-sign in its name, and pods and volumes are called in the same way.
    #[must_use]
    pub fn described(&self) -> String {
        described(&self.name)
    }

    /// Whether it is a template, `web@`, which describes nothing by itself.
    #[must_use]
    pub fn is_template(&self) -> bool {
        let any = !matches!(self.file_type, FileType::Image | FileType::Defaults);
        any && self.name.len() > 1 && self.name.ends_with('@')
    }
}

/// As [`SourceFile::described`], for the name of a file.
#[must_use]
pub fn described(name: &str) -> String {
    instance(name).map_or_else(|| name.to_owned(), |(template, instance)| format!("{template}-{instance}"))
}

/// The template's name and the instance's of `web@1`.
#[must_use]
pub fn instance(name: &str) -> Option<(&str, &str)> {
    name.split_once('@').filter(|(template, instance)| !template.is_empty() && !instance.is_empty())
}

/// The drop-in directories of `name`, the most specific first: `a-b.container.d`, `a-.container.d`, `container.d`.
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
        // A name that ends in a dash is its own prefix.
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
    fn truncated_and_type_wide_directories() {
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
