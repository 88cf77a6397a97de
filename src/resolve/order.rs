// SPDX-License-Identifier: MIT
//! Ordering cycles between containers, which only show when all containers are known. Pure.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use super::references::unit_of;
use crate::config::keys::FileType;
use crate::config::names::ContainerName;
use crate::model::Container;

/// The containers that wait for themselves, by name, each with a description of the cycle. In such
/// a cycle, systemd would drop the start of an arbitrary container.
#[must_use]
pub fn cycles(containers: &BTreeMap<ContainerName, Box<Container>>) -> BTreeMap<String, String> {
    // Most configurations order no containers, so the map is only made when it is needed.
    let names: LazyCell<BTreeMap<String, &str>, _> = LazyCell::new(|| {
        containers.keys().filter_map(|name| Some((unit_of(FileType::Container, name).ok()?, name.as_str()))).collect()
    });
    let mut after: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers.values() {
        for (key, value) in &container.unit {
            let first = match key.as_str() {
                "After" => false,
                "Before" => true,
                _ => continue,
            };
            for other in value.split_whitespace().filter_map(|word| names.get(word).copied()) {
                let (earlier, later) = if first { (&*container.name, other) } else { (other, &*container.name) };
                after.entry(later).or_default().insert(earlier);
            }
        }
    }
    let members = after.keys().filter_map(|start| Some(((*start).to_owned(), circle(start, &after)?)));
    members.collect()
}

/// A description of the shortest cycle through `start`.
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
