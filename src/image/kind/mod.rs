// SPDX-License-Identifier: MIT
//! Determines what an image is: its configuration, its user, and whether it is an operating system
//! or an application.

pub mod imageconfig;
pub mod install;
pub mod mode;
pub mod user;
