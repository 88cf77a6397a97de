// SPDX-License-Identifier: MIT
//! The keys about how an application is started, and about the surroundings it starts in. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::settings::{Settings, parse_bool};
use crate::config::values::time::milliseconds;
use crate::config::values::{self, InMemory};
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned};

/// Who an application runs as, where that is not as its image says. Names are the image's; only who knows the image can
/// resolve them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// `User=`: a name or number, perhaps with a group behind a colon.
    pub user: Option<String>,
    /// `Group=`
    pub group: Option<String>,
    /// `GroupAdd=`
    pub more_groups: Vec<String>,
}

/// What is read from the keys; without any of them the image has its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Startup {
    /// `Entrypoint=`
    pub entrypoint: Option<Vec<String>>,
    /// `Exec=`: arguments in place of the image's command.
    pub exec: Option<Vec<String>>,
    /// `User=`, `Group=` and `GroupAdd=`
    pub identity: Identity,
    /// Where the first of those was written.
    pub identity_at: Option<Location>,
    /// `WorkingDir=`
    pub working_dir: Option<String>,
    /// `StopSignal=`, as systemd writes it.
    pub stop_signal: Option<String>,
    /// `StopTimeout=`, in milliseconds.
    pub stop_timeout: Option<u64>,
    /// `Ulimit=`: settings of systemd and their values.
    pub limits: BTreeMap<&'static str, String>,
    /// `Tmpfs=`: paths and mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// The paths of those that begin with what the image has there.
    pub copied: BTreeSet<String>,
    /// `ReadOnly=`
    pub read_only: bool,
    /// `ReadOnlyTmpfs=`
    pub read_only_tmpfs: bool,
    /// `ShmSize=`, in bytes.
    pub shm_size: Option<u64>,
    /// `Sysctl=`
    pub sysctl: BTreeMap<String, Spanned<String>>,
    /// `Mask=`
    pub masked: Vec<String>,
}

impl Startup {
    /// Whether the launcher has anything to mount or to set in `/proc`.
    #[must_use]
    pub fn mounts(&self) -> bool {
        !self.sysctl.is_empty() || !self.masked.is_empty() || (self.read_only && !self.read_only_tmpfs)
    }

    /// The file systems in memory that the application has beside `/run`: paths and options.
    #[must_use]
    pub fn in_memory(&self) -> BTreeMap<String, String> {
        // As for Podman: programs can be run from a file system in memory, but not from /dev/shm.
        const USUAL: &str = "mode=1777,nosuid,nodev";
        let mut all = self.tmpfs.clone();
        if let Some(bytes) = self.shm_size {
            all.insert("/dev/shm".to_owned(), format!("{USUAL},noexec,size={bytes}"));
        }
        if self.read_only && self.read_only_tmpfs {
            for path in ["/tmp", "/var/tmp"] {
                all.entry(path.to_owned()).or_insert_with(|| USUAL.to_owned());
            }
        }
        all
    }

    /// Reads the keys of one application.
    pub fn read(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Self {
        let mut reader = Reader { settings, problems };
        let (identity, identity_at) = reader.identity();
        let exec = settings.words("Container", "Exec");
        let in_memory = reader.words("Tmpfs", values::tmpfs).into_iter().map(|(mount, _)| mount);
        let in_memory: BTreeMap<String, InMemory> = in_memory.map(|mount| (mount.path.clone(), mount)).collect();
        Self {
            entrypoint: reader.text("Entrypoint", |value| values::command("Entrypoint", value)),
            exec: (!exec.is_empty()).then(|| exec.into_iter().map(|word| word.value).collect()),
            identity,
            identity_at,
            working_dir: reader.text("WorkingDir", |value| values::inner_path("WorkingDir", value)),
            stop_signal: reader.stop_signal(),
            stop_timeout: reader.text("StopTimeout", |value| {
                milliseconds(value).ok_or_else(|| {
                    Code::Quantity.problem(format!("StopTimeout={value} is not a time; write 10, 1.5s or 2min"))
                })
            }),
            limits: reader.words("Ulimit", values::ulimit).into_iter().map(|(limit, _)| limit).collect(),
            copied: in_memory.values().filter(|mount| mount.copy).map(|mount| mount.path.clone()).collect(),
            tmpfs: in_memory.into_iter().map(|(path, mount)| (path, mount.options)).collect(),
            read_only: reader.flag("ReadOnly").is_some_and(|f| f.value),
            read_only_tmpfs: reader.flag("ReadOnlyTmpfs").is_none_or(|f| f.value),
            shm_size: reader.text("ShmSize", |value| values::size("ShmSize", value)),
            sysctl: reader
                .words("Sysctl", values::sysctl)
                .into_iter()
                .map(|((name, value), at)| (name, Spanned { value, at }))
                .collect(),
            masked: reader.masked(),
        }
    }

    /// Settings of the kernel's that would be the host's, were the network the host's.
    pub fn network_settings(&self) -> impl Iterator<Item = (&String, &Location)> {
        self.sysctl.iter().filter(|(name, _)| name.starts_with("net.")).map(|(name, value)| (name, &value.at))
    }
}

/// The value of `GroupAdd=` for the groups of who starts podman.
const KEEP_GROUPS: &str = "keep-groups";

struct Reader<'a> {
    settings: &'a Settings,
    problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    /// The value of a key, if it is there and good.
    fn text<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, Problem>) -> Option<T> {
        let written = self.settings.text("Container", key)?;
        read(written.value).map_err(|problem| self.problems.push(Diagnostic::error(&written.at, problem))).ok()
    }

    /// The good ones of the values of a key, and where they were written.
    fn words<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, Problem>) -> Vec<(T, Location)> {
        let mut good = Vec::new();
        for word in self.settings.words("Container", key) {
            match read(&word.value) {
                Ok(value) => good.push((value, word.at)),
                Err(problem) => self.problems.push(Diagnostic::error(&word.at, problem)),
            }
        }
        good
    }

    /// `StopSignal=`. As in unit files (systemd.kill(5)), an unknown signal is ignored.
    fn stop_signal(&mut self) -> Option<String> {
        let written = self.settings.text("Container", "StopSignal")?;
        let signal = values::signal(written.value);
        if signal.is_none() {
            let message = format!(
                "StopSignal={} is not a signal, and the signal of the image is sent; write SIGTERM or 15",
                written.value
            );
            self.problems.push(Diagnostic::warning(&written.at, Code::Signal.problem(message)));
        }
        signal
    }

    fn flag(&self, key: &str) -> Option<Spanned<bool>> {
        let written = self.settings.text("Container", key)?;
        Some(Spanned { value: parse_bool(written.value)?, at: written.at })
    }

    fn masked(&mut self) -> Vec<String> {
        // Several to a word, as Podman takes them.
        let read = |word: &str| word.split(':').map(|path| values::inner_path("Mask", path)).collect();
        self.words("Mask", read).into_iter().flat_map(|(paths, _): (Vec<String>, _)| paths).collect()
    }

    fn identity(&mut self) -> (Identity, Option<Location>) {
        let account = |key: &'static str| {
            move |value: &str| {
                let good = !value.is_empty() && !value.contains(|c: char| c.is_control() || c.is_whitespace());
                good.then(|| value.to_owned())
                    .ok_or_else(|| Code::User.problem(format!("{key}={value:?} is no name and no number")))
            }
        };
        let user = self.text("User", account("User"));
        let group = self.text("Group", account("Group"));
        let written = |key| self.settings.text("Container", key);
        if let (Some(user), Some(group)) = (written("User").filter(|u| u.value.contains(':')), written("Group")) {
            let message = format!("User={} has a group already; write one of the two", user.value);
            self.problems.push(Diagnostic::error(&group.at, Code::Combination.problem(message)));
        }
        let mut more = self.words("GroupAdd", account("GroupAdd"));
        let kept = more.iter().find(|(name, _)| name == KEEP_GROUPS).map(|(_, at)| at.clone());
        if let Some(at) = kept {
            let message =
                "GroupAdd=keep-groups has no effect here: no user's groups are there to be kept; write their numbers";
            self.problems.push(Diagnostic::warning(&at, Code::NoEffect.problem(message)));
            more.retain(|(name, _)| name != KEEP_GROUPS);
        }
        let at = written("User").or_else(|| written("Group")).map(|w| w.at);
        let at = at.or_else(|| more.first().map(|(_, at)| at.clone()));
        (Identity { user, group, more_groups: more.into_iter().map(|(name, _)| name).collect() }, at)
    }
}
