// SPDX-License-Identifier: MIT
//! `sdme.lock`: the digests to which images are pinned. Pure.
//!
//! Each image has one line: its digest, the time in seconds since 1970, the platform (`-` for the
//! platform of the machine), and the image reference, which may contain spaces. Lines that begin
//! with `#` are comments.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::values::source::is_digest;
use crate::diag::{Code, Diagnostic, Location};

/// The name of the lock file.
pub const FILE: &str = "sdme.lock";

const HEAD: &str = "# Written by sdme-gen lock; sdme-gen update moves the digests.\n# DIGEST TIME PLATFORM REFERENCE\n";

/// The digest to which an image is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The digest of the image index, which is the same for all platforms, or of the manifest if
    /// the image has no index.
    pub digest: String,
    /// The time at which the digest was recorded, in seconds since 1970.
    pub time: u64,
}

/// The content of `sdme.lock`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// The pinned images by image reference and platform. The platform is empty if it is that of
    /// the machine.
    pub images: BTreeMap<(String, String), Locked>,
}

impl Lock {
    /// Reads the text of the file. `path` is the path in diagnostics.
    ///
    /// # Errors
    /// A line is not `DIGEST TIME PLATFORM REFERENCE`. No line of the file is used then, because an
    /// invalid line may contain the digest of any image.
    pub fn parse(path: &Arc<str>, text: &str) -> Result<Self, Diagnostic> {
        let mut images = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.splitn(4, ' ');
            let mut next = || words.next().unwrap_or_default();
            let (digest, time, platform, reference) = (next(), next().parse(), next(), next());
            let (true, Ok(time), false) = (is_digest(digest), time, reference.is_empty()) else {
                let at = Location::new(path, u32::try_from(index + 1).unwrap_or(u32::MAX));
                return Err(Diagnostic::error(
                    &at,
                    Code::Assignment
                        .problem("the line is not DIGEST TIME PLATFORM REFERENCE", "write the file with sdme-gen lock"),
                ));
            };
            let platform = if platform == "-" { "" } else { platform };
            let locked = Locked { digest: digest.to_owned(), time };
            images.insert((reference.to_owned(), platform.to_owned()), locked);
        }
        Ok(Self { images })
    }

    /// Renders the text of the file.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        for ((reference, platform), Locked { digest, time }) in &self.images {
            let platform = if platform.is_empty() { "-" } else { platform };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{digest} {time} {platform} {reference}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rendered_locks_are_read_back_and_invalid_lines_are_errors() {
        let digest = format!("sha256:{}", "1".repeat(64));
        let path = Arc::from("/etc/sdme/sdme.lock");
        let locked = |time| Locked { digest: digest.clone(), time };
        let images = BTreeMap::from([
            (("docker.io/library/nginx:1".to_owned(), String::new()), locked(5)),
            (("oci:/srv/a b:c".to_owned(), "arm64/v8".to_owned()), locked(6)),
        ]);
        let lock = Lock { images };
        assert_eq!(Lock::parse(&path, &lock.render()).unwrap(), lock);
        assert_eq!(Lock::parse(&path, "\n# x\n").unwrap(), Lock::default());
        for bad in
            ["x", "sha256:1 5 - a", &format!("{digest} x - a"), &format!("{digest} 5 - "), &format!("{digest} 5")]
        {
            let problem = Lock::parse(&path, &format!("#\n{bad}\n")).unwrap_err().to_string();
            assert!(problem.contains("/etc/sdme/sdme.lock:2: "), "{problem}");
        }
    }
}
