// SPDX-License-Identifier: MIT
//! Writes, changes and removes files in `/etc/sdme` for commands.

pub mod containers;
pub mod credentials;
pub mod defaults;
pub mod files;
pub mod networks;
pub mod pods;
