// SPDX-License-Identifier: MIT
//! Privileges and restrictions of a container. Pure.

use crate::contract::capability::Capabilities;
use crate::diag::Spanned;

/// The preset of the security settings, from the weakest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    /// Only the restrictions that always apply.
    Default,
    /// `Hardened=yes`
    Hardened,
    /// `Strict=yes`
    Strict,
}

/// Privileges and restrictions of a container and its applications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// The preset. The other fields already include its effects.
    pub preset: Preset,
    /// Whether the container has a user namespace.
    pub user_ns: bool,
    /// Whether programs in the whole container cannot gain privileges.
    pub no_new_privileges: bool,
    /// Whether programs of the applications cannot gain privileges.
    pub app_no_new_privileges: bool,
    /// Capabilities that the container gets in addition to the default of systemd-nspawn.
    pub added: Capabilities,
    /// Capabilities that `AddCapability=` lists by name, without `all`.
    pub named: Capabilities,
    /// Capabilities that the container loses.
    pub dropped: Capabilities,
    /// Capabilities of the applications.
    pub application: Capabilities,
    /// The words of systemd-nspawn's `SystemCallFilter=`.
    pub filter: Vec<String>,
    /// `AppArmor=`, if the value is the name of a profile.
    pub app_armor: Option<Spanned<String>>,
    /// `SeccompProfile=`
    pub seccomp_profile: Option<Spanned<String>>,
}
