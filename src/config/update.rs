// SPDX-License-Identifier: MIT
//! `UpdateSettle=`, in `.container` files and in `sdme.conf`. Pure.

use super::keys::key;
use super::reader::Reader;

/// `UpdateSettle=` unless it is set, in milliseconds.
pub const SETTLE: u64 = 30_000;

/// The longest time, a day.
const LONGEST: u64 = 86_400_000;

/// Reads `UpdateSettle=`, in milliseconds.
pub fn settle(reader: &mut Reader<'_, '_>) -> Option<u64> {
    reader.time(key::UPDATE_SETTLE, ("a time of at most a day", "30s or 2min"), |time| time <= LONGEST)
}
