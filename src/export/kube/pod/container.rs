// SPDX-License-Identifier: MIT
//! Exports an application as a container of the pod. Pure.

use k8s_openapi::api::core::v1::{
    Container as Exported, ContainerPort, EnvVar, EnvVarSource, ExecAction, Lifecycle, LifecycleHandler,
    ObjectFieldSelector, PodSpec, SleepAction,
};

use super::probes;
use super::resources;
use super::security;
use crate::config::keys::key;
use crate::config::values::source::{ImageSource, Pull};
use crate::export::kube::storage::Storage;
use crate::export::kube::workloads::Workload;
use crate::export::kube::{Context, configs, secrets, services};
use crate::ini::split_words;
use crate::kube::write::escaped;
use crate::model::{App, Container};

/// Exports an application. `name` is the name of the container in the pod.
pub fn export(
    own: &Container,
    app: &App,
    name: &str,
    workload: &Workload<'_>,
    storage: &mut Storage<'_>,
    spec: &mut PodSpec,
    context: &mut Context<'_>,
) -> Exported {
    let mut out = Exported { name: name.to_owned(), ..Exported::default() };
    image(own, app, &mut out, context);
    // A dollar sign before a parenthesis would be expanded as a reference to a variable.
    let words = |words: &Vec<String>| words.iter().map(|word| escaped(word)).collect::<Vec<_>>();
    out.command = app.startup.entrypoint.as_ref().filter(|line| !line.is_empty()).map(words);
    out.args = app.startup.exec.as_ref().filter(|line| !line.is_empty()).map(words);
    if app.startup.entrypoint.as_ref().is_some_and(Vec::is_empty) {
        // An empty Entrypoint= disables the entrypoint of the image, so the arguments are the
        // command.
        out.command = out.args.take();
    }
    out.working_dir.clone_from(&app.startup.working_dir);
    configs::environment_files(app, workload, &mut out, context);
    let mut environment: Vec<EnvVar> = Vec::new();
    for (name, value) in &app.environment {
        let pod = workload.instance.as_ref().map(|instance| format!("{}-{instance}", workload.name));
        if pod.as_ref() == Some(value) {
            // The value contains the name of the instance, so each replica refers to its own name.
            let reference = ObjectFieldSelector { field_path: "metadata.name".to_owned(), api_version: None };
            let source = EnvVarSource { field_ref: Some(reference), ..EnvVarSource::default() };
            environment.push(EnvVar { name: name.clone(), value: None, value_from: Some(source) });
            continue;
        }
        environment.push(EnvVar { name: name.clone(), value: Some(escaped(value)), value_from: None });
    }
    let zone = own.timezone.as_ref().filter(|zone| *zone != "local");
    if let Some(zone) = zone.filter(|_| !environment.iter().any(|variable| variable.name == "TZ")) {
        environment.push(EnvVar { name: "TZ".to_owned(), value: Some(zone.clone()), value_from: None });
    }
    environment.extend(secrets::variables(app, context));
    out.env = Some(environment).filter(|all| !all.is_empty());
    out.ports = ports(own, workload, context);
    out.resources = resources::export(own, app, context);
    probes::export(own, app, &mut out, context);
    out.lifecycle = lifecycle(own, app, context);
    storage.mounts(own, app, &mut out, context);
    out.security_context = Some(security::of_container(own, app, spec, context));
    out
}

fn image(own: &Container, app: &App, out: &mut Exported, context: &mut Context<'_>) {
    let model = context.model;
    let Some(image) = model.images.get(&app.image) else { return };
    let at = context.at(&own.file, "Container", "Image");
    let reference = match &image.source {
        ImageSource::Registry(_) => {
            // The reference is exported as the user wrote it, if Image= names a reference.
            let settings = context.settings.get(&*own.file);
            let written =
                settings.and_then(|settings| settings.text("Container", key::IMAGE)).map(|text| text.value.to_owned());
            written.filter(|text| app.first && !text.ends_with(".image")).unwrap_or_else(|| image.source.to_string())
        }
        other => {
            let reference = format!("registry.example.org/{}:latest", crate::export::kube::dns(&app.image));
            let reason = format!(
                "{other} is on this machine only; push the image, and write its reference in place of {reference}"
            );
            context.lose(&at, "Image", reason);
            reference
        }
    };
    out.image = Some(reference);
    let written =
        context.settings.get(&*own.file).is_some_and(|settings| settings.text("Container", key::PULL).is_some());
    if written || image.file.is_some() {
        let policy = match image.pull {
            Pull::Always | Pull::Newer => "Always",
            Pull::Never => "Never",
            Pull::Missing => "IfNotPresent",
        };
        out.image_pull_policy = Some(policy.to_owned());
    }
}

/// Returns the published ports. They are written at the first container of the pod that is not a
/// job, because the configuration does not say which container listens.
fn ports(own: &Container, workload: &Workload<'_>, context: &Context<'_>) -> Option<Vec<ContainerPort>> {
    let first = workload.containers.iter().find(|container| !container.is_job() || workload.is_job());
    if first.is_none_or(|first| first.name != own.name) {
        return None;
    }
    let mut ports: Vec<ContainerPort> = Vec::new();
    for port in services::published(workload, context) {
        let port = ContainerPort {
            container_port: i32::from(port.target),
            protocol: Some(port.protocol),
            ..ContainerPort::default()
        };
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    Some(ports).filter(|ports| !ports.is_empty())
}

/// Returns the lifecycle hooks that `convert kube` has written, and the stop signal of the
/// application.
fn lifecycle(own: &Container, app: &App, context: &mut Context<'_>) -> Option<Lifecycle> {
    let mut out = Lifecycle::default();
    if let Some(signal) = &app.startup.stop_signal {
        out.stop_signal = Some(if signal.starts_with("SIG") { signal.clone() } else { format!("SIG{signal}") });
    }
    for (key, place) in [("ExecStartPost", &mut out.post_start), ("ExecStop", &mut out.pre_stop)] {
        for (_, value) in own.service.iter().filter(|(known, value)| known == key && !value.is_empty()) {
            match hook(value, &own.name) {
                Some(handler) if place.is_none() => *place = Some(handler),
                _ => {
                    let at = context.at(&own.file, "Service", key);
                    let reason = format!(
                        "a command of the host has no counterpart; write /usr/bin/sdme-gen exec {} -- and a command of the image",
                        own.name
                    );
                    context.lose(&at, key, reason);
                }
            }
        }
    }
    Some(out).filter(|out| *out != Lifecycle::default())
}

/// Converts a command of a unit to a hook: a command inside the application, or a pause. Returns
/// `None` for any other command.
fn hook(value: &str, container: &str) -> Option<LifecycleHandler> {
    let words = split_words(value.trim_start_matches('-')).ok()?;
    let words: Vec<String> = words.iter().map(|word| word.replace("%%", "%").replace("$$", "$")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sleep" | "/usr/bin/sleep" | "/bin/sleep", seconds] => {
            let sleep = SleepAction { seconds: seconds.parse().ok()? };
            Some(LifecycleHandler { sleep: Some(sleep), ..LifecycleHandler::default() })
        }
        ["/usr/bin/sdme-gen", "exec", name, rest @ ..] if *name == container => {
            let at = rest.iter().position(|word| *word == "--")?;
            let command: Vec<String> = rest.get(at + 1..)?.iter().map(|word| escaped(word)).collect();
            let exec = ExecAction { command: Some(command) };
            Some(LifecycleHandler { exec: Some(exec), ..LifecycleHandler::default() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollar_signs_are_escaped_where_kubernetes_would_expand_them() {
        for (text, expected) in [
            ("$HOME", "$HOME"),
            ("$(A)", "$$(A)"),
            ("$$(A)", "$$$$(A)"),
            ("a$$b", "a$$$$b"),
            ("$", "$"),
            ("$$", "$$$$"),
        ] {
            assert_eq!(escaped(text), expected, "{text}");
        }
    }
}
