// SPDX-License-Identifier: MIT
//! A systemd host in namespaces, from a cached Debian tree; see `tests/host/boot`. The host ends
//! when its [`Host`] is dropped. It also ends if the test is killed, because the kernel then closes
//! the pipe on which the host's supervisor waits.

use super::{Output, cache, discard, repo, scratch};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The default timeout of a command.
const LIMIT: Duration = Duration::from_secs(60);

/// A running host.
#[derive(Debug)]
pub struct Host {
    directory: PathBuf,
    next_output: AtomicU32,
    _lifeline: ChildStdin,
}

/// The options of a host that is not booted yet.
#[derive(Debug)]
pub struct Builder {
    tree: PathBuf,
    name: String,
    options: Vec<&'static str>,
    arguments: Vec<String>,
}

impl Builder {
    /// Copies the tree `staged` over the host's root before its systemd and the generators run.
    #[must_use]
    pub fn stage(mut self, staged: &Path) -> Self {
        self.arguments.push(format!("+{}", staged.display()));
        self
    }

    /// Binds the directory `source` of the test machine at `target`, read-only.
    #[must_use]
    pub fn bind(mut self, source: &Path, target: &str) -> Self {
        self.arguments.push(format!("{}:{target}", source.display()));
        self
    }

    /// Gives the host a copy of the tree as its root instead of an overlay, which takes a second
    /// longer. This is for containers with mapped IDs of the host's own `/usr`: the kernel does not
    /// support ID-mapped mounts of overlayfs.
    #[must_use]
    pub fn copy(mut self) -> Self {
        self.options.push("-c");
        self
    }

    /// Boots the host.
    ///
    /// # Panics
    /// If the host is not up in time. The message has the end of its log and of its journal.
    #[must_use]
    pub fn boot(self) -> Host {
        let directory = scratch(&self.name);
        let mut child = Command::new(repo("tests/host/boot"))
            .arg("-l")
            .args(&self.options)
            .arg(&self.tree)
            .arg(&directory)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lifeline = child.stdin.take().unwrap();
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            discard(&directory);
            panic!("{} does not boot: {}", self.name, String::from_utf8_lossy(&output.stderr));
        }
        Host { directory, next_output: AtomicU32::new(0), _lifeline: lifeline }
    }
}

impl Host {
    /// Boots a host from the cached tree `suite`. The `name` is for people who look at the test
    /// machine meanwhile.
    #[must_use]
    pub fn boot(suite: &str, name: &str) -> Self {
        Self::builder(suite, name).boot()
    }

    /// Boots a host with the trees `overlays` copied over its root.
    #[must_use]
    pub fn boot_with(suite: &str, name: &str, overlays: &[PathBuf]) -> Self {
        let builder = Self::builder(suite, name);
        overlays.iter().fold(builder, |builder, overlay| builder.stage(overlay)).boot()
    }

    /// The options of a host from the cached tree `suite`; see [`Host::boot`].
    #[must_use]
    pub fn builder(suite: &str, name: &str) -> Builder {
        Builder { tree: cache().join(suite), name: name.to_owned(), options: Vec::new(), arguments: Vec::new() }
    }

    /// The directory of everything that the host writes: `upper` (or `copy`) for its root, `var`
    /// for its `/var`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process ID of the host's systemd in the PID namespace of the test.
    pub fn pid(&self) -> u32 {
        let pid = std::fs::read_to_string(self.directory.join("pid")).unwrap_or_default();
        pid.trim().parse().unwrap_or_else(|_| panic!("no host runs in {}", self.directory.display()))
    }

    /// Runs a shell command on the host, for at most a minute.
    pub fn run(&self, command: &str) -> Output {
        self.run_for(command, LIMIT)
    }

    /// Runs a shell command on the host, for at most `limit`; then its status is 124.
    pub fn run_for(&self, command: &str, limit: Duration) -> Output {
        self.run_with(command, limit, &[])
    }

    fn run_with(&self, command: &str, limit: Duration, input: &[u8]) -> Output {
        let seconds = limit.as_secs();
        let id = self.next_output.fetch_add(1, Ordering::Relaxed);
        // Files, not pipes: a process that the command leaves in the background may keep a pipe
        // open.
        let files = ["in", "out", "err"].map(|kind| self.directory.join(format!("command-{id}.{kind}")));
        std::fs::write(&files[0], input).unwrap();
        // The inner timeout ends the command; the outer one ends the wait for it.
        let status = Command::new("timeout")
            .args(["-k", "1", &(seconds + 10).to_string()])
            .arg(repo("tests/host/run"))
            .arg(&self.directory)
            .args(["timeout", "-k", "5", &seconds.to_string(), "bash", "-c", command])
            .stdin(File::open(&files[0]).unwrap())
            .stdout(File::create(&files[1]).unwrap())
            .stderr(File::create(&files[2]).unwrap())
            .status()
            .unwrap();
        let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        let (stdout, stderr) = (text(&files[1]), text(&files[2]));
        for file in files {
            std::fs::remove_file(file).unwrap();
        }
        Output { status: status.code().unwrap_or(255), stdout, stderr }
    }

    /// Runs a shell command on the host that must succeed, and returns its standard output.
    ///
    /// # Panics
    /// If the command fails. The message has its output and the end of the host's journal.
    pub fn ok(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(output.success(), "{}", self.context(&format!("{command}\n{output}")));
        output.stdout
    }

    /// Runs a shell command on the host that must fail, and returns both of its output streams.
    ///
    /// # Panics
    /// If the command succeeds.
    pub fn fails(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(!output.success(), "{}", self.context(&format!("must fail: {command}\n{output}")));
        output.stdout + &output.stderr
    }

    /// Writes a file on the host, and creates its directories.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let command = format!("mkdir -p \"$(dirname '{path}')\" && cat >'{path}'");
        let output = self.run_with(&command, LIMIT, content.as_ref());
        assert!(output.success(), "{}", self.context(&format!("write {path}\n{output}")));
    }

    /// Reads a file of the host.
    pub fn read(&self, path: &str) -> String {
        self.ok(&format!("cat '{path}'"))
    }

    /// Runs `command` on the host until it succeeds, and returns its standard output.
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
            let late = Instant::now() > deadline;
            assert!(!late, "{}", self.context(&format!("not after {seconds} s: {command}\n{output}")));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fetches `url` on the host until it answers, and returns the body.
    pub fn wait_http(&self, url: &str, seconds: u64) -> String {
        self.wait(&format!("curl -fsS --max-time 5 '{url}'"), seconds)
    }

    /// A program of the test machine in the host's network and PID namespace; it ends with the
    /// host. The tools that build and serve images are not in the trees.
    pub fn outside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--pid", "-t", &self.pid().to_string(), "--", program]);
        command
    }

    /// Starts such a program. Its output goes to a file in the host's directory.
    pub fn spawn_outside(&self, program: &str, arguments: &[&str]) -> Child {
        let log = File::create(self.directory.join(format!("{}.log", program.replace('/', "_")))).unwrap();
        let errors = log.try_clone().unwrap();
        let mut command = self.outside(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap()
    }

    /// Reboots the host and waits until it is up again.
    ///
    /// # Panics
    /// If the reboot takes longer than a minute.
    pub fn reboot(&self) {
        let before = self.pid();
        self.run("systemctl reboot");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_up_again(before) {
            assert!(Instant::now() < deadline, "{}", self.context("does not come back from its reboot"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_up_again(&self, before: u32) -> bool {
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let pid = text(&self.directory.join("pid"));
        pid != before.to_string()
            // Before the process has executed systemd, its root is still that of the test machine.
            && text(&Path::new("/proc").join(&pid).join("comm")) == "systemd"
            && ["running", "degraded"].contains(&self.run("systemctl is-system-running").stdout.trim())
    }

    /// The text `what`, followed by the state of the host.
    fn context(&self, what: &str) -> String {
        let jobs = self.run("systemctl list-jobs --no-legend; systemctl --failed --no-legend").stdout;
        let journal = self.run("journalctl -b -q -n 60 --no-pager -o short-monotonic").stdout;
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let directory = self.directory.display();
        format!("{directory}: {what}\njobs and failed units:\n{jobs}\njournal:\n{journal}\nlog:\n{log}")
    }

    /// Shuts the host down in order. Its files remain until the value is dropped.
    pub fn power_off(&self) {
        self.stop(&["--poweroff"]);
    }

    fn stop(&self, options: &[&str]) {
        let stop = repo("tests/host/stop");
        let status = Command::new(stop).args(options).arg(&self.directory).status();
        if !status.is_ok_and(|status| status.success()) {
            let mut stderr = std::io::stderr();
            writeln!(stderr, "{} was not stopped", self.directory.display()).ok();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop(&[]);
        discard(&self.directory);
    }
}
