// SPDX-License-Identifier: MIT
//! Translates `Volume=` and `Mount=` in files for Podman whose targets exist in every application:
//! paths below `/dev`, `/proc` and `/sys`, and `/run`. Pure.

use crate::config::keys::FileType;
use crate::diag::{Code, Diagnostic};
use crate::ini::Entry;

/// Paths below `/dev` that are not device nodes.
const NO_DEVICES: [&str; 6] = ["/dev/hugepages", "/dev/log", "/dev/mqueue", "/dev/pts", "/dev/shm", "/dev/disk"];

/// Rewrites or removes assignments of `Volume=` and `Mount=` with such targets.
pub fn translate(file_type: FileType, entries: &mut Vec<Entry>, problems: &mut Vec<Diagnostic>) {
    if !matches!(file_type, FileType::Container | FileType::Pod) {
        return;
    }
    let own = file_type.section();
    entries.retain_mut(|entry| {
        if &*entry.section != own {
            return true;
        }
        match entry.key.as_str() {
            "Volume" => volume(file_type, entry, problems),
            "Mount" => {
                if let Some(value) = over_run(&entry.value) {
                    (entry.key, entry.value) = ("Tmpfs".to_owned(), value);
                }
                true
            }
            _ => true,
        }
    });
}

/// Returns whether the volume stays. A volume that is a device node becomes `AddDevice=`, and a
/// volume of `/proc` or `/sys` on itself is removed.
fn volume(file_type: FileType, entry: &mut Entry, problems: &mut Vec<Diagnostic>) -> bool {
    let mut parts = entry.value.split(':');
    let (Some(source), Some(target), options) = (parts.next(), parts.next(), parts.next().unwrap_or_default()) else {
        return true;
    };
    let (source, target) = (source.trim_end_matches('/').to_owned(), target.trim_end_matches('/').to_owned());
    let is_below =
        |path: &str, top: &str| path == top || path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'));
    if source == target && ["/proc", "/sys"].iter().any(|top| is_below(&target, top)) {
        let problem = Code::NoEffect.problem(
            format!(
                "Volume={} has no effect here: the application already has the part of {target} that it may see",
                entry.value
            ),
            "remove it",
        );
        problems.push(Diagnostic::warning(&entry.at, problem));
        return false;
    }
    let is_node = |path: &str| path.starts_with("/dev/") && !NO_DEVICES.iter().any(|top| is_below(path, top));
    if file_type == FileType::Container && is_node(&source) && is_node(&target) {
        let access = if options.split(',').any(|option| option == "ro") { ":r" } else { "" };
        let value = format!("{source}:{target}{access}");
        let problem = Code::Differs.problem(
            format!("Volume={}: device nodes are not mounted, so this is read as AddDevice={value}", entry.value),
            format!("write AddDevice={value}"),
        );
        problems.push(Diagnostic::warning(&entry.at, problem));
        (entry.key, entry.value) = ("AddDevice".to_owned(), value);
    }
    true
}

/// Returns the value of `Tmpfs=` for a `Mount=` of a tmpfs at `/run`.
fn over_run(value: &str) -> Option<String> {
    let (mut is_tmpfs, mut is_run, mut options) = (false, false, Vec::new());
    for part in value.split(',') {
        match part.split_once('=').unwrap_or((part, "")) {
            ("type", kind) => is_tmpfs = kind == "tmpfs",
            ("target" | "destination" | "dst", path) => is_run = path.trim_end_matches('/') == "/run",
            ("tmpfs-size" | "size", size) => options.push(format!("size={size}")),
            ("tmpfs-mode" | "mode", mode) => options.push(format!("mode={mode}")),
            ("tmpcopyup" | "U" | "chown", _) | ("ro" | "readonly", "false" | "0") => {}
            ("ro" | "readonly", "" | "true" | "1") => options.push("ro".to_owned()),
            _ => options.push(part.to_owned()),
        }
    }
    let separator = if options.is_empty() { "" } else { ":" };
    (is_tmpfs && is_run).then(|| format!("/run{separator}{}", options.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Location;

    #[test]
    fn mounts_that_every_application_has_are_translated() {
        for (key, value, becomes, warnings) in [
            ("Volume", "/dev/dri:/dev/dri:ro", Some("AddDevice=/dev/dri:/dev/dri:r"), 1),
            ("Volume", "/sys:/sys:ro", None, 1),
            ("Volume", "/dev/shm:/dev/shm", Some("Volume=/dev/shm:/dev/shm"), 0),
            ("Volume", "/dev:/host/dev", Some("Volume=/dev:/host/dev"), 0),
            ("Volume", "data:/data", Some("Volume=data:/data"), 0),
            ("Mount", "type=tmpfs,destination=/run,tmpfs-mode=755", Some("Tmpfs=/run:mode=755"), 0),
            ("Mount", "type=tmpfs,dst=/run,ro=1", Some("Tmpfs=/run:ro"), 0),
            ("Mount", "type=tmpfs,dst=/run,readonly=false", Some("Tmpfs=/run"), 0),
            ("Mount", "type=tmpfs,dst=/run/lock", Some("Mount=type=tmpfs,dst=/run/lock"), 0),
        ] {
            let at = Location::new(&"a.container".into(), 3);
            let mut entries = vec![Entry { section: "Container".into(), key: key.into(), value: value.into(), at }];
            let mut problems = Vec::new();
            translate(FileType::Container, &mut entries, &mut problems);
            let found = entries.first().map(|entry| format!("{}={}", entry.key, entry.value));
            assert_eq!((found.as_deref(), problems.len()), (becomes, warnings), "{value}");
        }
    }
}
