// SPDX-License-Identifier: MIT
//! Takes capabilities away from the application. The launcher needs them itself until then.

use std::io;

use anyhow::{Context as _, Result};
use nix::libc;
use sdme_gen::contract::capability::Capabilities;

/// Limits the capabilities of every program that this process executes from now on to `kept`, for
/// every user: root would get the inheritable capabilities even if the bounding set lacks them
/// (capabilities(7), "Transformation of capabilities during `execve()`").
///
/// # Errors
/// The kernel refuses, because this process lacks `CAP_SETPCAP`.
pub fn limit(kept: Capabilities) -> Result<()> {
    for number in 0..64u64 {
        // SAFETY: both calls take numbers and change nothing but the capability bounding set.
        let present = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) };
        if present < 0 {
            // The number is above the last capability of this kernel.
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

/// Empties the inheritable set. The kernel then also empties the ambient set.
fn inherit_none() -> io::Result<()> {
    change(|[_, _, inheritable], _| *inheritable = 0)
}

/// Removes the capabilities that are not in `kept` from this process and the processes that it
/// forks.
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

/// Keeps the permitted capabilities of this process when its user changes from root to another one.
/// [`make_ambient`] then reduces them.
///
/// # Errors
/// The kernel refuses.
pub fn keep_across_setuid() -> Result<()> {
    // SAFETY: prctl(2) with numbers only.
    let set = unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) };
    if set < 0 { Err(io::Error::last_os_error()).context("cannot keep capabilities") } else { Ok(()) }
}

/// Reduces the capabilities of this process to `kept` and makes them ambient, so that the program
/// that it executes as a user other than root gets them (capabilities(7)).
///
/// # Errors
/// The kernel refuses.
pub fn make_ambient(kept: Capabilities) -> Result<()> {
    change(|[effective, permitted, inheritable], word| {
        let kept = u32::try_from(kept.0 >> (32 * word) & u64::from(u32::MAX)).unwrap_or(0);
        *permitted &= kept;
        (*effective, *inheritable) = (*permitted, *permitted);
    })
    .context("cannot keep capabilities")?;
    for number in (0..64u64).filter(|number| kept.0 >> number & 1 == 1) {
        // The kernel refuses a capability that this process does not have. Such a capability cannot
        // be passed on, so the error is ignored.
        // SAFETY: prctl(2) with numbers only.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number, 0, 0) };
    }
    Ok(())
}

/// Changes the effective, permitted and inheritable capabilities of this process. `set` is called
/// for the lower 32 capabilities and for the upper 32 (`linux/capability.h`).
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
    // SAFETY: as above, but the kernel reads the structures.
    let written = unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
