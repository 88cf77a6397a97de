// SPDX-License-Identifier: MIT
//! Invalid files with their exact diagnostics. `check` reports the same and changes nothing.
//! `docs/diagnostics.md` is generated from the catalogue. `SDME_UPDATE=1` writes both the
//! expectations of the table and the page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cases;
#[path = "support/random.rs"]
#[allow(dead_code, reason = "not every test uses all of it")]
mod random;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use cases::{Case, cases};
use random::Random;
use sdme_gen::compile;
use sdme_gen::diag::catalogue::KINDS;
use sdme_gen::diag::{Code, Diagnostic};
use sdme_gen::model::Facts;
use sdme_gen::search::{SearchPath, search};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn updating() -> bool {
    std::env::var_os("SDME_UPDATE").is_some()
}

#[test]
fn invalid_files_have_exactly_the_expected_diagnostics() {
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
    let codes: BTreeSet<Code> = all.iter().flat_map(Case::diagnostics).map(|found| found.problem.code).collect();
    let missing: Vec<Code> = KINDS.iter().map(|kind| kind.code).filter(|code| !codes.contains(code)).collect();
    assert!(missing.is_empty(), "no case of {missing:?}");
}

#[test]
fn check_reports_the_same_and_changes_nothing() {
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
        let complete = |p: &serde_json::Value| {
            let (message, remedy) = (p["message"].as_str().unwrap(), p["remedy"].as_str().unwrap());
            p["code"].is_string() && p["line"].is_u64() && message.ends_with(remedy)
        };
        assert!(parsed.iter().all(complete), "{}", case.title);
        assert_eq!(list(), before, "{}", case.title);
    }
}

/// Problems that are specific to one value and need no separate code.
const GENERIC: [&str; 2] = ["Entrypoint=", "Timezone="];

/// Returns the diagnostics of a fixture.
fn of_fixture(path: &Path) -> Vec<Diagnostic> {
    let sources = search(&SearchPath::below(path));
    compile(&sources, &Facts::default()).diagnostics
}

#[test]
fn hardly_any_diagnostic_has_the_generic_code() {
    let tables = ["wrong.txt", "quadlet.txt"].into_iter().flat_map(cases).flat_map(|case| case.diagnostics());
    let fixtures = fs::read_dir(root().join("tests/fixtures")).unwrap().map(|entry| entry.unwrap().path());
    let all: BTreeSet<Diagnostic> =
        tables.chain(fixtures.filter(|path| path.is_dir()).flat_map(|path| of_fixture(&path))).collect();
    assert!(all.len() > 150, "{}", all.len());
    for found in &all {
        let fault = &found.problem.fault;
        assert!(!fault.cause.is_empty() && !fault.remedy.is_empty(), "{found}");
        assert!(!fault.remedy.ends_with('.') && !fault.cause.ends_with([';', '.', ' ']), "{found}");
    }
    let generic = |found: &&Diagnostic| {
        let problem = &found.problem;
        problem.code == Code::Value && !GENERIC.iter().any(|listed| problem.fault.cause.starts_with(listed))
    };
    let found: Vec<String> = all.iter().filter(generic).map(ToString::to_string).collect();
    assert!(found.is_empty(), "{found:#?}");
}

fn page() -> String {
    let mut out = String::from(
        "# Diagnostics\n\n\
         This page is made from the catalogue of the program. `sdme-gen check` prints each problem as\n\
         `FILE:LINE: cause; remedy [CODE]`, and `sdme-gen check --json` prints the same for programs. The meaning of a code\n\
         never changes, but the text of a message may change.\n\n\
         A file with an error is not used: it becomes a unit that fails with the same text. Other files are not affected. A\n\
         file with a warning is used.\n",
    );
    for kind in KINDS {
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
fn the_page_of_diagnostics_matches_the_catalogue() {
    let path = root().join("docs/diagnostics.md");
    if updating() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page(), "run SDME_UPDATE=1 cargo test --test diagnostics");
}

#[test]
fn every_example_yields_its_code() {
    for kind in KINDS.iter().filter(|kind| kind.code != Code::Unreadable) {
        let files = kind.example.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let diagnostics = Case { files, ..Case::default() }.diagnostics();
        assert!(diagnostics.iter().any(|found| found.problem.code == kind.code), "{}: {diagnostics:?}", kind.code);
    }
}

/// Parts of many messages, which are used as values of a user.
const WORDS: [&str; 12] = [
    "unknown key X= in [Container]",
    "x.image cannot be used: a:1: y",
    "is not one of a, b",
    "there is no x.pod",
    "remove one of the two",
    "is not a time; write 5s",
    "Secret=: no",
    "is {} already; rename one",
    "S301",
    "has no effect here: x",
    "invalid tag in x",
    "; did you mean Image?",
];

#[test]
fn values_of_users_do_not_change_the_code() {
    let with = |key: &str, value: &str| {
        let text = format!("[Container]\nImage=nginx\n{key}={value}\n");
        let case = Case { files: vec![("web.container".to_owned(), text)], ..Case::default() };
        case.diagnostics().into_iter().map(|found| (found.severity, found.problem.code)).collect::<BTreeSet<_>>()
    };
    let keys =
        ["Pull", "Timezone", "Memory", "WorkingDir", "StopSignal", "StopTimeout", "Notify", "Entrypont", "Rootfs"];
    for key in keys {
        let usual = with(key, "no such thing");
        assert!(!usual.is_empty(), "{key}");
        for word in WORDS {
            assert_eq!(with(key, &format!("no; {word}")), usual, "{key}={word}");
        }
    }
}

/// A wrong line, the right line, and the code. A line without a code is never wrong.
type Lines = &'static [(&'static str, &'static str, &'static str)];

/// Files in which each line with a code is wrong in its first form and right in its second form.
const MANY: [(&str, Lines); 8] = [
    (
        "web.container",
        &[
            ("[Container]", "", ""),
            ("Image=nginx", "", ""),
            ("Imge=other", "Label=a=b", "S204"),
            ("Pull=sometimes", "Pull=always", "S302"),
            ("Memory=banana", "Memory=1g", "S306"),
            ("WorkingDir=srv", "WorkingDir=/srv", "S305"),
            ("StopSignal=SIGSTOPP", "StopSignal=SIGINT", "S311"),
            ("Volume=data:/proc/x", "Volume=data:/x", "S307"),
            ("Pod=teir.pod", "Pod=tier.pod", "S401"),
            ("[Service]", "", ""),
            ("ExecStart=/bin/true", "ExecStartPre=/bin/true", "S502"),
            ("[Install]", "", ""),
            ("WantedBy=boot", "WantedBy=multi-user.target", "S503"),
        ],
    ),
    (
        "api.container",
        &[
            ("[Containr]", "[Service]", "S203"),
            ("[Container]", "", ""),
            ("Image=api", "", ""),
            ("no assignment", "# a comment", "S202"),
            ("AddCapability=NET_ADMN", "AddCapability=NET_ADMIN", "S308"),
            ("Label=web", "Label=web=1", "S309"),
            ("Secret=a/b", "Secret=a", "S314"),
            ("Exec=sh -c \"echo", "Exec=sh -c echo", "S206"),
            ("DNS=localhost", "DNS=10.0.0.1", "S312"),
        ],
    ),
    (
        "tier.pod",
        &[
            ("[Pod]", "", ""),
            ("PublishPort=http", "PublishPort=8080:80", "S304"),
            ("PodNme=x", "Label=c=d", "S204"),
            ("Network=bridge:x", "Network=private", "S302"),
        ],
    ),
    (
        "data.volume",
        &[
            ("[Volume]", "", ""),
            ("Device=tmpfs", "", ""),
            ("Typ=tmpfs", "Type=tmpfs", "S204"),
            ("VolumeName=a b", "VolumeName=data", "S104"),
            ("UID=x", "UID=3", "S306"),
        ],
    ),
    (
        "front.network",
        &[
            ("[Network]", "", ""),
            ("Subnet=10.9.0.0/99", "Subnet=10.9.0.0/24", "S312"),
            ("IPv6=perhaps", "IPv6=no", "S302"),
            ("DNS=nowhere", "DNS=10.9.0.9", "S312"),
        ],
    ),
    (
        "own.image",
        &[
            ("[Image]", "", ""),
            ("Image=Nginx", "Image=nginx", "S303"),
            ("Policy=sometimes", "Policy=newer", "S302"),
            ("Retry=many", "Retry=3", "S306"),
        ],
    ),
    (
        "last.container",
        &[
            ("[Container]", "", ""),
            ("Image=last", "", ""),
            ("Ulimit=files=1", "Ulimit=nofile=1", "S313"),
            ("GroupAdd=\"d e\"", "GroupAdd=wheel", "S310"),
            ("HealthCmd=[\"curl\", 1]", "HealthCmd=[\"curl\", \"x\"]", "S315"),
        ],
    ),
    ("other.contaner", &[("[Container]", "", "")]),
];

/// Returns the files, with the right line where `mended` returns true, and the expected file, line
/// and code of each diagnostic.
fn many(mut mended: impl FnMut() -> bool) -> (Case, BTreeSet<(String, u32, String)>) {
    let (mut case, mut wanted) = (Case::default(), BTreeSet::new());
    for (name, lines) in MANY {
        let mut text = String::new();
        for (number, (wrong, right, code)) in (1..).zip(lines) {
            let is_wrong = !code.is_empty() && !mended();
            writeln!(text, "{}", if is_wrong || code.is_empty() { wrong } else { right }).unwrap();
            if is_wrong {
                wanted.insert((format!("/etc/sdme/{name}"), number, (*code).to_owned()));
            }
        }
        case.files.push((name.to_owned(), text));
    }
    wanted.insert(("/etc/sdme/other.contaner".to_owned(), 1, "S103".to_owned()));
    (case, wanted)
}

/// Returns file, line and code of the diagnostics of a case, without those about members of
/// unusable pods.
fn named(case: &Case) -> BTreeSet<(String, u32, String)> {
    let own = case.diagnostics().into_iter().filter(|found| found.problem.code != Code::UnusableFile);
    own.map(|found| (found.at.file.to_string(), found.at.line, found.problem.code.to_string())).collect()
}

#[test]
fn one_run_reports_every_problem_of_every_file() {
    let (case, wanted) = many(|| false);
    assert_eq!((case.files.len(), wanted.len()), (8, 32));
    assert_eq!(named(&case), wanted);
    for seed in 1..=200 {
        let mut random = Random::new(seed);
        let (case, wanted) = many(|| random.below(2) == 0);
        assert_eq!(named(&case), wanted, "seed {seed}: {:#?}", case.files);
    }
}
