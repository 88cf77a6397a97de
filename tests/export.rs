// SPDX-License-Identifier: MIT
//! Tier 0: `sdme-gen export kube` as a user runs it. The configurations of `tests/cases/export.txt`
//! and of `tests/fixtures` become objects that pass the schemas of two versions of Kubernetes and
//! can be converted back by `convert kube`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use sdme_gen::compose::value::Value;
use sdme_gen::kube::read;
use support::{cache, repo, require};

/// The versions of Kubernetes whose schemas kubernetes-validate checks.
const VERSIONS: [&str; 2] = ["1.33", "1.36"];

struct Case {
    title: String,
    options: Vec<String>,
    root: tempfile::TempDir,
}

/// Returns the configurations of the table.
fn cases() -> Vec<Case> {
    let table = fs::read_to_string(repo("tests/cases/export.txt")).unwrap();
    let mut all = Vec::new();
    for case in table.split("\n## ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let root = tempfile::tempdir().unwrap();
        let mut options = Vec::new();
        for part in format!("\n{rest}").split("\n--- ") {
            if let Some(line) = part.lines().find_map(|line| line.strip_prefix("$ ")) {
                options = line.split(' ').map(str::to_owned).collect();
            }
            let (name, text) = part.split_once('\n').unwrap_or((part, ""));
            if name.is_empty() {
                continue;
            }
            let (name, target) = name.split_once(" -> ").map_or((name, None), |(name, target)| (name, Some(target)));
            let path = if name.starts_with('/') {
                name.trim_start_matches('/').to_owned()
            } else {
                format!("etc/sdme/{name}")
            };
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match target {
                Some(target) => symlink(target, path).unwrap(),
                None => fs::write(path, text.trim_end().to_owned() + "\n").unwrap(),
            }
        }
        all.push(Case { title: title.to_owned(), options, root });
    }
    all
}

fn export(root: &Path, options: &[String]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sdme-gen"))
        .args(["export", "--root"])
        .arg(root)
        .arg("kube")
        .args(options)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Returns all fixtures with their names, including those with mistakes.
fn fixtures() -> Vec<(String, std::path::PathBuf)> {
    let entries = fs::read_dir(repo("tests/fixtures")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries
        .filter(|path| path.is_dir())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    all.sort();
    all
}

#[test]
fn configurations_become_kubernetes_objects() {
    let mut count = 0;
    for case in cases() {
        count += 1;
        let (code, out, err) = export(case.root.path(), &case.options);
        assert!(code == 0 || code == 3, "{}: {err}", case.title);
        // Each lost setting is reported with its file and line.
        let is_placed =
            |line: &str| line.starts_with("/etc/") && line.split(':').nth(1).is_some_and(|n| n.parse::<u32>().is_ok());
        assert!(err.lines().all(|line| is_placed(line) || line.contains(": the pod fits")), "{}: {err}", case.title);
        // Equal files yield equal bytes.
        assert_eq!(export(case.root.path(), &case.options).1, out, "{}", case.title);
        let snapshot = format!("{out}--- standard error, exit status {code}\n{err}");
        insta::with_settings!({snapshot_path => repo("snapshots/export"), prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(case.title.replace(|c: char| !c.is_ascii_alphanumeric(), "-"), snapshot);
        });
    }
    assert!(count >= 35, "{count}");
}

#[test]
fn objects_pass_the_schemas_of_two_versions() {
    if !require(&["kubernetes-validate"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut count = 0;
    let mut add = |text: &str| {
        if text.contains("kind:") {
            count += 1;
            fs::write(directory.path().join(format!("{count:03}.yaml")), text).unwrap();
        }
    };
    for case in cases() {
        add(&export(case.root.path(), &case.options).1);
    }
    for (name, path) in fixtures() {
        let (code, out, err) = export(&path, &[]);
        assert!([0, 1, 3].contains(&code), "{name}: {err}");
        assert!(code != 1 || err.contains("nothing was exported"), "{name}: {err}");
        add(&out);
    }
    assert!(count >= 50, "{count} files");
    let python = cache().join("kubernetes-validate/bin/python");
    for version in VERSIONS {
        let output = Command::new(&python)
            .args([repo("tests/programs/validate.py").to_str().unwrap(), version, directory.path().to_str().unwrap()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{version}: {text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.ends_with("documents are valid"), "{version}: {text}");
        println!("{version}: {last}");
    }
}

#[test]
fn names_kinds_and_output_files_can_be_chosen() {
    let case = cases().into_iter().find(|case| case.title == "a pod of two containers").unwrap();
    let root = case.root.path();
    let options = |words: &str| words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    for (words, kind) in [
        ("", "kind: StatefulSet\n"),
        ("--kind pod", "kind: Pod\n"),
        ("--kind deployment tier", "kind: Deployment\n"),
        ("--kind daemonset web", "kind: DaemonSet\n"),
    ] {
        let (code, out, err) = export(root, &options(words));
        assert!(code == 0 || code == 3, "{words}: {err}");
        assert!(out.contains(kind), "{words}: {out}");
    }
    let (code, out, err) = export(root, &options("nobody"));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("there is no container or pod nobody"), "{err}");
    let (code, _, err) = export(root, &options("--namespace A_b"));
    assert!(code == 1 && err.contains("is no namespace"), "{err}");

    // Files are written to the requested directory and updated after a change, but files of others
    // are never replaced.
    let place = root.join("out");
    let into = vec!["--output".to_owned(), place.to_str().unwrap().to_owned()];
    let (code, out, err) = export(root, &into);
    assert!(code == 0 && out.contains("tier.yaml"), "{out}{err}");
    assert_eq!(export(root, &into).0, 0);
    fs::write(place.join("tier.yaml"), "mine\n").unwrap();
    let (code, _, err) = export(root, &into);
    assert!(code == 1 && err.contains("somebody else wrote this file"), "{err}");
    assert_eq!(fs::read_to_string(place.join("tier.yaml")).unwrap(), "mine\n");

    // With a mistake in a file, nothing is exported.
    fs::write(root.join("etc/sdme/bad.container"), "[Container]\nImagge=x\n").unwrap();
    let (code, out, err) = export(root, &[]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("/etc/sdme/bad.container:2: unknown key Imagge="), "{err}");
}

/// A pod that is reported to fit the restricted level satisfies the rules of the Pod Security
/// Standards for containers and pods.
#[test]
fn pods_reported_as_restricted_satisfy_the_standards() {
    let mut claimed = 0;
    for case in cases() {
        let (_, out, err) = export(case.root.path(), &case.options);
        let fits = |name: &str| {
            err.lines().any(|line| line.starts_with(&format!("{name}: the pod fits the restricted level")))
        };
        let read = read(&[("a.yaml".to_owned(), out.clone())]);
        for manifest in &read.manifests {
            let path = if manifest.object.kind() == "Pod" { "spec" } else { "spec.template.spec" };
            let Some(spec) = manifest.value_at(path) else { continue };
            if !fits(manifest.name()) || manifest.object.kind() == "Service" {
                continue;
            }
            claimed += 1;
            let text = |path: &str| path.split('.').try_fold(spec, |value, key| value.get(key)).and_then(Value::scalar);
            assert_eq!(text("securityContext.seccompProfile.type").as_deref(), Some("RuntimeDefault"), "{out}");
            for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
                assert_ne!(text(forbidden).as_deref(), Some("true"), "{out}");
            }
            let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_list).unwrap_or_default().to_vec();
            for volume in list(spec, "volumes") {
                assert!(volume.get("hostPath").is_none() && volume.get("nfs").is_none(), "{out}");
            }
            for container in list(spec, "containers").iter().chain(&list(spec, "initContainers")) {
                let own = container.get("securityContext").unwrap();
                let is = |key: &str, value: &str| own.get(key).and_then(Value::scalar).as_deref() == Some(value);
                assert!(
                    is("allowPrivilegeEscalation", "false") && is("runAsNonRoot", "true") && !is("runAsUser", "0"),
                    "{out}"
                );
                let capabilities = own.get("capabilities").unwrap();
                assert!(list(capabilities, "drop").contains(&Value::Text("ALL".to_owned())), "{out}");
                let net_bind = Value::Text("NET_BIND_SERVICE".to_owned());
                assert!(list(capabilities, "add").iter().all(|name| *name == net_bind), "{out}");
                assert!(list(container, "ports").iter().all(|port| port.get("hostPort").is_none()), "{out}");
            }
        }
    }
    assert!(claimed >= 2, "{claimed}");
}

/// The exported objects of each configuration can be converted back without errors. The number of
/// lost settings is printed, not checked.
#[test]
fn exported_objects_can_be_converted_back() {
    let mut report = String::new();
    for case in cases() {
        let (_, out, err) = export(case.root.path(), &case.options);
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a.yaml"), &out).unwrap();
        if !out.contains("kind:") {
            continue;
        }
        let converted = Command::new(env!("CARGO_BIN_EXE_sdme-gen"))
            .args(["convert", "--root"])
            .arg(place.path())
            .args(["--write", "kube"])
            .arg(place.path().join("a.yaml"))
            .output()
            .unwrap();
        let code = converted.status.code().unwrap();
        let text = String::from_utf8_lossy(&converted.stderr).into_owned();
        assert!(code == 0 || code == 3, "{}: {text}\n{out}", case.title);
        let files = fs::read_dir(place.path().join("etc/sdme")).map_or(0, Iterator::count);
        assert!(files > 0, "{}: {text}\n{out}", case.title);
        writeln!(report, "{}: {code} {}", case.title, err.lines().count()).unwrap();
    }
    println!("{report}");
}
