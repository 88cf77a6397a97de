// SPDX-License-Identifier: MIT
//! Files in `/etc/sdme` that verbs write, change and remove.

pub mod containers;
pub mod credentials;
pub mod defaults;
pub mod files;
pub mod networks;
pub mod pods;
