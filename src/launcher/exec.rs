// SPDX-License-Identifier: MIT
//! Runs a command beside an application: in its root, its namespaces and its environment, as its user, with no more
//! privileges than it has.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Uid, chroot, fchdir, fchown, fork};
use sdme_gen::capability::Capabilities;
use sdme_gen::process::Process;

use super::confine::limit;
use super::environment::{self, Environment};
use super::manager::Run;
use super::start::execute;

/// How long an application may take to come into being.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs a command beside the application of `unit`, whose files are in `directory`, and ends as it ends; 128 and the
/// signal's number if a signal ended it.
///
/// # Errors
/// The application does not run, or the command cannot be started.
pub fn exec(unit: &str, directory: &str, command: &[&str]) -> Result<ExitCode> {
    let Some(run) = Run::of(unit)? else { bail!("{unit} is not running") };
    let described = super::description(Path::new(directory))?;
    let args = command.iter().map(|&word| word.to_owned()).collect();
    beside(run.main, Path::new(directory), &Process { args, ..described })
}

fn beside(main: i32, directory: &Path, process: &Process) -> Result<ExitCode> {
    let application = application(main)?;
    let here = PathBuf::from("/proc").join(application.to_string());
    let environment = environment(main, directory, process)?;
    let privileges = Privileges::of(&here)?;
    let limits = Limits::of(application);
    let root = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(here.join("root"));
    let root = root.context("cannot open the application's root")?;
    // A namespace more than once cannot be entered, and need not be.
    let mut namespaces = Vec::new();
    for (name, flag) in [
        ("net", CloneFlags::CLONE_NEWNET),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ] {
        let open = |of: &Path| File::open(of.join("ns").join(name));
        let namespace = open(&here).with_context(|| format!("cannot open the application's {name} namespace"))?;
        if namespace.metadata()?.ino() != open(Path::new("/proc/self"))?.metadata()?.ino() {
            namespaces.push((namespace, flag));
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).context("cannot block signals")?;
    for (namespace, flag) in namespaces {
        setns(namespace, flag).context("cannot enter a namespace of the application")?;
    }
    fchdir(&root).and_then(|()| chroot(".")).context("cannot enter the application's root")?;
    // SAFETY: this process has a single thread.
    match unsafe { fork() }.context("cannot start a process")? {
        ForkResult::Child => {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).context("cannot unblock signals")?;
            own_streams(process);
            privileges.assume()?;
            limits.assume();
            execute(process, &environment).map(|never| match never {})
        }
        ForkResult::Parent { child } => loop {
            let signal = SigSet::all().wait().context("cannot receive a signal")?;
            if signal != Signal::SIGCHLD {
                // The child may be gone, which the next SIGCHLD tells.
                let _ = nix::sys::signal::kill(child, signal);
                continue;
            }
            let code = match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => code,
                Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
                _ => continue,
            };
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
        },
    }
}

/// The application's own process: the first child of the launcher, which has the namespaces that the launcher made.
fn application(main: i32) -> Result<i32> {
    let deadline = Instant::now() + LIMIT;
    let path = format!("/proc/{main}/task/{main}/children");
    loop {
        let children = fs::read_to_string(&path).context("the application has ended")?;
        if let Some(child) = children.split_ascii_whitespace().next() {
            return child.parse().context("the kernel's list of processes is damaged");
        }
        if Instant::now() > deadline {
            bail!("the application has not started within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The application's environment, without what is meant for its one process only. Of the caller's own the kind of terminal
/// is added.
fn environment(main: i32, directory: &Path, process: &Process) -> Result<Environment> {
    const NOT_SHARED: [&str; 5] = ["FDSTORE", "LISTEN_FDNAMES", "LISTEN_FDS", "NOTIFY_SOCKET", "WATCHDOG_USEC"];
    let text = fs::read(format!("/proc/{main}/environ")).context("cannot read the application's environment")?;
    let given = |name: &str| {
        let mut values = text.split(|byte| *byte == 0).filter_map(|variable| variable.strip_prefix(name.as_bytes()));
        let value = values.find_map(|rest| rest.strip_prefix(b"=")).filter(|_| !NOT_SHARED.contains(&name))?;
        Some(OsString::from_vec(value.to_vec()))
    };
    let mut environment = environment::build(process, directory, given)?;
    if let Some(terminal) = std::env::var_os("TERM").filter(|_| nix::unistd::isatty(std::io::stdin()).unwrap_or(false))
    {
        environment.set("TERM".into(), terminal);
    }
    Ok(environment)
}

/// Gives terminals and pipes to the command's user, who may then open `/dev/stdout` and the like.
fn own_streams(process: &Process) {
    let (uid, gid) = (Uid::from_raw(process.user.uid), Gid::from_raw(process.user.gid));
    for stream in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let Ok(file) = stream.try_clone_to_owned().map(File::from) else { continue };
        let Ok(kind) = file.metadata().map(|metadata| metadata.file_type()) else { continue };
        let terminal = kind.is_char_device() && nix::unistd::isatty(stream).unwrap_or(false);
        if terminal || kind.is_fifo() {
            // Best effort: what is open stays usable.
            let _ = fchown(stream, Some(uid), Some(gid));
        }
    }
}

/// What a process may do at most.
struct Privileges {
    /// Capabilities that it or its programs can have.
    bounding: Capabilities,
    /// Whether it has given up gaining any.
    fixed: bool,
}

impl Privileges {
    /// Those of a process, from its directory in `/proc`.
    fn of(process: &Path) -> Result<Self> {
        let status = fs::read_to_string(process.join("status")).context("cannot read the application's status")?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let bounding = field("CapBnd:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let bounding = bounding.context("the kernel does not tell the application's capabilities")?;
        Ok(Self { bounding: Capabilities(bounding), fixed: field("NoNewPrivs:") == Some("1") })
    }

    fn assume(&self) -> Result<()> {
        limit(self.bounding)?;
        // SAFETY: prctl(2) with numbers only.
        if self.fixed && unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(nix::Error::last()).context("cannot give up new privileges");
        }
        Ok(())
    }
}

/// Resource limits (prlimit(2)), by their number.
struct Limits(Vec<(libc::__rlimit_resource_t, libc::rlimit64)>);

impl Limits {
    fn of(process: i32) -> Self {
        let mut all = Vec::new();
        for resource in 0..=libc::RLIMIT_RTTIME {
            let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the last argument leads to a value of ours, the one before says that nothing is changed.
            if unsafe { libc::prlimit64(process, resource, std::ptr::null(), &raw mut limit) } == 0 {
                all.push((resource, limit));
            }
        }
        Self(all)
    }

    /// Best effort: a limit above our own hard one stays where it is.
    fn assume(&self) {
        for (resource, limit) in &self.0 {
            // SAFETY: the third argument leads to a value of ours, the last one says that nothing is read.
            unsafe { libc::prlimit64(0, *resource, &raw const *limit, std::ptr::null_mut()) };
        }
    }
}
