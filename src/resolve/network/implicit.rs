// SPDX-License-Identifier: MIT
//! Named networks without a file. Podman has such a network after `podman network create`. Here it
//! has the settings of a `.network` file without keys. Pure.

use std::collections::BTreeSet;

use crate::config::keys::{FileType, key};
use crate::config::names::{NetworkName, machine_name};
use crate::diag::{Code, Diagnostic, suggestion};
use crate::resolve::references::Names;
use crate::resolve::references::Readable;

/// The values of `Network=` other than names of networks and files, as messages list them.
pub const WORDS: [&str; 8] = ["host", "none", "private", "uplink", "veth", "bridge", "bridge:NAME", "zone:NAME"];

/// Other words that are not names of networks without a file: prefixes of values with a colon, and
/// words of Podman.
const OTHERS: [&str; 6] = ["zone", "container", "pasta", "slirp4netns", "podman", "default"];

/// Returns the names of these networks, and a warning at the first use of each. A name that
/// resembles a known word is probably a typing error, so it denotes no network.
#[must_use]
pub fn implicit(readable: &Readable<'_>, names: &Names) -> (BTreeSet<String>, Vec<Diagnostic>) {
    let mut found = BTreeSet::new();
    let mut warnings = Vec::new();
    let known = || names.get(&FileType::Network).into_iter().flatten().map(String::as_str);
    let types = [FileType::Container, FileType::Pod, FileType::Defaults];
    for ((file_type, _), (_, settings)) in readable.iter().filter(|((file_type, _), _)| types.contains(file_type)) {
        for word in settings.words(file_type.section(), key::NETWORK) {
            let head = word.value.split(':').next().unwrap_or_default();
            let name = machine_name(head);
            let is_file = head.ends_with(".network") || head.ends_with(".container");
            let is_known = WORDS.contains(&head) || OTHERS.contains(&head) || names.file_of_network(&name).is_some();
            if is_file
                || is_known
                || known().any(|file| file == head)
                || name.parse::<NetworkName>().is_err()
                || !suggestion(head, known().chain(WORDS)).is_empty()
            {
                continue;
            }
            let problem = Code::MissingFile.problem(
                format!("Network={head}: there is no {head}.network, so the network {name} has default settings"),
                "write that file to choose other settings",
            );
            if found.insert(name) {
                warnings.push(Diagnostic::warning(&word.at, problem));
            }
        }
    }
    (found, warnings)
}
