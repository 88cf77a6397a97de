// SPDX-License-Identifier: MIT
//! Copies of the units of running containers, pods and networks, made at their start and removed at
//! their stop. If a reload finds other files or none, the generator still gives the service manager
//! these copies (`plan::kept`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::paths::{STARTED, volume};
use crate::unit::escape_path;

/// The directories of planned units; the service manager prefers the first one.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/generator"];

/// The beginning of the names of units of ports.
const PORT: &str = "sdme-publish-";

/// The name of the drop-ins of sdme-gen.
const DROP_IN: &str = "10-sdme.conf";

/// A unit that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The name of the unit.
    pub unit: String,
    /// The files of the unit, and those of a socket's proxy or of a container's volumes, by their
    /// paths relative to a unit directory.
    pub files: BTreeMap<String, String>,
}

impl Started {
    /// The directory of the copies.
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

    /// Whether the unit is a service. Otherwise it is the socket of a port.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.unit.ends_with(".service")
    }

    /// The unit that the proxy of a port is bound to: that of its container or pod.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        let proxy = self.files.get(&[self.unit.strip_suffix("socket")?, "service"].concat())?;
        proxy.lines().find_map(|line| line.strip_prefix("BindsTo="))
    }

    /// The container's service, if the unit is the network of a single container.
    #[must_use]
    pub fn container_of_pod(&self) -> Option<&str> {
        let mut lines = self.own().flat_map(|(_, text)| text.lines());
        lines.find_map(|line| line.strip_prefix("PartOf=").filter(|unit| unit.starts_with("systemd-nspawn@")))
    }
}

fn drop_in(unit: &str) -> String {
    format!("{unit}.d/{DROP_IN}")
}

/// All running units below `root`. Files that cannot be read are skipped: another process is making
/// or removing them.
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

/// The open sockets of the container with the unit `service`.
#[must_use]
pub fn sockets_of(root: &Path, service: &str) -> Vec<String> {
    read(root).into_iter().filter(|started| started.owner() == Some(service)).map(|started| started.unit).collect()
}

/// Adds the files below a directory with two levels.
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

/// Keeps a copy of a starting unit, as the service manager has read it. The copy of a socket
/// includes its proxy, and that of a container includes the mounts of its volumes. The start of a
/// pod also keeps copies of its sockets.
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
    // Sockets have separate copies, because a socket can close later than its pod, and can be open
    // without it.
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

/// The sockets that the unit of a pod requires, with their addresses (systemd.socket(5),
/// `ListenStream=`).
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

/// Whether the copy of a running unit equals the unit that the service manager has read last.
#[must_use]
pub fn is_current(unit: &str) -> bool {
    let of_start = |path: &str| fs::read_to_string(Path::new(STARTED).join(unit).join(path)).ok();
    [unit.to_owned(), drop_in(unit)].iter().all(|path| of_start(path) == ours(path))
}

/// Removes the copy of a unit that has stopped.
///
/// # Errors
/// The copy cannot be removed.
pub fn forget(unit: &str) -> io::Result<()> {
    remove(Path::new(&format!("{STARTED}/{unit}")))
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A planned unit file, as the service manager reads it. None if sdme-gen has not written the file.
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

/// The units of the networks that a running unit needs.
#[must_use]
pub fn networks_of(unit: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(STARTED).join(unit).join(drop_in(unit))).unwrap_or_default();
    let needed = text.lines().filter_map(|line| line.strip_prefix("Wants="));
    needed.filter(|unit| unit.starts_with("sdme-network@")).map(str::to_owned).collect()
}

/// The mount units of the volumes that a unit needs.
fn mounts(text: &str) -> Vec<String> {
    let paths = text.lines().filter_map(|line| line.strip_prefix("WantsMountsFor=")).flat_map(str::split_whitespace);
    let volumes = paths.filter(|path| path.starts_with(&volume("")));
    volumes.map(|path| format!("{}.mount", escape_path(path))).collect()
}
