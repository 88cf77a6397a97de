// SPDX-License-Identifier: MIT
//! References between files: images by file or by source, and file names in dependency keys of `[Unit]`. Pure.

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

/// The names of all files found, usable or not, by type.
#[derive(Debug, Default)]
pub struct Names {
    files: BTreeMap<FileType, BTreeSet<String>>,
    /// What `.container` files describe, where that is not called as the file is.
    machines: BTreeMap<String, String>,
    /// The same of `.pod` files.
    pods: BTreeMap<String, String>,
    /// The same of `.network` files.
    networks: BTreeMap<String, String>,
    /// Files by the units that Quadlet makes of them, without the suffix `.service`.
    units: BTreeMap<String, (FileType, String)>,
    /// Networks that no file describes.
    implicit: BTreeSet<String>,
    /// Images that `.build` files make, and the paths of these.
    built: BTreeMap<String, String>,
}

impl Names {
    /// Notes images that `.build` files make.
    pub fn add_built(&mut self, built: &BTreeMap<String, String>) {
        self.built.clone_from(built);
    }

    /// Notes networks that no file describes.
    pub fn add_networks(&mut self, names: BTreeSet<String>) {
        self.implicit.extend(names);
    }

    /// The networks that no file describes, the default one not among them.
    pub fn implicit_networks(&self) -> impl Iterator<Item = &str> {
        self.implicit.iter().map(String::as_str)
    }

    /// Notes a file, and the name of what it describes.
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

    /// Notes the unit that Quadlet makes of a file: `ServiceName=`, or the file's name with a suffix for most types.
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

    /// The file that a unit stands for by the name that Quadlet gives it, or `podman generate systemd`.
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

    /// The units of Quadlet.
    fn units(&self) -> impl Iterator<Item = &str> {
        self.units.keys().map(String::as_str)
    }

    /// The names of a type's files.
    #[must_use]
    // As the map's own.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn get(&self, file_type: &FileType) -> Option<&BTreeSet<String>> {
        self.files.get(file_type)
    }

    /// The name of what a `.container` file describes.
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

    /// The name of what a file describes.
    #[must_use]
    pub fn described<'a>(&'a self, file_type: FileType, file: &'a str) -> &'a str {
        match file_type {
            FileType::Container => self.machine(file),
            FileType::Pod => self.pod(file),
            FileType::Network => self.network(file),
            FileType::Image | FileType::Volume | FileType::Defaults => file,
        }
    }

    /// The `.network` file that describes a network of this name.
    #[must_use]
    pub fn file_of_network(&self, network: &str) -> Option<&str> {
        self.files.get(&FileType::Network)?.iter().map(String::as_str).find(|file| self.network(file) == network)
    }

    /// The `.pod` file that describes a pod of this name.
    #[must_use]
    pub fn file_of_pod(&self, pod: &str) -> Option<&str> {
        self.files.get(&FileType::Pod)?.iter().map(String::as_str).find(|file| self.pod(file) == pod)
    }

    /// The file that describes a container of this name, if it is not called as the container is.
    #[must_use]
    pub fn renamed(&self, machine: &str) -> Vec<&str> {
        self.machines.iter().filter(|(_, name)| *name == machine).map(|(file, _)| file.as_str()).collect()
    }
}

/// An image as a user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageRef {
    /// `NAME.image`, the name of an existing file.
    File(String),
    /// A source of its own, and the name of the image it is: the escaped source, which no `.image` file can have, as it
    /// always contains a colon or an escaped at-sign.
    Source(ImageSource, String),
}

/// Reads `NAME.image`, a registry reference or a transport.
///
/// # Errors
/// A file that does not exist, or a reference that cannot be read.
pub fn image_ref(value: &str, names: &Names) -> Result<ImageRef, Problem> {
    let wrong =
        |cause: &str, remedy: String| Err(Code::ImageReference.problem(format!("Image={value}: {cause}"), remedy));
    // An image that was built elsewhere, and imported under the name of the file that describes how.
    let imported = |name: &str| names.get(&FileType::Image).is_some_and(|known| known.contains(name));
    if let Some(name) = value.strip_suffix(".build") {
        if imported(name) {
            return Ok(ImageRef::File(name.to_owned()));
        }
        let remedy =
            format!("build {name} elsewhere, and write its reference, or import it with sdme-gen fs import {name}");
        return wrong("images are not built here", remedy);
    }
    // Variables of [Service] have been put in by now.
    if let Some((name, _)) = value.split_once("${").and_then(|(_, rest)| rest.split_once('}')) {
        let remedy =
            "set it with Environment= in [Service], or in an existing file of EnvironmentFile=, or write the value";
        return wrong(&format!("the variable {name} is not known"), remedy.to_owned());
    }
    // A registry would have somebody else's image of that name.
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

/// Says what is wrong when there is no such file.
///
/// # Errors
/// There is none.
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

/// The image for a source written directly into a `.container` file.
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

/// The unit a file becomes.
///
/// # Errors
/// File types that have no unit yet.
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

/// The target that Quadlet has every container want and wait for.
const ONLINE: &str = "network-online.target";

/// `[Unit]` with `x.container` and `x.image` in dependency keys replaced by their units. What waits for `network-online.target` wants it,
/// too: nothing else may, and Quadlet's files need not say so. `pods` are the files of the pods that the file is a member of.
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

/// Kinds of Quadlet files that have no unit here.
const WITHOUT_UNIT: [&str; 3] = ["artifact", "build", "kube"];

/// Dependencies whose unit has to be there: without it, the start fails.
const NEEDED: [&str; 3] = ["BindsTo", "Requires", "Requisite"];

/// Dependencies that start the other unit.
const STARTING: [&str; 4] = ["BindsTo", "Requires", "Upholds", "Wants"];

/// Beginnings of the names of services that hosts commonly have.
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

/// The unit behind a word. A volume has none, and is in place whenever a container needs it: nothing is left to wait for.
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
    // What Quadlet has user units wait for.
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
    // The pod's service is its network. Who is no member means the containers, too.
    let is_member = pods.iter().any(|pod| pod.strip_suffix(".pod") == Some(name));
    let with_members = file_type == FileType::Pod && !is_member && STARTING.contains(&entry.key.as_str());
    let unit = unit.map(|unit| if with_members { format!("{unit} {}", Pod::target(described)) } else { unit });
    unit.map_err(|problem| problems.push(Diagnostic::error(&entry.at, problem)))
        .ok()
        .filter(|_| file_type != FileType::Volume)
}

/// What is to be said about a socket, timer or path that starts the service of its own name, where a file has another unit here.
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

/// What is to be said about a unit that is neither of a file nor known as one of the host.
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

/// All files that can be read.
pub type Readable<'a> = BTreeMap<(FileType, &'a str), (&'a SourceFile, Settings)>;
