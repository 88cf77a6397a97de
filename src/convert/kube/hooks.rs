// SPDX-License-Identifier: MIT
//! Converts lifecycle hooks: commands that run next to the application after its start and before
//! its stop. Pure.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use super::environment::Variables;
use super::workload::Workload;
use super::{Context, INSTANCE, accounts, environment};
use crate::convert::Builder;
use crate::model::App;
use crate::unit::config_word;

/// Writes the hooks of a container.
pub fn convert(
    own: &Container,
    path: &str,
    variables: &Variables,
    workload: &Workload<'_>,
    builder: &mut Builder,
    context: &mut Context<'_>,
) {
    let Some(lifecycle) = &own.lifecycle else { return };
    let path = format!("{path}.lifecycle");
    accounts::others(workload.manifest, &path, &["postStart", "preStop", "stopSignal"], context);
    if let Some(signal) = &lifecycle.stop_signal {
        builder.put("lifecycle.stopSignal", "StopSignal", signal);
    }
    let container = workload.described(&workload.member(own));
    for (field, key, hook) in
        [("postStart", "ExecStartPost", &lifecycle.post_start), ("preStop", "ExecStop", &lifecycle.pre_stop)]
    {
        let Some(hook) = hook else { continue };
        let path = format!("{path}.{field}");
        if let Some(command) = command(hook, &container, &path, variables, workload, context) {
            // In a container that has already ended, the command of ExecStop= fails; the dash makes
            // systemd ignore that.
            let command = if field == "preStop" { format!("-{command}") } else { command };
            builder.set(&format!("lifecycle.{field}"), "Service", key, &command);
        }
    }
}

fn command(
    hook: &LifecycleHandler,
    container: &str,
    path: &str,
    variables: &Variables,
    workload: &Workload<'_>,
    context: &mut Context<'_>,
) -> Option<String> {
    if let Some(sleep) = &hook.sleep {
        return Some(format!("sleep {}", sleep.seconds));
    }
    let Some(exec) = &hook.exec else {
        let field = if hook.http_get.is_some() { "httpGet" } else { "tcpSocket" };
        let reason = "a hook makes no request; write exec: with a program of the image";
        context.lose(workload.manifest, &format!("{path}.{field}"), reason);
        return None;
    };
    let words = exec.command.iter().flatten().map(|word| variables.expand(word)).collect::<Result<Vec<_>, _>>();
    match words {
        Ok(words) if words.is_empty() => None,
        Ok(words) => {
            let words: Vec<String> = words.iter().map(|word| word_of_unit(word)).collect();
            let app = App::FIRST;
            Some(format!("/usr/bin/sdme-gen exec {container} --app {app} -- {}", words.join(" ")))
        }
        Err(secret) => {
            context.lose(workload.manifest, &format!("{path}.exec"), environment::of_secret(&secret));
            None
        }
    }
}

/// Quotes a word of a command in a unit, where systemd expands `%` and `$`.
fn word_of_unit(word: &str) -> String {
    let word = config_word(word).replace('%', "%%").replace('$', "$$");
    // A word of only a semicolon would end the command (systemd.service(5)).
    if word == ";" { "\\;".to_owned() } else { word.replace(INSTANCE, "%i") }
}
