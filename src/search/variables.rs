// SPDX-License-Identifier: MIT
//! Reads the files of variables in `[Service]` sections, if the same configuration file uses
//! variables (`${NAME}` or, in commands, `$NAME`).

use super::listing::Place;
use crate::config::quadlet::expand::Context;
use crate::config::quadlet::foreign;
use crate::config::quadlet::variables::{Files, paths};
use crate::config::sources::{SourceFile, Sources};
use crate::ini;
use crate::unit::parse_env;

/// Reads all of these files. A file that cannot be read has no variables.
pub fn read(place: &Place, sources: &Sources) -> Files {
    let mut found = Files::new();
    for file in &sources.files {
        for path in named(file, sources.host.as_deref()) {
            let Some(bytes) = place.text(&path) else { continue };
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
            let pairs = parse_env(&bytes).into_iter().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
            found.insert(path, pairs.collect());
        }
    }
    found
}

/// The paths of the variable files that a configuration file refers to, if it uses variables.
fn named(file: &SourceFile, host: Option<&str>) -> Vec<String> {
    let texts = || std::iter::once(&file.main).chain(&file.drop_ins);
    let has = |what: &str| {
        let mut all = texts().filter_map(|text| std::str::from_utf8(text.content.as_deref().ok()?).ok());
        all.any(|text| text.contains(what))
    };
    if !has("EnvironmentFile") || !has("$") {
        return Vec::new();
    }
    let documents = texts().filter_map(|text| ini::parse(&text.path, text.content.as_deref().ok()?).ok());
    let entries: Vec<ini::Entry> = documents.flat_map(|document| document.entries).collect();
    let name = foreign::unit_name(file, &entries);
    paths(&entries, &Context { name: &name, host, ..Context::default() })
}
