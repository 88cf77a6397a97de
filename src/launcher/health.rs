// SPDX-License-Identifier: MIT
//! Runs one health check of an application. A timer starts this program.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::pipe2;
use sdme_gen::contract::health::{Failed, Health, OnFailure, State, Status, Step, Test, failed_check, new_status};

use super::host::{self, STATES};
use super::manager::{Run, systemctl};

/// Maximum number of bytes of a check's output that are reported (Docker's limit).
const OUTPUT: usize = 4096;
/// Maximum number of characters of a failure that are kept in the health state.
const REASON: usize = 500;

fn state_file(app: &str) -> PathBuf {
    Path::new(STATES).join(app)
}

/// The recorded health state of an application. None if no check has run.
pub fn read_state(app: &str) -> Option<State> {
    serde_json::from_slice(&fs::read(state_file(app)).ok()?).ok()
}

/// Writes the health state of an application. The file is replaced atomically, because other
/// processes watch the directory.
///
/// # Errors
/// The file cannot be written.
pub fn write_state(app: &str, state: &State) -> Result<()> {
    let temporary = Path::new(STATES).join(format!(".{app}"));
    fs::create_dir_all(STATES)
        .and_then(|()| fs::write(&temporary, serde_json::to_vec(state)?))
        .and_then(|()| fs::rename(&temporary, state_file(app)))
        .context("cannot write down the result")
}

/// Runs one check of the application `app` with the service `unit` and the files in `directory`,
/// and acts on the result. The exit status is 1 while the application is unhealthy.
///
/// # Errors
/// The check cannot be run, or the action fails.
pub fn check(unit: &str, app: &str, directory: &str) -> Result<ExitCode> {
    let described = fs::read(Path::new(directory).join("health.json")).context("cannot read the health check")?;
    let health: Health =
        serde_json::from_slice(&described).context("the description of the health check is damaged")?;
    let service = format!("{unit}.service");
    let Some(run) = Run::of(&service)? else { return Ok(ExitCode::SUCCESS) };
    let id = format!("{} {}", run.main, run.since);
    let mut state = read_state(app).filter(|state| state.run == id).unwrap_or(State { run: id, ..State::default() });
    loop {
        let startup = health.startup.as_ref().filter(|_| state.is_startup(&health));
        let (test, timeout) = startup.map_or((&health.test, health.timeout), |s| (&s.test, s.timeout));
        let limit = startup.map_or(health.retries.max(1), |s| s.retries);
        let result = attempt(&service, directory, test, Duration::from_millis(timeout))?;
        if Run::of(&service)?.as_ref() != Some(&run) {
            // The checked invocation of the service has ended, so the result is discarded.
            return Ok(ExitCode::SUCCESS);
        }
        let before = state.status;
        let age = milliseconds(ClockId::CLOCK_MONOTONIC)?.saturating_sub(run.since / 1000);
        let step = state.observe(result.is_none(), age, &health);
        let key = test.key(startup.is_some());
        if let Some(failure) = &result {
            let reason = failure.chars().take(REASON).collect();
            state.last = Some(Failed { key: key.to_owned(), reason });
        }
        write_state(app, &state)?;
        if let Some(failure) = result {
            eprintln!("<4>{}", failed_check(unit, key, &state.count(limit), &failure));
        }
        if state.status != before {
            let level = if state.status == Status::Unhealthy { 3 } else { 5 };
            eprintln!("<{level}>{}", new_status(unit, state.status));
        }
        // An error is ignored: the host may have stopped listening, but the action must still run.
        let _ = host::report();
        act(step, unit)?;
        if startup.is_none() || step != Step::Settle {
            break;
        }
        // After the startup check, the usual check runs at once: its timer starts while this
        // service runs, and then waits for its interval.
    }
    Ok(ExitCode::from(u8::from(state.status == Status::Unhealthy)))
}

fn act(step: Step, unit: &str) -> Result<()> {
    let service = format!("{unit}.service");
    match step {
        Step::Continue | Step::Fail(OnFailure::None) => Ok(()),
        Step::Settle => {
            let (first, usual) = (format!("{unit}-health-startup.timer"), format!("{unit}-health.timer"));
            // Errors are ignored, because the application may have no startup timer.
            let _ = systemctl(&["--quiet", "--no-block", "stop", &first]);
            let known = super::manager::show(&[&usual], &["LoadState", "ActiveState"])?;
            let property = |name| known.first().and_then(|p| p.get(name)).map(String::as_str);
            if property("LoadState") == Some("loaded") && property("ActiveState") == Some("inactive") {
                systemctl(&["--quiet", "--no-block", "start", &usual])?;
            }
            Ok(())
        }
        Step::Fail(OnFailure::Kill) => systemctl(&["--signal=SIGKILL", "kill", &service]),
        Step::Fail(OnFailure::Restart) => systemctl(&["--no-block", "restart", &service]),
        Step::Fail(OnFailure::Stop) => systemctl(&["--no-block", "stop", &service]),
    }
}

fn milliseconds(clock: ClockId) -> Result<u64> {
    let now = clock_gettime(clock).context("there is no clock")?;
    let [seconds, nanoseconds] = [now.tv_sec(), now.tv_nsec()].map(|part| u64::try_from(part).unwrap_or(0));
    Ok(seconds * 1000 + nanoseconds / 1_000_000)
}

/// Runs the test next to the application. Returns the reason of a failure, or none if the test
/// passed.
fn attempt(service: &str, directory: &str, test: &Test, limit: Duration) -> Result<Option<String>> {
    let deadline = Instant::now() + limit;
    let (output, writer) = pipe2(OFlag::O_CLOEXEC).context("cannot make a pipe")?;
    fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("cannot set up a pipe")?;
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    ends.thread_block().context("cannot block signals")?;
    let ends = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("cannot receive signals")?;
    let errors = writer.try_clone().context("cannot make a pipe")?;
    let mut command = Command::new("/proc/self/exe");
    match test {
        Test::Command(words) => command.args(["exec", service, directory]).args(words),
        Test::Probe(probe) => command.args(["probe", service]).arg(serde_json::to_string(probe)?),
    };
    let mut child =
        command.stdin(Stdio::null()).stdout(writer).stderr(errors).spawn().context("cannot start a process")?;
    let (status, said) = watch(&mut child, output, &ends, deadline)?;
    let said = said.trim_ascii();
    let said = if said.is_empty() { String::new() } else { format!(": {}", String::from_utf8_lossy(said)) };
    Ok(match status {
        Some(0) => None,
        Some(_) if matches!(test, Test::Probe(_)) => Some(said.trim_start_matches(": ").to_owned()),
        Some(code) => Some(format!("exit status {code}{said}")),
        None => Some(format!("no answer within {} s{said}", limit.as_secs_f32())),
    })
}

/// Waits for the end of the check, and kills the check at the deadline. Returns the exit status,
/// which is none after the deadline, and the beginning of the output. Processes that the check
/// leaves behind end with this service.
fn watch(child: &mut Child, output: OwnedFd, ends: &SignalFd, deadline: Instant) -> Result<(Option<i32>, Vec<u8>)> {
    let mut said = Vec::new();
    let mut output = Some(File::from(output));
    loop {
        if let Some(from) = &mut output
            && !drain(from, &mut said)
        {
            output = None;
        }
        while ends.read_signal().context("cannot receive a signal")?.is_some() {}
        if let Some(status) = child.try_wait().context("cannot wait")? {
            if let Some(from) = &mut output {
                drain(from, &mut said);
            }
            return Ok((Some(status.code().unwrap_or(1)), said));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill().and_then(|()| child.wait()).context("cannot end the check")?;
            return Ok((None, said));
        }
        let mut wanted = vec![PollFd::new(ends.as_fd(), PollFlags::POLLIN)];
        wanted.extend(output.as_ref().map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN)));
        let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut wanted, left) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
    }
}

/// Reads the available output and appends the part that fits to `said`. Returns whether more output
/// can follow.
fn drain(from: &mut File, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    // The loop is limited, so that a program that writes without a pause cannot escape the
    // deadline.
    for _ in 0..16 {
        match from.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => {
                let room = OUTPUT.saturating_sub(said.len()).min(length);
                said.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
    true
}

/// Waits for the first check of the application that passes.
///
/// # Errors
/// The application becomes unhealthy or ends.
pub fn wait(app: &str) -> Result<ExitCode> {
    fs::create_dir_all(STATES).context("cannot wait for a result")?;
    let changes = Inotify::init(InitFlags::IN_CLOEXEC).context("cannot wait for a result")?;
    changes.add_watch(STATES, AddWatchFlags::IN_MOVED_TO).context("cannot wait for a result")?;
    loop {
        match read_state(app).map(|state| state.status) {
            Some(Status::Healthy) => return Ok(ExitCode::SUCCESS),
            Some(Status::Unhealthy | Status::Stopped | Status::Failed) => {
                bail!("the application is unhealthy; the container is not started")
            }
            _ => {}
        }
        changes.read_events().context("cannot wait for a result")?;
    }
}
