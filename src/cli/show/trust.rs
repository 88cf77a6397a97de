// SPDX-License-Identifier: MIT
//! Which signature policy applies to each image: a part of `sdme-gen check`.

use crate::config::trust::policy::{PolicyFile, Requirement};
use crate::config::trust::scope::Subject;
use crate::model::Model;

/// What decides about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The name of the image.
    pub image: String,
    /// The file that decides.
    pub file: String,
    /// The line in it; the first one for a policy, which has no lines worth naming.
    pub line: u32,
    /// The scope in it and what it asks for.
    pub text: String,
}

/// What decides about the images called `names`, or about all; nothing where no policy and no key asks for anything.
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
            // Files of ours are named with their line.
            let place = rule.file.rsplit_once(':').and_then(|(file, line)| Some((file.to_owned(), line.parse().ok()?)));
            let (file, line) = place.unwrap_or((rule.file, 1));
            Applied { image: image.name.clone(), file, line, text }
        })
    });
    of_image.collect()
}
