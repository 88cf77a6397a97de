// SPDX-License-Identifier: MIT
//! What the host and the launcher in a container agree on: the file that describes an application, and how its output, checks and
//! privileges are written down.

pub mod beside;
pub mod capability;
pub mod health;
pub mod probe;
pub mod process;
pub mod streams;
