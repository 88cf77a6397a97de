// SPDX-License-Identifier: MIT
//! The end of the application: the init sends the status to the service's main process, which ends
//! in the same way.

use std::fs::File;
use std::io::{Read as _, Write as _};

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, raise, sigprocmask};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use sdme_gen::contract::process::ENDED;

/// Writes the status of the application, as of wait(2). Errors are ignored: without a reader there
/// is nothing to report to.
pub fn send(mut pipe: File, status: libc::c_int) {
    let _ = pipe.write_all(&status.to_ne_bytes());
}

/// Reads the status after the init has ended. None if the init was killed before it could write the
/// status.
pub fn receive(mut pipe: File, application: Pid) -> Option<WaitStatus> {
    let mut bytes = [0; size_of::<libc::c_int>()];
    pipe.read_exact(&mut bytes).ok()?;
    WaitStatus::from_raw(application, libc::c_int::from_ne_bytes(bytes)).ok()
}

/// Describes how a failed application has ended. None if it succeeded, or if the signal that was
/// `sent` last ended it.
#[must_use]
pub fn describe(status: WaitStatus, sent: libc::c_int) -> Option<String> {
    match status {
        WaitStatus::Exited(_, code) if code != 0 && code != 128 + sent => Some(format!("{ENDED} exit status {code}")),
        WaitStatus::Signaled(_, signal, _) if signal as i32 != sent => {
            Some(format!("{ENDED} signal {} ({signal})", signal as i32))
        }
        _ => None,
    }
}

/// Ends this process with the same exit status, or by the same signal.
pub fn finish(status: WaitStatus) -> ! {
    let code = match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => {
            // Only the application writes a core dump, not this process.
            let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
            let mut only = SigSet::empty();
            only.add(signal);
            // Rust's runtime ignores SIGPIPE and handles SIGSEGV and SIGBUS.
            // SAFETY: SIG_DFL runs no code of ours.
            unsafe { libc::signal(signal as i32, libc::SIG_DFL) };
            let _ = raise(signal).and_then(|()| sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None));
            // This process is still running, so the signal does not end a process by default.
            128 + signal as i32
        }
        _ => 1,
    };
    leave(code)
}

/// Ends this process at once, without running exit handlers.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit(2) runs no handlers, and no buffers remain to be flushed.
    unsafe { libc::_exit(code) }
}
