// SPDX-License-Identifier: MIT
//! Helpers of the tests that use a real systemd: hosts in namespaces ([`host`]), virtual machines
//! ([`vm`]), and [`require`], which skips a test if a requirement is missing. The scripts in
//! `tests/host` and `tests/vm` do the work and can also be used by hand. Nothing is downloaded or
//! built here: `tests/prepare` does that.

#![allow(dead_code)]

pub mod containers;
pub mod host;
pub mod lan;
pub mod layout;
pub mod matrix;
pub mod packages;
pub mod random;
pub mod registry;
pub mod servers;
pub mod sign;
pub mod tiers;
pub mod versions;
pub mod vm;

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes each case a test for each system manager. A test calls the function `on(SUITE, NAME,
/// CASE)` of its file.
#[allow(unused_macros, reason = "not every file has such cases")]
macro_rules! on_every_suite {
    ($($case:ident),+ $(,)?) => {
        mod trixie {
            $(#[test] fn $case() { super::on("trixie", stringify!($case), super::$case); })+
        }

        mod forky {
            $(#[test] fn $case() { super::on("forky", stringify!($case), super::$case); })+
        }
    };
}

/// The result of a command.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit status; 128 plus the number of a signal, or 124 after a timeout.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Whether the exit status is zero.
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status: {}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Whether everything in `needs` is available. If not, this prints what is missing, and the test
/// must return. With `SDME_TEST_REQUIRE=1`, as in CI, a missing requirement is a failure.
///
/// A requirement is `root`, `cgroup2`, `build`, `tree:NAME`, `image:NAME`, `vm`,
/// `kubernetes-validate` or the name of a program.
///
/// # Panics
/// If a requirement is missing and `SDME_TEST_REQUIRE` is `1`.
pub fn require(needs: &[&str]) -> bool {
    let missing: Vec<String> = needs.iter().filter_map(|need| missing(need)).collect();
    if missing.is_empty() {
        return true;
    }
    let thread = std::thread::current();
    let line = format!("SKIP {}: {}", thread.name().unwrap_or("?"), missing.join(", "));
    assert!(std::env::var_os("SDME_TEST_REQUIRE").is_none_or(|value| value != "1"), "{line}");
    // Not `eprintln!`: the test harness captures its output and shows it only for failed tests.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{line}").unwrap();
    false
}

fn missing(need: &str) -> Option<String> {
    let prepare = "run tests/prepare";
    let (there, message) = match need.split_once(':') {
        Some(("tree", name)) => (cache().join(name).is_dir(), format!("no tree {name}: {prepare}")),
        Some(("image", name)) => (cache().join("images").join(name).is_dir(), format!("no image {name}: {prepare}")),
        _ => match need {
            "root" => (nix::unistd::geteuid().is_root(), "not root".to_owned()),
            "cgroup2" => {
                let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
                (mounts.contains(" cgroup2 "), "no cgroup2 is mounted".to_owned())
            }
            "build" => (target().join("release/sdme-gen").is_file(), "nothing is built: run make build".to_owned()),
            "kubernetes-validate" => {
                let python = cache().join("kubernetes-validate/bin/python");
                (python.is_file(), format!("no kubernetes-validate: {prepare}"))
            }
            "vm" => (cache().join("vm-disk").is_dir(), format!("no disk of a VM: {prepare} vm")),
            program => (on_path(program), format!("no program {program}")),
        },
    };
    (!there).then_some(message)
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Runs a program of the test machine that must succeed.
///
/// # Panics
/// If the program fails. The message has its standard error.
pub fn run(command: &mut std::process::Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The OCI layout that `tests/host/image` has built; its tag is `latest`.
pub fn image(name: &str) -> PathBuf {
    cache().join("images").join(name)
}

/// A path below the directory of this package.
pub fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The target directory of `make build`.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo("target"), |path| repo("").join(path))
}

/// The directory in which `tests/host/tree` keeps its trees.
pub fn cache() -> PathBuf {
    std::env::var_os("SDME_TEST_CACHE").map_or_else(|| repo("target/hosts"), PathBuf::from)
}

/// The path of a new directory for one host or machine, on a real file system. The caller creates
/// the directory.
fn scratch(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let all = repo("target/test-hosts");
    std::fs::create_dir_all(&all).unwrap();
    for entry in all.read_dir().unwrap().flatten() {
        // The directory was left by a test run that was killed.
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name.rsplit('-').nth(1).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    all.join(format!("{name}-{}-{id}", std::process::id()))
}

/// Removes the files of a host or machine, unless `SDME_TEST_KEEP` is set.
fn discard(directory: &Path) {
    if std::env::var_os("SDME_TEST_KEEP").is_none() {
        std::fs::remove_dir_all(directory).ok();
    }
}
