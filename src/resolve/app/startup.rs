// SPDX-License-Identifier: MIT
//! The keys about the command, the user, the limits and the file systems with which an application
//! starts. Pure.

use std::collections::BTreeMap;

use crate::model::{Identity, Startup};

use crate::config::keys::{KeyName, key};
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::values::{self, InMemory};
use crate::diag::{Code, Diagnostic, Location, Spanned};

impl Startup {
    /// Reads the keys of one application.
    pub fn read(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Self {
        let mut reader = Reader::new(settings, "Container", problems);
        let (identity, identity_at) = identity(&mut reader);
        let in_memory = reader.words(key::TMPFS, values::tmpfs).into_iter().map(|mount| mount.value);
        let in_memory: BTreeMap<String, InMemory> = in_memory.map(|mount| (mount.path.clone(), mount)).collect();
        Self {
            entrypoint: reader.value(key::ENTRYPOINT, |value| values::command("Entrypoint", value)),
            exec: reader.command(key::EXEC),
            identity,
            identity_at,
            working_dir: reader.value(key::WORKING_DIR, |value| values::inner_path("WorkingDir", value)),
            stop_signal: stop_signal(&mut reader),
            stop_timeout: reader.time(key::STOP_TIMEOUT, ("a time", "10, 1.5s or 2min"), |_| true),
            limits: reader.words(key::ULIMIT, values::ulimit).into_iter().map(|limit| limit.value).collect(),
            copied: in_memory.values().filter(|mount| mount.copy).map(|mount| mount.path.clone()).collect(),
            tmpfs: in_memory.into_iter().map(|(path, mount)| (path, mount.options)).collect(),
            read_only: reader.is_yes(key::READ_ONLY),
            read_only_tmpfs: reader.flag(key::READ_ONLY_TMPFS).is_none_or(|flag| flag.value),
            shm_size: reader.size(key::SHM_SIZE),
            sysctl: reader
                .words(key::SYSCTL, values::sysctl)
                .into_iter()
                .map(|Spanned { value: (name, value), at }| (name, Spanned { value, at }))
                .collect(),
            masked: masked(&mut reader),
        }
    }
}

/// The value of `GroupAdd=` by which podman keeps the groups of the user who starts it.
const KEEP_GROUPS: &str = "keep-groups";

/// Reads `StopSignal=`. An unknown signal causes a warning and is ignored, as in unit files
/// (systemd.kill(5)).
fn stop_signal(reader: &mut Reader<'_, '_>) -> Option<String> {
    let Spanned { value, at } = reader.text(key::STOP_SIGNAL)?;
    let signal = values::signal(value);
    if signal.is_none() {
        let problem = Code::Signal.problem(
            format!("StopSignal={value} is not a signal, and the signal of the image is sent"),
            "write SIGTERM or 15",
        );
        reader.warning(&at, problem);
    }
    signal
}

fn masked(reader: &mut Reader<'_, '_>) -> Vec<String> {
    // As with Podman, a word can have several paths, separated by colons.
    let read = |word: &str| word.split(':').map(|path| values::inner_path("Mask", path)).collect::<Result<Vec<_>, _>>();
    reader.words(key::MASK, read).into_iter().flat_map(|paths| paths.value).collect()
}

fn identity(reader: &mut Reader<'_, '_>) -> (Identity, Option<Location>) {
    let account = |key: KeyName| {
        move |value: &str| {
            let good = !value.is_empty() && !value.contains(|c: char| c.is_control() || c.is_whitespace());
            good.then(|| value.to_owned()).ok_or_else(|| {
                Code::User
                    .problem(format!("{key}={value:?} is neither a name nor a number"), "write a name or a number")
            })
        }
    };
    let user = reader.value(key::USER, account(key::USER));
    let group = reader.value(key::GROUP, account(key::GROUP));
    if let Some(user) = reader.text(key::USER).filter(|user| user.value.contains(':')) {
        let problem = Code::Combination
            .problem(format!("User={} already names a group", user.value), "remove Group=, or the group in User=");
        reader.reject(key::GROUP, problem);
    }
    let (kept, more): (Vec<_>, Vec<_>) =
        reader.words(key::GROUP_ADD, account(key::GROUP_ADD)).into_iter().partition(|group| group.value == KEEP_GROUPS);
    if let Some(kept) = kept.first() {
        let problem = Code::NoEffect.problem(
            "GroupAdd=keep-groups has no effect here: the container is not started by a user whose groups it could keep",
            "write the numbers of the groups",
        );
        reader.warning(&kept.at, problem);
    }
    let written = reader.text(key::USER).or_else(|| reader.text(key::GROUP)).map(|written| written.at);
    let at = written.or_else(|| more.first().map(|group| group.at.clone()));
    (Identity { user, group, more_groups: more.into_iter().map(|group| group.value).collect() }, at)
}
