// SPDX-License-Identifier: MIT
//! What a container may do. Pure.

use crate::contract::capability::Capabilities;
use crate::diag::Spanned;

/// How much is asked for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    /// Nothing but what is always so.
    Default,
    /// `Hardened=yes`
    Hardened,
    /// `Strict=yes`
    Strict,
}

/// What a container and its applications may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// The preset; the other fields have what it comes to.
    pub preset: Preset,
    /// Whether there is a user namespace.
    pub user_ns: bool,
    /// Whether no program in the whole container gains privileges.
    pub no_new_privileges: bool,
    /// The same for the applications.
    pub app_no_new_privileges: bool,
    /// Capabilities that the container gets on top of systemd-nspawn's own.
    pub added: Capabilities,
    /// Those that `AddCapability=` names one by one.
    pub named: Capabilities,
    /// Capabilities that it loses.
    pub dropped: Capabilities,
    /// Capabilities of the applications.
    pub application: Capabilities,
    /// `SystemCallFilter=` of systemd-nspawn, in words.
    pub filter: Vec<String>,
    /// `AppArmor=`, where it is a profile.
    pub app_armor: Option<Spanned<String>>,
    /// `SeccompProfile=`
    pub seccomp_profile: Option<Spanned<String>>,
}
