// SPDX-License-Identifier: MIT
//! The problems of files that need a default of `sdme.conf` while `sdme.conf` has an error. Pure.

use crate::config::keys::FileType;
use crate::diag::{Code, Problem};
use crate::model::Model;

/// The reason why the defaults are unknown, if `sdme.conf` is rejected: a part of the sentence for
/// the functions below.
pub fn broken(model: &Model) -> Option<String> {
    let rejected = model.rejected.iter().find(|rejected| rejected.file_type == FileType::Defaults)?;
    let at = &rejected.problems.first()?.at;
    Some(format!("while {at} has an error, because then sdme.conf is not used"))
}

/// The problem of containers that need the default base, which is unknown for the reason `why`. The
/// error itself is reported once, for `sdme.conf`, and not for each container.
pub fn without_base(why: &str) -> Problem {
    Code::UnusableFile.problem(format!("the default base is not known {why}"), "correct that line, or write Base= here")
}

/// The problem of pods and networks that need an address, which is unknown for the reason `why`.
pub fn without_range(why: &str) -> Problem {
    Code::UnusableFile.problem(format!("the range of addresses is not known {why}"), "correct that line")
}
