// SPDX-License-Identifier: MIT
//! Exports volumes and mounts: claims for named volumes, directories in memory, and optionally
//! paths of the host. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container as Exported, EmptyDirVolumeSource, HostPathVolumeSource, NFSVolumeSource, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, Volume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::workloads::Workload;
use super::{Context, configs, dns, secrets};
use crate::config::keys::key;
use crate::config::values;
use crate::diag::Location;
use crate::kube::{ObjectMeta, quantity};
use crate::model::{Account, App, Container, Mount, What};

/// The volumes of one pod while it is exported.
pub struct Storage<'a> {
    workload: &'a Workload<'a>,
    /// The number of workloads that mount each named volume.
    users: BTreeMap<String, usize>,
    /// The volumes of the pod, by name.
    volumes: BTreeMap<String, Volume>,
    /// The claims of volumes that no other workload mounts, by the name of the volume.
    own: BTreeMap<String, PersistentVolumeClaim>,
    group: Option<i64>,
}

/// The size that a claim requests, because the configuration has no size.
const SIZE: &str = "1Gi";

impl<'a> Storage<'a> {
    /// Counts the workloads that mount each volume.
    pub fn of(workload: &'a Workload<'a>, all: &[Workload<'_>]) -> Self {
        let mut users: BTreeMap<String, usize> = BTreeMap::new();
        for other in all {
            let mounts = other.containers.iter().flat_map(|container| &container.apps).flat_map(|app| &app.mounts);
            let names = mounts.filter_map(|mount| if let What::Volume(name) = &mount.what { Some(name) } else { None });
            for name in names.collect::<std::collections::BTreeSet<_>>() {
                *users.entry(name.clone()).or_default() += 1;
            }
        }
        Self { workload, users, volumes: BTreeMap::new(), own: BTreeMap::new(), group: None }
    }

    /// Writes the mounts of an application.
    pub fn mounts(&mut self, own: &Container, app: &App, out: &mut Exported, context: &mut Context<'_>) {
        let mut mounts = Vec::new();
        for mount in &app.mounts {
            let at = mount.at.clone().unwrap_or_else(|| Location::whole(&own.file));
            mounts.extend(self.one(mount, &at, app, context));
        }
        for (path, options) in &app.startup.tmpfs {
            let at = context.at(&own.file, "Container", "Tmpfs");
            mounts.push(self.in_memory(path, size_of(options)));
            for option in options.split(',').filter(|option| !is_usual(option)) {
                context.lose(&at, "Tmpfs", format!("the option {option} has no counterpart; leave it out"));
            }
        }
        if let Some(size) = app.startup.shm_size {
            mounts.push(self.in_memory("/dev/shm", Some(size)));
        }
        if app.startup.read_only && app.startup.read_only_tmpfs {
            for path in ["/run", "/tmp", "/var/tmp"] {
                if !mounts.iter().any(|mount| mount.mount_path == path) {
                    mounts.push(self.in_memory(path, None));
                }
            }
        }
        mounts.sort_by(|one, other| one.mount_path.cmp(&other.mount_path));
        out.volume_mounts = Some(mounts).filter(|mounts| !mounts.is_empty());
    }

    fn one(&mut self, mount: &Mount, at: &Location, app: &App, context: &mut Context<'_>) -> Vec<VolumeMount> {
        let read_only = mount.options.read_only.then_some(true);
        let of =
            |name: String| VolumeMount { name, mount_path: mount.target.clone(), read_only, ..VolumeMount::default() };
        if mount.options.no_exec {
            context.lose(at, "Volume", "the option noexec has no counterpart; leave it out");
        }
        match &mount.what {
            What::Secret(_) => secrets::mount(mount, app, &mut self.volumes),
            What::Tmpfs(options) => vec![self.in_memory(&mount.target, size_of(options))],
            What::Host(path) => {
                if let Some(mounts) = configs::mount(path, mount, self.workload, &mut self.volumes, context) {
                    return mounts;
                }
                if !context.request.host_paths {
                    let reason = format!(
                        "{path} is on this machine only; use a volume, or --host-paths to mount it on each node"
                    );
                    context.lose(at, "Volume", reason);
                    return Vec::new();
                }
                let name = format!("host-{}", dns(path.trim_start_matches('/')));
                let host = HostPathVolumeSource { path: path.clone(), type_: None };
                self.volumes
                    .insert(name.clone(), Volume { name: name.clone(), host_path: Some(host), ..Volume::default() });
                vec![of(name)]
            }
            What::Volume(volume) => {
                owner(volume, app, context);
                let sub_path = mount.part.clone();
                vec![VolumeMount { sub_path, ..of(self.named(volume, at, mount, context)) }]
            }
        }
    }

    /// Returns the mount of a directory in memory at a path.
    fn in_memory(&mut self, path: &str, limit: Option<u64>) -> VolumeMount {
        let name = format!("memory-{}", dns(path.trim_start_matches('/')));
        let volume = Volume { name: name.clone(), empty_dir: Some(memory(limit)), ..Volume::default() };
        self.volumes.insert(name.clone(), volume);
        VolumeMount { name, mount_path: path.to_owned(), ..VolumeMount::default() }
    }

    /// Adds a named volume to the pod, as a claim or as the device of its file. Returns the name of
    /// the volume in the pod.
    fn named(&mut self, volume: &str, at: &Location, mount: &Mount, context: &mut Context<'_>) -> String {
        let instance = self.workload.instance.as_ref().map(|instance| format!("-{instance}"));
        let plain = instance.and_then(|instance| volume.strip_suffix(&instance)).unwrap_or(volume).to_owned();
        // Kubernetes names the volumes of a claim template DATA in the StatefulSet SET: DATA-SET-0,
        // DATA-SET-1 and so on.
        let plain = plain.strip_suffix(&format!("-{}", self.workload.name)).map_or(plain.clone(), str::to_owned);
        let prefix = format!("{}-", self.workload.name);
        let described = context.model.volumes.get(volume);
        if let Some(device) = described.and_then(|described| described.device.as_ref()) {
            let name = dns(plain.strip_prefix(&prefix).unwrap_or(&plain));
            let mut source = Volume { name: name.clone(), ..Volume::default() };
            match device.fs_type.as_deref() {
                Some("tmpfs") => {
                    source.empty_dir = Some(memory(device.options.as_deref().and_then(size_of)));
                }
                Some("nfs" | "nfs4") if device.what.contains(':') => {
                    let (server, path) = device.what.split_once(':').unwrap_or_default();
                    source.nfs =
                        Some(NFSVolumeSource { server: server.to_owned(), path: path.to_owned(), read_only: None });
                }
                _ => {
                    let file = described.map(|described| std::sync::Arc::clone(&described.file));
                    let at = file.map_or_else(|| at.clone(), |file| context.at(&file, "Volume", "Device"));
                    let reason = format!("{} is on this machine only; write a PersistentVolume for it", device.what);
                    context.lose(&at, "Device", reason);
                    source.empty_dir = Some(EmptyDirVolumeSource::default());
                }
            }
            self.volumes.insert(name.clone(), source);
            return name;
        }
        if mount.options.copy && described.is_none_or(|described| described.copy) {
            let file = described.map(|described| std::sync::Arc::clone(&described.file));
            let at = file.map_or_else(|| at.clone(), |file| Location::whole(&file));
            context.lose(
                &at,
                "Copy",
                "a volume of a cluster begins empty, without what the image has there; write Copy=no if it may",
            );
        }
        let group = described.and_then(|described| described.owner.group.as_ref());
        if let Some(Account::Id(group)) = group {
            self.group = Some(i64::from(*group));
        }
        let shared = self.users.get(volume).copied().unwrap_or(1) > 1;
        let name = dns(&plain);
        let claim = claim(&name, shared);
        if shared {
            let source = PersistentVolumeClaimVolumeSource { claim_name: dns(volume), read_only: None };
            let volume_of_pod =
                Volume { name: name.clone(), persistent_volume_claim: Some(source), ..Volume::default() };
            self.volumes.insert(name.clone(), volume_of_pod);
            if context.claims.insert(volume.to_owned()) {
                let mut claim = claim;
                claim.metadata = context.metadata(&dns(volume), BTreeMap::new());
                context.add(&self.workload.name, &claim);
            }
        } else {
            self.own.insert(name.clone(), claim);
        }
        context.remark(format!("{at}: the claim {name} asks for {SIZE}; write the size that is needed"));
        name
    }

    /// Writes the volumes into the pod, and returns the claims of volumes that no other workload
    /// mounts.
    pub fn finish(self, spec: &mut PodSpec, context: &Context<'_>) -> Vec<PersistentVolumeClaim> {
        if let Some(group) = self.group {
            let of_pod = spec.security_context.get_or_insert_with(PodSecurityContext::default);
            of_pod.fs_group = Some(group);
        }
        let mut volumes: Vec<Volume> = self.volumes.into_values().collect();
        let template =
            matches!(context.request.kind, super::Kind::Auto | super::Kind::StatefulSet) && !self.workload.is_job();
        if !template {
            for name in self.own.keys() {
                // Outside of a StatefulSet, the claim has the name of the volume.
                let source = PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: None };
                volumes.push(Volume { name: name.clone(), persistent_volume_claim: Some(source), ..Volume::default() });
            }
        }
        spec.volumes = Some(volumes).filter(|volumes| !volumes.is_empty());
        self.own.into_values().collect()
    }
}

/// Lists the owner of a volume as lost if that is not the user of the application.
fn owner(volume: &str, app: &App, context: &mut Context<'_>) {
    let Some(described) = context.model.volumes.get(volume) else { return };
    let file = std::sync::Arc::clone(&described.file);
    let user = app.startup.identity.user.as_deref().and_then(|user| user.split(':').next());
    let other = match &described.owner.user {
        None => false,
        Some(Account::Id(id)) => user != Some(id.to_string().as_str()),
        Some(Account::Name(_)) => true,
    };
    for (key, is_lost) in
        [(key::UID, other), (key::USER, other), (key::GROUP, matches!(described.owner.group, Some(Account::Name(_))))]
    {
        let written = context.settings.get(&*file).is_some_and(|settings| settings.text("Volume", key).is_some());
        if is_lost && written {
            let at = context.at(&file, "Volume", &key);
            let reason = "the owner of a volume is the user of the pod, or its group; write User= in the container, or GID= here";
            context.lose(&at, &key, reason);
        }
    }
}

/// Adds claims as separate objects, for kinds of objects that have no claim templates.
pub fn alone(claims: &[PersistentVolumeClaim], workload: &Workload<'_>, context: &mut Context<'_>) {
    for claim in claims {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let claim = PersistentVolumeClaim { metadata: context.metadata(name, BTreeMap::new()), ..claim.clone() };
        context.add(&workload.name, &claim);
    }
}

fn claim(name: &str, shared: bool) -> PersistentVolumeClaim {
    let mode = if shared { "ReadWriteMany" } else { "ReadWriteOnce" };
    let requests = [("storage".to_owned(), Quantity(SIZE.to_owned()))].into();
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![mode.to_owned()]),
            resources: Some(VolumeResourceRequirements { limits: None, requests: Some(requests) }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// A volume in memory with at most `limit` bytes.
fn memory(limit: Option<u64>) -> EmptyDirVolumeSource {
    EmptyDirVolumeSource {
        medium: Some("Memory".to_owned()),
        size_limit: limit.map(|limit| Quantity(quantity::bytes(limit))),
        ..EmptyDirVolumeSource::default()
    }
}

/// The size among the mount options of a tmpfs, in bytes.
fn size_of(options: &str) -> Option<u64> {
    let size = options.split(',').find_map(|option| option.strip_prefix("size="))?;
    values::size("Tmpfs", size).ok()
}

/// Whether an option of a tmpfs is exported or is the default in a cluster.
fn is_usual(option: &str) -> bool {
    ["", "mode=1777", "mode=0777", "nosuid", "nodev", "noexec", "rw"].contains(&option) || option.starts_with("size=")
}
