// SPDX-License-Identifier: MIT
//! Reads `UpdateSettle=` of `.container` files and of `sdme.conf`. Pure.

use super::keys::key;
use super::reader::Reader;

/// The default of `UpdateSettle=`, in milliseconds.
pub const SETTLE: u64 = 30_000;

/// The maximum of `UpdateSettle=`, in milliseconds: one day.
const LONGEST: u64 = 86_400_000;

/// Reads `UpdateSettle=`, in milliseconds. Returns none if the key is not set, or if its value is
/// invalid, which adds a problem to the reader.
pub fn settle(reader: &mut Reader<'_, '_>) -> Option<u64> {
    reader.time(key::UPDATE_SETTLE, ("a time of at most a day", "30s or 2min"), |time| time <= LONGEST)
}
