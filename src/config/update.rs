// SPDX-License-Identifier: MIT
//! `UpdateSettle=`, in `.container` files and in `sdme.conf`. Pure.

use super::settings::Settings;
use super::time::milliseconds;
use crate::diag::Diagnostic;

/// `UpdateSettle=` unless it is set, in milliseconds.
pub const SETTLE: u64 = 30_000;

/// The longest time, a day.
const LONGEST: u64 = 86_400_000;

/// Reads the key of a section, in milliseconds.
pub fn settle(settings: &Settings, section: &str, problems: &mut Vec<Diagnostic>) -> Option<u64> {
    let written = settings.text(section, "UpdateSettle")?;
    let time = milliseconds(written.value).filter(|time| *time <= LONGEST);
    if time.is_none() {
        let message = format!("UpdateSettle={} is not a time up to a day; write 30s or 2min", written.value);
        problems.push(Diagnostic::error(&written.at, message));
    }
    time
}
