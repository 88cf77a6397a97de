// SPDX-License-Identifier: MIT
//! What files are told that need a default of `sdme.conf` while that file has an error. Pure.

use crate::config::keys::FileType;
use crate::diag::{Code, Problem};
use crate::model::Model;

/// Why what `sdme.conf` says is not known, if that file is rejected.
pub fn broken(model: &Model) -> Option<String> {
    let rejected = model.rejected.iter().find(|rejected| rejected.file_type == FileType::Defaults)?;
    let at = &rejected.problems.first()?.at;
    Some(format!("while {at} has an error, because then sdme.conf is not used"))
}

/// What containers that need the default base are told: `why` it is unknown. The error of `sdme.conf` itself is reported for that
/// file, once and not for each container.
pub fn without_base(why: &str) -> Problem {
    Code::UnusableFile.problem(format!("the default base is not known {why}"), "correct that line, or write Base= here")
}

/// What pods and networks that need an address are told, as [`without_base`].
pub fn without_range(why: &str) -> Problem {
    Code::UnusableFile.problem(format!("the range of addresses is not known {why}"), "correct that line")
}
