// SPDX-License-Identifier: MIT
//! Kernel limits that the service manager of a container reaches on a host with many containers.

use std::fs;

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::inotify::{InitFlags, Inotify};

use crate::diag::Fault;
use crate::model::Stack;
use crate::paths::{RUNTIME, SYSCTL_FILE};

/// The inotify limit per user of the host. All containers count as root's, including those with a
/// user namespace.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";

/// Number of inotify instances that the service manager in an application's container allocates.
const OF_AN_APPLICATION: usize = 3;

/// The fault that the limit is too low for `what`.
fn fault(limit: &str, what: &str) -> Fault {
    Fault::new(
        format!("fs.inotify.max_user_instances={limit} is too low for {what}"),
        format!("apply {SYSCTL_FILE} by systemctl restart systemd-sysctl, or set a higher limit in /etc/sysctl.d"),
    )
}

/// Checks that one more container can get the inotify instances that it allocates during its start.
/// In an application's container, the service manager allocates three. In a container with an
/// operating system, it allocates five; the message bus and the login on the console allocate one
/// each (systemd 257 and 262). Without its instances, the service manager stops without naming the
/// limit.
///
/// # Errors
/// The kernel refuses that many instances.
pub fn check(stack: Stack<'_>) -> Result<()> {
    let needed = if matches!(stack, Stack::Application(..)) { OF_AN_APPLICATION } else { 7 };
    let instances: Result<Vec<Inotify>, Errno> = (0..needed).map(|_| Inotify::init(InitFlags::IN_CLOEXEC)).collect();
    if instances.err() == Some(Errno::EMFILE) {
        let limit = fs::read_to_string(LIMIT).unwrap_or_default();
        let limit = limit.trim();
        bail!(fault(limit, &format!("one more container, which needs {needed} inotify instances")));
    }
    Ok(())
}

/// The fault if the limit is too low for all containers that run or start. A container may fail for
/// that reason although [`check`] has passed, because containers that start at the same time all
/// pass it before any of them has its instances.
#[must_use]
pub fn shortage() -> Option<Fault> {
    let limit = fs::read_to_string(LIMIT).ok()?.trim().parse().ok()?;
    let containers = fs::read_dir(format!("{RUNTIME}/containers")).ok()?.count();
    too_low(limit, containers)
}

fn too_low(limit: usize, containers: usize) -> Option<Fault> {
    let needed = containers.saturating_mul(OF_AN_APPLICATION);
    (needed > limit).then(|| {
        let what = format!("{containers} containers, which need {needed} inotify instances");
        fault(&limit.to_string(), &what)
    })
}

#[test]
fn a_limit_below_what_the_containers_need_is_named() {
    assert_eq!(too_low(128, 42), None);
    let message = too_low(128, 43).map(|fault| fault.cause).unwrap_or_default();
    assert!(message.starts_with("fs.inotify.max_user_instances=128 is too low for 43 containers"), "{message}");
}
