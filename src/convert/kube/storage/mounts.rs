// SPDX-License-Identifier: MIT
//! Converts the volume mounts of a container. Pure.

use k8s_openapi::api::core::v1::{Container, KeyToPath, Volume, VolumeMount};

use super::{values, volumes};
use crate::convert::kube::environment::Variables;
use crate::convert::kube::workload::Workload;
use crate::convert::kube::{Context, INSTANCE, accounts, environment};
use crate::convert::{Builder, FILES};

/// Writes the mounts of a container.
pub fn convert(
    own: &Container,
    path: &str,
    variables: &Variables,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    for (number, mount) in own.volume_mounts.iter().flatten().enumerate() {
        let path = format!("{path}.volumeMounts[{number}]");
        let known = ["mountPath", "mountPropagation", "name", "readOnly", "subPath", "subPathExpr"];
        accounts::others(workload.manifest, &path, &known, context);
        if mount.mount_propagation.as_deref().is_some_and(|kind| kind == "Bidirectional") {
            let reason = "what a container mounts is not seen by the host; mount it on the host";
            context.lose(workload.manifest, &format!("{path}.mountPropagation"), reason);
        }
        let below = match mount.sub_path_expr.as_deref().map(|text| variables.expand(text)) {
            Some(Ok(below)) => below,
            Some(Err(secret)) => {
                context.lose(workload.manifest, &format!("{path}.subPathExpr"), environment::of_secret(&secret));
                continue;
            }
            None => mount.sub_path.clone().unwrap_or_default(),
        };
        one(&path, mount, below.trim_matches('/'), workload, builder, context);
    }
}

fn one(
    path: &str,
    mount: &VolumeMount,
    below: &str,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    let manifest = workload.manifest;
    let is_claim =
        |claim: &&k8s_openapi::api::core::v1::PersistentVolumeClaim| claim.metadata.name.as_ref() == Some(&mount.name);
    if workload.claims.iter().any(|claim| is_claim(&claim)) {
        let number = if workload.is_template() { INSTANCE.to_string() } else { workload.first.to_string() };
        let name = volumes::claim_name(manifest, &format!("{}-{}", mount.name, manifest.name()));
        let name = format!("{name}-{number}");
        return write(path, &format!("{name}.volume"), mount, below, false, manifest, builder, context);
    }
    let Some((number, volume)) =
        workload.spec.volumes.iter().flatten().enumerate().find(|(_, volume)| volume.name == mount.name)
    else {
        return;
    };
    let volume_path = format!("{}.volumes[{number}]", workload.path);
    if volume.empty_dir.is_some() {
        let stem = volumes::empty_name(workload, &volume.name);
        let source = format!("{}.volume", workload.reference(&stem));
        write(path, &source, mount, below, false, manifest, builder, context);
    } else if let Some(claim) = &volume.persistent_volume_claim {
        let name = volumes::claim_name(manifest, &claim.claim_name);
        let known = context.find(manifest, "PersistentVolumeClaim", &claim.claim_name).is_some();
        if !known {
            let text = "the claim is not in these files; the volume of its name is used, and begins empty";
            context.remark(manifest, &format!("{volume_path}.persistentVolumeClaim"), text);
        }
        let source = if known { format!("{name}.volume") } else { name };
        write(path, &source, mount, below, claim.read_only == Some(true), manifest, builder, context);
    } else if let Some(nfs) = &volume.nfs {
        let source = format!("{}.volume", volumes::empty_name(workload, &volume.name));
        write(path, &source, mount, below, nfs.read_only == Some(true), manifest, builder, context);
    } else if let Some(host) = &volume.host_path {
        let source = host.path.trim_end_matches('/');
        let source = if source.is_empty() { "/" } else { source };
        write(path, source, mount, below, false, manifest, builder, context);
    } else if volume.config_map.is_some() || volume.downward_api.is_some() || volume.projected.is_some() {
        files(path, &volume_path, mount, below, volume, workload, builder, context);
    } else if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let mode = secret.default_mode.unwrap_or(0o644);
        let to = SecretMount { path: &format!("{volume_path}.secret"), mount, below };
        secrets(&to, name, secret.items.as_deref(), secret.optional, mode, workload, builder, context);
    }
}

/// The mount of a secret.
struct SecretMount<'a> {
    /// The path of the volume's field in the manifest.
    path: &'a str,
    mount: &'a VolumeMount,
    /// The path within the volume that is mounted; empty for the whole volume.
    below: &'a str,
}

/// Writes the mount of a volume or of a path of the host.
#[allow(clippy::too_many_arguments, reason = "all of them say what is mounted where")]
fn write(
    path: &str,
    source: &str,
    mount: &VolumeMount,
    below: &str,
    read_only: bool,
    manifest: &crate::kube::Manifest,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    let read_only = read_only || mount.read_only == Some(true);
    let source = if below.is_empty() {
        source.to_owned()
    } else if source.starts_with('/') {
        format!("{}/{below}", source.trim_end_matches('/'))
    } else {
        let (flags, target) = (if read_only { ",ro" } else { "" }, target(mount));
        if [source, below, target].iter().any(|part| part.contains(',')) {
            let text = "a path with a comma cannot be written; rename it";
            return context.lose(manifest, &format!("{path}.subPath"), text);
        }
        let value = format!("type=volume,source={source},subpath={below},target={target}{flags}");
        return builder.put("volumeMounts", "Mount", &value);
    };
    let target = target(mount);
    if source.contains([':', ',']) || target.contains([':', ',']) {
        let flags = if read_only { ",ro" } else { "" };
        builder.put("volumeMounts", "Mount", &format!("type=bind,source={source},target={target}{flags}"));
    } else {
        let flags = if read_only { ":ro" } else { "" };
        builder.put("volumeMounts", "Volume", &format!("{source}:{target}{flags}"));
    }
}

fn target(mount: &VolumeMount) -> &str {
    let path = mount.mount_path.trim_end_matches('/');
    if path.is_empty() { "/" } else { path }
}

/// Writes the mount of files that are made of ConfigMaps and of fields of the pod. If secrets are
/// among them, each file is mounted by itself, because credentials cannot be added to a read-only
/// directory of the host.
#[allow(clippy::too_many_arguments, reason = "all of them say what is mounted where")]
fn files(
    path: &str,
    volume_path: &str,
    mount: &VolumeMount,
    below: &str,
    volume: &Volume,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    let directory = volumes::directory(workload, &volume.name);
    let host = format!("{FILES}/{}/{directory}", context.out.project);
    let all: Vec<String> = context
        .out
        .mounted
        .keys()
        .filter_map(|file| file.strip_prefix(&format!("{directory}/")).map(str::to_owned))
        .collect();
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let of_secrets: Vec<_> = sources.enumerate().filter_map(|(n, source)| Some((n, source.secret.as_ref()?))).collect();
    if of_secrets.is_empty() {
        if all.is_empty() {
            return;
        }
        if !below.is_empty() && !all.iter().any(|file| file == below || file.starts_with(&format!("{below}/"))) {
            let reason = format!("the volume has no {below}; correct the path");
            return context.lose(workload.manifest, &format!("{path}.subPath"), reason);
        }
        return write(path, &host, mount, below, true, workload.manifest, builder, context);
    }
    for file in all.iter().filter_map(|file| Some((file, relative_to(file, below)?))) {
        let (file, inner) = file;
        builder.put("volumeMounts", "Volume", &format!("{host}/{file}:{}:ro", joined(target(mount), &inner)));
    }
    let mode = volume.projected.as_ref().and_then(|projected| projected.default_mode).unwrap_or(0o644);
    for (number, secret) in of_secrets {
        let to = SecretMount { path: &format!("{volume_path}.projected.sources[{number}].secret"), mount, below };
        secrets(&to, &secret.name, secret.items.as_deref(), secret.optional, mode, workload, builder, context);
    }
}

/// Returns the path of a file relative to `below`, or `None` if the file is not there. The path is
/// empty for `below` itself.
fn relative_to(file: &str, below: &str) -> Option<String> {
    if below.is_empty() {
        return Some(file.to_owned());
    }
    let rest = file.strip_prefix(below)?;
    if rest.is_empty() { Some(String::new()) } else { rest.strip_prefix('/').map(str::to_owned) }
}

fn joined(directory: &str, file: &str) -> String {
    if file.is_empty() { directory.to_owned() } else { format!("{}/{file}", directory.trim_end_matches('/')) }
}

/// Writes a credential for each key of a Secret.
#[allow(clippy::too_many_arguments, reason = "all of them say which keys are mounted where")]
fn secrets(
    to: &SecretMount<'_>,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    let manifest = workload.manifest;
    let all = values::secret(name, manifest, context);
    if all.is_none() && optional == Some(true) {
        return;
    }
    if all.is_none() && items.is_none() {
        let reason = format!("the Secret {name} is not in these files; add its file, or write items: with its keys");
        return context.lose(manifest, to.path, reason);
    }
    let all = all.unwrap_or_default();
    for (key, target_path, mode) in volumes::chosen(all.keys(), items, mode) {
        let Some(inner) = relative_to(&target_path, to.below) else { continue };
        let value = all.get(&key);
        if value.is_none() && optional == Some(true) {
            continue;
        }
        let credential = values::credential(name, &key, value, manifest, context);
        if value.is_none() {
            context.lose(manifest, to.path, environment::missing(&key, name, &credential));
        }
        let target = joined(target(to.mount), &inner);
        let group = workload.spec.security_context.as_ref().and_then(|context| context.fs_group);
        let group = group.map(|group| format!(",gid={group}")).unwrap_or_default();
        builder.put("volumeMounts", "Secret", &format!("{credential},target={target}{group},mode={mode:04o}"));
    }
}
