// SPDX-License-Identifier: MIT
//! Exports configuration files of sdme-gen to formats of other tools. Settings without a
//! counterpart are always listed. Pure.

pub mod kube;
