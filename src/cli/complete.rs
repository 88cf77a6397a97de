// SPDX-License-Identifier: MIT
//! Completion in shells: verbs and options come from the definition of the command line, names from
//! the configuration.

use std::path::Path;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::config::keys::{FileType, Status, keys};
use crate::config::sources::SourceFile;
use crate::image::Store;
use crate::search::{SearchPath, search};

/// The environment variable that a shell's completion script sets when it calls this program.
pub const VARIABLE: &str = "COMPLETE";

/// The shells, by the file names under which their completion scripts are installed.
const SHELLS: [(&str, &dyn EnvCompleter); 3] = [("sdme-gen", &Bash), ("_sdme-gen", &Zsh), ("sdme-gen.fish", &Fish)];

/// zsh loads the file at the first completion and expects the completions from that first call,
/// too.
const FIRST_TIME: &[u8] = b"[ \"$funcstack[1]\" != _sdme-gen ] || _clap_dynamic_completer_sdme_gen \"$@\"\n";

/// The completion scripts of the shells, by the file names under which they are installed.
///
/// # Errors
/// None in practice, because the scripts are written to memory.
pub fn scripts() -> std::io::Result<Vec<(&'static str, Vec<u8>)>> {
    let script = |(name, shell): (&'static str, &dyn EnvCompleter)| {
        let mut text = Vec::new();
        shell.write_registration(VARIABLE, "sdme-gen", "sdme-gen", "sdme-gen", &mut text)?;
        if name.starts_with('_') {
            text.extend_from_slice(FIRST_TIME);
        }
        Ok((name, text))
    };
    SHELLS.into_iter().map(script).collect()
}

/// Returns `command` with the candidate names of each argument.
#[must_use]
pub fn with_names(command: Command) -> Command {
    command.mut_subcommands(|verb| {
        let of_verb = match verb.get_name() {
            "fs" => Some(FileType::Image),
            "pod" => Some(FileType::Pod),
            "network" => Some(FileType::Network),
            "volume" => Some(FileType::Volume),
            "config" => None,
            _ => Some(FileType::Container),
        };
        let own = |verb: Command| verb.mut_args(|argument| named(argument, of_verb));
        own(verb).mut_subcommands(own)
    })
}

fn named(argument: Arg, of_verb: Option<FileType>) -> Arg {
    let file_type = match argument.get_id().as_str() {
        "name" | "names" | "container" => of_verb,
        "rootfs" => Some(FileType::Image),
        "pod" | "oci_pod" => Some(FileType::Pod),
        "key" => Some(FileType::Defaults),
        _ => None,
    };
    match file_type {
        Some(file_type) => argument.add(ArgValueCandidates::new(move || candidates(file_type))),
        None => argument,
    }
}

fn candidates(file_type: FileType) -> Vec<CompletionCandidate> {
    let mut names: Vec<String> = if file_type == FileType::Defaults {
        keys(file_type).iter().filter(|k| !matches!(k.status, Status::Never(_))).map(|k| k.name.to_string()).collect()
    } else {
        let sources = search(&SearchPath::from_environment(Path::new("/")));
        let described = sources.files.iter().filter(|f| f.file_type == file_type && !f.is_template());
        described.map(SourceFile::described).collect()
    };
    if file_type == FileType::Image {
        // Users who cannot read the store only get the configured images.
        names.extend(Store::open(Path::new("/")).names().unwrap_or_default());
    }
    names.sort();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}
