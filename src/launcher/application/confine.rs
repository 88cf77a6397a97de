// SPDX-License-Identifier: MIT
//! Takes capabilities away from the application that the launcher itself could not do without.

use std::io;

use anyhow::{Context as _, Result};
use nix::libc;
use sdme_gen::contract::capability::Capabilities;

/// Leaves nothing but `kept` for any program that this process executes from now on, whoever it is run by: root would get what is
/// inheritable even where it is not in the bounding set (capabilities(7), "Transformation of capabilities during `execve()`").
///
/// # Errors
/// The kernel refuses, for want of `CAP_SETPCAP`.
pub fn limit(kept: Capabilities) -> Result<()> {
    for number in 0..64u64 {
        // SAFETY: both calls take numbers and change nothing but the capability bounding set.
        let present = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) };
        if present < 0 {
            // Past the last one this kernel has.
            break;
        }
        if present == 1 && kept.0 >> number & 1 == 0 {
            // SAFETY: as above.
            let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
            if dropped < 0 {
                return Err(io::Error::last_os_error()).context("cannot drop capabilities");
            }
        }
    }
    inherit_none().context("cannot drop inheritable capabilities")
}

/// Empties the inheritable set, and the ambient one with it.
fn inherit_none() -> io::Result<()> {
    change(|[_, _, inheritable], _| *inheritable = 0)
}

/// Gives up the capabilities that are not in `kept`, for this process and what it forks.
///
/// # Errors
/// The kernel refuses.
pub fn keep_only(kept: Capabilities) -> Result<()> {
    change(|[effective, permitted, _], word| {
        let kept = u32::try_from(kept.0 >> (32 * word) & u64::from(u32::MAX)).unwrap_or(0);
        *effective &= kept;
        *permitted &= kept;
    })
    .context("cannot drop capabilities")
}

/// Has the capabilities of this process outlast that it becomes another user than root, until [`hand_on`] chooses among them.
///
/// # Errors
/// The kernel refuses.
pub fn outlast_root() -> Result<()> {
    // SAFETY: prctl(2) with numbers only.
    let set = unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) };
    if set < 0 { Err(io::Error::last_os_error()).context("cannot keep capabilities") } else { Ok(()) }
}

/// Reduces the capabilities of this process to `kept`, and has them passed on to the program that it executes as another user than root:
/// they become ambient (capabilities(7)).
///
/// # Errors
/// The kernel refuses.
pub fn hand_on(kept: Capabilities) -> Result<()> {
    change(|[effective, permitted, inheritable], word| {
        let kept = u32::try_from(kept.0 >> (32 * word) & u64::from(u32::MAX)).unwrap_or(0);
        *permitted &= kept;
        (*effective, *inheritable) = (*permitted, *permitted);
    })
    .context("cannot keep capabilities")?;
    for number in (0..64u64).filter(|number| kept.0 >> number & 1 == 1) {
        // One that this process does not have is refused, and cannot be passed on.
        // SAFETY: prctl(2) with numbers only.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number, 0, 0) };
    }
    Ok(())
}

/// Changes the capabilities of this process: effective, permitted and inheritable, once for the lower 32 and once for the
/// upper 32 (`linux/capability.h`).
fn change(set: impl Fn(&mut [u32; 3], usize)) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`
    const VERSION: u32 = 0x2008_0522;
    let mut header = [VERSION, 0];
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: the kernel reads a header of two words and fills in two structures of three.
    let read = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    if read < 0 {
        return Err(io::Error::last_os_error());
    }
    for (word, sets) in sets.iter_mut().enumerate() {
        set(sets, word);
    }
    // SAFETY: as above, the other way round.
    let written = unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
