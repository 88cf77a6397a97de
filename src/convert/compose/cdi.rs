// SPDX-License-Identifier: MIT
//! Passes on devices that are named by the Container Device Interface (CDI). The device nodes,
//! mounts and variables that a vendor's CDI file lists for a device, such as a GPU, are written
//! into the container. Pure over [`Files`](crate::compose::Files).

use std::collections::BTreeSet;

use super::Context;
use crate::compose::value::{Map, Value, words};
use crate::compose::{absolute, yaml};
use crate::convert::Builder;

/// The directories of CDI files, by the CDI specification.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/run/cdi"];

/// The devices that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Selection {
    All,
    Number(usize),
    Names(Vec<String>),
}

/// A CDI file of a vendor.
struct Vendor {
    path: String,
    /// The kind of the devices, in the form `VENDOR/CLASS`.
    kind: String,
    file: Map,
}

impl Vendor {
    fn devices(&self) -> impl Iterator<Item = (String, &Value)> {
        let devices = self.file.get("devices").and_then(Value::as_list).unwrap_or_default();
        devices.iter().filter_map(|device| Some((device.get("name")?.scalar()?, device)))
    }
}

/// Writes the GPUs of `gpus:`, whose value is `all`, a number, or a list of requests.
pub fn gpus(key: &str, value: &Value, container: &mut Builder, context: &Context<'_>) {
    match value {
        Value::List(requests) => requests.iter().for_each(|request| self::request(key, request, container, context)),
        other => {
            let count = ("count".to_owned(), Value::Text(other.scalar().unwrap_or_default()));
            request(key, &Value::Map([count].into_iter().collect()), container, context);
        }
    }
}

/// Writes the devices of one request with `driver`, `count` or `device_ids`, and `capabilities`.
pub fn request(key: &str, request: &Value, container: &mut Builder, context: &Context<'_>) {
    let driver = request.get("driver").and_then(Value::scalar).unwrap_or_default();
    let capabilities = request.get("capabilities").map_or_else(|| vec!["gpu".to_owned()], words);
    let selection = match (request.get("device_ids").map(words), request.get("count").and_then(Value::scalar)) {
        (Some(names), _) => Selection::Names(names),
        (None, Some(count)) => count.parse().map_or(Selection::All, Selection::Number),
        (None, None) => Selection::All,
    };
    let is_gpu = capabilities.iter().any(|capability| capability == "gpu");
    let fits = |vendor: &Vendor| match driver.as_str() {
        "" => vendor.kind.ends_with("/gpu"),
        driver => vendor.kind == format!("{driver}.com/gpu"),
    };
    let done = match &selection {
        Selection::Names(names) if driver == "cdi" => names.iter().all(|name| named(key, name, container, context)),
        _ if is_gpu => vendors(context).iter().find(|vendor| fits(vendor)).is_some_and(|vendor| {
            let names = chosen(vendor, &selection);
            names.map(|names| edits(key, vendor, &names, container)).is_some()
        }),
        _ => false,
    };
    if !done {
        let driver = if driver.is_empty() { driver } else { format!(" of {driver}") };
        let reason = format!(
            "the device ({}{driver}) is not passed on, as no file in /etc/cdi and /run/cdi describes it; make such a file with the \
             vendor's tools and convert again, or name its device nodes in devices:",
            capabilities.join(", ")
        );
        container.note(key, &reason);
    }
}

/// Writes the device `VENDOR/CLASS=NAME`. Returns whether a CDI file describes the device.
pub fn named(key: &str, name: &str, container: &mut Builder, context: &Context<'_>) -> bool {
    let Some((kind, device)) = name.split_once('=') else { return false };
    let all = vendors(context);
    let known = |vendor: &&Vendor| vendor.kind == kind && vendor.devices().any(|(name, _)| name == device);
    all.iter().find(known).map(|vendor| edits(key, vendor, &[device.to_owned()], container)).is_some()
}

/// Returns the names of the devices that satisfy a request, or `None` if the vendor lacks one of
/// them.
fn chosen(vendor: &Vendor, selection: &Selection) -> Option<Vec<String>> {
    let all: Vec<String> = vendor.devices().map(|(name, _)| name).collect();
    let has = |name: &str| all.iter().any(|known| known == name);
    match selection {
        Selection::Names(names) => names.iter().all(|name| has(name)).then(|| names.clone()),
        Selection::All if has("all") => Some(vec!["all".to_owned()]),
        Selection::All => Some(all),
        // Devices are numbered from 0. Other names of a device, such as its UUID, must not be
        // counted.
        Selection::Number(number) => {
            let names: Vec<String> = (0..*number).map(|index| index.to_string()).collect();
            names.iter().all(|name| has(name)).then_some(names)
        }
    }
}

/// Writes the CDI edits of the named devices and those that apply to every device of the vendor.
fn edits(key: &str, vendor: &Vendor, names: &[String], container: &mut Builder) {
    let devices = vendor.devices().filter(|(name, _)| names.contains(name)).map(|(_, device)| device);
    let own: Vec<&Value> = devices.filter_map(|device| device.get("containerEdits")).collect();
    let mut written = BTreeSet::new();
    let mut hooks = false;
    for edits in own.into_iter().chain(vendor.file.get("containerEdits")) {
        let list = |key: &str| edits.get(key).and_then(Value::as_list).unwrap_or_default();
        let text = |item: &Value, key: &str| item.get(key).and_then(Value::scalar);
        let mut put = |ours: &str, value: String| {
            if written.insert((ours.to_owned(), value.clone())) {
                container.put(key, ours, &value);
            }
        };
        for node in list("deviceNodes") {
            let Some(path) = text(node, "path") else { continue };
            let source = text(node, "hostPath").unwrap_or_else(|| path.clone());
            let permissions = text(node, "permissions").map(|letters| format!(":{letters}")).unwrap_or_default();
            put(
                "AddDevice",
                if source == path && permissions.is_empty() { path } else { format!("{source}:{path}{permissions}") },
            );
        }
        for mount in list("mounts") {
            let (Some(from), Some(to)) = (text(mount, "hostPath"), text(mount, "containerPath")) else { continue };
            let options = mount.get("options").map(words).unwrap_or_default();
            let read_only = if options.iter().any(|option| option == "ro") { ":ro" } else { "" };
            put("Volume", format!("{from}:{to}{read_only}"));
        }
        for variable in list("env").iter().filter_map(Value::scalar) {
            put("Environment", variable);
        }
        hooks |= !list("hooks").is_empty();
    }
    if hooks {
        let reason = format!(
            "the hooks of {} are not run; run ldconfig in the image, or set LD_LIBRARY_PATH to the directories of the libraries",
            vendor.path
        );
        container.note(key, &reason);
    }
}

fn vendors(context: &Context<'_>) -> Vec<Vendor> {
    let mut all = Vec::new();
    for directory in DIRECTORIES {
        let names = context.files.list(directory);
        for name in names.iter().filter(|name| [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))) {
            let path = absolute(directory, name);
            // An unreadable file describes no device; the note of the request names what is
            // missing.
            let text = context.files.read(&path).ok().flatten().unwrap_or_default();
            let documents = yaml::documents(&text).unwrap_or_default();
            let vendor = documents.into_iter().find_map(|document| match document {
                Value::Map(map) => Some(map),
                _ => None,
            });
            let Some(file) = vendor else { continue };
            let Some(kind) = file.get("kind").and_then(Value::scalar) else { continue };
            all.push(Vendor { path, kind, file });
        }
    }
    all
}
