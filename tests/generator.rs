// SPDX-License-Identifier: MIT
//! Tests the real generator program: with invalid files, without an environment, with wrong
//! arguments, and in the sandbox of systemd 257.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const GENERATOR: &str = env!("CARGO_BIN_EXE_sdme-generator");
const GOOD: &str = "[Container]\nImage=nginx\n[Install]\nWantedBy=machines.target\n";

/// Runs the generator on `config`. Its environment has only the path of the configuration.
fn generate(config: &Path, output: &Path) -> Output {
    fs::create_dir(output).unwrap();
    let mut child = Command::new(GENERATOR);
    child.args([output, output, output]).env_clear().env("SDME_UNIT_DIRS", config);
    let began = Instant::now();
    let out = child.output().unwrap();
    // The limit is generous for busy machines; systemd's own limit is 90 s.
    assert!(began.elapsed() < Duration::from_secs(20), "took {:?}", began.elapsed());
    out
}

/// Returns all files and links below `directory` with their contents and targets.
fn tree(directory: &Path) -> BTreeMap<String, String> {
    let entries = walkdir::WalkDir::new(directory).into_iter().map(Result::unwrap).filter(|e| !e.file_type().is_dir());
    entries
        .map(|e| {
            let path = e.path().strip_prefix(directory).unwrap().display().to_string();
            let content = if e.path_is_symlink() {
                fs::read_link(e.path()).unwrap().display().to_string()
            } else {
                fs::read_to_string(e.path()).unwrap()
            };
            (path, content)
        })
        .collect()
}

/// The name of a file, a function that creates it, the line of its diagnostic, and the start of the
/// message.
type Broken = (&'static str, fn(&Path), u32, &'static str);

fn text(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
}

const BROKEN: [Broken; 28] = [
    ("header", |p| text(p, "[Container\nImage=a\n"), 1, "invalid section header"),
    ("no-section", |p| text(p, "Image=a\n"), 1, "Image= stands before any section"),
    ("no-equals", |p| text(p, "[Container]\nImage\n"), 2, "the line is not an assignment"),
    ("no-key", |p| text(p, "[Container]\n=a\n"), 2, "the key before the = is missing"),
    ("bom-and-typo", |p| text(p, "\u{feff}[Container]\nImagee=a\n"), 2, "unknown key Imagee="),
    ("binary", |p| text(p, b"\x7fELF\x02\x01\x01\0\xff\xfe"), 1, "the line is not UTF-8"),
    ("latin1", |p| text(p, b"[Container]\n\nImage=\xe9\n"), 3, "the line is not UTF-8"),
    ("nul", |p| text(p, b"[Container]\nImage=a\0b\n"), 2, "the line has the control character"),
    ("huge", |p| text(p, vec![b'#'; 10 << 20]), 1, "the file has more than 1048576 bytes"),
    ("dangling", |p| symlink("/nowhere/at/all", p).unwrap(), 1, "this is a dangling symbolic link"),
    ("loop", |p| symlink(p, p).unwrap(), 1, "the file cannot be read: Too many levels"),
    ("directory", |p| fs::create_dir(p).unwrap(), 1, "this is a directory"),
    ("fifo", |p| nix::unistd::mkfifo(p, nix::sys::stat::Mode::S_IRWXU).unwrap(), 1, "this is not a regular file"),
    ("unreadable", |p| symlink("/proc/self/mem", p).unwrap(), 1, "the file cannot be read: Input/output error"),
    ("section", |p| text(p, "[Container]\nImage=a\n[Contaner]\n"), 3, "unknown section [Contaner]"),
    ("unknown-key", |p| text(p, "[Container]\nImage=a\nPublshPort=1\n"), 3, "unknown key PublshPort="),
    ("quadlet-key", |p| text(p, "[Container]\nImage=a\nRootfs=b\n"), 3, "Rootfs= is a key of Quadlet"),
    ("wrong-type", |p| text(p, "[Container]\nImage=a\nMode=maybe\n"), 3, "Mode=maybe is not one of"),
    ("quote", |p| text(p, "[Container]\nImage=a\nExec=\"b\n"), 3, "Exec=: the quote \" is never closed"),
    ("variable", |p| text(p, "[Container]\nImage=a\nEnvironment=;A=b\n"), 3, "Environment=: \";A\" is not the name"),
    ("reference", |p| text(p, "[Container]\nImage=UPPER\n"), 2, "invalid image reference"),
    ("missing-image", |p| text(p, "[Container]\nImage=nowhere.image\n"), 2, "there is no nowhere.image"),
    ("missing-unit", |p| text(p, "[Unit]\nAfter=nobody.container\n[Container]\n"), 2, "there is no nobody.container"),
    ("cycle-a", |p| text(p, "[Unit]\nAfter=cycle-b.container\n[Container]\n"), 1, "cycle-a.container waits for itself"),
    ("cycle-b", |p| text(p, "[Unit]\nAfter=cycle-a.container\n[Container]\n"), 1, "cycle-b.container waits for itself"),
    ("alias", |p| text(p, "[Container]\n[Install]\nAlias=good.service\n"), 3, "Alias= is not possible"),
    ("taken", |p| text(p, "[Container]\n[Service]\nExecStart=/bin/true\n"), 3, "ExecStart= cannot be set"),
    ("install", |p| text(p, "[Container]\n[Install]\nWantedBy=%i.target\n"), 3, "WantedBy=%i.target: specifiers"),
];

#[test]
fn broken_files_fail_alone_with_a_diagnostic_and_a_stub() {
    let work = tempfile::tempdir().unwrap();
    let [alone, among] = ["alone", "among"].map(|d| work.path().join(d));
    for directory in [&alone, &among] {
        fs::create_dir(directory).unwrap();
        text(&directory.join("good.container"), GOOD);
    }
    for (name, make, ..) in BROKEN {
        make(&among.join(format!("{name}.container")));
    }
    let first = generate(&alone, &work.path().join("out-alone"));
    assert!(first.status.success() && first.stderr.is_empty(), "{first:?}");
    let good = tree(&work.path().join("out-alone"));
    assert!(good.len() >= 4, "{good:?}");

    let second = generate(&among, &work.path().join("out-among"));
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    let all = tree(&work.path().join("out-among"));
    let strip = |s: &String| s.replace(&among.display().to_string(), "").replace(&alone.display().to_string(), "");
    for (path, content) in &good {
        assert_eq!(all.get(path).map(strip), Some(strip(content)), "{path}");
    }

    let stderr = String::from_utf8(second.stderr).unwrap();
    for (name, _, line, message) in BROKEN {
        let diagnostic = format!("{}/{name}.container:{line}: {message}", among.display());
        let found: Vec<&str> = stderr.lines().filter(|l| l.starts_with(&diagnostic)).collect();
        assert_eq!(found.len(), 1, "{diagnostic}\n{stderr}");
        let stub = &all[&format!("systemd-nspawn@{name}.service")];
        let command = stub.lines().find(|l| l.starts_with("ExecStart=/")).expect(stub);
        assert!(command.contains(" rejected ") && command.contains(&format!("{name}.container:{line}: ")), "{stub}");
        assert!(stub.contains("\nType=oneshot\n"), "{stub}");
        assert!(stub.contains("\nDescription="), "{stub}");
    }
    assert_eq!(stderr.lines().count(), BROKEN.len(), "{stderr}");
}

/// Many files are read and written by two threads, which share the directories of links.
#[test]
fn many_containers_have_the_units_that_each_has_alone() {
    const COUNT: usize = 200;
    let work = tempfile::tempdir().unwrap();
    let generated = |indices: Range<usize>| {
        let [config, output] = ["config", "output"].map(|kind| work.path().join(format!("{kind}-{indices:?}")));
        fs::create_dir(&config).unwrap();
        for index in indices {
            let container = format!("{GOOD}[Container]\nNetwork=private\nPublishPort={}:80\n", 8000 + index);
            text(&config.join(format!("web-{index}.container")), container);
        }
        let out = generate(&config, &output);
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        let here = config.display().to_string();
        tree(&output).into_iter().map(move |(path, content)| (path, content.replace(&here, "")))
    };
    let all: BTreeMap<String, String> = generated(0..COUNT).collect();
    let mut expected = BTreeMap::new();
    for (path, content) in (0..COUNT).flat_map(|index| generated(index..index + 1)) {
        // The unit of the image names the first file that uses the image.
        expected.entry(path).or_insert(content);
    }
    assert!(expected.len() > 4 * COUNT, "{}", expected.len());
    assert!(
        all == expected,
        "{:?}",
        all.keys().filter(|path| all.get(*path) != expected.get(*path)).collect::<Vec<_>>()
    );
}

#[test]
fn invalid_drop_ins_and_sdme_conf_are_reported() {
    let work = tempfile::tempdir().unwrap();
    let config = work.path().join("config");
    fs::create_dir_all(config.join("bad.container.d")).unwrap();
    text(&config.join("good.container"), "[Container]\nImage=nginx\nBase=host\n");
    text(&config.join("bad.container"), GOOD);
    symlink("/nowhere", config.join("bad.container.d/x.conf")).unwrap();
    text(&config.join("sdme.conf"), "[Defaults]\nBaseFS=x\n");
    let out = generate(&config, &work.path().join("out"));
    assert_eq!(out.status.code(), Some(0));
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert!(stderr.contains("bad.container.d/x.conf:1: this is a dangling symbolic link"), "{stderr}");
    assert!(stderr.contains("sdme.conf:2: unknown key BaseFS= in [Defaults]; did you mean BaseFs?"), "{stderr}");
    let all = tree(&work.path().join("out"));
    assert!(all["systemd-nspawn@bad.service"].contains(" rejected "));
    assert!(all.contains_key("systemd-nspawn@good.service"));
}

#[test]
fn wrong_arguments_and_missing_directories_write_nothing() {
    let run = |arguments: &[&str]| Command::new(GENERATOR).args(arguments).env_clear().output().unwrap();
    assert_eq!(run(&[]).status.code(), Some(2));
    assert_eq!(run(&["a", "b"]).status.code(), Some(2));
    let work = tempfile::tempdir().unwrap();
    text(&work.path().join("good.container"), GOOD);
    let in_initrd = Command::new(GENERATOR)
        .arg(work.path().join("out"))
        .env_clear()
        .env("SDME_UNIT_DIRS", work.path())
        .env("SYSTEMD_IN_INITRD", "1")
        .output()
        .unwrap();
    assert!(in_initrd.status.success());
    assert!(!work.path().join("out").exists());
    // Neither configuration files nor their directories exist.
    let nothing = generate(&work.path().join("no-such-directory"), &work.path().join("out"));
    assert!(nothing.status.success() && nothing.stderr.is_empty());
    assert!(tree(&work.path().join("out")).is_empty());
}

/// The sandbox of generators since systemd 253: a private mount namespace in which everything
/// except `/sys`, `/run`, `/proc`, `/dev/shm` and `/tmp` is read-only. In this test, `/var` is an
/// empty directory as well.
#[test]
fn in_the_sandbox_and_without_var() {
    let work = tempfile::Builder::new().prefix("sdme-generator-").tempdir_in("/dev/shm").unwrap();
    let config = work.path().join("config");
    fs::create_dir(&config).unwrap();
    text(&config.join("good.container"), GOOD);
    text(&config.join("bad.container"), "[Container]\nImag=a\n");
    fs::create_dir(work.path().join("out")).unwrap();
    let script = "mount -t tmpfs tmpfs /var && mount -o remount,ro,bind /var && mount --bind / / 2>/dev/null; \
                  mount -o remount,ro,bind / || exit 99; touch /etc/x 2>/dev/null && exit 98; \
                  exec \"$0\" \"$1\" \"$1\" \"$1\"";
    let out = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, GENERATOR])
        .arg(work.path().join("out"))
        .env("SDME_UNIT_DIRS", &config)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    if stderr.contains("unshare failed") {
        assert!(std::env::var_os("SDME_TEST_REQUIRE").is_none(), "{stderr}");
        eprintln!("SKIP in_the_sandbox_and_without_var: no user namespaces ({})", stderr.trim());
        return;
    }
    assert_eq!(out.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("bad.container:2: unknown key Imag="), "{stderr}");
    let all = tree(&work.path().join("out"));
    assert!(all.contains_key("machines.target.wants/systemd-nspawn@good.service"));
    assert!(all["systemd-nspawn@bad.service"].contains(" rejected "));
}
