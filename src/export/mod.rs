// SPDX-License-Identifier: MIT
//! From files of ours to what others run containers with. What has no counterpart is listed, never dropped in silence. Pure.

pub mod kube;
