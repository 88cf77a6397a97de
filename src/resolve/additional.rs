// SPDX-License-Identifier: MIT
//! Additional problems of files with invalid lines, so that all problems of a file are reported at
//! once. Pure.

use std::collections::BTreeSet;

use crate::config::keys::FileType;
use crate::config::settings::Settings;
use crate::config::sources::SourceFile;
use crate::diag::{Code, Diagnostic, Location, Problem};
use crate::model::Base;
use crate::resolve::image::{self, Images};
use crate::resolve::network::{Known, named};
use crate::resolve::volume::Volumes;
use crate::resolve::{container, pod, volume};

/// The problems of the valid lines of a file. `settings` lack the invalid lines, which other lines
/// may need. Problems that can follow from such a line are therefore left out.
pub fn problems(
    file: &SourceFile,
    settings: &Settings,
    (known, volumes): (Known<'_>, &Volumes),
    images: &mut Images,
    default_base: &Result<Base, Problem>,
) -> Vec<Diagnostic> {
    let (path, names, mut warnings) = (&file.main.path, known.names, Vec::new());
    let found = match file.file_type {
        FileType::Container => {
            let whole = known.pods.handed(settings);
            let before: BTreeSet<String> = images.good.keys().cloned().collect();
            let read = container::container(
                names.machine(&file.name),
                path,
                &whole,
                (known, volumes),
                images,
                default_base,
                &mut warnings,
            );
            // The container is rejected, so that images which only this file names are not needed.
            images.good.retain(|name, _| before.contains(name));
            read.err()
        }
        FileType::Pod => {
            let known = (names, volumes, known.networks);
            pod::pod(names.pod(&file.name), path, settings, known, &mut warnings).err()
        }
        FileType::Volume => volume::volume(&file.described(), path, settings, names, &mut warnings).err(),
        FileType::Network => named::network(names.network(&file.name), path, settings, names, &mut warnings).err(),
        FileType::Image => image::draft(&file.name, path, settings, names, &mut warnings).err(),
        FileType::Defaults => None,
    };
    let whole = Location::whole(path);
    let mut found = found.unwrap_or_default();
    found.extend(warnings);
    found.retain(|found| {
        let follows =
            found.problem.code == Code::Combination || (found.at == whole && found.problem.code != Code::Name);
        found.is_wrong() && !follows
    });
    found
}
