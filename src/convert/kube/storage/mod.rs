// SPDX-License-Identifier: MIT
//! Volumes of pods, where containers see them, and the values that become files and variables. Pure.

pub mod mounts;
pub mod values;
pub mod volumes;
