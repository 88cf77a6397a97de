// SPDX-License-Identifier: MIT
//! Limits of the kernel that a container's service manager runs into when a host has many containers.

use std::fs;

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::inotify::{InitFlags, Inotify};

use crate::model::Stack;
use crate::paths::{RUNTIME, SYSCTL_FILE};

/// The limit for each user of the host. All containers count as root's, also those with a user namespace.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";

/// How many inotify instances the service manager of an application's container allocates.
const OF_AN_APPLICATION: usize = 3;

/// What to do about the limit.
fn remedy() -> String {
    format!("apply {SYSCTL_FILE} by systemctl restart systemd-sysctl, or set a higher limit in /etc/sysctl.d")
}

/// Checks that one more container gets the inotify instances that it allocates while it starts. In an application's container, the
/// service manager allocates three; in a whole operating system it allocates five, and the bus and the console's login one each
/// (systemd 257 and 262). Without its instances, the service manager stops and does not name the limit.
///
/// # Errors
/// The kernel refuses them.
pub fn check(stack: Stack<'_>) -> Result<()> {
    let needed = if matches!(stack, Stack::Application(..)) { OF_AN_APPLICATION } else { 7 };
    let instances: Result<Vec<Inotify>, Errno> = (0..needed).map(|_| Inotify::init(InitFlags::IN_CLOEXEC)).collect();
    if instances.err() == Some(Errno::EMFILE) {
        let limit = fs::read_to_string(LIMIT).unwrap_or_default();
        bail!(
            "fs.inotify.max_user_instances={} is too low for one more container, which needs {needed} inotify instances; {}",
            limit.trim(),
            remedy()
        );
    }
    Ok(())
}

/// Why a container may have failed although [`check`] found enough: of containers that start at the same time, each passes it before
/// any of them has its instances. Returns a message if the limit is too low for all that run or start.
#[must_use]
pub fn shortage() -> Option<String> {
    let limit = fs::read_to_string(LIMIT).ok()?.trim().parse().ok()?;
    let containers = fs::read_dir(format!("{RUNTIME}/containers")).ok()?.count();
    too_low(limit, containers)
}

fn too_low(limit: usize, containers: usize) -> Option<String> {
    let needed = containers.saturating_mul(OF_AN_APPLICATION);
    (needed > limit).then(|| {
        format!(
            "fs.inotify.max_user_instances={limit} is too low for {containers} containers, which need {needed} inotify instances; {}",
            remedy()
        )
    })
}

#[test]
fn a_limit_below_what_the_containers_need_is_named() {
    assert_eq!(too_low(128, 42), None);
    let message = too_low(128, 43).unwrap_or_default();
    assert!(message.starts_with("fs.inotify.max_user_instances=128 is too low for 43 containers"), "{message}");
}
