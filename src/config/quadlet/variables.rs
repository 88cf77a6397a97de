// SPDX-License-Identifier: MIT
//! The variables that `[Service]` sets for the command lines of a unit (systemd.exec(5), "Environment"). Pure.

use std::collections::BTreeMap;

use super::expand::Context;
use crate::ini::{Entry, split_words};

/// What files of variables set, by their paths.
pub type Files = BTreeMap<String, Vec<(String, String)>>;

/// The variables that `[Service]` sets. As for systemd, those of files come after the others.
#[must_use]
pub fn of_service(entries: &[Entry], context: &Context<'_>, files: &Files) -> BTreeMap<String, String> {
    let words = assigned(entries, "Environment").flat_map(|value| split_words(value).unwrap_or_default());
    let pair = |word: String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut found: BTreeMap<String, String> = words.filter_map(pair).collect();
    let named = paths(entries, context);
    found.extend(named.iter().filter_map(|path| files.get(path)).flatten().cloned());
    found
}

/// The paths of the files that `EnvironmentFile=` in `[Service]` names.
#[must_use]
pub fn paths(entries: &[Entry], context: &Context<'_>) -> Vec<String> {
    let values = assigned(entries, "EnvironmentFile");
    let path = |value: &str| context.expand(value.strip_prefix('-').unwrap_or(value), false).value;
    values.map(path).filter(|path| path.starts_with('/')).collect()
}

/// The paths of those files that could not be read.
#[must_use]
pub fn missing(entries: &[Entry], context: &Context<'_>, files: &Files) -> Vec<String> {
    paths(entries, context).into_iter().filter(|path| !files.contains_key(path)).collect()
}

/// The values of a key that adds up; an empty one takes back those before it.
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
