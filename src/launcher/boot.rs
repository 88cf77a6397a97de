// SPDX-License-Identifier: MIT
//! Runs systemd-nspawn on the host, unless the start was refused, and makes sure that a stop of the
//! container takes effect while the container boots.
//!
//! systemd-nspawn passes a stop on as one `SIGRTMIN+3` to the container's first process. The kernel
//! discards a signal for the first process of a PID namespace as long as that process neither
//! blocks nor handles the signal (`pid_namespaces(7)`). A stop in the first moments of a boot would
//! thus be lost, and the service manager would kill the container after `TimeoutStopSec=`.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, execvp, fork, getpid, getppid};
use sdme_gen::cause;

use super::{manager, status};

/// Minimum interval between two checks of the container's first process.
const INTERVAL: Duration = Duration::from_millis(10);
/// Maximum time to wait, because a first process other than systemd may never handle the signal.
const LIMIT: Duration = Duration::from_secs(120);

/// Starts a watcher and then executes `command`, which is systemd-nspawn with its arguments, in
/// this process. `unit` is the container's service. Returns at once if an earlier command of this
/// start has refused it and recorded the reason. Unlike the failure of a command in
/// `ExecStartPre=`, the exit status of this program can keep `Restart=` from trying again.
///
/// # Errors
/// The command cannot be executed.
pub fn boot(unit: &str, command: &[&str]) -> Result<ExitCode> {
    if cause::of_this_run(unit).is_some() {
        return Ok(ExitCode::from(cause::REFUSED));
    }
    forget_commands_before();
    let nspawn = getpid();
    // SAFETY: this process has a single thread.
    if matches!(unsafe { fork() }.context("cannot start a process")?, ForkResult::Child) {
        if let Err(error) = watch(unit, nspawn) {
            eprintln!("a stop of the container during its boot may time out: {error:#}");
        }
        status::leave(0)
    }
    let words = command.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>()?;
    let program = words.first().context("no command is given")?;
    execvp(program, &words)
        .map(|never| match never {})
        .with_context(|| format!("cannot run {}", program.to_string_lossy()))
}

/// Removes the control group that systemd has made for the commands before this one, which have
/// ended.
///
/// `systemctl kill --signal=KILL` kills whole control groups of a unit (`cgroup.kill`). Since Linux
/// 6.18, the kernel then also kills each process that is created in such a group later, which
/// includes systemd's command that takes the container apart. In a new group, that command can run.
/// If the group cannot be removed, the next start takes the container apart.
fn forget_commands_before() {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if let Some(group) = commands(&own) {
        let _ = fs::remove_dir(group);
    }
}

/// The control group in which systemd runs the commands of a unit, next to the group of
/// `DelegateSubgroup=`. `own` is the text of `/proc/PID/cgroup` of the main process (`cgroups(7)`).
fn commands(own: &str) -> Option<PathBuf> {
    let (unit, _) = own.lines().find_map(|line| line.strip_prefix("0::"))?.rsplit_once('/')?;
    Some(Path::new("/sys/fs/cgroup").join(unit.trim_start_matches('/')).join(".control"))
}

/// Waits until the container's first process can receive the signal of a stop. If the container is
/// already being stopped, systemd-nspawn may have sent the signal too early, so the watcher sends
/// it again. A second signal changes nothing, because the container is already stopping.
fn watch(unit: &str, nspawn: Pid) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("cannot tie the watcher to systemd-nspawn")?;
    let Some(leader) = ready(nspawn) else { return Ok(()) };
    let properties = manager::show(&[unit], &["ActiveState"])?;
    if properties.first().and_then(|unit| unit.get("ActiveState")).is_some_and(|state| state == "deactivating") {
        // SAFETY: numbers and a null pointer only.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, leader.as_raw_fd(), halt(), 0, 0) };
    }
    Ok(())
}

/// The signal that halts systemd in a container.
fn halt() -> i32 {
    libc::SIGRTMIN() + 3
}

/// The container's first process, as soon as it can receive the signal. None if the container ends
/// before that, or does not handle the signal within the limit.
fn ready(nspawn: Pid) -> Option<OwnedFd> {
    let start = Instant::now();
    // When systemd-nspawn ends, this process gets another parent. The kernel also kills this
    // process then, but not at once.
    while getppid() == nspawn && start.elapsed() < LIMIT {
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).unwrap_or_default();
        let mut children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
        if let Some(leader) = children.find_map(|child| receiver(child, nspawn)) {
            return Some(leader);
        }
        // A boot takes longer on a slow machine, and frequent checks would slow it down.
        sleep(INTERVAL.max(start.elapsed() / 8));
    }
    None
}

/// A descriptor of process `child`, if that process is the first one of a PID namespace and can
/// receive the signal.
fn receiver(child: libc::pid_t, nspawn: Pid) -> Option<OwnedFd> {
    // SAFETY: pidfd_open(2) with numbers only.
    let fd = i32::try_from(unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) }).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the descriptor was just opened and has no other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let text = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
    // The descriptor becomes readable when the process ends. While the process runs, no other
    // process can have its number, so the file described this process.
    let has_ended = poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).ok()? > 0;
    (!has_ended && receives(&text, nspawn)).then_some(fd)
}

/// Whether `status`, the text of `/proc/PID/status` (`proc_pid_status(5)`), is that of a child of
/// systemd-nspawn that is the first process of its PID namespace and blocks or handles the signal.
/// The container's processes cannot add lines to that file.
fn receives(status: &str, nspawn: Pid) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let numbers =
        field("NSpid").map(|numbers| numbers.split_ascii_whitespace().collect::<Vec<_>>()).unwrap_or_default();
    let has = |name| {
        field(name).and_then(|set| u64::from_str_radix(set, 16).ok()).is_some_and(|set| set >> (halt() - 1) & 1 == 1)
    };
    field("PPid") == Some(nspawn.to_string().as_str())
        && numbers.len() > 1
        && numbers.last() == Some(&"1")
        && (has("SigBlk") || has("SigCgt"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_commands_of_a_unit_have_a_group_beside_the_programs() {
        let group = commands("0::/machine.slice/systemd-nspawn@web.service/supervisor\n").unwrap();
        assert_eq!(group, Path::new("/sys/fs/cgroup/machine.slice/systemd-nspawn@web.service/.control"));
        assert_eq!(commands("1:cpu:/a\n"), None);
    }

    #[test]
    fn only_a_first_process_that_gets_the_signal_is_taken() {
        let status = |parent: &str, numbers: &str, blocked: &str, handled: &str| {
            format!(
                "Name:\tsystemd\\nPPid:\t7\nPPid:\t{parent}\nNSpid:\t{numbers}\nSigBlk:\t{blocked}\nSigCgt:\t{handled}\n"
            )
        };
        let set = "0000001000000000";
        let none = "0000000000000000";
        let nspawn = Pid::from_raw(7);
        assert!(receives(&status("7", "8\t1", set, none), nspawn));
        assert!(receives(&status("7", "8\t1", none, set), nspawn));
        assert!(!receives(&status("7", "8\t1", none, none), nspawn));
        assert!(!receives(&status("9", "8\t1", set, none), nspawn));
        assert!(!receives(&status("7", "8", set, none), nspawn));
        assert!(!receives(&status("7", "8\t2", set, none), nspawn));
        assert!(!receives("", nspawn));
    }
}
