// SPDX-License-Identifier: MIT
//! Converts `securityContext` of a pod and of a container. Pure.

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, SeccompProfile};

use super::workload::Workload;
use super::{Context, accounts};
use crate::convert::Builder;

/// The directory in which a kubelet keeps seccomp profiles.
const PROFILES: &str = "/var/lib/kubelet/seccomp";

/// Writes the security settings of a container. Its own settings override those of the pod.
pub fn convert(own: &Container, path: &str, workload: &Workload<'_>, builder: &mut Builder, context: &mut Context<'_>) {
    let manifest = workload.manifest;
    let own_path = format!("{path}.securityContext");
    let pod_path = format!("{}.securityContext", workload.path);
    let pod = workload.spec.security_context.clone().unwrap_or_default();
    let of = own.security_context.clone().unwrap_or_default();
    let both = ["appArmorProfile", "runAsGroup", "runAsNonRoot", "runAsUser", "seccompProfile"];
    let of_container =
        ["allowPrivilegeEscalation", "capabilities", "privileged", "procMount", "readOnlyRootFilesystem"];
    accounts::others(manifest, &own_path, &[&both[..], &of_container].concat(), context);
    let of_pod = [
        "fsGroup",
        "fsGroupChangePolicy",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "sysctls",
        "seLinuxChangePolicy",
    ];
    accounts::others(manifest, &pod_path, &[&both[..], &of_pod].concat(), context);

    if workload.spec.host_network == Some(true) && workload.spec.host_users == Some(false) {
        builder.put("hostUsers", "UserNS", "auto");
    }
    let user = of.run_as_user.or(pod.run_as_user);
    let group = of.run_as_group.or(pod.run_as_group);
    if let Some(user) = user {
        builder.put("securityContext.runAsUser", "User", &user.to_string());
    }
    if let Some(group) = group {
        builder.put("securityContext.runAsGroup", "Group", &group.to_string());
    }
    if of.run_as_non_root.or(pod.run_as_non_root) == Some(true) && user.is_none() {
        let text = "whether the image's user is root is not checked; write runAsUser: to be sure";
        let own = of.run_as_non_root.is_some();
        context.remark(manifest, &format!("{}.runAsNonRoot", if own { &own_path } else { &pod_path }), text);
    }
    let groups = pod.supplemental_groups.iter().flatten().chain(&pod.fs_group);
    for group in groups {
        builder.put("securityContext.supplementalGroups", "GroupAdd", &group.to_string());
    }
    for (number, sysctl) in pod.sysctls.iter().flatten().enumerate() {
        if workload.spec.host_users == Some(false) && sysctl.name.starts_with("net.") {
            let reason = "the network of the pod belongs to the host, and a container with a user namespace cannot change it; leave \
                          hostUsers: out";
            context.lose(manifest, &format!("{pod_path}.sysctls[{number}]"), reason);
            continue;
        }
        builder.put("securityContext.sysctls", "Sysctl", &format!("{}={}", sysctl.name, sysctl.value));
    }
    if of.privileged == Some(true) {
        let reason =
            "a container has no rights over the host; write AddCapability= and AddDevice= for what the program needs";
        context.lose(manifest, &format!("{own_path}.privileged"), reason);
    }
    if of.proc_mount.as_deref().is_some_and(|kind| kind != "Default") {
        context.lose(manifest, &format!("{own_path}.procMount"), "parts of /proc stay read-only");
    }
    if let Some(allow) = of.allow_privilege_escalation {
        builder.put("securityContext", "NoNewPrivileges", if allow { "no" } else { "yes" });
    }
    if of.read_only_root_filesystem == Some(true) {
        builder.put("securityContext", "ReadOnly", "yes");
        builder.put("securityContext", "ReadOnlyTmpfs", "no");
    }
    if let Some(capabilities) = &of.capabilities {
        let name = |name: &String| match name.to_ascii_uppercase() {
            all if all == "ALL" => "all".to_owned(),
            name if name.starts_with("CAP_") => name,
            name => format!("CAP_{name}"),
        };
        for capability in capabilities.add.iter().flatten() {
            builder.put("securityContext.capabilities.add", "AddCapability", &name(capability));
        }
        for capability in capabilities.drop.iter().flatten() {
            builder.put("securityContext.capabilities.drop", "DropCapability", &name(capability));
        }
    }
    let from = |own: bool| if own { own_path.as_str() } else { pod_path.as_str() };
    let at = from(of.seccomp_profile.is_some());
    seccomp(of.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref()), at, workload, builder, context);
    let at = from(of.app_armor_profile.is_some());
    app_armor(of.app_armor_profile.as_ref().or(pod.app_armor_profile.as_ref()), at, workload, builder, context);
}

fn seccomp(
    profile: Option<&SeccompProfile>,
    path: &str,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    let Some(profile) = profile else { return };
    let local = profile.localhost_profile.as_deref().unwrap_or_default();
    match profile.type_.as_str() {
        // A default seccomp filter is always active.
        "RuntimeDefault" => {}
        "Localhost" if !local.is_empty() => {
            builder.put("securityContext.seccompProfile", "SeccompProfile", &format!("{PROFILES}/{local}"));
        }
        "Unconfined" => {
            let reason = "there always is a filter of system calls; write SystemCallFilter= for more of them";
            context.lose(workload.manifest, &format!("{path}.seccompProfile"), reason);
        }
        other => {
            let reason = format!("{other:?} is no profile; write RuntimeDefault, or Localhost and localhostProfile:");
            context.lose(workload.manifest, &format!("{path}.seccompProfile.type"), reason);
        }
    }
}

fn app_armor(
    profile: Option<&AppArmorProfile>,
    path: &str,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    let Some(profile) = profile else { return };
    match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("RuntimeDefault", _) => {
            let text = "the profile is not loaded unless AppArmor=sdme-default or Strict=yes is written";
            context.remark(workload.manifest, &format!("{path}.appArmorProfile"), text);
        }
        ("Localhost", Some(name)) => builder.put("securityContext.appArmorProfile", "AppArmor", name),
        ("Unconfined", _) => builder.put("securityContext.appArmorProfile", "AppArmor", "unconfined"),
        (other, _) => {
            let reason = format!("{other:?} is no profile; write RuntimeDefault, or Localhost and localhostProfile:");
            context.lose(workload.manifest, &format!("{path}.appArmorProfile.type"), reason);
        }
    }
}
