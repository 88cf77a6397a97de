// SPDX-License-Identifier: MIT
//! The network of another container, for `Network=NAME.container` and `Network=container:NAME`.
//! Pure.

use super::ports::parse;
use crate::config::keys::{FileType, key};
use crate::diag::{Code, Problem, Spanned};
use crate::resolve::container::security::preset;
use crate::resolve::network::attach::{Written, written};
use crate::resolve::references::{Names, Readable};

/// The data from which the network of a container follows.
#[derive(Clone, Copy)]
pub struct Others<'a> {
    /// The files without errors, with their settings.
    pub readable: &'a Readable<'a>,
    /// The names of all files.
    pub names: &'a Names,
    /// `Network=` of `sdme.conf`, the default for containers.
    pub usual: &'a [Spanned<String>],
}

impl Others<'_> {
    /// The name of the pod whose network the container of the file `file` has. None if the
    /// container has the host's network.
    ///
    /// # Errors
    /// The container's network cannot be joined, its file cannot be used, or containers would join
    /// each other's networks.
    pub fn network(&self, file: &str) -> Result<Option<String>, Problem> {
        self.follow(file, &mut Vec::new())
    }

    fn follow(&self, file: &str, seen: &mut Vec<String>) -> Result<Option<String>, Problem> {
        let Some((_, settings)) = self.readable.get(&(FileType::Container, file)) else {
            return Err(Code::UnusableFile.problem(format!("{file}.container cannot be used"), "correct that file"));
        };
        if seen.iter().any(|other| other == file) {
            let all: Vec<String> = seen.iter().map(|other| format!("{other}.container")).collect();
            return Err(Code::Circle.problem(
                format!("{} would join each other's network", all.join(" and ")),
                "write another Network= in one of them",
            ));
        }
        seen.push(file.to_owned());
        if let Some(pod) = settings.text("Container", key::POD) {
            let file = pod.value.strip_suffix(".pod").unwrap_or(pod.value);
            let host = self.readable.get(&(FileType::Pod, file)).is_some_and(|(_, settings)| {
                settings.words("Pod", key::NETWORK).iter().any(|network| network.value == "host")
            });
            return Ok((!host).then(|| self.names.pod(file).to_owned()));
        }
        let own = || Ok(Some(self.names.machine(file).to_owned()));
        let mut words = settings.words("Container", key::NETWORK);
        if words.is_empty() && settings.text("Container", key::OCI_POD).is_none() {
            words = self.usual.to_vec();
        }
        let isolated = preset(settings).1.is_some();
        let publishes = || {
            let words = settings.words("Container", key::PUBLISH_PORT);
            words.iter().filter_map(|word| parse(word).ok()).flatten().any(|port| !port.is_its_own())
        };
        match words.first().map(|word| written(word, self.names)).transpose()? {
            Some(Written::Named(_) | Written::Private | Written::Uplink) => own(),
            Some(Written::Container(other)) => self.follow(&other, seen),
            Some(Written::Host) if !isolated => Ok(None),
            None if isolated || (settings.text("Container", key::OCI_POD).is_none() && publishes()) => own(),
            None if settings.text("Container", key::OCI_POD).is_none() => Ok(None),
            _ => {
                let cause = format!("the network of {file}.container cannot be joined");
                Err(Code::Combination.problem(cause, "write Network=private or Network=uplink in that file"))
            }
        }
    }
}
