// SPDX-License-Identifier: MIT
//! What can only be seen over all containers: ordering cycles. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Assignment, Container};
use super::references::unit_of;
use crate::config::keys::FileType;

/// Containers that wait for each other in a circle, with the circle. systemd would drop one of their jobs at random.
#[must_use]
pub fn cycles(containers: &BTreeMap<String, Box<Container>>) -> BTreeMap<String, String> {
    let ordered = |(key, _): &Assignment| ["After", "Before"].contains(&key.as_str());
    if !containers.values().flat_map(|c| &c.unit).any(ordered) {
        return BTreeMap::new();
    }
    let names: BTreeMap<String, &str> =
        containers.keys().filter_map(|name| Some((unit_of(FileType::Container, name).ok()?, name.as_str()))).collect();
    let mut after: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers.values() {
        for (key, value) in &container.unit {
            for other in value.split_whitespace().filter_map(|word| names.get(word).copied()) {
                match key.as_str() {
                    "After" => after.entry(&container.name).or_default().insert(other),
                    "Before" => after.entry(other).or_default().insert(&container.name),
                    _ => false,
                };
            }
        }
    }
    let members = after.keys().filter_map(|start| Some(((*start).to_owned(), circle(start, &after)?)));
    members.collect()
}

/// The shortest way from `start` back to itself.
fn circle(start: &str, after: &BTreeMap<&str, BTreeSet<&str>>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut paths = vec![vec![start]];
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for next in path.last().and_then(|last| after.get(last)).into_iter().flatten().copied() {
                let mut path = path.clone();
                path.push(next);
                if next == start {
                    return Some(path.join(".container after ") + ".container");
                }
                if seen.insert(next) {
                    longer.push(path);
                }
            }
        }
        paths = longer;
    }
    None
}
