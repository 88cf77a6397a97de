// SPDX-License-Identifier: MIT
//! A virtual machine with Debian's kernel, for what namespaces cannot provide: kernel reboots,
//! power cuts, cgroup limits, and `AppArmor`; see `tests/vm/start`. Its power is cut when its
//! [`Vm`] is dropped or the test is killed. Without hardware acceleration a boot takes half a
//! minute, so a test should use one machine for as much as possible.

use super::{Output, cache, discard, repo, scratch};
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The default timeout of a command.
const LIMIT: Duration = Duration::from_secs(120);
/// The timeout of a boot.
const BOOT_LIMIT: Duration = Duration::from_secs(420);
/// The number of boots that are tried. The emulator sometimes loses a timer interrupt while the
/// kernel starts, and the kernel then waits for it for ever.
const BOOTS: u32 = 3;
/// What the kernel prints 21 s after it has lost a timer interrupt.
const LOST_TIMER: &str = "timer wakeup didn't happen";
/// How long a boot may take in which the kernel has printed [`LOST_TIMER`].
const STALL_LIMIT: Duration = Duration::from_secs(90);

/// A virtual machine.
#[derive(Debug)]
pub struct Vm {
    directory: PathBuf,
    /// The process of the machine while it has power. Closing the pipe cuts the power.
    power: Option<(Child, ChildStdin)>,
    agent: Mutex<Option<BufReader<UnixStream>>>,
    next_request: AtomicU32,
    /// A lock: without hardware acceleration, a machine needs both processors of the test machine.
    _alone: Flock<File>,
}

impl Vm {
    /// Boots a machine with a fresh disk.
    #[must_use]
    pub fn boot(name: &str) -> Self {
        Self::boot_with(name, &[])
    }

    /// Boots a machine. The trees `staged` are copied over its root once, before its systemd and
    /// the generators run.
    ///
    /// # Panics
    /// If the machine does not come up. The message has the end of its console log.
    #[must_use]
    pub fn boot_with(name: &str, staged: &[PathBuf]) -> Self {
        let directory = scratch(name);
        let lock = File::create(cache().join(".vm.runs")).unwrap();
        let alone = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
        let next_request = AtomicU32::new(0);
        let mut vm = Self { directory, power: None, agent: Mutex::new(None), next_request, _alone: alone };
        vm.start(staged);
        vm
    }

    /// The directory of the disk and of the console log.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn start(&mut self, staged: &[PathBuf]) {
        for _ in 0..BOOTS {
            let begin = self.console_length();
            self.switch_on(staged);
            if self.wait_booted(None, begin) {
                return;
            }
            self.cut();
        }
        panic!("{}", self.context("loses a timer interrupt in each boot"));
    }

    fn switch_on(&mut self, staged: &[PathBuf]) {
        std::fs::create_dir_all(&self.directory).unwrap();
        let log = File::options().append(true).create(true).open(self.directory.join("log")).unwrap();
        let mut child = Command::new(repo("tests/vm/start"))
            .arg(&self.directory)
            .args(staged)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let lifeline = child.stdin.take().unwrap();
        self.power = Some((child, lifeline));
    }

    /// The size of the console log in bytes.
    fn console_length(&self) -> u64 {
        std::fs::metadata(self.directory.join("console.log")).map_or(0, |metadata| metadata.len())
    }

    /// Whether the console log says, after its first `begin` bytes, that the kernel has lost a timer
    /// interrupt.
    fn has_lost_timer(&self, begin: u64) -> bool {
        let console = std::fs::read(self.directory.join("console.log")).unwrap_or_default();
        let begin = usize::try_from(begin).unwrap_or(usize::MAX);
        String::from_utf8_lossy(console.get(begin..).unwrap_or_default()).contains(LOST_TIMER)
    }

    /// Waits until the machine is up with another boot ID than `before`. Returns false if the
    /// kernel waits for a lost timer interrupt; the console log of this boot begins at `begin`.
    fn wait_booted(&mut self, before: Option<&str>, begin: u64) -> bool {
        let started = Instant::now();
        loop {
            let state = "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait";
            let output = self.ask(state, Duration::from_secs(10));
            let is_silent = output.is_none();
            let stdout = output.map(|output| output.stdout).unwrap_or_default();
            let mut lines = stdout.lines();
            let boot = lines.next();
            if boot.is_some() && boot != before && ["running", "degraded"].contains(&lines.next().unwrap_or("")) {
                return true;
            }
            if let Some((child, _)) = &mut self.power {
                assert!(child.try_wait().unwrap().is_none(), "{}", self.context("the machine has ended"));
            }
            if is_silent && started.elapsed() >= STALL_LIMIT && self.has_lost_timer(begin) {
                return false;
            }
            if started.elapsed() >= BOOT_LIMIT {
                let look = "systemctl list-jobs --no-pager; ps -eo pid,etimes,time,args --sort=-time | head -n 25";
                let seen = self.ask(look, Duration::from_secs(60)).map(|output| output.stdout).unwrap_or_default();
                panic!("{}\n{seen}", self.context("does not come up"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Sends one request to the agent. Returns nothing if no answer came in time.
    fn ask(&self, command: &str, limit: Duration) -> Option<Output> {
        let mut agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.next_request.fetch_add(1, Ordering::Relaxed).to_string();
        let deadline = Instant::now() + limit;
        // The connection is taken out and only put back after an answer: after an error or a
        // timeout it is not used again.
        let mut stream = match agent.take() {
            Some(stream) => stream,
            None => BufReader::new(self.connect(deadline)?),
        };
        writeln!(stream.get_mut(), "{id} {}", base64(command.as_bytes())).ok()?;
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            stream.get_ref().set_read_timeout(Some(left.max(Duration::from_millis(1)))).ok()?;
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let fields: Vec<&str> = line.split_whitespace().collect();
            // The line may be a late answer to an earlier request.
            let [answered, status, stdout, stderr] = fields.as_slice() else { continue };
            if *answered == id {
                *agent = Some(stream);
                let text = |field: &str| String::from_utf8_lossy(&unbase64(field)).into_owned();
                return Some(Output {
                    status: status.parse().unwrap_or(255),
                    stdout: text(stdout),
                    stderr: text(stderr),
                });
            }
        }
    }

    fn connect(&self, deadline: Instant) -> Option<UnixStream> {
        loop {
            match UnixStream::connect(self.directory.join("agent.sock")) {
                Ok(stream) => return Some(stream),
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                Err(_) => return None,
            }
        }
    }

    /// Runs a shell command in the machine, for at most two minutes.
    pub fn run(&self, command: &str) -> Output {
        self.run_for(command, LIMIT)
    }

    /// Runs a shell command in the machine, for at most `limit`; then its status is 124.
    ///
    /// # Panics
    /// If the machine does not answer.
    pub fn run_for(&self, command: &str, limit: Duration) -> Output {
        let bounded = format!("timeout -k 5 {} bash -c {}", limit.as_secs(), quote(command));
        self.ask(&bounded, limit + Duration::from_secs(30))
            .unwrap_or_else(|| panic!("{}", self.context(&format!("no answer: {command}"))))
    }

    /// Runs a shell command in the machine that must succeed, and returns its standard output.
    ///
    /// # Panics
    /// If the command fails. The message has its output and the end of the machine's journal.
    pub fn ok(&self, command: &str) -> String {
        let output = self.run(command);
        if !output.success() {
            let journal = self.run("journalctl -b -q -n 60 --no-pager -o short-monotonic").stdout;
            panic!("{}", self.context(&format!("{command}\n{output}\njournal:\n{journal}")));
        }
        output.stdout
    }

    /// Runs `command` in the machine until it succeeds, and returns its standard output.
    ///
    /// # Panics
    /// If the command does not succeed within `seconds`.
    pub fn wait(&self, command: &str, seconds: u64) -> String {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let output = self.run(command);
            if output.success() {
                return output.stdout;
            }
            assert!(Instant::now() < deadline, "{}", self.context(&format!("{command}\n{output}")));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Writes a file in the machine, and creates its directories.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let content = base64(content.as_ref());
        self.ok(&format!("mkdir -p \"$(dirname '{path}')\" && base64 -d <<<{content} >'{path}'"));
    }

    /// Reads a file of the machine.
    pub fn read(&self, path: &str) -> String {
        self.ok(&format!("cat '{path}'"))
    }

    /// Reboots the machine in order and waits until it is up again.
    ///
    /// # Panics
    /// If the service manager did not stop a unit in time.
    pub fn reboot(&mut self) {
        let before = self.ok("cat /proc/sys/kernel/random/boot_id");
        // The agent may end before it answers.
        let begin = self.console_length();
        self.ask("systemctl reboot", Duration::from_secs(5));
        if self.wait_booted(Some(before.trim()), begin) {
            let late = self.run("journalctl -q --no-pager -b -1 -o cat _PID=1 --grep 'timed out'").stdout;
            assert_eq!(late, "", "units that did not stop in time");
        } else {
            self.cut();
            self.start(&[]);
        }
    }

    /// Cuts the power: data that have not been flushed to the disk are lost.
    ///
    /// # Panics
    /// If the machine has no power.
    pub fn power_cut(&mut self) {
        assert!(self.power.is_some(), "it has no power already");
        self.cut();
    }

    fn cut(&mut self) {
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some((mut child, lifeline)) = self.power.take() {
            drop(lifeline);
            child.wait().ok();
        }
    }

    /// Shuts the machine down in order.
    ///
    /// # Panics
    /// If the machine does not end within two minutes.
    pub fn power_off(&mut self) {
        self.ask("systemctl poweroff", Duration::from_secs(5));
        let deadline = Instant::now() + LIMIT;
        while let Some((child, _)) = &mut self.power {
            if child.try_wait().unwrap().is_some() {
                return self.cut();
            }
            assert!(Instant::now() < deadline, "{}", self.context("does not power off"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Boots the machine again with the same disk.
    ///
    /// # Panics
    /// If the machine has power, or does not come up.
    pub fn power_on(&mut self) {
        assert!(self.power.is_none(), "it has power already");
        self.start(&[]);
    }

    fn context(&self, what: &str) -> String {
        let tail = |file: &str| {
            let bytes = std::fs::read(self.directory.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4000)..]).into_owned()
        };
        format!("{}: {what}\nconsole:\n{}\nlog:\n{}", self.directory.display(), tail("console.log"), tail("log"))
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.cut();
        discard(&self.directory);
    }
}

/// `text` as one word for the shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let padding = digit > chunk.len();
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if padding { '=' } else { DIGITS[index as usize].into() });
        }
    }
    text
}

/// Skips all other characters: the padding, and the mark in front of each field.
fn unbase64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 255).unwrap());
        }
    }
    bytes
}
