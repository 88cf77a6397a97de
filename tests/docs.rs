// SPDX-License-Identifier: MIT
//! Compares the documentation with its subject: `docs/keys.md` is generated from the key table
//! (`SDME_UPDATE=1` writes it), links have existing targets, and each test that `docs/security.md`
//! names exists.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sdme_gen::config::keys::{FileType, Kind, Status, keys};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn name(file_type: FileType) -> String {
    if file_type == FileType::Defaults { "sdme.conf".to_owned() } else { format!("NAME.{}", file_type.extension()) }
}

fn page() -> String {
    let mut out = String::from(
        "# Keys\n\n\
         Made from the key table of the program. *Quadlet* marks keys that Podman's Quadlet has, with the same meaning; the\n\
         sections `[Unit]`, `[Service]`, `[App]` and `[Install]` are described in [Containers](containers.md).\n",
    );
    for file_type in FileType::ALL {
        let rows = |status: fn(Status) -> bool| keys(file_type).iter().filter(move |k| status(k.status));
        write!(out, "\n## {}, section [{}]\n\n", name(file_type), file_type.section()).unwrap();
        out += "| key | value | | |\n|---|---|---|---|\n";
        for key in rows(|s| s == Status::Supported) {
            let value = match key.kind {
                Kind::Text => "text".to_owned(),
                Kind::Flag => "boolean".to_owned(),
                Kind::Choice(words) => words.join(", "),
                Kind::Words => "words; adds up".to_owned(),
                Kind::Line => "a command line".to_owned(),
                Kind::Lines => "text; adds up".to_owned(),
            };
            let quadlet = if key.quadlet { "Quadlet" } else { "" };
            writeln!(out, "| `{}=` | {value} | {} | {quadlet} |", key.name, key.help).unwrap();
        }
        for key in rows(|s| matches!(s, Status::Without(..))) {
            write!(out, "\n`{}=` is accepted with a warning and has no effect: {}.\n", key.name, key.description())
                .unwrap();
        }
        for key in rows(|s| matches!(s, Status::Never(_))) {
            if let Status::Never(instead) = key.status {
                write!(out, "\n`{}=` has no place here: {instead}.\n", key.name).unwrap();
            }
        }
    }
    out
}

#[test]
fn the_page_of_keys_matches_the_table() {
    let path = root().join("docs/keys.md");
    if std::env::var_os("SDME_UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page(), "run SDME_UPDATE=1 cargo test --test docs");
}

#[test]
fn links_have_existing_targets() {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().path());
    let mut seen = 0;
    for page in docs
        .chain(["CONTRIBUTING.md", "README.md", "SECURITY.md"].map(|page| root().join(page)))
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
    {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.contains("://") {
                let target = target.split('#').next().unwrap_or(target);
                assert!(page.parent().unwrap().join(target).exists(), "{}: {target}", page.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 3);
}

/// Words in backquotes of `docs/security.md` that denote tests: files `tests/FILE`, modules
/// `attacks::MODULE`, and functions, whose names have at least four words.
#[test]
fn tests_that_promise_security_exist() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let files = walkdir::WalkDir::new(root().join("tests")).into_iter().map(|entry| entry.unwrap().into_path());
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<String> = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut seen = 0;
    // Code fences are skipped, because their backquotes have no closing quote on the same line.
    for word in page.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2))
    {
        let exists = if let Some(module) = word.strip_prefix("attacks::") {
            word == "attacks::NAME" || root().join(format!("tests/attacks/{module}.rs")).exists()
        } else if word.starts_with("tests/") {
            word.contains("NAME") || root().join(word).exists()
        } else if word.matches('_').count() > 2 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            sources.iter().any(|source| source.contains(&format!("fn {word}(")))
        } else {
            continue;
        };
        assert!(exists, "docs/security.md names {word}, which is no test");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}
