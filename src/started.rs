// SPDX-License-Identifier: MIT
//! Copies of the units of what runs, made when it starts and removed when it stops. A reload that finds other files, or none, goes
//! on giving the service manager these (`plan::kept`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::paths::{STARTED, volume};
use crate::unit::escape_path;

/// Where units of ours are; the service manager takes those of the first one.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/generator"];

/// How the names of the units of ports begin.
const PORT: &str = "sdme-publish-";

/// The name of our drop-ins.
const DROP_IN: &str = "10-sdme.conf";

/// A unit that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its name.
    pub unit: String,
    /// Its files, and those of a socket's proxy or of a container's volumes, by their paths below a directory of units.
    pub files: BTreeMap<String, String>,
}

impl Started {
    /// Where its files are kept.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("{STARTED}/{}", self.unit)
    }

    /// The files of the unit itself.
    pub fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        let drop_in = drop_in(&self.unit);
        let files = self.files.iter().filter(move |(path, _)| **path == self.unit || **path == drop_in);
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether it is a service; otherwise it is the socket of a port.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.unit.ends_with(".service")
    }

    /// What the proxy of a port is bound to: its container or pod.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        let proxy = self.files.get(&[self.unit.strip_suffix("socket")?, "service"].concat())?;
        proxy.lines().find_map(|line| line.strip_prefix("BindsTo="))
    }

    /// The service of the container whose own network it is.
    #[must_use]
    pub fn container_of_pod(&self) -> Option<&str> {
        let mut lines = self.own().flat_map(|(_, text)| text.lines());
        lines.find_map(|line| line.strip_prefix("PartOf=").filter(|unit| unit.starts_with("systemd-nspawn@")))
    }
}

fn drop_in(unit: &str) -> String {
    format!("{unit}.d/{DROP_IN}")
}

/// Everything that runs on the system below `root`. What cannot be read is left out: it is a copy that another process is making or
/// removing.
#[must_use]
pub fn read(root: &Path) -> Vec<Started> {
    let entries = fs::read_dir(root.join(STARTED.trim_start_matches('/'))).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.'));
    let mut all: Vec<Started> = names
        .map(|unit| {
            let directory = root.join(STARTED.trim_start_matches('/')).join(&unit);
            let mut files = BTreeMap::new();
            collect(&directory, "", &mut files);
            Started { unit, files }
        })
        .collect();
    all.sort_by(|a, b| a.unit.cmp(&b.unit));
    all
}

/// The open sockets of the container whose service is `service`.
#[must_use]
pub fn sockets_of(root: &Path, service: &str) -> Vec<String> {
    read(root).into_iter().filter(|started| started.owner() == Some(service)).map(|started| started.unit).collect()
}

/// Takes in the files below a directory of two levels.
fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        match fs::read_to_string(entry.path()) {
            Ok(text) => {
                files.insert(path, text);
            }
            Err(_) if prefix.is_empty() => collect(&entry.path(), &format!("{path}/"), files),
            Err(_) => {}
        }
    }
}

/// Keeps a copy of a unit that is being started, as the service manager has read it: of a socket with its proxy, of a container with
/// the mounts of its volumes. The start of a pod keeps copies of its sockets, too.
///
/// # Errors
/// The copy cannot be written.
pub fn keep(unit: &str) -> io::Result<()> {
    let mut files = BTreeMap::new();
    for path in [unit.to_owned(), drop_in(unit)] {
        files.extend(ours(&path).map(|text| (path, text)));
    }
    let needed: Vec<String> = files.values().flat_map(|text| sockets(text)).collect();
    if let Some(stem) = unit.strip_suffix(".socket") {
        let proxy = format!("{stem}.service");
        files.extend(ours(&proxy).map(|text| (proxy, text)));
    }
    for mount in files.values().flat_map(|text| mounts(text)).collect::<Vec<_>>() {
        files.extend(ours(&mount).map(|text| (mount, text)));
    }
    // A socket may close later than its pod, and be open without it.
    needed.iter().try_for_each(|stem| keep(&format!("{stem}.socket")))?;
    let (new, place) = (PathBuf::from(format!("{STARTED}/.{unit}")), PathBuf::from(format!("{STARTED}/{unit}")));
    remove(&new)?;
    for (path, text) in &files {
        let path = new.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&new))?;
        fs::write(path, text)?;
    }
    remove(&place)?;
    if files.is_empty() { Ok(()) } else { fs::rename(new, place) }
}

/// The sockets that the unit of a pod cannot do without, with what they listen on (systemd.socket(5), `ListenStream=`).
#[must_use]
pub fn needed_sockets(unit: &str) -> BTreeMap<String, String> {
    let text = ours(unit).into_iter().chain(ours(&drop_in(unit))).collect::<String>();
    let needed = text.lines().filter_map(|line| line.strip_prefix("PartOf=").filter(|unit| unit.starts_with(PORT)));
    let listen = |socket: &str| {
        let text = ours(socket)?;
        text.lines().find_map(|line| line.strip_prefix("ListenStream=")).map(str::to_owned)
    };
    needed.filter_map(|socket| Some((socket.to_owned(), listen(socket)?))).collect()
}

/// Whether a unit that was started is what the service manager has read by now.
#[must_use]
pub fn is_current(unit: &str) -> bool {
    let of_start = |path: &str| fs::read_to_string(Path::new(STARTED).join(unit).join(path)).ok();
    [unit.to_owned(), drop_in(unit)].iter().all(|path| of_start(path) == ours(path))
}

/// Removes the copy of a unit that has stopped.
///
/// # Errors
/// It cannot be removed.
pub fn forget(unit: &str) -> io::Result<()> {
    remove(Path::new(&format!("{STARTED}/{unit}")))
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A file of ours, which the service manager reads.
fn ours(path: &str) -> Option<String> {
    let text = UNITS.iter().find_map(|directory| fs::read_to_string(Path::new(directory).join(path)).ok())?;
    text.starts_with("# Generated by sdme-gen").then_some(text)
}

/// The names, without suffix, of the sockets of ports that a unit needs.
pub(crate) fn sockets(text: &str) -> Vec<String> {
    let needed = text.lines().filter_map(|line| line.strip_prefix("Requires=").or_else(|| line.strip_prefix("Wants=")));
    needed
        .filter_map(|unit| unit.strip_suffix(".socket"))
        .filter(|stem| stem.starts_with(PORT))
        .map(str::to_owned)
        .collect()
}

/// The units of the networks that a unit needs which was started.
#[must_use]
pub fn networks_of(unit: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(STARTED).join(unit).join(drop_in(unit))).unwrap_or_default();
    let needed = text.lines().filter_map(|line| line.strip_prefix("Wants="));
    needed.filter(|unit| unit.starts_with("sdme-network@")).map(str::to_owned).collect()
}

/// The units of the volumes that a unit needs mounted.
fn mounts(text: &str) -> Vec<String> {
    let paths = text.lines().filter_map(|line| line.strip_prefix("WantsMountsFor=")).flat_map(str::split_whitespace);
    let volumes = paths.filter(|path| path.starts_with(&volume("")));
    volumes.map(|path| format!("{}.mount", escape_path(path))).collect()
}
