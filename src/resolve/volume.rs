// SPDX-License-Identifier: MIT
//! Reads `.volume` files. Pure.

use crate::model::{Account, Device, Owner, Volume};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::references::{Names, unit_section};
use super::service;
use super::surroundings::labels;
use crate::config::keys::{KeyName, key};
use crate::config::names::VolumeName;
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::diag::{Code, Diagnostic, Location, Problem, errors_first, has_errors};

/// All volumes that have a file.
#[derive(Debug, Default)]
pub struct Volumes {
    /// The volumes of files without errors, by the name of the file.
    good: BTreeMap<String, Volume>,
    /// The names of the files, by the names of their volumes.
    files: BTreeMap<VolumeName, String>,
    /// The first problem of each rejected file, by the name of the file.
    bad: BTreeMap<String, Diagnostic>,
}

impl Volumes {
    /// Adds the volume of a file.
    ///
    /// # Errors
    /// Another file describes the same volume.
    pub fn add(&mut self, file: &str, volume: Volume) -> Result<(), Vec<Diagnostic>> {
        if let Some(other) = self.files.get(&volume.name) {
            let problem = Code::Conflict.problem(
                format!("{other}.volume already describes the volume {}", volume.name),
                "write another VolumeName=",
            );
            return Err(vec![Diagnostic::error(&Location::whole(&volume.file), problem)]);
        }
        self.files.insert(volume.name.clone(), file.to_owned());
        self.good.insert(file.to_owned(), volume);
        Ok(())
    }

    /// Adds the first problem of a rejected file.
    pub fn refuse(&mut self, file: &str, problem: Option<&Diagnostic>) {
        self.bad.extend(problem.map(|problem| (file.to_owned(), problem.clone())));
    }

    /// The volume that an existing file describes.
    ///
    /// # Errors
    /// The file is rejected.
    pub fn of_file(&self, file: &str) -> Result<&Volume, Problem> {
        self.good.get(file).ok_or_else(|| {
            let cause = format!("{file}.volume cannot be used");
            match self.bad.get(file) {
                Some(reason) => Code::UnusableFile.because(&cause, reason),
                None => Code::UnusableFile.problem(cause, "correct that file"),
            }
        })
    }

    /// The volume of this name. None if no file describes it.
    ///
    /// # Errors
    /// The file of this name is rejected.
    pub fn by_name(&self, name: &str) -> Result<Option<&Volume>, Problem> {
        if self.bad.contains_key(name) {
            return self.of_file(name).map(Some);
        }
        // Podman's name for the volume of a file without `VolumeName=`.
        let of_podman = || name.strip_prefix("systemd-").and_then(|file| self.good.get(file)).filter(|v| !v.is_named);
        Ok(self.named(name).map(|(_, volume)| volume).or_else(of_podman))
    }

    /// The warning about the name of a volume without a file, if a file describes a volume of this
    /// name here but one of another name in Podman.
    #[must_use]
    pub fn remark(&self, name: &str) -> Option<Problem> {
        let (file, _) = self.named(name).filter(|(_, volume)| !volume.is_named)?;
        let cause = format!(
            "{name} is the volume of {file}.volume here, but another volume in Podman, which calls that volume systemd-{file}"
        );
        Some(Code::Differs.problem(cause, format!("write {file}.volume, or another name")))
    }

    /// The file without errors that describes the volume of this name.
    fn named(&self, name: &str) -> Option<(&String, &Volume)> {
        self.good.get_key_value(self.files.get(name)?)
    }

    /// The volumes of files without errors, by the names of the volumes.
    #[must_use]
    pub fn finish(self) -> BTreeMap<VolumeName, Volume> {
        self.good.into_values().map(|v| (v.name.clone(), v)).collect()
    }
}

/// Reads a `.volume` file.
///
/// # Errors
/// All problems of the file, including its warnings.
pub fn volume(
    described: &str,
    file: &Arc<str>,
    settings: &Settings,
    names: &Names,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Volume, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let written = settings.text("Volume", key::VOLUME_NAME);
    let (name, at) = written.map_or_else(|| (described, Location::whole(file)), |written| (written.value, written.at));
    let own_name = name.parse::<VolumeName>().map_err(|problem| problems.push(Diagnostic::error(&at, problem))).ok();
    let mut reader = Reader::new(settings, "Volume", &mut problems);
    let owner =
        Owner { user: account(&mut reader, key::USER, key::UID), group: account(&mut reader, key::GROUP, key::GID) };
    labels(&mut reader, &[key::LABEL]);
    let device = device(&mut reader);
    let copy = reader.flag(key::COPY).is_none_or(|copy| copy.value);
    let unit = unit_section(settings.section("Unit"), names, &[], &mut problems);
    let described = ["Description", "Documentation", "SourcePath"];
    if device.is_none() {
        for entry in settings.section("Unit").filter(|entry| !described.contains(&entry.key.as_str())) {
            let problem = Code::NoEffect.problem(
                format!("{}= has no effect here: a volume without Device= has no unit", entry.key),
                "write it in the .container files that use it",
            );
            problems.push(Diagnostic::warning(&entry.at, problem));
        }
    }
    // [Install] has no effect, because a volume is ready whenever a container needs it.
    service::volume(settings, &mut problems);
    let Some(name) = own_name.filter(|_| !has_errors(&problems)) else { return Err(errors_first(problems)) };
    warnings.append(&mut problems);
    let is_named = settings.text("Volume", key::VOLUME_NAME).is_some();
    Ok(Volume { name, is_named, file: Arc::clone(file), owner, copy, device, unit })
}

/// Reads a user or group, which can be set as a name or as a number by different keys.
fn account(reader: &mut Reader<'_, '_>, by_name: KeyName, by_id: KeyName) -> Option<Account> {
    let (is_named, is_numbered) = (reader.is_set(by_name), reader.is_set(by_id));
    if is_named && is_numbered {
        let problem =
            Code::Combination.problem(format!("{by_id}= and {by_name}= cannot both be set"), "remove one of them");
        reader.reject(by_id, problem);
    }
    let number = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX && !text.starts_with('+'));
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
    let is_name =
        |value: &str| value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && value.bytes().all(plain);
    if is_named {
        return reader.value(by_name, |value| match number(value) {
            Some(id) => Ok(Account::Id(id)),
            None if is_name(value) => Ok(Account::Name(value.to_owned())),
            None => Err(Code::User
                .problem(format!("{by_name}={value} is neither a name nor a number"), "write a name or a number")),
        });
    }
    reader.value(by_id, |value| {
        let remedy = || format!("write a number, or {by_name}={value} for a name");
        let wrong = || Code::Quantity.problem(format!("{by_id}={value} is not a number"), remedy());
        number(value).map(Account::Id).ok_or_else(wrong)
    })
}

fn device(reader: &mut Reader<'_, '_>) -> Option<Device> {
    if !reader.is_set(key::DEVICE) {
        for key in [key::TYPE, key::OPTIONS] {
            reader.reject(key, Code::Combination.problem(format!("{key}= needs Device="), "write Device=, too"));
        }
        return None;
    }
    let without_blanks = |value: &str| {
        let wrong = || Code::Value.problem(format!("{value:?} has blanks in it"), "separate options by commas");
        if value.contains(char::is_whitespace) { Err(wrong()) } else { Ok(value.to_owned()) }
    };
    let what = reader.value(key::DEVICE, |value| {
        let wrong =
            || Code::Path.problem(format!("Device={value} is not an absolute path"), "write a path that begins with /");
        if value.starts_with('.') { Err(wrong()) } else { Ok(value.to_owned()) }
    });
    let mut fs_type = reader.value(key::TYPE, without_blanks);
    let mut options = reader.value(key::OPTIONS, without_blanks);
    // mount(8) has no file system type of this name. Podman treats it as the option `bind`.
    if fs_type.as_deref() == Some("bind") {
        fs_type = Some("none".to_owned());
        let is_bind = |option: &str| ["bind", "rbind"].contains(&option);
        options = match options {
            Some(options) if options.split(',').any(is_bind) => Some(options),
            Some(options) => Some(format!("bind,{options}")),
            None => Some("bind".to_owned()),
        };
    }
    what.map(|what| Device { what, fs_type, options })
}
