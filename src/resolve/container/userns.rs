// SPDX-License-Identifier: MIT
//! The user and group IDs of containers with a user namespace: each container has its own range of
//! the host's IDs. Pure.

use std::collections::BTreeMap;

use crate::model::{Facts, Model};
use crate::resolve::network::allocate::distribute;

/// The number of IDs of a container.
pub const SIZE: u32 = 1 << 16;

/// The first and the last host ID that systemd reserves for containers (docs/UIDS-GIDS.md of
/// systemd: 524288 to 1879048191).
const FIRST: u32 = 0x0008_0000;
const LAST: u32 = 0x6fff_ffff;

/// The first ID of the range that contains the given host ID. It is 0 for IDs of the host itself.
#[must_use]
pub fn range_of(id: u32) -> u32 {
    id - id % SIZE
}

/// Returns the first ID of the range of each container with a user namespace. A container whose
/// files have owners in a range keeps that range (`Facts::ranges`), even if other containers are
/// added or removed. For a container that has not run yet, the hash of its name selects a range, or
/// else the next free one. There are 28664 ranges; the containers without one are missing in the
/// result.
#[must_use]
pub fn ranges<'a>(model: &'a Model, facts: &'a Facts) -> BTreeMap<&'a str, u32> {
    let slots = (LAST - FIRST) / SIZE + 1;
    let slot = |base: u32| base.checked_sub(FIRST).map(|offset| offset / SIZE).filter(|slot| *slot < slots);
    let taken = facts.ranges.iter().filter_map(|(name, base)| Some((slot(*base)?, name.as_str()))).collect();
    let names = model.containers.values().filter(|c| c.security.user_ns).map(|c| c.name.as_str());
    let mut all = distribute(names, slots, taken);
    all.retain(|name, _| model.containers.get(*name).is_some_and(|c| c.security.user_ns));
    all.into_iter().map(|(name, slot)| (name, FIRST + slot * SIZE)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::config::keys::FileType;
    use crate::config::sources::{SourceFile, Sources, Text};
    use crate::resolve::resolve;

    fn model(names: &[String]) -> Model {
        let file = |name: &String| SourceFile {
            file_type: FileType::Container,
            name: name.clone(),
            main: Text { path: Arc::from(name.as_str()), content: Ok(b"[Container]\nUserNS=auto\n".to_vec()) },
            drop_ins: Vec::new(),
        };
        resolve(&Sources { files: names.iter().map(file).collect(), ..Sources::default() })
    }

    fn owned(ranges: &BTreeMap<&str, u32>) -> BTreeMap<String, u32> {
        ranges.iter().map(|(name, first)| ((*name).to_owned(), *first)).collect()
    }

    #[test]
    fn ranges_stay_the_same_and_never_overlap() {
        // With so many containers, some hashes select the same range.
        let all: Vec<String> = (0..2000).map(|i| format!("c{i}")).collect();
        let (first, more) = all.split_at(1000);
        let first = model(first);
        let in_use = Facts { ranges: owned(&ranges(&first, &Facts::default())), ..Facts::default() };
        assert_eq!(in_use.ranges.len(), 1000);
        // The ranges that are in use stay when containers with the same hashes are added.
        let everything = model(&all);
        let ranges_of_all = ranges(&everything, &in_use);
        for (name, range) in &in_use.ranges {
            assert_eq!(ranges_of_all.get(name.as_str()), Some(range));
        }
        assert_eq!(ranges_of_all.values().collect::<BTreeSet<_>>().len(), 2000);
        assert!(ranges_of_all.values().all(|first| first % SIZE == 0 && (FIRST..=LAST).contains(first)));
        // Files of removed containers still belong to their ranges, which therefore stay taken.
        let others = model(more);
        let others = owned(&ranges(&others, &in_use));
        assert!(others.values().all(|range| !in_use.ranges.values().any(|used| used == range)) && others.len() == 1000);
        // Without files, only containers whose hash selects the same range as another one move.
        let facts = Facts::default();
        let together = ranges(&everything, &facts);
        let alone = all.iter().filter(|name| {
            let alone = model(std::slice::from_ref(*name));
            ranges(&alone, &facts).values().next() == together.get(name.as_str())
        });
        assert!(alone.count() > 1800);
    }

    #[test]
    fn a_range_outside_of_the_reserved_ids_is_not_kept() {
        let one = model(&["web".to_owned()]);
        let usual = owned(&ranges(&one, &Facts::default()));
        for foreign in [65536, 0x7000_0000] {
            let facts = Facts { ranges: [("web".to_owned(), foreign)].into(), ..Facts::default() };
            assert_eq!(owned(&ranges(&one, &facts)), usual);
        }
        assert_eq!((range_of(0), range_of(0x8_0021)), (0, 0x8_0000));
    }
}
