// SPDX-License-Identifier: MIT
//! Checks that a container's `AppArmor` profile is in force. Without `AppArmor` in the kernel, the
//! service manager ignores the profile silently.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::diag::{Code, Diagnostic, Fault, Spanned};

/// The kernel's list of profiles (kernel documentation, admin-guide/LSM/apparmor).
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// Refuses a profile that does not exist in the kernel, and warns about one that denies nothing.
///
/// # Errors
/// The kernel has no `AppArmor`, or the profile is not loaded.
pub fn check(profile: &Spanned<String>) -> Result<()> {
    match problem(profile) {
        Err(fault) => bail!("{}", Diagnostic::error(&profile.at, Code::Confinement.of(fault))),
        Ok(true) => Ok(()),
        Ok(false) => {
            let problem = Code::Confinement.problem(
                format!("the AppArmor profile {} is loaded, but does not deny anything", profile.value),
                "enforce it with aa-enforce(8)",
            );
            eprintln!("<4>{}", Diagnostic::warning(&profile.at, problem));
            Ok(())
        }
    }
}

/// Whether the kernel enforces a profile.
///
/// # Errors
/// As for [`check`], but the message has no location.
pub fn problem(profile: &Spanned<String>) -> Result<bool, Fault> {
    let name = &profile.value;
    let without = "write AppArmor=unconfined for no profile";
    let Ok(profiles) = fs::read_to_string(PROFILES) else {
        return Err(Fault::new(
            format!("the AppArmor profile {name} needs a kernel with AppArmor, which this kernel has not enabled"),
            without,
        ));
    };
    match mode(&profiles, name) {
        None => {
            let file = Path::new("/etc/apparmor.d").join(name);
            let how = if file.is_file() {
                format!("run apparmor_parser -r {}", file.display())
            } else {
                format!("put it into {} and load it with apparmor_parser", file.display())
            };
            Err(Fault::new(format!("the AppArmor profile {name} is not loaded"), format!("{how}, or {without}")))
        }
        Some(mode) => Ok(!["complain", "unconfined"].contains(&mode)),
    }
}

/// The mode of a profile in the kernel's list. A line has the form `NAME (enforce)`.
fn mode<'a>(profiles: &'a str, name: &str) -> Option<&'a str> {
    let lines = profiles.lines().filter_map(|line| line.rsplit_once(' '));
    lines.filter(|(known, _)| *known == name).map(|(_, mode)| mode.trim_matches(['(', ')'])).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let list = "sdme (enforce)\nsdme-default (complain)\n/usr/bin/a b (kill)\n";
        assert_eq!(mode(list, "sdme"), Some("enforce"));
        assert_eq!(mode(list, "sdme-default"), Some("complain"));
        assert_eq!((mode(list, "/usr/bin/a b"), mode(list, "sdme-def")), (Some("kill"), None));
    }
}
