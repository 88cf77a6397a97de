// SPDX-License-Identifier: MIT
//! Exports our files to formats of other tools. Settings without a counterpart are always listed.
//! Pure.

pub mod kube;
