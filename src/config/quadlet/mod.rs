// SPDX-License-Identifier: MIT
//! Keys, values and options in files of Podman's Quadlet that have another meaning or another form
//! in sdme-gen. Pure.

pub mod expand;
pub mod foreign;
pub mod podman;
pub mod quadlets;
pub mod variables;
