// SPDX-License-Identifier: MIT
//! Converts volumes of pods: `.volume` files for claims and empty directories, and plain files for
//! ConfigMaps. Pure.

use k8s_openapi::api::core::v1::{KeyToPath, Volume};

use super::values;
use crate::config::keys::FileType;
use crate::convert::kube::workload::Workload;
use crate::convert::kube::{Context, accounts};
use crate::convert::{Builder, Mounted, name};
use crate::kube::{Manifest, Object, quantity};

/// Writes a `.volume` file for each claim: for separate claims, and for those of each pod of a
/// StatefulSet.
pub fn claims(workloads: &[Workload<'_>], context: &mut Context<'_>) {
    for manifest in context.manifests {
        if let Object::PersistentVolumeClaim(claim) = &manifest.object {
            if claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()) == Some("Block") {
                let reason = "a volume is a directory; write AddDevice= in the container for a device";
                context.lose(manifest, "spec.volumeMode", reason);
            }
            let user = workloads.iter().find(|workload| mounts_claim(workload, manifest));
            context.out.files.insert(format!("{}.volume", claim_name(manifest, manifest.name())), file(user));
        }
    }
    for workload in workloads {
        for claim in workload.claims {
            let claim = claim.metadata.name.as_deref().unwrap_or_default();
            for number in workload.instances() {
                let name = format!("{claim}-{}-{number}", workload.manifest.name());
                let name = claim_name(workload.manifest, &name);
                context.out.files.insert(format!("{name}.volume"), file(Some(workload)));
            }
        }
    }
}

fn mounts_claim(workload: &Workload<'_>, claim: &Manifest) -> bool {
    let mut volumes = workload.spec.volumes.iter().flatten();
    workload.manifest.namespace() == claim.namespace()
        && volumes.any(|v| v.persistent_volume_claim.as_ref().is_some_and(|v| v.claim_name == claim.name()))
}

/// Returns the name of the volume for a claim.
pub fn claim_name(beside: &Manifest, claim: &str) -> String {
    match beside.namespace() {
        "default" => name(claim),
        namespace => format!("{}-{}", name(namespace), name(claim)),
    }
}

/// Returns the file of a volume that starts empty, as in a cluster, and belongs to the user of the
/// pod.
fn file(workload: Option<&Workload<'_>>) -> String {
    let mut builder = Builder::new(FileType::Volume);
    builder.put("volume", "Copy", "no");
    owner(workload, &mut builder);
    builder.draft.to_string()
}

fn owner(workload: Option<&Workload<'_>>, builder: &mut Builder) {
    let context = workload.and_then(|workload| workload.spec.security_context.as_ref());
    let mut of_containers = workload.iter().flat_map(|workload| &workload.spec.containers);
    let user = of_containers.find_map(|c| c.security_context.as_ref()?.run_as_user);
    if let Some(user) = user.or(context.and_then(|context| context.run_as_user)) {
        builder.put("securityContext.runAsUser", "UID", &user.to_string());
    }
    if let Some(group) = context.and_then(|context| context.fs_group) {
        builder.put("securityContext.fsGroup", "GID", &group.to_string());
    }
}

/// Returns the name of the volume for an empty directory or an NFS directory.
pub fn empty_name(workload: &Workload<'_>, volume: &str) -> String {
    format!("{}-{volume}", workload.name)
}

/// Returns the directory for the files of a volume, relative to the directory of the project.
pub fn directory(workload: &Workload<'_>, volume: &str) -> String {
    format!("{}-{volume}", workload.name)
}

/// Writes the files that the volumes of a pod need.
pub fn convert(workload: &Workload<'_>, context: &mut Context<'_>) {
    for (number, volume) in workload.spec.volumes.iter().flatten().enumerate() {
        let path = format!("{}.volumes[{number}]", workload.path);
        let known = [
            "configMap",
            "downwardAPI",
            "emptyDir",
            "hostPath",
            "name",
            "nfs",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        accounts::others(workload.manifest, &path, &known, context);
        one(workload, &path, volume, context);
    }
}

fn one(workload: &Workload<'_>, path: &str, volume: &Volume, context: &mut Context<'_>) {
    let manifest = workload.manifest;
    if let Some(empty) = &volume.empty_dir {
        let limit = empty.size_limit.as_ref().and_then(|limit| quantity::whole(&limit.0).ok());
        let mut builder = Builder::new(FileType::Volume);
        if empty.medium.as_deref() == Some("Memory") {
            let size = limit.map(|limit| format!(",size={limit}")).unwrap_or_default();
            builder.put("emptyDir", "Device", "tmpfs");
            builder.put("emptyDir", "Type", "tmpfs");
            let mode = empty.mode.unwrap_or(0o777);
            builder.put("emptyDir", "Options", &format!("mode={mode:04o}{size}"));
        } else {
            builder.put("emptyDir", "Copy", "no");
            owner(Some(workload), &mut builder);
            context.remark(
                manifest,
                &format!("{path}.emptyDir"),
                "the volume keeps its content when the pod is restarted",
            );
            if empty.mode.is_some() {
                let reason =
                    "the mode of a new directory is 0755; write medium: Memory, or User= into the .volume file";
                context.lose(manifest, &format!("{path}.emptyDir.mode"), reason);
            }
            if limit.is_some() {
                let reason = "the size of a directory is not limited; write medium: Memory, or a volume with Device=";
                context.lose(manifest, &format!("{path}.emptyDir.sizeLimit"), reason);
            }
        }
        let stem = empty_name(workload, &volume.name);
        let file = format!("{}.volume", workload.file(&stem));
        if workload.is_template() {
            for number in workload.instances() {
                context.out.links.insert(format!("{stem}@{number}.volume"), file.clone());
            }
        }
        context.out.files.insert(file, builder.draft.to_string());
    }
    if let Some(nfs) = &volume.nfs {
        let mut builder = Builder::new(FileType::Volume);
        builder.put("nfs", "Device", &format!("{}:{}", nfs.server, nfs.path));
        builder.put("nfs", "Type", "nfs");
        if nfs.read_only == Some(true) {
            builder.put("nfs", "Options", "ro");
        }
        let file = format!("{}.volume", empty_name(workload, &volume.name));
        context.out.files.insert(file, builder.draft.to_string());
    }
    if let Some(host) = &volume.host_path
        && host.type_.as_deref() == Some("DirectoryOrCreate")
    {
        context.out.directories.insert(host.path.clone());
    }
    if let Some(map) = &volume.config_map {
        let mode = map.default_mode.unwrap_or(0o644);
        let path = format!("{path}.configMap");
        let items = map.items.as_deref();
        config_map(workload, &path, &volume.name, &map.name, items, map.optional, mode, context);
    }
    if let Some(downward) = &volume.downward_api {
        let mode = downward.default_mode.unwrap_or(0o644);
        for (number, item) in downward.items.iter().flatten().enumerate() {
            let path = format!("{path}.downwardAPI.items[{number}]");
            downward_file(workload, &path, &volume.name, item, mode, context);
        }
    }
    let Some(projected) = &volume.projected else { return };
    let mode = projected.default_mode.unwrap_or(0o644);
    for (number, source) in projected.sources.iter().flatten().enumerate() {
        let path = format!("{path}.projected.sources[{number}]");
        if source.service_account_token.is_some() {
            context.remark(manifest, &format!("{path}.serviceAccountToken"), "there is no API server to speak to");
        }
        accounts::others(manifest, &path, &["configMap", "secret", "downwardAPI", "serviceAccountToken"], context);
        if let Some(map) = &source.config_map {
            let path = format!("{path}.configMap");
            let items = map.items.as_deref();
            config_map(workload, &path, &volume.name, &map.name, items, map.optional, mode, context);
        }
        for (at, item) in source.downward_api.iter().flat_map(|d| d.items.iter().flatten()).enumerate() {
            let path = format!("{path}.downwardAPI.items[{at}]");
            downward_file(workload, &path, &volume.name, item, mode, context);
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "two types of k8s-openapi have the same fields")]
fn config_map(
    workload: &Workload<'_>,
    path: &str,
    volume: &str,
    map: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
    context: &mut Context<'_>,
) {
    let Some(all) = values::config_map(map, workload.manifest, context) else {
        if optional != Some(true) {
            let reason = format!("the ConfigMap {map} is not in these files; add its file");
            context.lose(workload.manifest, path, reason);
        }
        return;
    };
    for (key, target, mode) in chosen(all.keys(), items, mode) {
        match all.get(&key) {
            Some(value) => add(workload, volume, &target, mode, value.clone(), context),
            None if optional == Some(true) => {}
            None => {
                let reason = format!("the ConfigMap {map} has no key {key}; correct the key");
                context.lose(workload.manifest, &format!("{path}.items"), reason);
            }
        }
    }
}

/// Returns the keys that become files, each with its path and mode.
pub fn chosen<'a>(
    all: impl Iterator<Item = &'a String>,
    items: Option<&[KeyToPath]>,
    mode: i32,
) -> Vec<(String, String, i32)> {
    match items.filter(|items| !items.is_empty()) {
        None => all.map(|key| (key.clone(), key.clone(), mode)).collect(),
        Some(items) => {
            items.iter().map(|item| (item.key.clone(), item.path.clone(), item.mode.unwrap_or(mode))).collect()
        }
    }
}

fn downward_file(
    workload: &Workload<'_>,
    path: &str,
    volume: &str,
    item: &k8s_openapi::api::core::v1::DownwardAPIVolumeFile,
    mode: i32,
    context: &mut Context<'_>,
) {
    let value = match (&item.field_ref, &item.resource_field_ref) {
        (Some(reference), _) => values::field(reference, workload),
        (None, Some(reference)) => match workload.spec.containers.first() {
            Some(first) => values::resource(reference, first, workload),
            None => return,
        },
        (None, None) => Err("the value comes from nowhere; write fieldRef: or resourceFieldRef:".to_owned()),
    };
    match value {
        Ok(value) if value.contains(crate::convert::kube::INSTANCE) => {
            context.lose(
                workload.manifest,
                path,
                "the value differs between replicas, and the file does not; write env:",
            );
        }
        Ok(value) => add(workload, volume, &item.path, item.mode.unwrap_or(mode), value.into_bytes(), context),
        Err(reason) => context.lose(workload.manifest, path, reason),
    }
}

fn add(workload: &Workload<'_>, volume: &str, target: &str, mode: i32, bytes: Vec<u8>, context: &mut Context<'_>) {
    let path = format!("{}/{target}", directory(workload, volume));
    let mode = u32::try_from(mode).unwrap_or(0o644);
    context.out.mounted.insert(path, Mounted { content: bytes, mode });
}
