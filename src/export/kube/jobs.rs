// SPDX-License-Identifier: MIT
//! Exports jobs, and cron jobs for the jobs that a timer starts. Pure.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};

use super::workloads::Workload;
use super::{Context, Outside};
use crate::config::values::time::milliseconds;
use crate::diag::Location;
use crate::ini;
use crate::kube::{ObjectMeta, schedule};
use crate::model::Container;

/// A timer unit that starts a container.
#[derive(Debug, Clone)]
pub struct Timer {
    unit: String,
    calendars: Vec<(String, Location)>,
    others: Vec<(String, Location)>,
}

/// Returns the timers of this machine.
pub fn timers(outside: &dyn Outside) -> Vec<Timer> {
    let mut all = Vec::new();
    for (path, text) in outside.timers() {
        let file: Arc<str> = Arc::from(path.as_str());
        let Ok(document) = ini::parse(&file, text.as_bytes()) else { continue };
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut timer = Timer { unit: name.replace(".timer", ".service"), calendars: Vec::new(), others: Vec::new() };
        for entry in document.entries.iter().filter(|entry| &*entry.section == "Timer" && !entry.value.is_empty()) {
            match entry.key.as_str() {
                "Unit" => timer.unit.clone_from(&entry.value),
                "OnCalendar" => timer.calendars.push((entry.value.clone(), entry.at.clone())),
                "AccuracySec" => {}
                _ => timer.others.push((entry.key.clone(), entry.at.clone())),
            }
        }
        all.push(timer);
    }
    all
}

/// Adds the job of a pod, or a cron job for each calendar event of its timers.
pub fn export(
    workload: &Workload<'_>,
    metadata: ObjectMeta,
    mut pod: PodSpec,
    timers: &[Timer],
    context: &mut Context<'_>,
) {
    let mut on_failure = false;
    let mut spec = JobSpec::default();
    for container in &workload.containers {
        for (key, value) in &container.service {
            match (key.as_str(), value.as_str()) {
                ("Restart", "on-failure" | "on-abnormal") => on_failure = true,
                ("TimeoutStartSec", value) => {
                    spec.active_deadline_seconds =
                        milliseconds(value).and_then(|time| i64::try_from(time.div_ceil(1000)).ok());
                }
                _ => {}
            }
        }
        for (_, value) in container.unit.iter().filter(|(key, _)| key == "StartLimitBurst") {
            spec.backoff_limit = value.parse::<i32>().ok().map(|burst| (burst - 1).max(0));
        }
    }
    pod.restart_policy = Some(if on_failure { "OnFailure" } else { "Never" }.to_owned());
    if !on_failure {
        spec.backoff_limit = Some(0);
    }
    spec.template = PodTemplateSpec { metadata: Some(metadata), spec: Some(pod) };
    let units: Vec<String> = workload.containers.iter().map(|container| Container::unit(&container.name)).collect();
    let own: Vec<&Timer> = timers.iter().filter(|timer| units.contains(&timer.unit)).collect();
    let mut number = 0;
    for timer in &own {
        for (key, at) in &timer.others {
            context.lose(at, key, "this has no counterpart; a cron job has a schedule only");
        }
        for (calendar, at) in &timer.calendars {
            let Some((schedule, zone)) = schedule::schedule(calendar) else {
                context.lose(at, "OnCalendar", "no schedule of cron says the same; write schedule: by hand");
                continue;
            };
            number += 1;
            let name = if number == 1 { workload.name.clone() } else { format!("{}-{number}", workload.name) };
            let metadata = context.metadata(&name, workload.labels());
            let object = CronJob {
                metadata,
                spec: CronJobSpec {
                    concurrency_policy: Some("Forbid".to_owned()),
                    schedule,
                    time_zone: zone,
                    job_template: JobTemplateSpec { metadata: None, spec: Some(spec.clone()) },
                    ..CronJobSpec::default()
                },
                ..CronJob::default()
            };
            context.add(&workload.name, &object);
        }
    }
    if number == 0 {
        let metadata = context.metadata(&workload.name, workload.labels());
        context.add(&workload.name, &Job { metadata, spec: Some(spec), ..Job::default() });
    }
}
