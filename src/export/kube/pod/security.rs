// SPDX-License-Identifier: MIT
//! Exports the security settings of a container as `securityContext`. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext, Sysctl,
};

use crate::config::keys::{KeyName, key};
use crate::export::kube::Context;
use crate::export::kube::workloads::Workload;
use crate::model::{App, Container, Preset};

/// Returns the security context of an application.
pub fn of_container(own: &Container, app: &App, spec: &mut PodSpec, context: &mut Context<'_>) -> SecurityContext {
    let security = &own.security;
    let mut out = SecurityContext {
        allow_privilege_escalation: Some(!security.app_no_new_privileges),
        read_only_root_filesystem: app.startup.read_only.then_some(true),
        ..SecurityContext::default()
    };
    identity(own, app, spec, &mut out, context);
    let names = |key: KeyName, context: &Context<'_>| -> Vec<String> {
        let settings = context.settings.get(&*own.file);
        let words = settings.map(|settings| settings.words("Container", key)).unwrap_or_default();
        let plain = |word: &str| match word.to_ascii_uppercase() {
            word if word == "ALL" => word,
            word => word.trim_start_matches("CAP_").to_owned(),
        };
        let all: BTreeSet<String> = words.iter().map(|word| plain(&word.value)).collect();
        all.into_iter().collect()
    };
    let some = |names: Vec<String>| Some(names).filter(|names| !names.is_empty());
    let capabilities = if security.preset == Preset::Default {
        let (add, drop) = (names(key::ADD_CAPABILITY, context), names(key::DROP_CAPABILITY, context));
        Capabilities { add: some(add), drop: some(drop) }
    } else {
        // A preset leaves fewer capabilities than the default of a cluster, so the remaining ones
        // are listed explicitly.
        let left =
            security.application.names().map(|name| name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned());
        Capabilities { add: some(left.collect()), drop: Some(vec!["ALL".to_owned()]) }
    };
    out.capabilities = Some(capabilities).filter(|capabilities| *capabilities != Capabilities::default());
    if out.run_as_user.is_some_and(|user| user > 0) {
        out.run_as_non_root = Some(true);
    }
    if let Some(profile) = &security.seccomp_profile {
        let file = profile.value.rsplit('/').next().unwrap_or_default().to_owned();
        let local = profile.value.strip_prefix("/var/lib/kubelet/seccomp/").map_or(file, str::to_owned);
        context
            .remark(format!("{}: copy {} to /var/lib/kubelet/seccomp/{local} on each node", profile.at, profile.value));
        out.seccomp_profile = Some(SeccompProfile { localhost_profile: Some(local), type_: "Localhost".to_owned() });
    }
    if let Some(profile) = &security.app_armor {
        context.remark(format!("{}: the profile {} has to be loaded on each node", profile.at, profile.value));
        out.app_armor_profile =
            Some(AppArmorProfile { localhost_profile: Some(profile.value.clone()), type_: "Localhost".to_owned() });
    }
    out
}

/// Writes the user and groups. Only numbers are exported, because names depend on the image.
fn identity(own: &Container, app: &App, spec: &mut PodSpec, out: &mut SecurityContext, context: &mut Context<'_>) {
    let identity = &app.startup.identity;
    let (user, of_user) = match identity.user.as_deref().map(|user| user.split_once(':').unwrap_or((user, ""))) {
        Some((user, group)) => (Some(user), Some(group).filter(|group| !group.is_empty())),
        None => (None, None),
    };
    let number = |key: &str, name: &str, context: &mut Context<'_>| {
        let number = name.parse::<i64>().ok();
        if number.is_none() {
            let at = context.at(&own.file, "Container", key);
            context.lose(&at, key, format!("the number of {name} is in the image only; write the number"));
        }
        number
    };
    out.run_as_user = user.and_then(|name| number("User", name, context));
    let group = identity.group.as_deref().map(|group| ("Group", group)).or(of_user.map(|group| ("User", group)));
    out.run_as_group = group.and_then(|(key, name)| number(key, name, context));
    for name in &identity.more_groups {
        if let Some(group) = number("GroupAdd", name, context) {
            let of_pod = spec.security_context.get_or_insert_with(PodSecurityContext::default);
            let groups = of_pod.supplemental_groups.get_or_insert_default();
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    for (name, value) in &app.startup.sysctl {
        let of_pod = spec.security_context.get_or_insert_with(PodSecurityContext::default);
        let sysctl = Sysctl { name: name.clone(), value: value.value.clone() };
        let all = of_pod.sysctls.get_or_insert_default();
        if !all.contains(&sysctl) {
            all.push(sysctl);
        }
    }
}

/// Writes the security settings of the whole pod, and remarks whether it satisfies the restricted
/// level of the Pod Security Standards.
pub fn of_pod(workload: &Workload<'_>, spec: &mut PodSpec, context: &mut Context<'_>) {
    let of_pod = spec.security_context.get_or_insert_with(PodSecurityContext::default);
    // A seccomp filter is always active here, so the default filter of the cluster is requested.
    of_pod.seccomp_profile = Some(SeccompProfile { localhost_profile: None, type_: "RuntimeDefault".to_owned() });
    if workload.containers.iter().any(|container| container.security.user_ns) {
        spec.host_users = Some(false);
    }
    if is_restricted(workload, spec) {
        context.remark(format!("{}: the pod fits the restricted level of the Pod Security Standards", workload.name));
    }
}

/// Whether the pod satisfies the restricted level: all capabilities are dropped and at most
/// `NET_BIND_SERVICE` is added, and the user is a number other than root's.
pub fn is_restricted(workload: &Workload<'_>, spec: &PodSpec) -> bool {
    let fits = |context: Option<&SecurityContext>| {
        let Some(context) = context else { return false };
        let capabilities = context.capabilities.clone().unwrap_or_default();
        context.allow_privilege_escalation == Some(false)
            && context.run_as_non_root == Some(true)
            && capabilities.drop.is_some_and(|drop| drop.contains(&"ALL".to_owned()))
            && capabilities.add.is_none_or(|add| add.iter().all(|name| name == "NET_BIND_SERVICE"))
    };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let sysctls = spec.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    let safe = [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
    ];
    let host_paths = workload.containers.iter().flat_map(|container| &container.apps).flat_map(|app| &app.mounts);
    let host_paths = host_paths.filter(|mount| matches!(mount.what, crate::model::What::Host(_)));
    containers.clone().count() > 0
        && containers.into_iter().all(|container| fits(container.security_context.as_ref()))
        && !workload.is_in_host_network()
        && host_paths.count() == 0
        && sysctls.is_none_or(|all| all.iter().all(|sysctl| safe.contains(&sysctl.name.as_str())))
}
