// SPDX-License-Identifier: MIT
//! The layers of a container's root: which images they are, the directories and mount points in them, and mounting them on each other.

pub mod base;
pub mod links;
pub mod mountpoints;
pub mod roots;
pub mod stack;
pub mod targets;
