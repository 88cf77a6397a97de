// SPDX-License-Identifier: MIT
//! Tier 2: the life cycle of containers and pods. After an edit, a reload and a restart, the host
//! must be in the same state as a host that never had other files. After everything was stopped and
//! removed, it must be in the state of a host that never had any. [`state`] describes a host as
//! text, [`bench`] drives it, and `edits.txt` is the table of edits. [`reboot`] tries some of them
//! in a virtual machine that is rebooted between the edit and the start. [`random`] tries random
//! sequences of edits and commands.
//!
//! `SDME_TEST_EDITS=TEXT` selects the edits that have the text in their title or group.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

mod bench;
mod edits;
mod files;
mod random;
mod reboot;
mod state;
