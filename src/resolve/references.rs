// SPDX-License-Identifier: MIT
//! References between files: images by file or by source, and names of files in dependency keys of
//! `[Unit]`. Pure.

use crate::model::{Assignment, Container, Image, Named, Pod};
use std::collections::{BTreeMap, BTreeSet};

use crate::config::keys::FileType;
use crate::config::quadlet::quadlets::plain;
use crate::config::settings::Settings;
use crate::config::sources::SourceFile;
use crate::config::trust::Trust;
use crate::config::values::access::Access;
use crate::config::values::install::InstallSetting;
use crate::config::values::source::{ImageSource, ModeSetting, PlatformSetting, Pull};
use crate::diag::{Code, Diagnostic, Problem, nearest};
use crate::ini::Entry;
use crate::unit::escape_instance;

/// The names of all files, with and without errors, by type.
#[derive(Debug, Default)]
pub struct Names {
    files: BTreeMap<FileType, BTreeSet<String>>,
    /// The names of containers that differ from those of their `.container` files, by the name of
    /// the file.
    machines: BTreeMap<String, String>,
    /// The names of pods that differ from those of their `.pod` files, by the name of the file.
    pods: BTreeMap<String, String>,
    /// The names of networks that differ from those of their `.network` files, by the name of the
    /// file.
    networks: BTreeMap<String, String>,
    /// The files, by the names of the units that Quadlet makes for them, without the suffix
    /// `.service`.
    units: BTreeMap<String, (FileType, String)>,
    /// The named networks without a file, except the default network.
    implicit: BTreeSet<String>,
    /// The images that `.build` files build, each with the path of its file.
    built: BTreeMap<String, String>,
}

impl Names {
    /// Adds the images that `.build` files build, each with the path of its file.
    pub fn add_built(&mut self, built: &BTreeMap<String, String>) {
        self.built.clone_from(built);
    }

    /// Adds named networks without a file.
    pub fn add_networks(&mut self, names: BTreeSet<String>) {
        self.implicit.extend(names);
    }

    /// The named networks without a file, except the default network.
    pub fn implicit_networks(&self) -> impl Iterator<Item = &str> {
        self.implicit.iter().map(String::as_str)
    }

    /// Adds a file, and the name of the object that it describes.
    pub fn add(&mut self, file_type: FileType, name: &str, described: &str) {
        self.files.entry(file_type).or_default().insert(name.to_owned());
        let renamed = match file_type {
            FileType::Container => &mut self.machines,
            FileType::Pod => &mut self.pods,
            FileType::Network => &mut self.networks,
            _ => return,
        };
        renamed.remove(name);
        if described != name {
            renamed.insert(name.to_owned(), described.to_owned());
        }
    }

    /// Adds the unit that Quadlet makes for a file: its name is `ServiceName=` (`written`), or the
    /// name of the file, with a suffix for all types except containers.
    pub fn add_unit(&mut self, file_type: FileType, name: &str, written: Option<&str>) {
        let unit = match (written, file_type) {
            (_, FileType::Defaults) => return,
            (Some(written), _) => written.to_owned(),
            (None, FileType::Container) => name.to_owned(),
            (None, _) => match name.split_once('@') {
                Some((template, instance)) => format!("{template}-{}@{instance}", file_type.extension()),
                None => format!("{name}-{}", file_type.extension()),
            },
        };
        self.units.insert(unit, (file_type, name.to_owned()));
    }

    /// The type and name of the file for which Quadlet or `podman generate systemd` would make this
    /// unit.
    #[must_use]
    pub fn of_unit(&self, unit: &str) -> Option<(FileType, &str)> {
        let stem = unit.strip_suffix(".service")?;
        if let Some((file_type, name)) = self.units.get(stem) {
            return Some((*file_type, name));
        }
        let (file_type, name) = match stem.split_once('-')? {
            ("container", name) => (FileType::Container, name),
            ("pod", name) => (FileType::Pod, name),
            _ => return None,
        };
        let file = match file_type {
            FileType::Container => self.renamed(name).into_iter().next(),
            _ => self.file_of_pod(name),
        };
        let file = file.unwrap_or(name);
        let known = self.files.get(&file_type)?;
        known.get(file).map(|file| (file_type, file.as_str()))
    }

    /// The names of the units that Quadlet makes, without the suffix `.service`.
    fn units(&self) -> impl Iterator<Item = &str> {
        self.units.keys().map(String::as_str)
    }

    /// The names of the files of a type.
    #[must_use]
    // The same parameter as that of `BTreeMap::get`.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn get(&self, file_type: &FileType) -> Option<&BTreeSet<String>> {
        self.files.get(file_type)
    }

    /// The name of the container that a `.container` file describes.
    #[must_use]
    pub fn machine<'a>(&'a self, file: &'a str) -> &'a str {
        self.machines.get(file).map_or(file, String::as_str)
    }

    /// The name of the pod that a `.pod` file describes.
    #[must_use]
    pub fn pod<'a>(&'a self, file: &'a str) -> &'a str {
        self.pods.get(file).map_or(file, String::as_str)
    }

    /// The name of the network that a `.network` file describes.
    #[must_use]
    pub fn network<'a>(&'a self, file: &'a str) -> &'a str {
        self.networks.get(file).map_or(file, String::as_str)
    }

    /// The name of the object that a file describes.
    #[must_use]
    pub fn described<'a>(&'a self, file_type: FileType, file: &'a str) -> &'a str {
        match file_type {
            FileType::Container => self.machine(file),
            FileType::Pod => self.pod(file),
            FileType::Network => self.network(file),
            FileType::Image | FileType::Volume | FileType::Defaults => file,
        }
    }

    /// The `.network` file that describes the network of this name.
    #[must_use]
    pub fn file_of_network(&self, network: &str) -> Option<&str> {
        self.files.get(&FileType::Network)?.iter().map(String::as_str).find(|file| self.network(file) == network)
    }

    /// The `.pod` file that describes the pod of this name.
    #[must_use]
    pub fn file_of_pod(&self, pod: &str) -> Option<&str> {
        self.files.get(&FileType::Pod)?.iter().map(String::as_str).find(|file| self.pod(file) == pod)
    }

    /// The `.container` files that describe the container of this name, except a file of the same
    /// name.
    #[must_use]
    pub fn renamed(&self, machine: &str) -> Vec<&str> {
        self.machines.iter().filter(|(_, name)| *name == machine).map(|(file, _)| file.as_str()).collect()
    }
}

/// A reference to an image in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageRef {
    /// `NAME.image`: the name of an existing file, without the extension.
    File(String),
    /// An image source, and the name of the image, which is the escaped source. No `.image` file
    /// can have this name, because it always contains a colon or an escaped at sign.
    Source(ImageSource, String),
}

/// Reads a reference to an image: `NAME.image`, a registry reference, or a source with a transport.
///
/// # Errors
/// The file does not exist, or the reference is invalid.
pub fn image_ref(value: &str, names: &Names) -> Result<ImageRef, Problem> {
    let wrong =
        |cause: &str, remedy: String| Err(Code::ImageReference.problem(format!("Image={value}: {cause}"), remedy));
    // An image that was built elsewhere can be imported under the name of its `.build` file.
    let imported = |name: &str| names.get(&FileType::Image).is_some_and(|known| known.contains(name));
    if let Some(name) = value.strip_suffix(".build") {
        if imported(name) {
            return Ok(ImageRef::File(name.to_owned()));
        }
        let remedy =
            format!("build {name} elsewhere, and write its reference, or import it with sdme-gen fs import {name}");
        return wrong("images are not built here", remedy);
    }
    // The known variables of [Service] have already been replaced.
    if let Some((name, _)) = value.split_once("${").and_then(|(_, rest)| rest.split_once('}')) {
        let remedy =
            "set it with Environment= in [Service], or in an existing file of EnvironmentFile=, or write the value";
        return wrong(&format!("the variable {name} is not known"), remedy.to_owned());
    }
    // A registry could have an image of the same name by someone else.
    if let Some(file) = names.built.get(plain(value)) {
        let name = file.rsplit('/').next().and_then(|name| name.strip_suffix(".build")).unwrap_or_default();
        if imported(name) {
            return Ok(ImageRef::File(name.to_owned()));
        }
        let remedy = format!(
            "build it elsewhere, and write a reference from which it can be pulled, or import it with sdme-gen fs import {name}"
        );
        return wrong(&format!("{file} builds this image, and images are not built here"), remedy);
    }
    let Some(name) = value.strip_suffix(".image") else {
        let source: ImageSource = value.parse().map_err(|fault| Code::ImageReference.of(fault))?;
        let name = escape_instance(&source.to_string());
        return Ok(ImageRef::Source(source, name));
    };
    existing(FileType::Image, name, names).map(|()| ImageRef::File(name.to_owned()))
}

/// Checks that a file exists.
///
/// # Errors
/// The file does not exist. The remedy suggests a similar name.
pub fn existing(file_type: FileType, name: &str, names: &Names) -> Result<(), Problem> {
    let extension = file_type.extension();
    let known = names.get(&file_type);
    if known.is_some_and(|k| k.contains(name)) {
        return Ok(());
    }
    let near = nearest(name, known.into_iter().flatten().map(String::as_str));
    let remedy = match (near, file_type) {
        (Some(near), _) => format!("did you mean {near}.{extension}?"),
        (None, FileType::Network) => "write that file, in which [Network] is enough".to_owned(),
        (None, _) => "write that file, or the name of another one".to_owned(),
    };
    Err(Code::MissingFile.problem(format!("there is no {name}.{extension}"), remedy))
}

/// The image for a source in a `.container` file, which has no `.image` file.
#[must_use]
pub fn implicit_image(source: &ImageSource, name: &str, mode: ModeSetting, pull: Pull) -> Image {
    Image {
        name: name.to_owned(),
        file: None,
        mode: mode.of(source),
        source: source.clone(),
        pull,
        auto_update: None,
        install: InstallSetting::default(),
        platform: PlatformSetting::default(),
        access: Access::default(),
        base: None,
        trust: Trust::default(),
        locked: None,
        unit: Vec::new(),
        service: Vec::new(),
        links: Vec::new(),
    }
}

/// The unit of the object `name` that a file of this type describes.
///
/// # Errors
/// `sdme.conf` has no unit.
pub fn unit_of(file_type: FileType, name: &str) -> Result<String, Problem> {
    match file_type {
        FileType::Container => Ok(Container::unit(name)),
        FileType::Image => Ok(Image::service(name)),
        FileType::Pod => Ok(Pod::service(name)),
        FileType::Network => Ok(Named::service(name)),
        FileType::Volume => Ok(format!("sdme-volume@{name}.service")),
        FileType::Defaults => Err(Code::MissingFile.problem(format!("{name}.conf has no unit"), "name another file")),
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

/// The target that every container of Quadlet wants and waits for.
const ONLINE: &str = "network-online.target";

/// Returns the assignments of `[Unit]`, with names of files in dependency keys replaced by their
/// units. A unit that waits for `network-online.target` also gets `Wants=` for it: Quadlet adds
/// this dependency itself, and the target is not reached if no unit wants it. `pods` are the files
/// of the pods that the file is a member of.
pub fn unit_section<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    names: &Names,
    pods: &[&str],
    problems: &mut Vec<Diagnostic>,
) -> Vec<Assignment> {
    let mut out = Vec::new();
    for entry in entries {
        if !DEPENDENCIES.contains(&entry.key.as_str()) {
            out.push((entry.key.clone(), entry.value.clone()));
            continue;
        }
        let words = entry.value.split_whitespace().filter_map(|word| translate(entry, word, (names, pods), problems));
        let words: Vec<String> = words.collect();
        if !words.is_empty() || entry.value.trim().is_empty() {
            out.push((entry.key.clone(), words.join(" ")));
        }
    }
    let mentioned = |keys: &[&str]| {
        let of_keys = out.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        of_keys.flat_map(|(_, value)| value.split_whitespace()).any(|word| word == ONLINE)
    };
    if mentioned(&["After"]) && !mentioned(&["BindsTo", "Requires", "Requisite", "Wants"]) {
        out.push(("Wants".to_owned(), ONLINE.to_owned()));
    }
    out
}

/// The file types of Quadlet for which sdme-gen has no unit.
const WITHOUT_UNIT: [&str; 3] = ["artifact", "build", "kube"];

/// The dependencies that make a start fail if the unit does not exist.
const NEEDED: [&str; 3] = ["BindsTo", "Requires", "Requisite"];

/// The dependencies that start the other unit.
const STARTING: [&str; 4] = ["BindsTo", "Requires", "Upholds", "Wants"];

/// Prefixes of the names of services that hosts commonly have.
const OF_HOST: [&str; 34] = [
    "NetworkManager",
    "apparmor",
    "auditd",
    "autofs",
    "avahi",
    "chrony",
    "cloud-",
    "cron",
    "dbus",
    "dnsmasq",
    "docker",
    "firewalld",
    "getty",
    "iptables",
    "iscsi",
    "libvirt",
    "lvm2",
    "multipath",
    "netfilter",
    "networking",
    "nfs",
    "nftables",
    "ntp",
    "openvpn",
    "podman",
    "postfix",
    "rclone",
    "rpc",
    "smb",
    "ssh",
    "systemd-",
    "tailscaled",
    "wg-quick",
    "zfs",
];

/// Returns the units for a word. None for a volume, which is ready whenever a container needs it,
/// so that no dependency is needed.
fn translate(
    entry: &Entry,
    word: &str,
    (names, pods): (&Names, &[&str]),
    problems: &mut Vec<Diagnostic>,
) -> Option<String> {
    let types = [FileType::Container, FileType::Image, FileType::Pod, FileType::Network, FileType::Volume];
    let (stem, extension) = word.rsplit_once('.').unwrap_or((word, ""));
    if WITHOUT_UNIT.contains(&extension) {
        let problem = Code::NoEffect.problem(
            format!("{}={word} has no effect here: there is no unit for such a file", entry.key),
            "remove the name",
        );
        problems.push(Diagnostic::warning(&entry.at, problem));
        return None;
    }
    // For rootless containers, Quadlet uses this service in place of the target.
    if word == "podman-user-wait-network-online.service" {
        return Some(ONLINE.to_owned());
    }
    let file = types.iter().find(|t| t.extension() == extension).map(|t| (*t, stem));
    let Some((file_type, name)) = file.or_else(|| names.of_unit(word)) else {
        problems.extend(starter(entry, word, names).or_else(|| unknown_unit(entry, word, names)));
        return Some(word.to_owned());
    };
    let described = names.described(file_type, name);
    let unit = existing(file_type, name, names).and_then(|()| unit_of(file_type, described));
    // The service of a pod only makes the pod's network. If the file is not a member of the pod,
    // the target adds the pod's containers.
    let is_member = pods.iter().any(|pod| pod.strip_suffix(".pod") == Some(name));
    let with_members = file_type == FileType::Pod && !is_member && STARTING.contains(&entry.key.as_str());
    let unit = unit.map(|unit| if with_members { format!("{unit} {}", Pod::target(described)) } else { unit });
    unit.map_err(|problem| problems.push(Diagnostic::error(&entry.at, problem)))
        .ok()
        .filter(|_| file_type != FileType::Volume)
}

/// The warning about a socket, timer or path unit of the host that starts the service of the same
/// name. For sdme-gen, that service has another name.
fn starter(entry: &Entry, word: &str, names: &Names) -> Option<Diagnostic> {
    let (stem, kind) = word.rsplit_once('.')?;
    let key = match kind {
        "socket" => "Service",
        "timer" | "path" => "Unit",
        _ => return None,
    };
    let service = format!("{stem}.service");
    let (file_type, name) = names.of_unit(&service)?;
    let unit = unit_of(file_type, names.described(file_type, name)).ok()?;
    let problem = Code::UnknownUnit.problem(
        format!("{}={word}: that unit starts {service}, which is not the unit of any file here", entry.key),
        format!("write {key}={unit} in {word}"),
    );
    Some(Diagnostic::warning(&entry.at, problem))
}

/// The warning about a service that is neither the unit of a file nor probably one of the host.
fn unknown_unit(entry: &Entry, word: &str, names: &Names) -> Option<Diagnostic> {
    let stem = word.strip_suffix(".service").filter(|stem| !stem.contains('%'))?;
    let of_quadlet = ["-pod", "-volume", "-network", "-image", "-build"].iter().any(|suffix| stem.ends_with(suffix));
    let needed = NEEDED.contains(&entry.key.as_str());
    let ours = ["sdme-", "systemd-nspawn@"].iter().any(|ours| stem.starts_with(ours));
    let of_host = OF_HOST.iter().any(|beginning| stem.starts_with(beginning));
    if ours || (of_host && !of_quadlet) || !(needed || of_quadlet) {
        return None;
    }
    let what = if needed {
        "the start fails unless the host has such a unit"
    } else {
        "the start waits for it only if the host has such a unit"
    };
    let remedy = nearest(stem, names.units()).map_or_else(
        || "write the name of a file, such as web.container".to_owned(),
        |near| format!("did you mean {near}.service?"),
    );
    let problem =
        Code::UnknownUnit.problem(format!("{}={word} is not the unit of any file here: {what}", entry.key), remedy);
    Some(Diagnostic::warning(&entry.at, problem))
}

/// The files without errors, with their settings, by type and name.
pub type Readable<'a> = BTreeMap<(FileType, &'a str), (&'a SourceFile, Settings)>;
