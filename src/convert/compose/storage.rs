// SPDX-License-Identifier: MIT
//! Converts volumes, devices, secrets and configs of a project. Pure over
//! [`Files`](crate::compose::Files).

use std::collections::BTreeSet;

use super::{Context, builder, cdi};
use crate::compose::value::{Map, Value, words};
use crate::compose::{Kind, is_path};
use crate::config::keys::FileType;
use crate::convert::{Builder, name, unique};

/// Writes the files of the named volumes of the project.
pub fn volumes(context: &mut Context<'_>) {
    let mut taken = BTreeSet::new();
    let project = name(&context.resolved.name);
    let model = context.resolved;
    let all = model.model.get("volumes").and_then(Value::as_map);
    for (volume, settings) in all.into_iter().flat_map(Map::iter) {
        let subject = format!("volume {volume}");
        let text = |key: &str| settings.get(key).and_then(Value::scalar);
        let external = settings.get("external");
        if external.is_some_and(|external| external.boolean() != Some(false)) {
            let named = external.and_then(|external| external.get("name")?.scalar()).or_else(|| text("name"));
            let named = named.unwrap_or_else(|| volume.to_owned());
            context.lose(
                &subject,
                "external",
                format!("the volume {named} of sdme-gen is used, and is empty until you copy files into it"),
            );
            context.volumes.insert(volume, named);
            continue;
        }
        let options =
            |key: &str| settings.get("driver_opts").and_then(|options| options.get(key)?.scalar()).unwrap_or_default();
        let (kind, device, flags) = (options("type"), options("device"), options("o"));
        let bind = flags.split(',').any(|flag| flag == "bind" || flag == "rbind");
        if bind && device.starts_with('/') {
            if context.files.kind(&device) == Kind::Missing {
                context.out.directories.insert(device.clone());
            }
            context.volumes.insert(volume, device);
            continue;
        }
        let mut file = builder(FileType::Volume);
        if let Some(driver) = text("driver").filter(|driver| driver != "local" && driver != "default") {
            file.note(
                "driver",
                &format!("the driver {driver} has no counterpart; the volume is a directory of this host"),
            );
        }
        if !device.is_empty() {
            // Docker has the address of an NFS server in an option, mount(8) has it in the device.
            let address = flags.split(',').find_map(|flag| flag.strip_prefix("addr="));
            let device = match address {
                Some(address) if device.starts_with(':') => format!("{address}{device}"),
                _ => device,
            };
            let rest: Vec<&str> =
                flags.split(',').filter(|flag| !flag.is_empty() && !flag.starts_with("addr=")).collect();
            file.put("driver_opts.device", "Device", &device);
            if !kind.is_empty() {
                file.put("driver_opts.type", "Type", &kind);
            }
            if !rest.is_empty() {
                file.put("driver_opts.o", "Options", &rest.join(","));
            }
        }
        if let Some(own) = text("name") {
            file.put("name", "VolumeName", &own);
        }
        for label in settings.get("labels").map(words).unwrap_or_default() {
            file.put("labels", "Label", &label);
        }
        let own = unique(&format!("{project}-{}", name(volume)), &mut taken);
        context.take_notes(&subject, &mut file);
        context.out.files.insert(format!("{own}.volume"), file.draft.to_string());
        context.volumes.insert(volume, format!("{own}.volume"));
    }
}

/// Writes the mounts of a service.
pub fn mounts(value: &Value, container: &mut Builder, context: &mut Context<'_>) {
    for item in value.as_list().unwrap_or_default() {
        match item.scalar() {
            Some(text) => short(&text, container, context),
            None => long(item, container, context),
        }
    }
}

fn short(text: &str, container: &mut Builder, context: &mut Context<'_>) {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, flags) = match parts.as_slice() {
        [target] => return container.put("volumes", "Volume", target),
        [source, target] => (*source, *target, ""),
        [source, target, flags] => (*source, *target, *flags),
        _ => return container.note("volumes", &format!("{text} has too many colons")),
    };
    let flags = known_flags(text, flags, container);
    mount(source, target, &flags, is_path(source), container, context);
}

/// Returns the mount options that have a counterpart, and notes the unknown ones.
fn known_flags<'a>(text: &str, flags: &'a str, container: &mut Builder) -> Vec<&'a str> {
    let mut known = Vec::new();
    for flag in flags.split(',') {
        match flag {
            "ro" | "nocopy" | "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" => known.push(flag),
            // These options are the default here, or concern SELinux, other systems or mount
            // propagation.
            "" | "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" | "slave" | "rslave" | "bind" | "rbind"
            | "private" | "rprivate" | "copy" => {}
            other => container.note("volumes", &format!("the option {other} of {text} has no counterpart")),
        }
    }
    known
}

fn mount(source: &str, target: &str, flags: &[&str], create: bool, container: &mut Builder, context: &mut Context<'_>) {
    let from = if is_path(source) {
        if source.starts_with('~') {
            return container
                .note("volumes", &format!("{source}: the home directory is not known; write the path out"));
        }
        if create && context.files.kind(source) == Kind::Missing {
            // The source is a socket or device node of a program that is not running. A directory
            // in its place would only hide the problem, so none is created.
            if ["/run/", "/var/run/", "/dev/", "/proc/", "/sys/"].iter().any(|system| source.starts_with(system)) {
                container
                    .note("volumes", &format!("{source} is not on this host; the container does not start without it"));
            } else {
                context.out.directories.insert(source.to_owned());
            }
        }
        source.to_owned()
    } else if let Some(known) = context.volumes.get(source) {
        known.clone()
    } else if source.is_empty() {
        return container.note("volumes", &format!("the mount at {target} has an empty source"));
    } else {
        return container.note("volumes", &format!("there is no volume {source} in the section volumes"));
    };
    let flags: Vec<&str> = flags.iter().filter(|flag| **flag != "nocopy" || !is_path(&from)).copied().collect();
    let flags = if flags.is_empty() { String::new() } else { format!(":{}", flags.join(",")) };
    container.put("volumes", "Volume", &format!("{from}:{target}{flags}"));
}

fn long(item: &Value, container: &mut Builder, context: &mut Context<'_>) {
    let text = |key: &str| item.get(key).and_then(Value::scalar);
    let inner = |key: &str, option: &str| item.get(key).and_then(|settings| settings.get(option));
    let Some(target) = text("target") else { return container.note("volumes", "a volume has no target") };
    let kind = text("type").unwrap_or_else(|| "volume".to_owned());
    let mut flags = Vec::new();
    if item.get("read_only").and_then(Value::boolean) == Some(true) {
        flags.push("ro");
    }
    match kind.as_str() {
        "tmpfs" => {
            let size = inner("tmpfs", "size").and_then(Value::scalar).map(|size| format!("size={size}"));
            let mode = inner("tmpfs", "mode").and_then(Value::scalar).and_then(|mode| mode.parse::<u32>().ok());
            let mode = mode.map(|mode| format!("mode={mode:o}"));
            let options: Vec<String> = size.into_iter().chain(mode).collect();
            container.put("volumes", "Tmpfs", &tmpfs_value(&format!("{target}:{}", options.join(","))));
        }
        "bind" => {
            let Some(source) = text("source") else {
                return container.note("volumes", &format!("{target} has no source"));
            };
            let create = inner("bind", "create_host_path").and_then(Value::boolean) != Some(false);
            let propagation = inner("bind", "propagation").and_then(Value::scalar).unwrap_or_default();
            let flags: Vec<&str> = flags.into_iter().chain(known_flags(&source, &propagation, container)).collect();
            mount(&source, &target, &flags, create, container, context);
        }
        "volume" => {
            if inner("volume", "nocopy").and_then(Value::boolean) == Some(true) {
                flags.push("nocopy");
            }
            let part = inner("volume", "subpath").and_then(Value::scalar);
            match text("source") {
                Some(source) if part.is_some() => {
                    let Some(known) = context.volumes.get(source.as_str()) else {
                        return container
                            .note("volumes", &format!("there is no volume {source} in the section volumes"));
                    };
                    let part = part.unwrap_or_default();
                    let flags = if flags.contains(&"ro") { ",ro" } else { "" };
                    let value = format!("type=volume,source={known},subpath={part},target={target}{flags}");
                    container.put("volumes", "Mount", &value);
                }
                Some(source) => mount(&source, &target, &flags, false, container, context),
                None => container.put("volumes", "Volume", &target),
            }
        }
        other => {
            container.note("volumes", &format!("the type {other} has no counterpart; nothing is mounted at {target}"));
        }
    }
}

/// Writes the devices of a service.
pub fn devices(value: &Value, container: &mut Builder, context: &Context<'_>) {
    for item in value.as_list().unwrap_or_default() {
        let text = |key: &str| item.get(key).and_then(Value::scalar);
        let device = item.scalar().or_else(|| {
            let source = text("source")?;
            let target = text("target").unwrap_or_else(|| source.clone());
            let permissions = text("permissions").map(|letters| format!(":{letters}")).unwrap_or_default();
            Some(format!("{source}:{target}{permissions}"))
        });
        match device {
            Some(device) if device.starts_with('/') => container.put("devices", "AddDevice", &device),
            Some(device) if cdi::named("devices", &device, container, context) => {}
            Some(device) => {
                container.note("devices", &format!("{device} is no device node; name the nodes below /dev"));
            }
            None => container.note("devices", "a device has no source"),
        }
    }
}

/// Writes the secrets or configs of a service. A file is mounted at the path that the service
/// expects, as Docker Compose does. A value within the project becomes a credential.
pub fn secrets(key: &str, value: &Value, container: &mut Builder, context: &mut Context<'_>) {
    for item in value.as_list().unwrap_or_default() {
        let part = |key: &str| item.get(key).and_then(Value::scalar);
        let Some(secret) = item.scalar().or_else(|| part("source")) else {
            container.note(key, "an entry has no source");
            continue;
        };
        let directory = if key == "secrets" { "/run/secrets/" } else { "/" };
        let target = part("target").unwrap_or_else(|| secret.clone());
        let target = if target.starts_with('/') { target } else { format!("{directory}{target}") };
        let settings = context.resolved.model.get(key).and_then(|section| section.get(&secret));
        let text = |key: &str| settings.and_then(|settings| settings.get(key)).and_then(Value::scalar);
        if settings.is_none() {
            container.note(key, &format!("there is no {secret} in the section {key}"));
        } else if let Some(file) = text("file") {
            container.put(key, "Volume", &format!("{file}:{target}:ro"));
        } else {
            let value = text("environment")
                .map_or_else(|| text("content"), |variable| context.resolved.environment.get(&variable).cloned());
            let own = text("name").unwrap_or_else(|| match value {
                Some(_) => format!("{}-{secret}", context.resolved.name),
                None => secret.clone(),
            });
            let mut line = format!("{own},target={target}");
            for option in ["uid", "gid"] {
                if let Some(id) = part(option) {
                    line += &format!(",{option}={id}");
                }
            }
            let mode = part("mode").and_then(|mode| mode.parse::<u32>().ok());
            line += &mode.map_or_else(|| ",mode=0444".to_owned(), |mode| format!(",mode={mode:04o}"));
            container.put(key, "Secret", &line);
            // A credential that `Secret=` cannot name is not written; `check` reports that line.
            if let Some(value) = value.filter(|_| crate::config::values::secret::secret(&line).is_ok()) {
                context.out.credentials.insert(own, value);
                continue;
            }
            let from = if let Some(variable) = text("environment") {
                format!("the variable {variable}")
            } else {
                "the external store".to_owned()
            };
            container.note(key, &format!("write the value of {secret} from {from} to /etc/credstore/{own}"));
        }
    }
}

/// Returns the value of `Tmpfs=` for a tmpfs of Docker, which copies no files of the image and is
/// mounted noexec unless `exec` is set.
pub fn tmpfs_value(value: &str) -> String {
    let (path, options) = value.split_once(':').unwrap_or((value, ""));
    let mut all: Vec<&str> = options.split(',').filter(|option| !option.is_empty()).collect();
    if !all.iter().any(|option| ["exec", "noexec"].contains(option)) {
        all.push("noexec");
    }
    all.push("notmpcopyup");
    format!("{path}:{}", all.join(","))
}
