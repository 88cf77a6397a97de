// SPDX-License-Identifier: MIT
//! Exports files of this machine as ConfigMaps: environment files, and read-only mounts of small
//! files. Pure over [`Outside`](super::Outside).

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapEnvSource, ConfigMapVolumeSource, Container as Exported, EnvFromSource, Volume, VolumeMount,
};

use super::workloads::Workload;
use super::{Context, dns};
use crate::model::{App, Mount};
use crate::unit::is_env_name;

/// Maximum total size in bytes of the files in one mount. A cluster limits objects to 1 MiB.
const MOST: usize = 900 << 10;

/// Exports the variables of environment files as ConfigMaps.
pub fn environment_files(app: &App, workload: &Workload<'_>, out: &mut Exported, context: &mut Context<'_>) {
    for file in &app.environment_files {
        let Some(bytes) = context.outside.file(&file.path) else {
            if !file.optional {
                let reason = format!("{} cannot be read, so its variables are missing; write a ConfigMap", file.path);
                context.lose(&file.at, "EnvironmentFile", reason);
            }
            continue;
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut data: BTreeMap<String, String> = BTreeMap::new();
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once('=') {
                Some((name, value)) if is_env_name(name.trim()) => {
                    data.insert(name.trim().to_owned(), value.to_owned());
                }
                _ => {
                    let reason = format!("a line of {} is no variable; correct the file", file.path);
                    context.lose(&file.at, "EnvironmentFile", reason);
                }
            }
        }
        let name = map_name(workload, &file.path);
        let metadata = context.metadata(&name, BTreeMap::new());
        let map = ConfigMap { data: Some(data), metadata, ..ConfigMap::default() };
        add(workload, &map, context);
        let reference = ConfigMapEnvSource { name, optional: None };
        let source = EnvFromSource { config_map_ref: Some(reference), ..EnvFromSource::default() };
        out.env_from.get_or_insert_default().push(source);
    }
}

/// Exports a read-only mount of a small file, or of a directory of such files, as the mount of a
/// ConfigMap. Returns `None` if the mount cannot be exported that way.
pub fn mount(
    path: &str,
    mount: &Mount,
    workload: &Workload<'_>,
    volumes: &mut BTreeMap<String, Volume>,
    context: &mut Context<'_>,
) -> Option<Vec<VolumeMount>> {
    if !mount.options.read_only {
        return None;
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut sub_path = None;
    if let Some(names) = context.outside.directory(path) {
        for name in names {
            let bytes = context.outside.file(&format!("{path}/{name}"))?;
            files.insert(name, bytes);
        }
    } else {
        let key = path.rsplit('/').next().unwrap_or_default().to_owned();
        files.insert(key.clone(), context.outside.file(path)?);
        sub_path = Some(key);
    }
    let is_key = |name: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !name.is_empty() && name.len() <= 253 && name.chars().all(plain) && !name.starts_with("..")
    };
    if files.is_empty() || !files.keys().all(is_key) || files.values().map(Vec::len).sum::<usize>() > MOST {
        return None;
    }
    let name = map_name(workload, path);
    let mut map = ConfigMap { metadata: context.metadata(&name, BTreeMap::new()), ..ConfigMap::default() };
    for (key, bytes) in files {
        match String::from_utf8(bytes) {
            Ok(text) => {
                map.data.get_or_insert_default().insert(key, text);
            }
            Err(error) => {
                map.binary_data.get_or_insert_default().insert(key, ByteString(error.into_bytes()));
            }
        }
    }
    add(workload, &map, context);
    // The volume is named after the path, so that two mounts of one path share a volume.
    let volume = dns(path.trim_start_matches('/'));
    let source = ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() };
    volumes.insert(volume.clone(), Volume { name: volume.clone(), config_map: Some(source), ..Volume::default() });
    Some(vec![VolumeMount {
        name: volume,
        mount_path: mount.target.clone(),
        read_only: Some(true),
        sub_path,
        ..VolumeMount::default()
    }])
}

fn map_name(workload: &Workload<'_>, path: &str) -> String {
    dns(&format!("{}-{}", workload.name, path.trim_start_matches('/')))
}

/// Adds a ConfigMap, unless the workload has a ConfigMap of that name already.
fn add(workload: &Workload<'_>, map: &ConfigMap, context: &mut Context<'_>) {
    let name = map.metadata.name.as_deref().unwrap_or_default();
    if !context.has(&workload.name, "ConfigMap", Some(name)) {
        context.add(&workload.name, map);
    }
}
