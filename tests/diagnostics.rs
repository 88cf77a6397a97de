// SPDX-License-Identifier: MIT
//! Wrong files, each with its exact diagnostics; `check` names them and changes nothing. `docs/diagnostics.md` is made from the
//! catalogue. `SDME_UPDATE=1` writes both the table's expectations and the page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cases;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use cases::{Case, cases};
use sdme_gen::catalogue::{kind, kinds};
use sdme_gen::compile;
use sdme_gen::resolve::model::Facts;
use sdme_gen::search::{SearchPath, search};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn updating() -> bool {
    std::env::var_os("SDME_UPDATE").is_some()
}

#[test]
fn wrong_files_lead_to_these_diagnostics() {
    let all = cases("wrong.txt");
    if updating() {
        let mut out = String::new();
        for case in &all {
            writeln!(out, "## {}", case.title).unwrap();
            for (name, text) in &case.files {
                match text.strip_prefix("-> ") {
                    Some(target) => writeln!(out, "--- {name} -> {target}").unwrap(),
                    None => write!(out, "--- {name}\n{}\n", text.trim_end()).unwrap(),
                }
            }
            for diagnostic in case.compile().0 {
                writeln!(out, "! {diagnostic}").unwrap();
            }
            out.push('\n');
        }
        fs::write(root().join("tests/cases/wrong.txt"), out).unwrap();
        return;
    }
    assert!(all.len() >= 60, "{}", all.len());
    let failed: Vec<String> =
        all.iter().filter_map(|case| Some(format!("{}: {}", case.title, case.failures().first()?))).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(all.iter().all(|case| !case.wanted.is_empty()));
    let codes: BTreeSet<&str> =
        all.iter().flat_map(|c| &c.wanted).filter_map(|l| Some(kind(l.split_once(": ")?.1).code)).collect();
    let missing: Vec<&str> = kinds().map(|k| k.code).filter(|code| !codes.contains(code)).collect();
    assert!(missing.is_empty(), "no case of {missing:?}");
}

#[test]
fn check_says_the_same_and_changes_nothing() {
    for case in cases("wrong.txt") {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in &case.files {
            let path =
                dir.path().join(name.strip_prefix('/').map_or_else(|| format!("etc/sdme/{name}"), str::to_owned));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
                None => fs::write(&path, text).unwrap(),
            }
        }
        let list = || {
            let all = walkdir::WalkDir::new(dir.path()).sort_by_file_name().into_iter().map(Result::unwrap);
            all.map(|e| (e.path().to_owned(), e.metadata().unwrap().modified().unwrap())).collect::<Vec<_>>()
        };
        let before = list();
        let root = dir.path().display().to_string();
        let check = |more: &[&str]| {
            let tool = env!("CARGO_BIN_EXE_sdme-gen");
            Command::new(tool).args(["check", "--root", &root]).args(more).output().unwrap()
        };
        let (text, json) = (check(&[]), check(&["--json"]));
        let errors = case.wanted.iter().any(|line| !line.contains(": warning: "));
        assert_eq!(text.status.code(), Some(i32::from(errors)), "{}", case.title);
        let lines = String::from_utf8(text.stderr).unwrap();
        assert!(lines.lines().count() >= 1 && lines.lines().all(|line| line.ends_with(']')), "{}: {lines}", case.title);
        let parsed: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let parsed = parsed.as_array().unwrap();
        assert_eq!(parsed.len(), lines.lines().count(), "{}", case.title);
        assert!(parsed.iter().all(|p| p["code"].is_string() && p["line"].is_u64()), "{}", case.title);
        assert_eq!(list(), before, "{}", case.title);
    }
}

/// Problems of one value that are like no others.
const GENERIC: [&str; 2] = ["Entrypoint=", "Timezone="];

/// The diagnostics of a fixture.
fn of_fixture(path: &Path) -> Vec<String> {
    let sources = search(&SearchPath::below(path));
    compile(&sources, &Facts::default()).diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn hardly_any_has_the_generic_code() {
    let tables = ["wrong.txt", "quadlet.txt"].into_iter().flat_map(cases).flat_map(|case| case.compile().0);
    let fixtures = fs::read_dir(root().join("tests/fixtures")).unwrap().map(|entry| entry.unwrap().path());
    let all: BTreeSet<String> =
        tables.chain(fixtures.filter(|path| path.is_dir()).flat_map(|path| of_fixture(&path))).collect();
    assert!(all.len() > 150, "{}", all.len());
    let generic = |line: &&String| {
        let message = line.split_once(": ").unwrap().1.trim_start_matches("warning: ");
        kind(message).code == "S301" && !GENERIC.iter().any(|listed| message.starts_with(listed))
    };
    let found: Vec<&String> = all.iter().filter(generic).collect();
    assert!(found.is_empty(), "{found:#?}");
}

fn page() -> String {
    let mut out = String::from(
        "# Diagnostics\n\n\
         Made from the program's catalogue. `sdme-gen check` prints `FILE:LINE: what is wrong; what to write instead [CODE]`;\n\
         with `--json`, a machine can read it. A code keeps its meaning; words may change.\n\n\
         A file with a problem is not used: it becomes a unit that fails with the same text, and other files are not\n\
         affected. A warning changes nothing.\n",
    );
    for kind in kinds() {
        let example = Case {
            files: kind.example.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect(),
            ..Case::default()
        };
        write!(out, "\n## {}: {}\n\n", kind.code, kind.title).unwrap();
        if !kind
            .example
            .iter()
            .any(|(_, text)| text.is_empty() || text.contains(char::is_control) && text.contains('\u{7}'))
        {
            for (name, text) in kind.example {
                write!(out, "```ini\n# /etc/sdme/{name}\n{text}```\n\n").unwrap();
            }
            for line in example.compile().0 {
                writeln!(out, "> {line}").unwrap();
            }
            out.push('\n');
        }
        writeln!(out, "{}", kind.remedy).unwrap();
    }
    out
}

#[test]
fn the_page_is_the_catalogue() {
    let path = root().join("docs/diagnostics.md");
    if updating() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page(), "run SDME_UPDATE=1 cargo test --test diagnostics");
}

#[test]
fn every_example_is_one_of_its_kind() {
    for kind in kinds().filter(|kind| kind.code != "S101") {
        let files = kind.example.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let (diagnostics, _) = Case { files, ..Case::default() }.compile();
        let of_kind = |line: &String| {
            let message = line.split_once(": ").unwrap().1;
            sdme_gen::catalogue::kind(message).code == kind.code
        };
        assert!(diagnostics.iter().any(of_kind), "{}: {diagnostics:?}", kind.code);
    }
}
