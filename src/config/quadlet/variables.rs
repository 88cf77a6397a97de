// SPDX-License-Identifier: MIT
//! The variables that `[Service]` sets for the command lines of a unit (systemd.exec(5),
//! "Environment"). Pure.

use std::collections::BTreeMap;

use super::expand::Context;
use crate::ini::{Entry, split_words};

/// The variables in files that `EnvironmentFile=` names, by the paths of the files.
pub type Files = BTreeMap<String, Vec<(String, String)>>;

/// Returns the variables that `[Service]` sets. Variables of files override those of
/// `Environment=`, as in systemd.
#[must_use]
pub fn of_service(entries: &[Entry], context: &Context<'_>, files: &Files) -> BTreeMap<String, String> {
    let words = assigned(entries, "Environment").flat_map(|value| split_words(value).unwrap_or_default());
    let pair = |word: String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut found: BTreeMap<String, String> = words.filter_map(pair).collect();
    let named = paths(entries, context);
    found.extend(named.iter().filter_map(|path| files.get(path)).flatten().cloned());
    found
}

/// Returns the absolute paths that `EnvironmentFile=` in `[Service]` names.
#[must_use]
pub fn paths(entries: &[Entry], context: &Context<'_>) -> Vec<String> {
    let values = assigned(entries, "EnvironmentFile");
    let path = |value: &str| context.expand(value.strip_prefix('-').unwrap_or(value), false).value;
    values.map(path).filter(|path| path.starts_with('/')).collect()
}

/// Returns the paths in `EnvironmentFile=` that are not in `files`, because the files could not be
/// read.
#[must_use]
pub fn missing(entries: &[Entry], context: &Context<'_>, files: &Files) -> Vec<String> {
    paths(entries, context).into_iter().filter(|path| !files.contains_key(path)).collect()
}

/// Returns the values of a key whose assignments append. An empty assignment removes the earlier
/// values.
fn assigned<'a>(entries: &'a [Entry], key: &str) -> impl Iterator<Item = &'a str> {
    let mut values = Vec::new();
    for entry in entries.iter().filter(|entry| &*entry.section == "Service" && entry.key == key) {
        if entry.value.is_empty() {
            values.clear();
        } else {
            values.push(entry.value.as_str());
        }
    }
    values.into_iter()
}
