// SPDX-License-Identifier: MIT
//! The hosts in namespaces that the other tests use: they boot, run containers, reboot, and leave
//! nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::host::Host;
use support::require;

fn ready(suite: &str) -> bool {
    require(&["root", "cgroup2", "unshare", "setpriv", "nsenter", &format!("tree:{suite}")])
}

/// Checks that the system manager has the expected version, and that a container with the host's
/// own tree boots in the host and stops.
fn smoke(suite: &str, version: &str) {
    if !ready(suite) {
        return;
    }
    let host = Host::boot(suite, "smoke");
    assert_eq!(host.ok("systemctl is-system-running").trim(), "running", "{}", host.ok("systemctl --failed"));
    let said = host.ok("systemctl --version");
    assert!(said.starts_with(&format!("systemd {version} ")), "{said}");
    // The container's upper directory is in the host's /var, like that of the containers of
    // sdme-gen.
    host.ok("mkdir -p /var/lib/machines/inner /var/lib/up/{upper,work}
        mount -t overlay -o lowerdir=/,upperdir=/var/lib/up/upper,workdir=/var/lib/up/work none /var/lib/machines/inner
        mkdir -p /run/systemd/nspawn
        printf '[Exec]\\nPrivateUsers=no\\nNotifyReady=yes\\n[Network]\\nPrivate=yes\\nVirtualEthernet=no\\n' \
          >/run/systemd/nspawn/inner.nspawn");
    host.ok("systemctl start systemd-nspawn@inner");
    assert!(host.ok("machinectl --no-legend list").starts_with("inner "), "not registered");
    host.wait("systemctl -M inner is-system-running | grep -E 'running|degraded'", 20);
    host.ok("machinectl poweroff inner");
    host.wait("! systemctl is-active systemd-nspawn@inner", 20);
    host.ok("umount /var/lib/machines/inner");
}

#[test]
fn a_debian_13_host_boots_and_runs_a_container() {
    smoke("trixie", "257");
}

#[test]
fn a_forky_host_boots_and_runs_a_container() {
    smoke("forky", "262");
}

#[test]
fn commands_end_at_their_timeout_and_return_status_and_output() {
    if !ready("trixie") {
        return;
    }
    let host = Host::boot("trixie", "commands");
    let output = host.run("echo out; echo err >&2; exit 7");
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (7, "out\n", "err\n"));
    let start = Instant::now();
    assert_eq!(host.run_for("sleep 60", Duration::from_secs(1)).status, 124);
    host.ok("sleep 60 &");
    assert!(start.elapsed() < Duration::from_secs(10));
    host.write("/etc/a directory/file", "text\n");
    assert_eq!(host.read("/etc/a directory/file"), "text\n");
    assert!(host.directory().join("upper/etc/a directory/file").exists());
    // systemd can put a process into a unit, because the process is in the host's cgroup tree.
    host.ok("systemd-run --scope true");
    // A program of the test machine runs in the network namespace of the host.
    let mut sleep = host.spawn_outside("sleep", &["60"]);
    assert_eq!(host.ok("pgrep -cx sleep").trim(), "2");
    drop(host);
    sleep.wait().unwrap();
}

#[test]
fn staged_trees_exist_when_generators_run_and_survive_a_reboot_unchanged() {
    if !ready("trixie") {
        return;
    }
    let staged = tempfile::tempdir().unwrap();
    let generators = staged.path().join("lib/systemd/system-generators");
    std::fs::create_dir_all(&generators).unwrap();
    std::fs::create_dir_all(staged.path().join("var/lib/staged")).unwrap();
    std::fs::write(staged.path().join("var/lib/staged/file"), "staged").unwrap();
    let generator = generators.join("test-generator");
    std::fs::write(&generator, "#!/bin/sh\necho x >>/run/generated\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&generator, executable).unwrap();

    let host = Host::builder("trixie", "staged").stage(staged.path()).bind(Path::new("/usr/share"), "/srv/share");
    let host = host.boot();
    assert_eq!(host.read("/run/generated"), "x\n");
    // The generator was staged through the symbolic link /lib.
    host.ok("test -L /lib && test -d /srv/share/doc && ! touch /srv/share/x");
    assert_eq!(host.read("/var/lib/staged/file"), "staged");
    host.write("/var/lib/staged/file", "changed");
    host.ok("systemctl daemon-reload");
    assert_eq!(host.read("/run/generated"), "x\nx\n");
    host.reboot();
    assert_eq!(host.read("/run/generated"), "x\n");
    assert_eq!(host.read("/var/lib/staged/file"), "changed");
    host.ok("test -d /srv/share/doc");
    host.power_off();
}

#[test]
fn a_copied_host_can_mount_its_usr_with_mapped_ids() {
    if !ready("trixie") {
        return;
    }
    let host = Host::builder("trixie", "copy").copy().boot();
    host.ok("mkdir /srv/usr && mount --bind -o X-mount.idmap=b:0:524288:65536 /usr /srv/usr");
    assert_eq!(host.ok("stat -c %u /srv/usr/bin/true /usr/bin/true"), "524288\n0\n");
    host.ok("echo x >/usr/bin/true");
    let tree = support::cache().join("trixie");
    assert!(std::fs::metadata(tree.join("usr/bin/true")).unwrap().len() > 2, "the tree has been modified");
}

/// What is left of a host on the test machine: processes in its PID namespace, mounts, and its
/// cgroup.
fn residue(namespace: &Namespace, cgroup: &Path, directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for process in Path::new("/proc").read_dir().unwrap().flatten() {
        let path = process.path();
        let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        // A zombie does not count: if its parent was killed, the test cannot reap it.
        let zombie = stat.contains(") Z ") || stat.contains(") X ");
        if !zombie && std::fs::read_link(path.join("ns/pid")).is_ok_and(|link| link == namespace.link) {
            found.push(format!("{}: {:?}", path.display(), std::fs::read_to_string(path.join("comm"))));
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let directory = directory.to_str().unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(directory)).map(str::to_owned));
    if cgroup.exists() {
        found.push(cgroup.display().to_string());
    }
    found
}

/// A PID namespace. It is kept open, because the kernel would give its inode number to the next
/// namespace.
struct Namespace {
    link: PathBuf,
    _open: std::fs::File,
}

fn traces(host: &Host) -> (Namespace, PathBuf, PathBuf) {
    let path = format!("/proc/{}/ns/pid", host.pid());
    let namespace = Namespace { link: std::fs::read_link(&path).unwrap(), _open: std::fs::File::open(&path).unwrap() };
    let cgroup = std::fs::read_to_string(host.directory().join("cgroup")).unwrap();
    (namespace, PathBuf::from(cgroup.trim()), host.directory().to_owned())
}

#[test]
fn nothing_is_left_of_a_host_that_was_stopped() {
    if !ready("trixie") {
        return;
    }
    let host = Host::boot("trixie", "residue");
    host.ok("ip netns add leftover; mount -t tmpfs none /mnt; systemd-run -q sleep 1000");
    let (namespace, cgroup, directory) = traces(&host);
    assert!(residue(&namespace, &cgroup, &directory).len() > 2, "the check itself finds nothing");
    drop(host);
    assert_eq!(residue(&namespace, &cgroup, &directory), Vec::<String>::new());
    assert!(!directory.exists());
}

#[test]
fn nothing_runs_on_when_the_supervisor_or_the_booting_process_is_killed() {
    if !ready("trixie") {
        return;
    }
    let host = Host::boot("trixie", "killed");
    let (namespace, cgroup, directory) = traces(&host);
    let supervisor = std::fs::read_to_string(directory.join("supervisor")).unwrap();
    let kill = |pid: &str| assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
    kill(supervisor.trim());
    drop(host);
    assert_eq!(residue(&namespace, &cgroup, &directory), Vec::<String>::new());

    // Another process holds the other end of the host's pipe; the host ends when that process is
    // killed.
    let host = Host::boot("trixie", "killed");
    let mut holder = Command::new("sleep").arg("1000").stdout(Stdio::piped()).spawn().unwrap();
    let second = support::repo("target/test-hosts").join(format!("orphan-{}-0", std::process::id()));
    let boot = Command::new(support::repo("tests/host/boot"))
        .args([Path::new("-l"), &support::cache().join("trixie"), &second])
        .stdin(holder.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(boot.success());
    let cgroup = std::fs::read_to_string(second.join("cgroup")).unwrap();
    kill(&holder.id().to_string());
    holder.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while Path::new(cgroup.trim()).exists() || second.join("pid").exists() {
        assert!(Instant::now() < deadline, "the host lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The other host still runs.
    host.ok("true");
    std::fs::remove_dir_all(second).unwrap();
}
