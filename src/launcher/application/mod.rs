// SPDX-License-Identifier: MIT
//! The way from the service's main process to the application: the inherited descriptors, the
//! processes in between, and commands that run next to the application.

mod confine;
pub mod environment;
pub mod handed;
mod init;
pub mod mounts;
mod probe;
mod protect;
pub mod relay;
pub mod session;
mod start;
