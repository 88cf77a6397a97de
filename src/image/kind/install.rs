// SPDX-License-Identifier: MIT
//! Installs systemd into an unpacked base that lacks it, with the package manager of the base.
//!
//! The installation runs programs of the image, which are treated as hostile: they run in a
//! container of systemd-nspawn with its own user namespace and few capabilities, on a directory
//! that nothing else uses yet. The container shares the network of the host, because packages are
//! downloaded, and nothing else. This module must not decide what an image is.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fchmod};
use nix::unistd::write;

use super::mode::has_systemd;
use crate::config::values::install::{Family, InstallSetting, Installers};
use crate::diag::Fault;
use crate::image::progress::Progress;
use crate::rootdir::tree::{self, Tree, kind_of, lookup};

/// Maximum size of os-release in bytes.
const MAX_OS_RELEASE: u64 = 64 << 10;
/// Maximum length in bytes of a displayed line of a package manager.
const MAX_LINE: u64 = 4 << 10;
/// Number of lines that the error message repeats if the installation fails.
const LAST_LINES: usize = 10;

/// The capabilities that are removed from the default of systemd-nspawn. Package managers only need
/// those to write files of several owners, with setuid bits and file capabilities, and to become
/// another user.
const DROPPED: &str = "CAP_AUDIT_CONTROL,CAP_AUDIT_WRITE,CAP_DAC_READ_SEARCH,CAP_IPC_OWNER,CAP_LEASE,\
    CAP_LINUX_IMMUTABLE,CAP_MKNOD,CAP_NET_BIND_SERVICE,CAP_NET_BROADCAST,CAP_NET_RAW,CAP_SYS_ADMIN,CAP_SYS_BOOT,\
    CAP_SYS_NICE,CAP_SYS_PTRACE,CAP_SYS_RESOURCE,CAP_SYS_TTY_CONFIG";

/// The variable in which `sdme-image@.service` passes the name of the unit.
const UNIT: &str = "SDME_UNIT";

/// The variables that configure proxies.
const PROXIES: [&str; 8] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"];

/// `machinectl shell` and `machinectl login` open PAM sessions under this name
/// (container-shell@.service).
const PAM_LOGIN: &str = "auth sufficient pam_rootok.so\nauth required pam_unix.so\naccount required pam_unix.so\n\
    session required pam_unix.so\n";

/// Paths of the programs that implement a message bus.
const BUSES: [&[u8]; 2] = [b"usr/bin/dbus-daemon", b"usr/bin/dbus-broker"];

/// The options for the installation of missing packages in a base.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The value of `InstallPackages=`.
    pub setting: InstallSetting,
    /// The commands that install packages.
    pub installers: &'a Installers,
}

/// Installs systemd if it is missing. Returns the command that was run, or `None` if none was.
///
/// # Errors
/// Returns an error if systemd cannot be installed into the distribution, or if the installation
/// fails. The tree can then only be removed.
pub(crate) fn complete(
    rootfs: &Path,
    tree: &Tree,
    wanted: Options<'_>,
    progress: &dyn Progress,
) -> Result<Option<String>> {
    let has_bus = || BUSES.iter().any(|path| tree.is_executable(path));
    let done = match wanted.setting {
        InstallSetting::No => true,
        InstallSetting::Auto => has_systemd(tree),
        InstallSetting::Yes => has_systemd(tree) && has_bus(),
    };
    if done {
        return Ok(None);
    }
    let os_release = [&b"etc/os-release"[..], b"usr/lib/os-release"]
        .iter()
        .find_map(|path| tree.read_file(path, MAX_OS_RELEASE).transpose())
        .transpose()
        .context("reading os-release")?
        .unwrap_or_default();
    let family = Family::of(&String::from_utf8_lossy(&os_release))
        .map_err(|why| anyhow!("the image has no systemd, and none can be installed: {why}"))?;
    let command = wanted.installers.command(family);
    progress.message(&format!("the image has no systemd; installing it: {command}"));
    let before = Before::look(tree)?;
    run(rootfs, command, progress).context("installing systemd (InstallPackages=no forbids it)")?;
    if !has_systemd(tree) {
        bail!("`{command}` succeeded, but the image still has no systemd");
    }
    repair(tree, &before).context("after the installation of systemd")?;
    Ok(Some(command.to_owned()))
}

/// Returns the command that runs in front of `systemd-nspawn`. `sdme-image@.service` denies its
/// processes the mounts, namespaces and capabilities that systemd-nspawn needs, so the service
/// manager starts systemd-nspawn in a transient unit without these limits. In both cases the
/// container ends with the import, even if the import is killed.
fn separate() -> Command {
    let Ok(unit) = std::env::var(UNIT) else {
        let mut direct = Command::new("setpriv");
        direct.args(["--pdeathsig", "KILL"]);
        return direct;
    };
    let mut separate = Command::new("systemd-run");
    separate
        .args(["--quiet", "--wait", "--pipe", "--collect", "--service-type=exec", "--expand-environment=no"])
        .arg("--description=Package manager of an image")
        // systemd-run interprets backslashes as escapes, and unit names contain backslashes
        // (`nginx\x40sha256:...`).
        .arg(format!("--property=BindsTo={}", unit.replace('\\', r"\\")));
    for name in PROXIES.iter().filter(|name| std::env::var_os(name).is_some()) {
        separate.arg(format!("--setenv={name}"));
    }
    separate
}

fn run(rootfs: &Path, command: &str, progress: &dyn Progress) -> Result<()> {
    let (output, end) = std::io::pipe().context("making a pipe")?;
    let mut nspawn = separate();
    nspawn
        .args(["systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit"])
        .args(["--as-pid2", "--pipe", "--link-journal=no", "--timezone=off", "--resolv-conf=off"])
        .args(["--no-new-privileges=yes", "--private-users=pick", "--private-users-ownership=map"])
        .arg(format!("--machine=sdme-install-{}", std::process::id()))
        .arg(format!("--drop-capability={DROPPED}"))
        .arg(format!("--directory={}", rootfs.display()))
        .args(["--setenv=DEBIAN_FRONTEND=noninteractive", "--setenv=LC_ALL=C.UTF-8"]);
    for name in PROXIES.iter().filter(|name| std::env::var_os(name).is_some()) {
        nspawn.arg(format!("--setenv={name}"));
    }
    if let Ok(resolver) = fs::canonicalize("/etc/resolv.conf") {
        nspawn.arg(format!("--bind-ro={}:/etc/resolv.conf", resolver.display()));
    }
    nspawn.args(["/bin/sh", "-c", command]).stdin(Stdio::null());
    nspawn.stdout(end.try_clone().context("making a pipe")?).stderr(end);
    let mut child = nspawn.spawn().context("starting the container of the package manager")?;
    // The command keeps the write end of the pipe open until it is dropped.
    drop(nspawn);
    let mut last = Vec::new();
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        output.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).context("reading what is installed")?;
        if line.is_empty() {
            break;
        }
        let text: String = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
        if !text.is_empty() {
            progress.message(&format!("  {text}"));
            last.push(text);
            last.drain(..last.len().saturating_sub(LAST_LINES));
        }
    }
    let status = child.wait().context("waiting for systemd-nspawn")?;
    if !status.success() {
        if status.code() == Some(127) && last.is_empty() {
            bail!(Fault::new("systemd-nspawn is not there", "install systemd-container"));
        }
        bail!("`{command}` failed ({status}), and its last words: {}", last.join(" / "));
    }
    Ok(())
}

/// The state before the installation, as far as it decides what is cleaned up.
struct Before {
    resolver: bool,
}

impl Before {
    fn look(tree: &Tree) -> Result<Self> {
        Ok(Self { resolver: find(tree, b"etc", b"resolv.conf")?.is_some() })
    }
}

fn find(tree: &Tree, dir: &[u8], file: &[u8]) -> Result<Option<nix::sys::stat::FileStat>> {
    tree.open_dir(dir).ok().map(|dir| lookup(dir, file)).transpose().map(Option::flatten).map_err(Into::into)
}

fn remove(tree: &Tree, dir: &[u8], file: &[u8]) -> Result<()> {
    let Ok(dir) = tree.open_dir(dir) else { return Ok(()) };
    tree::remove(dir, file).with_context(|| format!("removing `{}`", file.escape_ascii()))
}

/// Removes the traces of this installation, and repairs settings that keep an application image
/// from working as a system.
fn repair(tree: &Tree, before: &Before) -> Result<()> {
    // All containers of this base would share the machine ID.
    remove(tree, b"etc", b"machine-id")?;
    remove(tree, b"var/lib/dbus", b"machine-id")?;
    // The bind mount of resolv.conf leaves an empty file behind.
    let left = find(tree, b"etc", b"resolv.conf")?;
    if !before.resolver && left.is_some_and(|stat| kind_of(&stat) == SFlag::S_IFREG && stat.st_size == 0) {
        remove(tree, b"etc", b"resolv.conf")?;
    }
    // Application images mask units that applications do not need.
    if let Ok(units) = tree.open_dir(b"etc/systemd/system") {
        for unit in ["systemd-logind.service", "systemd-resolved.service"] {
            if readlinkat(&units, unit).is_ok_and(|target| target == "/dev/null") {
                tree::remove(&units, unit.as_bytes()).with_context(|| format!("unmasking {unit}"))?;
            }
        }
    }
    let mut places = [&b"etc/pam.d"[..], b"usr/lib/pam.d", b"usr/etc/pam.d"].into_iter();
    if !places.any(|place| find(tree, place, b"login").is_ok_and(|found| found.is_some())) {
        let dir = tree.ensure_dir(b"etc/pam.d", &mut ()).context("making etc/pam.d")?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&dir, "login", flags, Mode::from_bits_truncate(0o644)).context("making etc/pam.d/login")?;
        fchmod(&file, Mode::from_bits_truncate(0o644))?;
        write(file.as_fd(), PAM_LOGIN.as_bytes()).context("writing etc/pam.d/login")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::image::progress::Silent;

    #[test]
    fn traces_of_an_installation_are_removed_and_existing_files_kept() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        let tree = Tree::open(dir.path()).unwrap();
        for path in ["etc/systemd/system", "var/lib/dbus"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        let before = Before::look(&tree).unwrap();
        for path in ["etc/machine-id", "etc/resolv.conf", "var/lib/dbus/machine-id"] {
            fs::write(at(path), "").unwrap();
        }
        symlink("/dev/null", at("etc/systemd/system/systemd-logind.service")).unwrap();
        symlink("/dev/null", at("etc/systemd/system/getty.target")).unwrap();
        repair(&tree, &before).unwrap();
        for gone in ["etc/machine-id", "etc/resolv.conf", "etc/systemd/system/systemd-logind.service"] {
            assert!(at(gone).symlink_metadata().is_err(), "{gone}");
        }
        assert!(at("etc/systemd/system/getty.target").is_symlink());
        assert_eq!(fs::read_to_string(at("etc/pam.d/login")).unwrap(), PAM_LOGIN);
        // Existing files are kept.
        fs::write(at("etc/pam.d/login"), "own").unwrap();
        fs::write(at("etc/resolv.conf"), "").unwrap();
        repair(&tree, &Before::look(&tree).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(at("etc/pam.d/login")).unwrap(), "own");
        assert!(at("etc/resolv.conf").exists());
    }

    #[test]
    fn an_installation_is_refused_before_anything_runs() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let installers = Installers::default();
        let complete = |setting| complete(dir.path(), &tree, Options { setting, installers: &installers }, &Silent);
        assert_eq!(complete(InstallSetting::No).unwrap(), None);
        assert!(complete(InstallSetting::Auto).unwrap_err().to_string().contains("does not name it"));
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/os-release"), "ID=alpine\n").unwrap();
        assert!(complete(InstallSetting::Yes).unwrap_err().to_string().contains("Alpine Linux has no systemd"));
    }
}
