// SPDX-License-Identifier: MIT
//! The interface between the host and the launcher in a container: the file that describes an
//! application, and the formats of its output, checks and privileges.

pub mod beside;
pub mod capability;
pub mod health;
pub mod probe;
pub mod process;
pub mod streams;
