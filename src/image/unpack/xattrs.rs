// SPDX-License-Identifier: MIT
//! Extended attributes that layers of an image must not set.

/// Whether an attribute belongs to the machine on which the image was built: `SELinux` labels and
/// attributes of overlayfs. With the latter, an image could hide or redirect files of lower layers.
#[must_use]
pub fn is_foreign(name: &[u8]) -> bool {
    name == b"security.selinux" || name.starts_with(b"trusted.overlay.")
}
