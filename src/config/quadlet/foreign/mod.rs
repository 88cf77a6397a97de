// SPDX-License-Identifier: MIT
//! Translates parts of files for Podman's Quadlet that have another form in sdme-gen, before keys
//! and values are checked. Pure.

mod mounts;

use std::sync::Arc;

use super::expand::{Context, named};
use super::podman;
use super::variables;
use crate::config::keys::{FileType, Kind, Status, application, is_of_service, key, keys};
use crate::config::sources::{SourceFile, Sources};
use crate::config::values::parse_bool;
use crate::diag::{Code, Diagnostic, Fault, Location};
use crate::ini::{Entry, split_words};

/// The label with the same meaning as `AutoUpdate=` (podman-auto-update(1)).
const UPDATE_LABEL: &str = "io.containers.autoupdate=";

/// Rewrites assignments that have another form in sdme-gen, and adds the assignments that labels
/// and `PodmanArgs=` stand for.
pub fn translate(file_type: FileType, entries: &mut Vec<Entry>, problems: &mut Vec<Diagnostic>) {
    let own = file_type.section();
    for entry in entries.iter_mut().filter(|entry| is_own(file_type, entry)) {
        if let Some(value) = without_quotes(file_type, entry) {
            entry.value = value;
        }
        if let Some(value) = with_escapes(file_type, entry) {
            let problem = Code::Differs.problem(
                format!("{}=: a backslash in the value counts as an ordinary character", entry.key),
                "write \\\\ for a backslash",
            );
            problems.push(Diagnostic::warning(&entry.at, problem));
            entry.value = value;
        }
        if key::VOLATILE_TMP == entry.key && parse_bool(&entry.value) == Some(true) {
            (entry.key, entry.value) = (key::TMPFS.to_string(), "/tmp".to_owned());
        }
        if &*entry.section == own && file_type != FileType::Defaults && is_of_service(file_type, &entry.key) {
            let problem = Code::Differs.problem(
                format!("{}= belongs in [Service], and is read as if it stood there", entry.key),
                "move it to [Service]",
            );
            problems.push(Diagnostic::warning(&entry.at, problem));
            entry.section = Arc::from("Service");
        }
    }
    problems.extend(entries.iter().filter_map(comment));
    problems.extend(entries.iter().filter_map(of_podman));
    mounts::translate(file_type, entries, problems);
    if file_type == FileType::Container {
        let label = updating_label(entries);
        entries.extend(label);
    }
    let more = podman::translated(file_type, entries, problems);
    entries.extend(more);
    entries.retain(|entry| {
        let is_swap = file_type == FileType::Container && entry.key == podman::SWAP && &*entry.section == own;
        if is_swap {
            let problem = Code::Differs.problem(
                "MemorySwap= is not a key: it is read as PodmanArgs=--memory-swap",
                "write MemorySwapMax= in [Service]",
            );
            problems.push(Diagnostic::warning(&entry.at, problem));
        }
        !is_swap
    });
}

/// Returns a warning about a comment after a value of `[Service]`. systemd reads the comment as a
/// part of the value, and ignores the line.
fn comment(entry: &Entry) -> Option<Diagnostic> {
    let is_text = ["Environment", "Exec", "Syslog"].iter().any(|beginning| entry.key.starts_with(beginning));
    let (value, _) = entry.value.split_once(" #").filter(|_| &*entry.section == "Service" && !is_text)?;
    let key = &entry.key;
    let problem = Code::NoEffect.problem(
        format!("{key}={} has a comment behind its value, which systemd counts as a part of the value", entry.value),
        format!("write {key}={} and the comment on a line of its own", value.trim_end()),
    );
    Some(Diagnostic::warning(&entry.at, problem))
}

/// Returns a warning about a command of `[Service]` that runs podman or docker. These programs do
/// not know the containers, images and networks of the configuration files.
fn of_podman(entry: &Entry) -> Option<Diagnostic> {
    let is_command = &*entry.section == "Service" && entry.key.starts_with("Exec");
    let mut words =
        entry.value.trim_start_matches(['-', '@', ':', '+', '!', '|']).split_whitespace().filter(|_| is_command);
    let program = words.next()?.rsplit('/').next().filter(|program| ["podman", "docker"].contains(program))?;
    let verb = words.next().unwrap_or_default();
    let instead = match verb {
        "exec" => "write sdme-gen exec NAME -- COMMAND",
        "pull" | "image" => "remove it: images are pulled before the start, and old ones are removed by themselves",
        _ => "remove it",
    };
    let problem = Code::NoEffect
        .problem(format!("{}={program} {verb}: {program} does not know what these files describe", entry.key), instead);
    Some(Diagnostic::warning(&entry.at, problem))
}

/// Whether an assignment is in the section with the keys of the file type, which may also be that
/// of one application.
fn is_own(file_type: FileType, entry: &Entry) -> bool {
    let own = file_type.section();
    &*entry.section == own || application(file_type, &entry.section).is_some_and(|(section, _)| section == own)
}

/// Returns the value without the pair of quotes around it, if the key has a single value.
fn without_quotes(file_type: FileType, entry: &Entry) -> Option<String> {
    let inner = entry.value.strip_prefix('"')?.strip_suffix('"')?;
    let key = keys(file_type).iter().find(|key| key.name == entry.key)?;
    let single = matches!(key.kind, Kind::Text | Kind::Flag | Kind::Choice(_));
    (single && !inner.contains(['"', '\\'])).then(|| inner.to_owned())
}

/// Returns the value with each backslash doubled that begins no escape sequence, because systemd
/// keeps such backslashes in command lines. Returns none if the value is valid without the change,
/// or invalid with it.
fn with_escapes(file_type: FileType, entry: &Entry) -> Option<String> {
    let key = keys(file_type).iter().find(|key| key.name == entry.key)?;
    if !matches!(key.kind, Kind::Words | Kind::Line) || split_words(&entry.value).is_ok() {
        return None;
    }
    let mut out = String::new();
    let mut chars = entry.value.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        match (c, chars.peek()) {
            ('\\', Some(next)) if "abfnrtvsxuU01234567\\\"' ".contains(*next) => out.extend(chars.next()),
            ('\\', _) => out.push('\\'),
            _ => {}
        }
    }
    split_words(&out).is_ok().then_some(out)
}

/// Returns the assignment of `AutoUpdate=` that a label stands for, unless the key is set.
fn updating_label(entries: &[Entry]) -> Option<Entry> {
    if entries.iter().any(|entry| key::AUTO_UPDATE == entry.key && &*entry.section == "Container") {
        return None;
    }
    let labels = entries.iter().filter(|entry| key::LABEL == entry.key && &*entry.section == "Container");
    let mut found = labels.flat_map(|entry| {
        let words = split_words(&entry.value).unwrap_or_default();
        words.into_iter().filter_map(move |word| Some((entry, word.strip_prefix(UPDATE_LABEL)?.to_owned())))
    });
    let (entry, value) = found.next_back()?;
    let value = match value.as_str() {
        "image" | "registry" => "registry",
        "local" => "local",
        _ => return None,
    };
    Some(Entry { key: key::AUTO_UPDATE.to_string(), value: value.to_owned(), ..entry.clone() })
}

/// Keys, other than command lines, whose values may have variables that the application expands.
const FOR_APPLICATION: [&str; 6] =
    ["Annotation", "Entrypoint", "Environment", "HealthCmd", "HealthStartupCmd", "Label"];

/// Expands specifiers and variables in the values of the section with the keys of the file type. In
/// `[Unit]` and `[Service]`, only the specifiers of the unit's name are replaced, because the unit
/// has another name than in Quadlet. systemd expands the others.
///
/// Removes assignments whose variables may be in missing files, and returns a warning about each of
/// them. The file cannot be used until these files exist ([`Code::Awaited`]).
pub fn expand(
    file: &SourceFile,
    sources: &Sources,
    entries: &mut Vec<Entry>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    let mut awaited = Vec::new();
    let is_special = |entry: &Entry| is_own(file.file_type, entry) && entry.value.contains(['%', '$']);
    let is_named = |entry: &Entry| ["Unit", "Service"].contains(&&*entry.section) && entry.value.contains('%');
    if !entries.iter().any(|entry| is_special(entry) || is_named(entry)) {
        return awaited;
    }
    let name = unit_name(file, entries);
    for entry in entries.iter_mut().filter(|entry| is_named(entry)) {
        entry.value = named(&entry.value, &name);
    }
    let mut context = Context { name: &name, host: sources.host.as_deref(), ..Context::default() };
    context.variables = variables::of_service(entries, &context, &sources.variables);
    let missing = variables::missing(entries, &context, &sources.variables);
    entries.retain_mut(|entry| {
        if !is_special(entry) {
            return true;
        }
        let key = keys(file.file_type).iter().find(|key| key.name == entry.key);
        let words = key.is_some_and(|key| key.kind == Kind::Line);
        let expanded = context.expand(&entry.value, words);
        if let (Some(variable), Some(path), false) =
            (&expanded.unset, missing.first(), words || FOR_APPLICATION.contains(&entry.key.as_str()))
        {
            let problem = Code::Awaited.problem(
                format!(
                    "{}=: the variable {variable} is not known, and the file {path}, which may set it, is missing: the \
                     start fails",
                    entry.key
                ),
                "write that file, and run systemctl daemon-reload",
            );
            awaited.push(Diagnostic::warning(&entry.at, problem));
            return false;
        }
        let warn =
            |remark: Fault| Diagnostic::warning(&entry.at, Code::Differs.of(remark).of(&format!("{}=", entry.key)));
        problems.extend(expanded.remarks.into_iter().map(warn));
        entry.value = expanded.value;
        true
    });
    awaited
}

/// Returns the name that Quadlet gives to the unit of a file, without `.service`.
#[must_use]
pub fn unit_name(file: &SourceFile, entries: &[Entry]) -> String {
    let suffix = match file.file_type {
        FileType::Container | FileType::Defaults => String::new(),
        other => format!("-{}", other.extension()),
    };
    let named = entries.iter().rev().find(|entry| key::SERVICE_NAME == entry.key && is_own(file.file_type, entry));
    named.map_or_else(|| file.described() + &suffix, |entry| entry.value.clone())
}

/// Returns a warning about an assignment of a key that has no effect, or another effect than in
/// Quadlet.
#[must_use]
pub fn remark(file_type: FileType, Entry { key, value, at, .. }: &Entry) -> Option<Diagnostic> {
    if value.is_empty() {
        return None;
    }
    let yes = parse_bool(value) == Some(true);
    let known = keys(file_type).iter().find(|known| known.name == *key)?;
    if let Status::Without(why, remedy) = known.status {
        return Some(without(at, key, value, (why, remedy)));
    }
    let (why, remedy) = match (known.name, value.as_str()) {
        (key::ENVIRONMENT_HOST | key::HTTP_PROXY, _) if yes => {
            ("nothing of the host's environment is passed on", "write Environment= for what is needed")
        }
        (key::CGROUPS_MODE, "disabled") => ("the container always has a control group", "remove the key"),
        (key::LOG_DRIVER, "none") => {
            ("the output goes to the journal", "write StandardOutput=null in [App] to drop it")
        }
        (key::LOG_DRIVER, "k8s-file" | "json-file") => {
            ("the output goes to the journal", "read it with sdme-gen logs, and remove the key")
        }
        (key::HEALTH_LOG_DESTINATION, value) if !["local", "events_logger"].contains(&value) => {
            ("results of health checks go to the journal", "remove the key")
        }
        (key::SECURITY_LABEL_TYPE, value) if value != "spc_t" => {
            ("the container gets no SELinux label", "write AppArmor= or Strict=yes to confine it")
        }
        (key::EXIT_POLICY, "stop") => {
            ("a pod stays when its last member stops, so that its ports stay open", "stop the pod itself")
        }
        _ => return None,
    };
    Some(without(at, key, value, (why, remedy)))
}

fn without(at: &Location, key: &str, value: &str, (why, remedy): (&str, &str)) -> Diagnostic {
    let value = if value.contains(char::is_whitespace) { "" } else { value };
    Diagnostic::warning(at, Code::NoEffect.problem(format!("{key}={value} has no effect here: {why}"), remedy))
}
