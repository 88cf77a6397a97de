// SPDX-License-Identifier: MIT
//! Limits of the kernel that a container's service manager runs into when a host has many containers.

use std::fs;

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::inotify::{InitFlags, Inotify};

use crate::paths::SYSCTL_FILE;
use crate::resolve::model::Stack;

/// The limit for each user of the host. All containers count as root's, also those with a user namespace.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";

/// Checks that one more container gets the inotify instances that it allocates while it starts. In an application's container, the
/// service manager allocates three; in a whole operating system it allocates five, and the bus and the console's login one each
/// (systemd 257 and 262). Without its instances, the service manager stops and does not name the limit.
///
/// # Errors
/// The kernel refuses them.
pub fn check(stack: Stack<'_>) -> Result<()> {
    let needed = if matches!(stack, Stack::Application(..)) { 3 } else { 7 };
    let instances: Result<Vec<Inotify>, Errno> = (0..needed).map(|_| Inotify::init(InitFlags::IN_CLOEXEC)).collect();
    if instances.err() == Some(Errno::EMFILE) {
        let limit = fs::read_to_string(LIMIT).unwrap_or_default();
        bail!(
            "fs.inotify.max_user_instances={} is too low for one more container, which needs {needed} inotify instances; apply \
             {SYSCTL_FILE} by systemctl restart systemd-sysctl, or set a higher limit in /etc/sysctl.d",
            limit.trim()
        );
    }
    Ok(())
}
