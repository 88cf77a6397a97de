// SPDX-License-Identifier: MIT
//! `UpdateSettle=` and `UpdateSnapshot=`, in `.container` files and in `sdme.conf`. Pure.

use super::settings::{Settings, parse_bool};
use super::values::time::milliseconds;
use crate::diag::{Code, Diagnostic, Spanned};

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
        problems.push(Diagnostic::error(&written.at, Code::Quantity.problem(message)));
    }
    time
}

/// Reads `UpdateSnapshot=` of a section, whose value the key table has already checked.
#[must_use]
pub fn snapshot(settings: &Settings, section: &str) -> Option<Spanned<bool>> {
    let written = settings.text(section, "UpdateSnapshot")?;
    Some(Spanned { value: parse_bool(written.value)?, at: written.at })
}
