// SPDX-License-Identifier: MIT
//! The signature policy of each image, which `sdme-gen check` prints.

use crate::config::trust::policy::{PolicyFile, Requirement};
use crate::config::trust::scope::Subject;
use crate::model::Model;

/// A rule about the signatures of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The name of the image.
    pub image: String,
    /// The file that contains the rule.
    pub file: String,
    /// The line of the rule. 1 for a policy file, whose lines are not tracked.
    pub line: u32,
    /// The scope of the rule in the file, and its requirements.
    pub text: String,
}

/// The rules about the images called `names`, or about all images. Empty if neither a policy nor a
/// key has requirements.
#[must_use]
pub fn applied(model: &Model, names: &[String]) -> Vec<Applied> {
    let policy = model.policy.as_ref().and_then(|file| PolicyFile::policy(file));
    let asks = policy.is_some_and(crate::config::trust::policy::Policy::asks);
    let chosen = model.images.values().filter(|image| names.is_empty() || names.contains(&image.name));
    let of_image = chosen.flat_map(|image| {
        let rules = image.trust.rules(&Subject::of(&image.source)).into_iter();
        let worth = rules.filter(|rule| asks || rule.requirements.iter().any(|one| *one != Requirement::Accept));
        worth.map(|rule| {
            let requirements: Vec<String> = rule.requirements.iter().map(Requirement::describe).collect();
            let text = format!("{} ({}): {}: {}", image.name, image.source, rule.scope, requirements.join(" and "));
            // The place of a rule in a configuration file of sdme-gen ends in `:LINE`.
            let place = rule.file.rsplit_once(':').and_then(|(file, line)| Some((file.to_owned(), line.parse().ok()?)));
            let (file, line) = place.unwrap_or((rule.file, 1));
            Applied { image: image.name.clone(), file, line, text }
        })
    });
    of_image.collect()
}
