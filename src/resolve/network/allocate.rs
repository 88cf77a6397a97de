// SPDX-License-Identifier: MIT
//! Gives out things that are counted, addresses and ranges of user IDs, by the names of who gets them. Pure.

use std::collections::BTreeMap;

/// Gives each name one of `slots` places of its own: where its hash says, or the next free one. What other names there are
/// matters only where two hashes meet. Places that are `taken` already stay with whom they belong to. Names for which there is
/// none left are missing in the result.
#[must_use]
pub fn distribute<'a>(
    names: impl Iterator<Item = &'a str>,
    slots: u32,
    mut taken: BTreeMap<u32, &'a str>,
) -> BTreeMap<&'a str, u32> {
    let mut out: BTreeMap<&str, u32> = taken.iter().map(|(slot, name)| (*name, *slot)).collect();
    for name in names {
        if out.contains_key(name) {
            continue;
        }
        let start = u32::try_from(hash(name) % u64::from(slots)).unwrap_or_default();
        let free = (0..slots).map(|i| (start + i) % slots).find(|slot| !taken.contains_key(slot));
        if let Some(slot) = free {
            taken.insert(slot, name);
            out.insert(name, slot);
        }
    }
    out
}

/// FNV-1a, the same on every machine and in every version.
#[must_use]
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
