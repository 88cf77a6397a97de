// SPDX-License-Identifier: MIT
//! The platform for which an image is chosen, and the variants of a processor that are acceptable
//! for it. Pure.

use std::fmt;

use anyhow::{Result, bail};

use crate::config::values::source::{PlatformSetting, processor};
use crate::image::kind::imageconfig::ImageConfig;

/// A processor in the spelling of Go, which images use. The operating system is always Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// The architecture, such as `amd64` or `arm64`.
    pub architecture: String,
    /// The requested variant; `None` requests the best variant that runs on every machine.
    pub variant: Option<String>,
}

impl Platform {
    /// Returns the platform of this machine.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match (std::env::consts::ARCH, cfg!(target_endian = "little")) {
            ("x86_64", _) => "amd64",
            ("x86", _) => "386",
            ("aarch64", _) => "arm64",
            ("powerpc64", true) => "ppc64le",
            ("powerpc64", false) => "ppc64",
            ("mips64", true) => "mips64le",
            ("loongarch64", _) => "loong64",
            (other, _) => other,
        };
        Self { architecture: architecture.to_owned(), variant: None }
    }

    /// Returns the platform of a setting; the default is the architecture of this machine.
    #[must_use]
    pub fn of(setting: &PlatformSetting) -> Self {
        let host = Self::host();
        Self {
            architecture: setting.architecture.clone().unwrap_or(host.architecture),
            variant: setting.variant.clone(),
        }
    }

    /// Returns the rank of a variant of this architecture, the lowest being the best, or `None` if
    /// the variant might not run.
    pub(crate) fn variant_rank(&self, variant: &str) -> Option<u32> {
        if let Some(wanted) = &self.variant {
            return match (self.version(wanted), self.version(variant)) {
                (Some(wanted), Some(found)) => wanted.runs(found),
                _ => (wanted == variant).then_some(0),
            };
        }
        match (self.architecture.as_str(), variant) {
            (_, "") | ("arm64", "v8") | ("arm", "v7") => Some(0),
            ("amd64", "v1") | ("arm", "v6") => Some(1),
            ("arm", "v5") => Some(2),
            // Later variants (amd64/v3, arm64/v9) need a processor that this machine may not have.
            _ => None,
        }
    }

    /// Returns the version that a variant of this architecture stands for. An empty variant stands
    /// for the default one (containerd, platforms/database.go).
    fn version(&self, variant: &str) -> Option<Version> {
        let usual = match self.architecture.as_str() {
            "amd64" => "v1",
            "arm" => "v7",
            "arm64" => "v8",
            _ => return None,
        };
        let variant = if variant.is_empty() { usual } else { variant };
        let (major, minor) = variant.strip_prefix('v')?.split_once('.').unwrap_or((variant.strip_prefix('v')?, "0"));
        Some(Version { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// Checks that an image is for this platform. An image without a platform is accepted.
    ///
    /// # Errors
    /// Returns an error if the image is for another platform.
    pub fn check(&self, config: &ImageConfig) -> Result<()> {
        let elsewhere = |found: &str, here: &str| !found.is_empty() && found != here;
        let (architecture, _) = processor(&config.architecture, "");
        if elsewhere(&config.os.to_ascii_lowercase(), "linux") || elsewhere(&architecture, &self.architecture) {
            bail!("the image is for {}/{} and not for {self}", config.os, config.architecture);
        }
        Ok(())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)?;
        self.variant.as_deref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// A version of a processor's instruction set, such as `v3` or `v8.2`.
#[derive(Debug, Clone, Copy)]
struct Version {
    major: u8,
    minor: u8,
}

impl Version {
    /// Returns the distance of `found` to this version, or `None` if programs for `found` might not
    /// run. Programs for an earlier version run on a later one (containerd, platforms/compare.go).
    fn runs(self, found: Self) -> Option<u32> {
        let behind = self.major.checked_sub(found.major)?;
        let extensions = self.extensions().checked_sub(found.extensions())?;
        Some(u32::from(behind) * 10 + extensions)
    }

    /// Armv9.N has all extensions of Armv8.(N+5) (Arm Architecture Reference Manual, "Armv9
    /// architecture extensions").
    fn extensions(self) -> u32 {
        u32::from(self.minor) + 5 * u32::from(self.major.saturating_sub(8))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The variants that a platform runs, the best one first, and variants that it does not run.
    #[test]
    fn variants_are_ranked_and_incompatible_ones_refused() {
        for (platform, good, bad) in [
            ("arm/v7", &["v7", "v6", "v5"][..], &["v8", "x"][..]),
            ("arm/v7", &["", "v6"], &[]),
            ("arm/v6", &["v6", "v5"], &["v7", ""]),
            ("arm/v8", &["v8", "v7", "v6"], &["v9"]),
            ("amd64/v3", &["v3", "v2", "v1"], &["v4"]),
            ("amd64/v3", &["v2", ""], &[]),
            ("amd64/v1", &[""], &["v2"]),
            ("arm64/v8", &[""], &["v8.1", "v9"]),
            ("arm64/v8.2", &["v8.2", "v8.1", "v8"], &["v8.3", "v9"]),
            ("arm64/v9", &["v9", "v8.5", "v8.2", "v8"], &["v8.6", "v9.1"]),
            ("riscv64/rva22u64", &["rva22u64"], &["", "rva23u64"]),
            ("amd64", &["", "v1"], &["v2", "v3"]),
            ("arm64", &["v8"], &["v9", "v8.1"]),
            ("arm", &["v7", "v6", "v5"], &["v8"]),
        ] {
            let (architecture, variant) = platform.split_once('/').unwrap_or((platform, ""));
            let variant = Some(variant.to_owned()).filter(|variant| !variant.is_empty());
            let here = Platform { architecture: architecture.to_owned(), variant };
            let ranks: Vec<u32> = good.iter().map(|variant| here.variant_rank(variant).unwrap()).collect();
            assert!(ranks.is_sorted_by(|one, other| one < other), "{platform}: {good:?}: {ranks:?}");
            for variant in bad {
                assert_eq!(here.variant_rank(variant), None, "{platform}: {variant}");
            }
        }
    }
}
