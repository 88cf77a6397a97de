// SPDX-License-Identifier: MIT
//! What files of podman's Quadlet may have that means something else here, or is written in another way. Pure.

pub mod expand;
pub mod foreign;
pub mod podman;
pub mod quadlets;
pub mod variables;
