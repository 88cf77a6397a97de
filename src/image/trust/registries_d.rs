// SPDX-License-Identifier: MIT
//! containers-registries.d(5): determines for which images signatures are looked for in the
//! registry. The parser is pure.
//!
//! Only `use-sigstore-attachments` is used from these files. `lookaside` refers to signatures of
//! `GnuPG`, which cannot be verified.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use crate::compose::value::Value;
use crate::compose::yaml;
use crate::config::trust::REGISTRIES_D;
use crate::config::trust::scope::Subject;
use crate::rootdir::tree::{Tree, names};

/// Maximum size of a file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The combined settings of all files in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachments {
    default: Option<Setting>,
    scopes: BTreeMap<String, Setting>,
}

/// The value of `use-sigstore-attachments` for one scope; `None` if it is not set.
type Setting = Option<bool>;

impl Attachments {
    /// Reads the files of the first directory that exists, on the host whose root directory is
    /// `root`.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or is malformed, or if two files set the same
    /// scope.
    pub fn read(root: &Path) -> Result<Self> {
        let mut all = Self::default();
        // Symbolic links are resolved below the root, which may be a tree for another machine.
        let tree = Tree::open_following(root).context("cannot open the root")?;
        let shown = |path: &str| root.join(path.trim_start_matches('/')).display().to_string();
        for directory in REGISTRIES_D {
            let mut files = match tree.open_dir(directory.as_bytes()).and_then(names) {
                Ok(files) => files,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| format!("cannot read {}", shown(directory))),
            };
            files.sort();
            let files = files.into_iter().filter_map(|name| String::from_utf8(name).ok());
            for path in files.filter(|name| name.ends_with(".yaml")).map(|name| format!("{directory}/{name}")) {
                let mut read = || {
                    let text = tree.read_file(path.as_bytes(), MAX_FILE)?.context("it is missing")?;
                    let text = String::from_utf8(text).context("it is not UTF-8")?;
                    all.add(&text).map_err(|message| anyhow!(message))
                };
                read().with_context(|| format!("{} cannot be used", shown(&path)))?;
            }
            break;
        }
        Ok(all)
    }

    /// Adds the content of a file.
    ///
    /// # Errors
    /// Returns a message if the content is malformed, or sets a scope that another file has set.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        // As in the reference implementation, only the first of several documents is read.
        let Some(document) = yaml::documents(text).map_err(|error| error.to_string())?.into_iter().next() else {
            return Ok(());
        };
        let Value::Map(fields) = document else { return Err("it is not a mapping".to_owned()) };
        if let Some(value) = fields.get("default-docker") {
            let setting = setting("default-docker", value)?;
            if self.default.replace(setting).is_some() {
                return Err("default-docker is in another file, too; remove one of the two".to_owned());
            }
        }
        match fields.get("docker") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Map(scopes)) => scopes.iter().try_for_each(|(scope, value)| {
                let setting = setting(scope, value)?;
                match self.scopes.insert(scope.to_owned(), setting) {
                    Some(_) => Err(format!("docker: {scope} is in another file, too; remove one of the two")),
                    None => Ok(()),
                }
            }),
            Some(_) => Err("docker is not a mapping".to_owned()),
        }
    }

    /// Whether signatures are looked for in the registry of this image: the narrowest scope that
    /// sets a value decides.
    #[must_use]
    pub fn are_for(&self, subject: &Subject) -> bool {
        let scopes = subject.scopes();
        let said = scopes.iter().filter(|scope| !scope.is_empty()).find_map(|scope| *self.scopes.get(scope)?);
        said.or(self.default.flatten()).unwrap_or(false)
    }
}

fn setting(scope: &str, value: &Value) -> Result<Setting, String> {
    let fields = match value {
        Value::Null => return Ok(None),
        Value::Map(fields) => fields,
        _ => return Err(format!("{scope} is not a mapping")),
    };
    match fields.get("use-sigstore-attachments") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(Value::Text(word)) => match word.as_str() {
            // The words of YAML 1.1, which the reference implementation accepts as booleans.
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(Some(true)),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(Some(false)),
            _ => Err(format!("{scope}: use-sigstore-attachments is not true or false")),
        },
        Some(_) => Err(format!("{scope}: use-sigstore-attachments is not true or false")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_narrowest_scope_with_a_value_decides() {
        let mut all = Attachments::default();
        all.add("default-docker:\n  use-sigstore-attachments: yes\n  lookaside: file:///x\n").unwrap();
        all.add("docker:\n  q.io:\n    use-sigstore-attachments: false\n  q.io/a:\n    lookaside: x\n").unwrap();
        all.add("docker:\n  \"q.io/a/b:1\":\n    use-sigstore-attachments: true\nmore: 1\n").unwrap();
        all.add("").unwrap();
        let of = |source: &str| all.are_for(&Subject::of(&source.parse().unwrap()));
        assert!(of("nginx") && !of("q.io/a/c") && of("q.io/a/b:1") && !of("q.io/a/b:2"));
        for bad in [
            "default-docker: {}",
            "docker: {q.io: {}}",
            "docker: []",
            "docker: {x: {use-sigstore-attachments: 1}}",
            "docker: {x: {use-sigstore-attachments: maybe}}",
            "docker: {x: 1}",
            "[]",
            "{",
        ] {
            assert!(all.clone().add(bad).is_err(), "{bad}");
        }
        assert!(!Attachments::default().are_for(&Subject::of(&"nginx".parse().unwrap())));
    }

    #[test]
    fn links_lead_to_files_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir_all(root.join("etc/containers")).unwrap();
        std::fs::create_dir(root.join("srv")).unwrap();
        std::fs::write(root.join("srv/all"), "default-docker:\n  use-sigstore-attachments: true\n").unwrap();
        std::os::unix::fs::symlink("/srv", root.join("etc/containers/registries.d")).unwrap();
        let nginx = Subject::of(&"nginx".parse().unwrap());
        assert!(!Attachments::read(root).unwrap().are_for(&nginx));
        std::os::unix::fs::symlink("/srv/all", root.join("srv/all.yaml")).unwrap();
        assert!(Attachments::read(root).unwrap().are_for(&nginx));
        std::os::unix::fs::symlink("/nothing", root.join("srv/none.yaml")).unwrap();
        let error = Attachments::read(root).unwrap_err().to_string();
        assert!(error.starts_with(root.to_str().unwrap()) && error.ends_with("none.yaml cannot be used"), "{error}");
    }
}
