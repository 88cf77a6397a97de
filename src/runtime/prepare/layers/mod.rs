// SPDX-License-Identifier: MIT
//! The layers of a container's root: selects the images, makes missing directories and mount
//! points, and mounts the layers on each other.

pub mod base;
pub mod links;
pub mod mountpoints;
pub mod roots;
pub mod stack;
pub mod targets;
