// SPDX-License-Identifier: MIT
//! From the service's process to the application's: what is handed over, the processes in between, and commands that run beside it.

mod confine;
pub mod environment;
pub mod handed;
mod init;
pub mod mounts;
mod probe;
pub mod relay;
pub mod session;
mod start;
