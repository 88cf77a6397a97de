// SPDX-License-Identifier: MIT
//! Converts command lines of `docker run`, `podman run` and `nerdctl run` (docker-run(1),
//! podman-run(1)). This module separates options, values, the image and its arguments. Pure.

mod options;
mod script;

pub use script::script;

use std::collections::{BTreeMap, VecDeque};

use super::{Converted, name_of_image};
use crate::config::keys::FileType;
use crate::config::quadlet::podman;
use options::{Place, Run};

/// Global options of the programs, before the verb, that take a value.
const GLOBAL: [&str; 44] = [
    "H",
    "a",
    "address",
    "bridge-ip",
    "c",
    "cgroup-manager",
    "cni-netconfpath",
    "cni-path",
    "config",
    "conmon",
    "connection",
    "context",
    "data-root",
    "events-backend",
    "hooks-dir",
    "host",
    "host-gateway-ip",
    "hosts-dir",
    "identity",
    "imagestore",
    "l",
    "log-level",
    "module",
    "n",
    "namespace",
    "network-cmd-path",
    "network-config-dir",
    "out",
    "root",
    "runroot",
    "runtime",
    "runtime-flag",
    "snapshotter",
    "ssh",
    "storage",
    "storage-driver",
    "storage-opt",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tmpdir",
    "url",
    "userns-remap",
    "volumepath",
];

/// Options of docker and nerdctl that podman lacks, and whether each takes a value.
const DOCKER: [(&str, bool); 17] = [
    ("cosign-key", true),
    ("cpu-count", true),
    ("cpu-percent", true),
    ("domainname", true),
    ("health-start-interval", true),
    ("io-maxbandwidth", true),
    ("io-maxiops", true),
    ("isolation", true),
    ("kernel-memory", true),
    ("link", true),
    ("net-alias", true),
    ("sig-proxy", false),
    ("use-api-socket", false),
    ("verify", true),
    ("volume-driver", true),
    ("init-ctr", true),
    ("hooks-dir", true),
];

/// Converts the words of a command line. Relative paths are resolved against `directory`. The name
/// of the program may be omitted.
///
/// # Errors
/// Returns an error if the command line does not create a container, has an unknown option, or an
/// option lacks its value.
pub fn command_line(words: &[String], directory: &str) -> Result<Converted, String> {
    let mut words: VecDeque<&str> = words.iter().map(String::as_str).collect();
    if let Some(verb) = command(&mut words)? {
        if verb != "run" && verb != "create" {
            return Err(format!("{verb} makes no container; give the words of a run or create command"));
        }
    } else {
        take_if(&mut words, |word| word == "container");
        take_if(&mut words, |word| ["run", "create"].contains(&word));
    }
    let place = Place { directory: directory.to_owned(), ..Place::default() };
    Ok(finished([read(words, &place)?].into(), BTreeMap::new()))
}

/// Whether a word is the name of a program that runs containers.
fn is_program(word: &str) -> bool {
    ["docker", "podman", "nerdctl"].contains(&word.rsplit('/').next().unwrap_or(word))
}

/// Removes the program, its options and its verb from the front, and returns the verb. Returns
/// `None` if the first word is not such a program.
fn command<'a>(words: &mut VecDeque<&'a str>) -> Result<Option<&'a str>, String> {
    if take_if(words, |word| word == "sudo").is_some() {
        while take_if(words, |word| word.starts_with('-')).is_some() {}
    }
    let Some(program) = take_if(words, is_program) else { return Ok(None) };
    while let Some(option) = take_if(words, |word| word.starts_with('-')) {
        let option = option.trim_start_matches('-');
        if !option.contains('=') && GLOBAL.contains(&option) {
            words.pop_front();
        }
    }
    take_if(words, |word| word == "container");
    words
        .pop_front()
        .map(Some)
        .ok_or_else(|| format!("{program} without a verb makes no container; give the whole command line"))
}

/// Parses the words after the verb. Returns the name of the container and its settings.
fn read(mut words: VecDeque<&str>, place: &Place) -> Result<(String, Run), String> {
    let mut run = Run::new(place);
    let image = loop {
        let Some(word) = words.pop_front() else { return Err("no image is named on the command line".to_owned()) };
        if word == "--" {
            break words.pop_front().ok_or("no image is named on the command line")?;
        }
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else { break word };
        if let Some(long) = option.strip_prefix('-') {
            let (long, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let (long, takes) = known(long).ok_or_else(|| unknown(word))?;
            let value = value.map_or_else(|| value_of(word, takes, &mut words), |value| Ok(value.to_owned()))?;
            run.option(long, &value, takes);
            continue;
        }
        // Short options can share one dash; a value follows directly or as the next word.
        let mut rest = option;
        while let Some(letter) = rest.chars().next() {
            let (short, after) = rest.split_at(letter.len_utf8());
            let (long, takes) = known(short).ok_or_else(|| unknown(&format!("-{letter}")))?;
            let value = after.strip_prefix('=');
            let value = if takes { value.or(Some(after)).filter(|value| !value.is_empty()) } else { value };
            rest = if value.is_some() || takes { "" } else { after };
            let value = value.map_or_else(|| value_of(word, takes, &mut words), |value| Ok(value.to_owned()))?;
            run.option(long, &value, takes);
        }
    };
    let name = run.name.clone().unwrap_or_else(|| name_of_image(image));
    run.image(&name, image, &words.into_iter().map(str::to_owned).collect::<Vec<_>>());
    Ok((name, run))
}

/// Returns an option by its long name or its letter, and whether it takes a value.
fn known(option: &str) -> Option<(&'static str, bool)> {
    let docker = DOCKER.into_iter().find(|(long, _)| *long == option);
    podman::option(FileType::Container, option).or(docker)
}

fn unknown(option: &str) -> String {
    format!("{option} is no option of docker, podman or nerdctl run; correct it or remove it")
}

fn value_of(option: &str, takes: bool, words: &mut VecDeque<&str>) -> Result<String, String> {
    if !takes {
        return Ok("true".to_owned());
    }
    words.pop_front().map(str::to_owned).ok_or_else(|| format!("{option} lacks its value"))
}

/// Removes and returns the first word if it satisfies the condition.
fn take_if<'a>(words: &mut VecDeque<&'a str>, wanted: impl Fn(&str) -> bool) -> Option<&'a str> {
    if words.front().is_some_and(|word| wanted(word)) { words.pop_front() } else { None }
}

/// Adds the files of the containers, and of the networks and pods that they name, to `files`.
fn finished(runs: BTreeMap<String, Run>, files: BTreeMap<String, String>) -> Converted {
    let mut out = Converted { files, notes: Vec::new() };
    for (name, mut run) in runs {
        run.finish();
        for network in &run.networks {
            out.files.entry(format!("{network}.network")).or_insert_with(|| "[Network]\n".to_owned());
        }
        if let Some(pod) = &run.pod {
            // Podman's pods are in the bridge network by default.
            let pod = out.files.entry(format!("{pod}.pod")).or_insert_with(|| "[Pod]\nNetwork=bridge\n".to_owned());
            pod.extend(run.ports.iter().map(|port| format!("PublishPort={port}\n")));
        }
        if let Some(image) = run.image_file {
            out.files.insert(format!("{name}.image"), image.draft.to_string());
            out.notes.extend(image.notes);
        }
        out.files.insert(format!("{name}.container"), run.builder.draft.to_string());
        out.notes.append(&mut run.builder.notes);
    }
    out.checked()
}

#[cfg(test)]
mod tests;
