// SPDX-License-Identifier: MIT
//! `.volume` files. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::container::labels;
use super::model::Assignment;
use super::references::{Names, unit_section};
use super::service;
use crate::config::settings::{Settings, parse_bool};
use crate::config::values::mount;
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned, errors_first, has_errors};

/// A volume that has a file.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its name, and that of its directory.
    pub name: String,
    /// Whether `VolumeName=` says the name.
    pub is_named: bool,
    /// The file it was written in.
    pub file: Arc<str>,
    /// Whose a new volume is; the image's or root's unless said.
    pub owner: Owner,
    /// Whether it gets the image's content when it is empty.
    pub copy: bool,
    /// What is mounted there; a plain directory without.
    pub device: Option<Device>,
    /// `[Unit]`, file references translated to units.
    pub unit: Vec<Assignment>,
}

/// The owner of a new volume, as far as it was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// `User=` or `UID=`
    pub user: Option<Account>,
    /// `Group=` or `GID=`
    pub group: Option<Account>,
}

/// A user or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// By number.
    Id(u32),
    /// By a name of the host.
    Name(String),
}

/// What is mounted as a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `Device=`
    pub what: String,
    /// `Type=`
    pub fs_type: Option<String>,
    /// `Options=`
    pub options: Option<String>,
}

/// All volumes that have a file.
#[derive(Debug, Default)]
pub struct Volumes {
    /// Usable ones, by file.
    good: BTreeMap<String, Volume>,
    /// Why others are not, by file.
    bad: BTreeMap<String, Diagnostic>,
}

impl Volumes {
    /// Adds one that can be used, unless another file is about the same volume.
    ///
    /// # Errors
    /// There is another one.
    pub fn add(&mut self, file: &str, volume: Volume) -> Result<(), Vec<Diagnostic>> {
        if let Some((other, _)) = self.good.iter().find(|(_, v)| v.name == volume.name) {
            let message =
                format!("{other}.volume is about the volume {} already; write another VolumeName=", volume.name);
            return Err(vec![Diagnostic::error(&Location::new(&volume.file, 1), Code::Conflict.problem(message))]);
        }
        self.good.insert(file.to_owned(), volume);
        Ok(())
    }

    /// Remembers why one cannot be used.
    pub fn refuse(&mut self, file: &str, problem: Option<&Diagnostic>) {
        self.bad.extend(problem.map(|problem| (file.to_owned(), problem.clone())));
    }

    /// The volume of a file that exists.
    ///
    /// # Errors
    /// The file was rejected.
    pub fn of_file(&self, file: &str) -> Result<&Volume, Problem> {
        self.good.get(file).ok_or_else(|| {
            let text = match self.bad.get(file) {
                Some(problem) => format!("{file}.volume cannot be used: {problem}"),
                None => format!("{file}.volume cannot be used"),
            };
            Code::UnusableFile.problem(text)
        })
    }

    /// The volume of this name, if a file is about it.
    ///
    /// # Errors
    /// The file called so was rejected.
    pub fn by_name(&self, name: &str) -> Result<Option<&Volume>, Problem> {
        if self.bad.contains_key(name) {
            return self.of_file(name).map(Some);
        }
        // What podman calls the volume of a file.
        let of_podman = || name.strip_prefix("systemd-").and_then(|file| self.good.get(file)).filter(|v| !v.is_named);
        Ok(self.good.values().find(|v| v.name == name).or_else(of_podman))
    }

    /// What is to be said about a name that is written for a volume of its own, and is that of a file's volume here.
    #[must_use]
    pub fn remark(&self, name: &str) -> Option<Problem> {
        let (file, _) = self.good.iter().find(|(_, volume)| volume.name == name && !volume.is_named)?;
        let text = format!(
            "{name} is the volume of {file}.volume here, and another volume in Podman, where that one is called systemd-{file}; \
             write {file}.volume or another name"
        );
        Some(Code::Differs.problem(text))
    }

    /// The usable ones, by their own names.
    #[must_use]
    pub fn finish(self) -> BTreeMap<String, Volume> {
        self.good.into_values().map(|v| (v.name.clone(), v)).collect()
    }
}

/// Reads a `.volume` file.
///
/// # Errors
/// All its problems.
pub fn volume(
    described: &str,
    file: &Arc<str>,
    settings: &Settings,
    names: &Names,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Volume, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let text = |key| settings.text("Volume", key);
    let (name, at) =
        text("VolumeName").map_or_else(|| (described, Location::new(file, 1)), |written| (written.value, written.at));
    if let Err(message) = mount::name(name) {
        problems.push(Diagnostic::error(&at, Code::Name.problem(message)));
    }
    let owner = Owner {
        user: account(settings, "User", "UID", &mut problems),
        group: account(settings, "Group", "GID", &mut problems),
    };
    labels(settings, "Volume", &["Label"], &mut problems);
    let device = device(settings, &mut problems);
    let unit = unit_section(settings.section("Unit"), names, &[], &mut problems);
    let described = ["Description", "Documentation", "SourcePath"];
    if device.is_none() {
        for entry in settings.section("Unit").filter(|entry| !described.contains(&entry.key.as_str())) {
            let message = format!(
                "{}= has no effect here: a volume without Device= has no unit; write it in the .container files that use it",
                entry.key
            );
            problems.push(Diagnostic::warning(&entry.at, Code::NoEffect.problem(message)));
        }
    }
    // A volume is there when a container needs it, so that [Install] has nothing to do.
    service::volume(settings, &mut problems);
    if has_errors(&problems) {
        return Err(errors_first(problems));
    }
    warnings.append(&mut problems);
    let copy = text("Copy").and_then(|v| parse_bool(v.value)).unwrap_or(true);
    let is_named = text("VolumeName").is_some();
    Ok(Volume { name: name.to_owned(), is_named, file: Arc::clone(file), owner, copy, device, unit })
}

/// A user or group, for which there are two keys.
fn account(settings: &Settings, by_name: &str, by_id: &str, problems: &mut Vec<Diagnostic>) -> Option<Account> {
    let (named, numbered) = (settings.text("Volume", by_name), settings.text("Volume", by_id));
    if let (Some(_), Some(second)) = (&named, &numbered) {
        let message = format!("{by_id}= says the same as {by_name}=; remove one of them");
        problems.push(Diagnostic::error(&second.at, Code::Combination.problem(message)));
    }
    let number = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX && !text.starts_with('+'));
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
    let read = |key: &str, Spanned { value, at }: &Spanned<&str>| match number(value) {
        Some(id) => Ok(Account::Id(id)),
        None if key == by_name
            && value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && value.bytes().all(plain) =>
        {
            Ok(Account::Name((*value).to_owned()))
        }
        None if key == by_name => {
            Err(Diagnostic::error(at, Code::User.problem(format!("{key}={value} is neither a name nor a number"))))
        }
        None => Err(Diagnostic::error(
            at,
            Code::Quantity.problem(format!("{key}={value} is not a number; write {by_name}={value} for a name")),
        )),
    };
    let written = named.map(|n| (by_name, n)).or(numbered.map(|n| (by_id, n)));
    written.and_then(|(key, value)| read(key, &value).map_err(|problem| problems.push(problem)).ok())
}

fn device(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Option<Device> {
    let text = |key| settings.text("Volume", key);
    let Some(what) = text("Device") else {
        for key in ["Type", "Options"] {
            if let Some(written) = text(key) {
                problems.push(Diagnostic::error(
                    &written.at,
                    Code::Combination.problem(format!("{key}= is about Device=; write that, too")),
                ));
            }
        }
        return None;
    };
    for written in [text("Type"), text("Options")].into_iter().flatten() {
        if written.value.contains(char::is_whitespace) {
            let message = format!("{:?} has blanks in it; options are separated by commas", written.value);
            problems.push(Diagnostic::error(&written.at, Code::Value.problem(message)));
        }
    }
    if what.value.starts_with('.') {
        problems.push(Diagnostic::error(
            &what.at,
            Code::Path.problem(format!("Device={} is not an absolute path", what.value)),
        ));
    }
    let owned = |key| text(key).map(|t| t.value.to_owned());
    let (mut fs_type, mut options) = (owned("Type"), owned("Options"));
    // mount(8) knows no type of this name; podman takes the word for the option.
    if fs_type.as_deref() == Some("bind") {
        fs_type = Some("none".to_owned());
        let is_bind = |option: &str| ["bind", "rbind"].contains(&option);
        options = match options {
            Some(options) if options.split(',').any(is_bind) => Some(options),
            Some(options) => Some(format!("bind,{options}")),
            None => Some("bind".to_owned()),
        };
    }
    Some(Device { what: what.value.to_owned(), fs_type, options })
}
