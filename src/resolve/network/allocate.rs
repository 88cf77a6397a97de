// SPDX-License-Identifier: MIT
//! Allocates numbered resources, such as addresses and ranges of user IDs, by the names of their
//! owners. Pure.

use std::collections::BTreeMap;

/// Gives each name its own number below `slots`: the one that the hash of the name selects, or the
/// next free one. So other names only matter if their hashes select the same number. The numbers in
/// `taken` keep their owners, which are in the result, too. Names are missing in the result if no
/// number is left.
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

/// The 64-bit FNV-1a hash. It is the same on every machine and in every version, unlike the hashes
/// of the standard library.
#[must_use]
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
