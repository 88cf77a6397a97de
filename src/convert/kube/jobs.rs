// SPDX-License-Identifier: MIT
//! Converts jobs, and the timers of cron jobs. Pure.

use super::workload::{Kind, Workload};
use super::{Context, accounts};
use crate::config::draft::Draft;
use crate::convert::Builder;
use crate::kube::{Object, schedule};
use crate::model;

/// Writes how often a job is retried and how long it may take.
pub fn limits(workload: &Workload<'_>, builder: &mut Builder, context: &mut Context<'_>) {
    let (Kind::Job(job) | Kind::Timed(job)) = workload.kind else { return };
    let path = workload.path.strip_suffix(".template.spec").unwrap_or(&workload.path);
    accounts::job(workload.manifest, path, context);
    for (field, number) in [("completions", job.completions), ("parallelism", job.parallelism)] {
        if number.is_some_and(|number| number > 1) {
            let reason = "a job runs once; write a template and an instance for each run";
            context.lose(workload.manifest, &format!("{path}.{field}"), reason);
        }
    }
    if job.completion_mode.as_deref() == Some("Indexed") {
        context.lose(workload.manifest, &format!("{path}.completionMode"), "a job runs once, without an index");
    }
    if let Some(seconds) = job.active_deadline_seconds {
        builder.set("activeDeadlineSeconds", "Service", "TimeoutStartSec", &seconds.to_string());
    }
    let tries = job.backoff_limit.unwrap_or(6).saturating_add(1);
    if workload.spec.restart_policy.as_deref() == Some("OnFailure") {
        builder.set("backoffLimit", "Unit", "StartLimitBurst", &tries.to_string());
        builder.set("backoffLimit", "Unit", "StartLimitIntervalSec", "1d");
    } else if job.backoff_limit.is_some_and(|limit| limit > 0) {
        // A cluster creates a new pod for each retry; here, the same container starts again.
        builder.set("backoffLimit", "Service", "Restart", "on-failure");
        builder.set("backoffLimit", "Service", "RestartSec", "10s");
        builder.set("backoffLimit", "Unit", "StartLimitBurst", &tries.to_string());
        builder.set("backoffLimit", "Unit", "StartLimitIntervalSec", "1d");
    }
}

/// Writes the timer unit of a cron job.
pub fn timer(workload: &Workload<'_>, members: &[String], context: &mut Context<'_>) {
    let Object::CronJob(object) = &workload.manifest.object else { return };
    let spec = &object.spec;
    let Some((first, others)) = members.split_first() else { return };
    if spec.concurrency_policy.as_deref() != Some("Forbid") {
        let text = "a run that is still going on is not doubled and not replaced; the timer waits for its end";
        context.remark(workload.manifest, "spec.concurrencyPolicy", text);
    }
    if spec.starting_deadline_seconds.is_some() {
        let text = "a run that was missed is not made up for; write Persistent=yes into a drop-in of the timer";
        context.remark(workload.manifest, "spec.startingDeadlineSeconds", text);
    }
    let calendars = match schedule::calendar(&spec.schedule, spec.time_zone.as_deref()) {
        Ok(calendars) => calendars,
        Err(message) => return context.lose(workload.manifest, "spec.schedule", message),
    };
    let mut timer = Draft::default();
    let mut lines: Vec<(&str, &str, String)> = vec![("Unit", "Description", format!("Times of the container {first}"))];
    lines.extend(calendars.into_iter().map(|calendar| ("Timer", "OnCalendar", calendar)));
    lines.push(("Timer", "AccuracySec", "1s".to_owned()));
    lines.push(("Timer", "Unit", model::Container::unit(first)));
    let suspended = spec.suspend == Some(true);
    if !suspended {
        lines.push(("Install", "WantedBy", "timers.target".to_owned()));
    }
    for (section, key, value) in lines {
        if let Err(message) = timer.set(section, key, &value) {
            context.lose(workload.manifest, "spec.schedule", message);
        }
    }
    // The timer starts the first container, which pulls in the other containers of the pod.
    if let Some(text) = context.out.files.get_mut(&format!("{first}.container")) {
        for other in others {
            let line = format!("Wants={other}.container\n");
            match text.find("[Unit]\n") {
                Some(at) => text.insert_str(at + "[Unit]\n".len(), &line),
                None => *text += &format!("\n[Unit]\n{line}"),
            }
        }
    }
    let name = format!("sdme-{}.timer", workload.name);
    if !suspended {
        context.out.start_units.push(name.clone());
    }
    context.out.units.insert(name, timer.to_string());
}
