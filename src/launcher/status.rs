// SPDX-License-Identifier: MIT
//! How the application ended: told by its init to the service's own process, which ends the same way.

use std::fs::File;
use std::io::{Read as _, Write as _};

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, raise, sigprocmask};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use sdme_gen::contract::process::ENDED;

/// Writes the status of the application's first process as wait(2) gives it. Errors are ignored: without a reader there is nothing to report to.
pub fn tell(mut pipe: File, status: libc::c_int) {
    let _ = pipe.write_all(&status.to_ne_bytes());
}

/// Reads it, from an init that has ended; nothing where that was killed before it could tell.
pub fn told(mut pipe: File, application: Pid) -> Option<WaitStatus> {
    let mut bytes = [0; size_of::<libc::c_int>()];
    pipe.read_exact(&mut bytes).ok()?;
    WaitStatus::from_raw(application, libc::c_int::from_ne_bytes(bytes)).ok()
}

/// Tells how an application has ended that has failed, unless it was ended by the signal that it was `sent` last.
#[must_use]
pub fn described(status: WaitStatus, sent: libc::c_int) -> Option<String> {
    match status {
        WaitStatus::Exited(_, code) if code != 0 && code != 128 + sent => Some(format!("{ENDED} exit status {code}")),
        WaitStatus::Signaled(_, signal, _) if signal as i32 != sent => {
            Some(format!("{ENDED} signal {} ({signal})", signal as i32))
        }
        _ => None,
    }
}

/// Ends with this exit status, or by this signal.
pub fn finish(status: WaitStatus) -> ! {
    let code = match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => {
            // The core that counts is the application's.
            let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
            let mut only = SigSet::empty();
            only.add(signal);
            // The language's runtime ignores one signal and handles two others.
            // SAFETY: SIG_DFL runs no code of ours.
            unsafe { libc::signal(signal as i32, libc::SIG_DFL) };
            let _ = raise(signal).and_then(|()| sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None));
            // Still here: the signal's default is not to end a process.
            128 + signal as i32
        }
        _ => 1,
    };
    leave(code)
}

/// Ends at once.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit(2) runs no handlers; nothing of ours is left to be flushed.
    unsafe { libc::_exit(code) }
}
