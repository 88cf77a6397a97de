// SPDX-License-Identifier: MIT
//! From layers to directories: extraction, the directories that layers become, and what is listed of them.

pub mod applayer;
pub mod extract;
pub mod inventory;
pub mod layers;
pub mod overlay;
