// SPDX-License-Identifier: MIT
//! Tier 0: `sdme-gen convert kube` as a user runs it: thirty manifests (`tests/manifests`) with the
//! files that result from each, wrong manifests (`tests/cases/kube-wrong.txt`) with the expected
//! diagnostics, and repeated conversions after changes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proptest::prelude::*;
use sdme_gen::compile;
use sdme_gen::convert::kube::kube;
use sdme_gen::convert::{Outcome, sources};
use sdme_gen::diag::Severity;
use sdme_gen::kube::read;
use sdme_gen::model::Facts;

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

struct Workspace(tempfile::TempDir);

impl Workspace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn convert(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_sdme-gen"))
            .args(["convert", "--root"])
            .arg(self.path("root"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .output();
        texts(&output.unwrap())
    }

    fn check(&self) -> (i32, String, String) {
        let check =
            Command::new(env!("CARGO_BIN_EXE_sdme-gen")).args(["check", "--root"]).arg(self.path("root")).output();
        texts(&check.unwrap())
    }
}

fn texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn manifests_yield_the_files_of_their_snapshots() {
    let mut count = 0;
    let mut entries: Vec<_> =
        fs::read_dir(repo("tests/manifests")).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        count += 1;
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let workspace = Workspace::new();
        fs::copy(&path, workspace.path(&name)).unwrap();
        let (code, out, err) = workspace.convert(&["kube", &name]);
        assert!(code == 0 || code == 3, "{name}: {err}");
        assert!(!workspace.path("root").exists(), "{name}: something was written unasked");
        let snapshot = format!("{out}--- standard error, exit status {code}\n{err}");
        insta::with_settings!({snapshot_path => repo("snapshots/kube"), prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name.rsplit_once('.').unwrap().0, snapshot);
        });
        // The written files pass the check, and a second conversion changes nothing.
        let (code, out, err) = workspace.convert(&["--write", "kube", &name]);
        assert!(code == 0 || code == 3, "{name}: {out}{err}");
        let (code, _, err) = workspace.check();
        let expected = |line: &str| line.contains("there is no credential") || line.contains("there is no /");
        assert_eq!(code, 0, "{name}: {err}");
        assert!(err.lines().all(expected), "{name}: {err}");
        let (_, out, err) = workspace.convert(&["--write", "kube", &name]);
        assert_eq!(out, "", "{name}: {err}");
    }
    assert!(count >= 30, "{count}");
}

/// The problems that a conversion of the text reports.
fn said(text: &str) -> Vec<String> {
    match kube(&read(&[("a.yaml".to_owned(), text.to_owned())]), "a") {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn wrong_manifests_are_refused_with_line_and_remedy() {
    let path = repo("tests/cases/kube-wrong.txt");
    let table = fs::read_to_string(&path).unwrap();
    let (head, cases) = table.split_once("\n## ").unwrap();
    let mut out = head.to_owned();
    let mut count = 0;
    for case in cases.split("\n## ") {
        count += 1;
        let (title, rest) = case.split_once('\n').unwrap();
        let text: String =
            rest.lines().filter(|line| !line.starts_with("! ")).fold(String::new(), |all, line| all + line + "\n");
        let problems = said(&text);
        assert!(!problems.is_empty(), "{title}: nothing is said");
        for problem in &problems {
            assert!(problem.starts_with("a.yaml:"), "{title}: {problem}");
            assert!(problem.contains("; "), "{title}: no remedy in {problem}");
        }
        let lines = problems.iter().fold(String::new(), |all, problem| all + "! " + problem + "\n");
        out += &format!("\n## {title}\n{}\n{lines}", text.trim_end());
        // A failed conversion writes nothing.
        let workspace = Workspace::new();
        fs::write(workspace.path("a.yaml"), &text).unwrap();
        let (code, _, err) = workspace.convert(&["--write", "kube", "a.yaml"]);
        assert_eq!(code, 1, "{title}: {err}");
        assert!(problems.iter().all(|problem| err.contains(problem.as_str())), "{title}: {err}");
        assert!(!workspace.path("root").exists(), "{title}");
    }
    assert!(count >= 40, "{count}");
    if std::env::var_os("SDME_UPDATE").is_some() {
        fs::write(&path, out).unwrap();
    } else {
        for (line, (before, after)) in table.lines().zip(out.lines()).enumerate() {
            assert_eq!(before, after, "tests/cases/kube-wrong.txt:{}", line + 1);
        }
        assert_eq!(table.lines().count(), out.lines().count());
    }
}

const SITE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\ndata: {text: one}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: v1}\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tick}\nspec: {schedule: '0 3 * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: 'x:1'}]}}}}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: site}\nspec:\n  containers:\n  - name: web\n    image: x:1\n    env: [{name: K, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n    volumeMounts: [{name: p, mountPath: /p}]\n  volumes: [{name: p, configMap: {name: page}}]\n";

#[test]
fn a_later_conversion_changes_what_has_changed_and_nothing_else() {
    let workspace = Workspace::new();
    fs::write(workspace.path("site.yaml"), SITE).unwrap();
    let (code, out, err) = workspace.convert(&["--write", "kube", "site.yaml"]);
    assert_eq!(code, 0, "{err}");
    for line in [
        "write /etc/sdme/site-web.container\n",
        "write /etc/sdme/kube-default.network\n",
        "write /etc/sdme-files/site/site-p/text\n",
        "write /etc/systemd/system/sdme-tick.timer\n",
        "write /etc/credstore/s-k\n",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(out.ends_with("start the project with: systemctl start sdme-tick.timer sdme-pod@site.target\n"), "{out}");
    let mode = |path: &str| fs::metadata(workspace.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("root/etc/credstore/s-k"), mode("root/etc/sdme-files/site/site-p/text")), (0o600, 0o644));
    assert!(workspace.path("root/etc/systemd/system/timers.target.wants/sdme-tick.timer").is_symlink());

    // A dry run prints the changes and writes nothing.
    let changed = SITE.replace("text: one", "text: two").replace("x:1", "x:2").replace("0 3 * * *", "0 4 * * *");
    fs::write(workspace.path("site.yaml"), changed).unwrap();
    let (_, out, _) = workspace.convert(&["kube", "site.yaml", "--dry-run"]);
    for line in [
        "update /etc/sdme/site-web.container\n",
        "  -Image=x:1\n",
        "  +Image=x:2\n",
        "update /etc/systemd/system/sdme-tick.timer\n",
        "update /etc/sdme-files/site/site-p/text\n",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert_eq!(workspace.read("root/etc/sdme-files/site/site-p/text"), "one");
    assert_eq!(workspace.convert(&["--write", "kube", "site.yaml"]).0, 0);
    assert_eq!(workspace.read("root/etc/sdme-files/site/site-p/text"), "two");
    assert!(workspace.read("root/etc/systemd/system/sdme-tick.timer").contains("OnCalendar=*-*-* 04:00:00\n"));

    // A file that a person has changed stays unchanged; a file that is no longer needed is removed.
    fs::write(workspace.path("root/etc/sdme-files/site/site-p/text"), "mine").unwrap();
    fs::write(workspace.path("root/etc/credstore/s-k"), "mine").unwrap();
    fs::write(workspace.path("site.yaml"), SITE).unwrap();
    let (_, _, err) = workspace.convert(&["--write", "kube", "site.yaml"]);
    assert!(err.contains("/etc/sdme-files/site/site-p/text: somebody else wrote or changed this file"), "{err}");
    assert!(err.contains("/etc/credstore/s-k: the file has another value"), "{err}");
    assert_eq!(workspace.read("root/etc/sdme-files/site/site-p/text"), "mine");
    fs::write(
        workspace.path("site.yaml"),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: other}\nspec: {containers: [{name: c, image: 'x:1'}]}\n",
    )
    .unwrap();
    let (_, out, _) = workspace.convert(&["--write", "kube", "site.yaml"]);
    assert!(
        out.contains("remove /etc/sdme/site.pod\n") && out.contains("remove /etc/systemd/system/sdme-tick.timer\n"),
        "{out}"
    );
    assert!(!workspace.path("root/etc/systemd/system/timers.target.wants/sdme-tick.timer").is_symlink());
    assert_eq!(workspace.check().0, 0);

    // A second project shares the default network and nothing else.
    fs::create_dir(workspace.path("more")).unwrap();
    fs::write(workspace.path("more/a.yaml"), SITE.replace("name: site", "name: second")).unwrap();
    fs::write(workspace.path("more/notes.txt"), "not read").unwrap();
    let (code, out, err) = workspace.convert(&["--write", "kube", "more"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("write /etc/sdme/second.pod\n") && !out.contains("kube-default.network"), "{out}");
    assert!(workspace.path("root/etc/sdme/other.pod").exists());

    // The port is already published by another container.
    fs::write(
        workspace.path("root/etc/sdme/mine.container"),
        "[Container]\nImage=x:1\nNetwork=uplink\nPublishPort=80:80\n",
    )
    .unwrap();
    fs::write(workspace.path("port.yaml"), "apiVersion: v1\nkind: Pod\nmetadata: {name: port}\nspec: {containers: [{name: c, image: 'x:1', ports: [{containerPort: 80, hostPort: 80}]}]}\n").unwrap();
    let (code, _, err) = workspace.convert(&["--write", "kube", "port.yaml"]);
    assert_eq!(code, 1);
    assert!(err.contains("nothing was written") && err.contains("80"), "{err}");
    assert!(!workspace.path("root/etc/sdme/port.pod").exists());
}

#[test]
fn json_has_everything_but_values_of_secrets() {
    let workspace = Workspace::new();
    fs::write(workspace.path("site.yaml"), format!("{SITE}---\nkind: Ingress\napiVersion: networking.k8s.io/v1\n"))
        .unwrap();
    let (code, out, err) = workspace.convert(&["kube", "--json", "-p", "other", "site.yaml"]);
    assert_eq!((code, err.as_str()), (3, ""));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["project"], "other");
    assert!(document["lost"][0]["reason"].as_str().unwrap().contains("Ingress"), "{out}");
    assert_eq!(document["credentials"][0], "s-k");
    assert!(!out.contains("v1\""), "{out}");
    let (code, _, err) = workspace.convert(&["kube", "-p", "../x", "site.yaml"]);
    assert!(code == 1 && err.contains("no name of a project"), "{err}");
}

/// The errors in the files of a conversion, including the instances of templates.
fn errors(outcome: &Outcome) -> Vec<String> {
    let instances = outcome.links.iter().map(|(link, target)| (link, &outcome.files[target]));
    let problems = compile(&sources(outcome.files.iter().chain(instances)), &Facts::default()).diagnostics;
    problems.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string).collect()
}

fn manifests() -> Vec<String> {
    let entries = fs::read_dir(repo("tests/manifests")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries.collect();
    all.sort();
    all.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// A manifest with a few words replaced is either refused, with a line and a remedy, or yields
    /// files that pass `check`.
    #[test]
    fn edited_manifests_are_refused_or_converted(
        number in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            "", "0", "-1", "80", "99999999999", "null", "[]", "{}", "''", "true", "a b", "%i", "$(X)", "../..", "/", "x: y", "- z", "\u{e000}", "Pod", "\n", "\\", "\"", "é",
        ])), 1..4),
    ) {
        let all = manifests();
        let mut text = number.get(&all).clone();
        for (at, word) in edits {
            // Whole words are replaced, so that most of the manifest stays valid.
            let starts: Vec<usize> = text.match_indices(|c: char| " :[{,\n".contains(c)).map(|(at, _)| at + 1).collect();
            let start = *at.get(&starts);
            let (_, rest) = text.split_at(start);
            let end = start + rest.find(|c: char| ",]}\n ".contains(c)).unwrap_or(rest.len());
            text.replace_range(start..end, word);
        }
        let read = read(&[("a.yaml".to_owned(), text.clone())]);
        match kube(&read, "a") {
            Ok(outcome) => {
                let errors = errors(&outcome);
                prop_assert!(errors.is_empty(), "{errors:?}\n{text}");
                prop_assert!(outcome.mounted.keys().all(|path| !path.starts_with('/') && !path.split('/').any(|part| part == "..")), "{text}");
            }
            Err(problems) => {
                for problem in problems {
                    let lines = u32::try_from(text.lines().count()).unwrap() + 1;
                    prop_assert!(problem.field.line <= lines && problem.message.contains(';'), "{problem}\n{text}");
                }
            }
        }
    }
}
