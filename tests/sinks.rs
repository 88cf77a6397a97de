// SPDX-License-Identifier: MIT
//! `render`, the generator and `apply` write the same bytes; `apply` changes only its own files;
//! also `check` and wrong command lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fixtures;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fixtures::fixtures;

const TOOL: &str = env!("CARGO_BIN_EXE_sdme-gen");
const GENERATOR: &str = env!("CARGO_BIN_EXE_sdme-generator");

fn run(program: &str, unit_dirs: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env("SDME_UNIT_DIRS", unit_dirs).output().unwrap()
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The files and symbolic links below a directory, by relative path.
fn tree(directory: &Path) -> BTreeMap<PathBuf, String> {
    let entries =
        walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok).filter(|e| !e.file_type().is_dir());
    entries
        .map(|e| {
            let content = match fs::read_link(e.path()) {
                Ok(target) => format!("-> {}", target.display()),
                Err(_) => fs::read_to_string(e.path()).unwrap(),
            };
            (e.path().strip_prefix(directory).unwrap().to_owned(), content)
        })
        .collect()
}

#[test]
fn render_generator_and_apply_write_the_same_files() {
    for fixture in fixtures() {
        let work = tempfile::tempdir().unwrap();
        let [rendered, generated, applied, root] = ["r", "g", "a", "empty"].map(|d| work.path().join(d));
        for directory in [&generated, &applied, &root] {
            fs::create_dir(directory).unwrap();
        }
        let dirs = fixture.unit_dirs();
        let path = |p: &Path| p.display().to_string();

        let render = run(TOOL, &dirs, &["render", "--root", &path(&root), "--output", &path(&rendered)]);
        let generate = run(GENERATOR, &dirs, &[&path(&generated)]);
        let apply = run(TOOL, &dirs, &["apply", "--root", &path(&applied)]);
        assert_eq!(generate.status.code(), Some(0), "{}: {}", fixture.name, stderr(&generate));
        // Only the tool reads the seccomp profile and reports that it is missing; the units of the
        // generator do not depend on it.
        let said = stderr(&render);
        let by_both: String = said
            .split_inclusive('\n')
            .filter(|line| !line.contains(": SeccompProfile=/etc/sdme/deny.json cannot be"))
            .collect();
        assert_eq!(by_both, stderr(&generate), "{}", fixture.name);

        let units = tree(&rendered.join("etc/systemd/system"));
        assert!(!units.is_empty(), "{}", fixture.name);
        assert_eq!(units, tree(&generated), "{}", fixture.name);
        let printed = run(TOOL, &dirs, &["render", "--root", &path(&root)]);
        let printed = String::from_utf8(printed.stdout).unwrap();
        for (name, content) in tree(&rendered) {
            let mode = fs::symlink_metadata(rendered.join(&name)).unwrap().permissions().mode() & 0o777;
            let block = match content.strip_prefix("-> ") {
                Some(target) => format!("---/{} -> {target}---\n", name.display()),
                None if mode == 0o600 => format!("---/{} (0600)---\n{content}\n", name.display()),
                None => format!("---/{}---\n{content}\n", name.display()),
            };
            assert!(printed.contains(&block), "{}: {block}", fixture.name);
        }

        let whole = render.status.success();
        assert_eq!(apply.status.success(), whole, "{}: {}", fixture.name, stderr(&apply));
        if whole {
            assert_eq!(units, tree(&applied.join("etc/systemd/system")), "{}", fixture.name);
            assert_eq!(tree(&rendered.join("etc/systemd/nspawn")), tree(&applied.join("etc/systemd/nspawn")));
            let again = run(TOOL, &dirs, &["apply", "--root", &path(&applied)]);
            assert!(again.status.success() && again.stdout.is_empty(), "{}: {again:?}", fixture.name);
        } else {
            assert!(tree(&applied).is_empty(), "{}: a bad configuration was applied", fixture.name);
            assert!(stderr(&apply).contains("nothing was changed"), "{}", stderr(&apply));
        }
    }
}

/// A root directory with its own configuration.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/sdme")).unwrap();
        Self(root)
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    fn container(&self, name: &str, text: &str) {
        fs::write(self.path(&format!("etc/sdme/{name}.container")), text).unwrap();
    }

    fn run(&self, verb: &str, more: &[&str]) -> Output {
        let root = self.0.path().display().to_string();
        let mut arguments = vec![verb, "--root", &root];
        arguments.extend(more);
        Command::new(TOOL).args(arguments).env_remove("SDME_UNIT_DIRS").output().unwrap()
    }

    fn apply(&self) -> String {
        let out = self.run("apply", &[]);
        assert!(out.status.success(), "{}", stderr(&out));
        String::from_utf8(out.stdout).unwrap()
    }
}

const WANTED: &str = "[Container]\nImage=nginx\n[Install]\nWantedBy=machines.target\n";

#[test]
fn apply_removes_what_it_wrote_and_nothing_else() {
    let root = Root::new();
    root.container("web", WANTED);
    root.container("db", "[Container]\nImage=redis\n");
    let foreign = root.path("etc/systemd/system/machines.target.wants/other.service");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "theirs").unwrap();

    let planned = root.run("apply", &["--dry-run"]);
    assert!(!root.path("etc/systemd/nspawn").exists());
    assert_eq!(String::from_utf8(planned.stdout).unwrap(), root.apply());
    assert!(root.path("etc/systemd/nspawn/web.nspawn").exists());

    fs::remove_file(root.path("etc/sdme/web.container")).unwrap();
    let changes = root.apply();
    let removed = format!("remove {}/", root.path("etc/systemd").display());
    assert!(changes.lines().all(|line| line.starts_with(&removed)), "{changes}");
    let left: Vec<String> = tree(&root.path("etc/systemd")).into_keys().map(|p| p.display().to_string()).collect();
    assert!(!left.iter().any(|p| p.contains("web")), "{left:?}");
    assert!(left.iter().any(|p| p.contains("db.nspawn")), "{left:?}");
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "theirs");
    assert_eq!(root.apply(), "");
}

#[test]
fn apply_refuses_to_replace_files_that_are_not_its_own() {
    let root = Root::new();
    root.container("web", WANTED);
    let settings = root.path("etc/systemd/nspawn/web.nspawn");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(&settings, "theirs").unwrap();
    let before = tree(&root.path("etc/systemd"));
    let refused = root.run("apply", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains(&settings.display().to_string()), "{}", stderr(&refused));
    assert_eq!(tree(&root.path("etc/systemd")), before);

    // A file that `apply` wrote and a person edited is neither replaced nor removed.
    fs::remove_file(&settings).unwrap();
    root.apply();
    fs::write(&settings, "edited").unwrap();
    root.container("web", "[Container]\nImage=nginx\nHostName=other\n");
    assert_eq!(root.run("apply", &[]).status.code(), Some(1));
    fs::remove_file(root.path("etc/sdme/web.container")).unwrap();
    assert_eq!(root.run("apply", &[]).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&settings).unwrap(), "edited");
    assert!(root.path("etc/systemd/system/systemd-nspawn@web.service").exists());
}

/// Earlier versions wrote a drop-in for systemd's template; now a whole unit file is written.
#[test]
fn apply_replaces_the_drop_in_of_an_earlier_version() {
    let root = Root::new();
    root.container("web", WANTED);
    let directory = root.path("etc/systemd/system/systemd-nspawn@web.service.d");
    fs::create_dir_all(&directory).unwrap();
    let text = "[Service]\nExecStartPre=+/usr/bin/sdme-gen prepare %i\n";
    fs::write(directory.join("10-sdme.conf"), text).unwrap();
    fs::write(directory.join("override.conf"), "[Service]\nNice=1\n").unwrap();
    let path = "etc/systemd/system/systemd-nspawn@web.service.d/10-sdme.conf";
    fs::write(root.path("etc/systemd/sdme-gen.applied"), format!("{}\t{path}\n", sha256(text))).unwrap();
    let changes = root.apply();
    assert!(changes.contains(&format!("remove {}\n", root.path(path).display())), "{changes}");
    assert!(root.path("etc/systemd/system/systemd-nspawn@web.service").exists());
    assert!(!directory.join("10-sdme.conf").exists() && directory.join("override.conf").exists());
    assert_eq!(root.apply(), "");

    // A drop-in that is not in the list of applied files belongs to the administrator.
    fs::write(directory.join("10-sdme.conf"), text).unwrap();
    assert_eq!(root.apply(), "");
    assert!(directory.join("10-sdme.conf").exists());
}

/// A symbolic link inside the tree is resolved below the root, not on the machine that builds the
/// image.
#[test]
fn apply_stays_below_its_root() {
    let root = Root::new();
    let outside = tempfile::tempdir().unwrap();
    root.container("web", WANTED);
    fs::create_dir_all(root.path("etc/systemd")).unwrap();
    symlink(outside.path(), root.path("etc/systemd/system")).unwrap();
    let out = root.run("apply", &[]);
    assert!(tree(outside.path()).is_empty(), "{}", stderr(&out));
    // The link is followed below the root.
    let inside = outside.path().strip_prefix("/").unwrap().join("systemd-nspawn@web.service");
    assert!(root.path(inside.to_str().unwrap()).is_file(), "{}", stderr(&out));
}

#[test]
fn check_names_every_problem_and_changes_nothing() {
    let root = Root::new();
    root.container("web", WANTED);
    assert!(root.run("check", &[]).status.success());
    root.container("one", "[Container]\nImag=a\nExe=b\n");
    root.container("two", "[Containr]\n");
    let before = tree(&root.path(""));
    let out = root.run("check", &[]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(
        stderr(&out),
        "/etc/sdme/one.container:2: unknown key Imag= in [Container]; did you mean Image? [S204]\n\
         /etc/sdme/one.container:3: unknown key Exe= in [Container]; did you mean Exec? [S204]\n\
         /etc/sdme/two.container:1: unknown section [Containr] in a .container file; did you mean Container? [S203]\n"
    );
    assert_eq!(tree(&root.path("")), before);
}

#[test]
fn check_fails_for_a_warning_only_if_it_is_strict() {
    let root = Root::new();
    root.container("web", "[Container]\nImage=nginx\nSeccompProfile=/etc/nothere.json\n");
    let out = root.run("check", &[]);
    assert!(out.status.success() && stderr(&out).contains("there is no such file"), "{}", stderr(&out));
    assert_eq!(root.run("check", &["--strict"]).status.code(), Some(1));
    root.container("web", WANTED);
    assert!(root.run("check", &["--strict"]).status.success());
}

/// A profile may be a symbolic link to another file of the tree.
#[test]
fn links_to_profiles_stay_below_the_root() {
    let root = Root::new();
    root.container("web", "[Container]\nImage=nginx\nSeccompProfile=/etc/linked.json\n");
    fs::create_dir_all(root.path("etc/profiles")).unwrap();
    symlink("/etc/profiles/own.json", root.path("etc/linked.json")).unwrap();
    assert!(stderr(&root.run("check", &[])).contains("there is no such file"));
    let profile =
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}"#;
    fs::write(root.path("etc/profiles/own.json"), profile).unwrap();
    assert_eq!(stderr(&root.run("check", &["--strict"])), "");
    // A file of this machine is not read.
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(&outside, profile).unwrap();
    fs::remove_file(root.path("etc/linked.json")).unwrap();
    symlink(outside.path(), root.path("etc/linked.json")).unwrap();
    assert!(stderr(&root.run("check", &[])).contains("there is no such file"));
}

#[test]
fn create_writes_the_keys_of_its_options_for_health() {
    let root = Root::new();
    let options = ["web", "-i", "nginx", "--health-cmd", "curl -f localhost || exit 1", "--health-interval", "5s"];
    let more = ["--health-retries", "2", "--health-start-period", "1m", "--health-on-failure", "restart"];
    let out = root.run("create", &[&options[..], &more].concat());
    assert!(out.status.success(), "{}", stderr(&out));
    assert_eq!(
        fs::read_to_string(root.path("etc/sdme/web.container")).unwrap(),
        "[Container]\nImage=nginx\nHealthCmd=curl -f localhost || exit 1\nHealthInterval=5s\nHealthRetries=2\n\
         HealthStartPeriod=1m\nHealthOnFailure=restart\n"
    );
    let out = root.run("create", &["two", "-i", "nginx", "--health-http", "/", "--health-tcp", "80"]);
    assert!(!out.status.success() && stderr(&out).contains("cannot be used with"), "{}", stderr(&out));
}

#[test]
fn the_command_line_has_the_usual_options_and_exit_statuses() {
    let run = |arguments: &[&str]| Command::new(TOOL).args(arguments).output().unwrap();
    assert_eq!(run(&["--version"]).stdout, format!("sdme-gen {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
    assert!(run(&["--help"]).status.success());
    assert_eq!(run(&["no-such-verb"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
    let rejected = run(&["rejected", "a:1: b", "a:2: c"]);
    assert_eq!(rejected.status.code(), Some(1));
    assert_eq!(stderr(&rejected), "a:1: b\na:2: c\n");
}

#[test]
fn errors_are_printed_without_control_characters() {
    let root = tempfile::tempdir().unwrap();
    let source = "oci:/missing\x1b[2J\n<0>forged";
    let output = run(TOOL, "", &["fs", "import", "x", source, "--root", &root.path().display().to_string()]);
    let printed = stderr(&output);
    assert!(!output.status.success() && printed.contains("\\u{1b}[2J\\n<0>forged"), "{printed}");
    assert!(!printed.trim_end_matches('\n').contains(char::is_control), "{printed:?}");
}

#[test]
fn render_shows_one_container_and_where_its_lines_come_from() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("etc/sdme");
    fs::create_dir_all(&directory).unwrap();
    let web = "[Container]\nImage=nginx\nNetwork=private\nPublishPort=8080:80\n[Install]\nWantedBy=multi-user.target\n";
    fs::write(directory.join("web.container"), web).unwrap();
    fs::write(directory.join("web2.container"), "[Container]\nImage=redis\n").unwrap();
    let dashed = "[Container]\nImage=redis\nNetwork=private\nPublishPort=8090:80\n";
    fs::write(directory.join("web-api.container"), dashed).unwrap();
    let root = root.path().display().to_string();
    let render = |arguments: &[&str]| {
        let output = Command::new(TOOL).args(["render", "--root", &root]).args(arguments).output().unwrap();
        assert_eq!(output.status.success(), arguments != ["nothing"], "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let (all, one) = (render(&[]), render(&["web"]));
    let files =
        |text: &str| text.lines().filter(|line| line.starts_with("---/")).map(str::to_owned).collect::<Vec<_>>();
    assert!(files(&one).iter().all(|file| all.contains(file)
        && !file.contains("web2")
        && !file.contains("web-api")
        && !file.contains("redis")));
    for part in [
        "systemd-nspawn@web.service---",
        "web.nspawn",
        "sdme-publish-web-8080.socket",
        "multi-user.target.wants",
        "nginx",
    ] {
        assert!(files(&one).iter().any(|file| file.contains(part)), "{part}: {one}");
    }
    let annotated = render(&["web", "--origin"]);
    assert_eq!(files(&annotated), files(&one));
    let origin = |wanted: &str| {
        let line = annotated.lines().find(|line| line.starts_with(wanted)).unwrap();
        line.rsplit_once("# ").unwrap().1.to_owned()
    };
    assert_eq!(origin("ListenStream=8080"), "/etc/sdme/web.container:4");
    assert_eq!(origin("RestartForceExitStatus="), "default");
    assert_eq!(render(&["nothing"]), "");
}
