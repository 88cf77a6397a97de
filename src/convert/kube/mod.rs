// SPDX-License-Identifier: MIT
//! Converts objects of Kubernetes to configuration files of sdme-gen: a workload N becomes `N.pod`
//! with a member `N-CONTAINER` for each container. Every field is converted, has no effect on a
//! single machine, or is listed as lost. Pure.

mod accounts;
mod container;
mod environment;
mod hooks;
mod jobs;
mod pod;
mod probes;
mod resources;
mod security;
mod services;
mod storage;
mod workload;

use std::collections::{BTreeMap, BTreeSet};

use super::{Lost, Outcome, mark, without_refused};
use crate::kube::{Manifest, Problem, Read, validate};
use storage::{mounts, values, volumes};
use workload::Workload;

/// The name of the conversion in the marks of the written files.
pub const TOOL: &str = "kube";

/// Placeholder for the instance of a template while a file is built. `%i` itself would be escaped
/// like any other percent sign.
const INSTANCE: char = '\u{e000}';

/// The state that the conversions of all workloads share.
struct Context<'a> {
    manifests: &'a [Manifest],
    /// Names of files that are in use, without extension.
    taken: BTreeSet<String>,
    out: Outcome,
}

impl<'a> Context<'a> {
    /// Lists a field that is not converted.
    fn lose(&mut self, manifest: &Manifest, path: &str, reason: impl Into<String>) {
        let field = manifest.field(path);
        let lost = Lost { subject: format!("{}:{}", field.file, field.line), key: field.path, reason: reason.into() };
        if !self.out.lost.contains(&lost) {
            self.out.lost.push(lost);
        }
    }

    /// Lists a field that has no effect here, or whose conversion differs slightly.
    fn remark(&mut self, manifest: &Manifest, path: &str, text: &str) {
        let line = format!("{}: {text}", manifest.field(path));
        if !self.out.remarks.contains(&line) {
            self.out.remarks.push(line);
        }
    }

    /// Returns the object of a kind and name in the same namespace as another object.
    fn find(&self, beside: &Manifest, kind: &str, name: &str) -> Option<&'a Manifest> {
        let same = |other: &&Manifest| {
            other.object.kind() == kind && other.name() == name && other.namespace() == beside.namespace()
        };
        self.manifests.iter().find(same)
    }
}

/// Converts the objects that were read. `project` identifies the files for a later conversion.
///
/// # Errors
/// Returns the mistakes of all objects. Nothing is converted in that case.
pub fn kube(read: &Read, project: &str) -> Result<Outcome, Vec<Problem>> {
    let mut problems = read.problems.clone();
    problems.extend(validate::problems(&read.manifests));
    problems.sort();
    problems.dedup();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut context = Context {
        manifests: &read.manifests,
        taken: BTreeSet::new(),
        out: Outcome { project: project.to_owned(), ..Outcome::default() },
    };
    for other in &read.others {
        let reason = accounts::other(&other.kind);
        if other.kind == "Namespace" {
            context.out.remarks.push(format!("{}: {reason}", other.field));
            continue;
        }
        let key = if other.field.path.is_empty() { "kind".to_owned() } else { other.field.path.clone() };
        let subject = format!("{}:{}", other.field.file, other.field.line);
        context.out.lost.push(Lost { subject, key, reason });
    }
    let workloads: Vec<Workload<'_>> =
        read.manifests.iter().filter_map(|manifest| Workload::of(manifest, &mut context)).collect();
    for manifest in &read.manifests {
        accounts::object(manifest, &mut context);
    }
    volumes::claims(&workloads, &mut context);
    let reached = services::of(&workloads, &mut context);
    for (workload, reached) in workloads.iter().zip(&reached) {
        pod::convert(workload, reached, &mut context);
    }
    unused(&workloads, &mut context);
    let mut out = context.out;
    without_problems(&mut out);
    out.lost.sort_by_key(|lost| (file_and_line(&lost.subject), lost.clone()));
    out.lost.dedup();
    out.remarks.sort_by_key(|remark| (file_and_line(remark), remark.clone()));
    out.remarks.dedup();
    out.start_units.retain(|unit| {
        let pod = unit.strip_prefix("sdme-pod@").and_then(|unit| unit.strip_suffix(".target"));
        pod.is_none_or(|_| !out.files.is_empty())
    });
    mark::mark(&mut out, TOOL);
    Ok(out)
}

/// Returns the file and the line number at the start of a text as a sort key, so that line 9 sorts
/// before line 10.
fn file_and_line(text: &str) -> (String, u32) {
    let (file, rest) = text.split_once(':').unwrap_or((text, ""));
    (file.to_owned(), rest.split(':').next().and_then(|line| line.parse().ok()).unwrap_or(0))
}

/// Lists the ConfigMaps and Secrets that no pod of these files uses, because they are converted
/// only where they are used.
fn unused(workloads: &[Workload<'_>], context: &mut Context<'_>) {
    let mut used: BTreeSet<(&str, String)> = BTreeSet::new();
    for workload in workloads {
        used.extend(workload.references());
    }
    for manifest in context.manifests {
        let kind = manifest.object.kind();
        if ["ConfigMap", "Secret"].contains(&kind) && !used.contains(&(kind, manifest.name().to_owned())) {
            context.remark(manifest, "", &format!("no pod of these files uses this {kind}, so it is not converted"));
        }
    }
}

/// Removes the lines and files that `check` would refuse, and lists them. A template is checked by
/// its instances.
fn without_problems(out: &mut Outcome) {
    loop {
        let mut files: BTreeMap<String, String> = out.files.clone();
        for (link, target) in &out.links {
            files.extend(out.files.get(target).map(|text| (link.clone(), text.clone())));
        }
        let refused = without_refused(&mut files);
        if refused.is_empty() {
            return;
        }
        let mut changed = false;
        for refused in refused {
            let file = out.links.get(&refused.file).cloned().unwrap_or(refused.file);
            let Some(text) = out.files.get(&file).cloned() else { continue };
            let reason = if refused.whole {
                out.files.remove(&file);
                out.links.retain(|_, target| *target != file);
                format!("the file is not written: {}", refused.reason)
            } else {
                let mut gone = false;
                let kept =
                    text.lines().filter(|line| gone || *line != refused.line || std::mem::replace(&mut gone, true));
                let kept: Vec<&str> = kept.collect();
                out.files.insert(file.clone(), kept.join("\n") + "\n");
                refused.reason
            };
            changed |= out.files.get(&file) != Some(&text);
            let lost = Lost { subject: file, key: refused.line, reason };
            if !out.lost.contains(&lost) {
                out.lost.push(lost);
            }
        }
        if !changed {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
