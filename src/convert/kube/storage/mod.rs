// SPDX-License-Identifier: MIT
//! Converts volumes of pods, their mounts in containers, and the values that become files and
//! variables. Pure.

pub mod mounts;
pub mod values;
pub mod volumes;
