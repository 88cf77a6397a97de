// SPDX-License-Identifier: MIT
//! Compares the documentation with the code: `docs/keys.md` is generated from the key table
//! (`SDME_UPDATE=1` writes it), links have existing targets, README and the index of decisions name
//! every page, the pictures show the units of the files on their pages, and each test that
//! `docs/security.md` names exists.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

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
         This page is made from the key table of the program. *Quadlet* marks keys that Podman's Quadlet has, with the same\n\
         meaning. [Containers](containers.md) describes the sections `[Unit]`, `[Service]`, `[App]` and `[Install]`.\n",
    );
    for file_type in FileType::ALL {
        let rows = |status: fn(Status) -> bool| keys(file_type).iter().filter(move |k| status(k.status));
        write!(out, "\n## {}, section [{}]\n\n", name(file_type), file_type.section()).unwrap();
        out += "| key | value | meaning | |\n|---|---|---|---|\n";
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
                write!(out, "\n`{}=` is refused: {instead}.\n", key.name).unwrap();
            }
        }
    }
    out
}

#[test]
fn the_page_of_keys_matches_the_key_table() {
    let path = root().join("docs/keys.md");
    if std::env::var_os("SDME_UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page(), "run SDME_UPDATE=1 cargo test --test docs");
}

/// All pages: their paths in the repository and their contents.
fn pages() -> Vec<(String, String)> {
    let of_docs = walkdir::WalkDir::new(root().join("docs"))
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().into_path());
    let top = ["CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"].map(|page| root().join(page));
    of_docs
        .chain(top)
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.strip_prefix(root()).unwrap().display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The targets of the links of a page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains("://"))
}

/// The anchors of a page's headings by GitHub's rule, which mdBook shares: lower case, dashes for
/// spaces, and no punctuation.
fn anchors(text: &str) -> Vec<String> {
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|title| title.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn links_have_existing_targets() {
    let mut seen = 0;
    for (page, text) in pages() {
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = root().join(&page).parent().unwrap().join(file);
            let target = if file.is_empty() { root().join(&page) } else { path };
            assert!(target.exists(), "{page}: there is no {file}");
            if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(&target).unwrap());
                assert!(anchors.iter().any(|known| known == anchor), "{page}: {link}: the page has only {anchors:?}");
            }
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen}");
}

/// The web site has the pages of README's last table, in the order of that table.
#[test]
fn readme_names_every_page_once() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = readme.split("\n## Documentation\n").nth(1).unwrap();
    for (page, _) in pages().iter().filter(|(page, _)| page != "README.md" && !page.starts_with("docs/decisions/0")) {
        assert_eq!(links(table).filter(|link| link == page).count(), 1, "README.md, Documentation: {page}");
    }
}

#[test]
fn the_index_names_every_decision() {
    let mut index = Vec::new();
    for (page, text) in pages() {
        let Some(file) = page.strip_prefix("docs/decisions/").filter(|file| *file != "README.md") else { continue };
        let (number, title) = (file.split('-').next().unwrap(), text.lines().next().unwrap().trim_start_matches("# "));
        let second = text.lines().nth(2).unwrap();
        let (date, status) = second.strip_prefix("Date: ").unwrap().split_once(". Status: ").unwrap();
        let status = status.split(". ").next().unwrap().trim_end_matches('.');
        index.push(format!("| {number} | {date} | [{title}]({file}) | {status} |"));
    }
    let page = fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| 0")).collect();
    assert_eq!(rows, index);
}

/// A picture in `docs/pictures`: its name, the page that shows it, and the files on this page whose
/// units are drawn.
type Picture = (&'static str, &'static str, &'static [&'static str]);

/// All pictures. The first file of a picture is the container whose units are drawn.
const PICTURES: [Picture; 2] = [
    ("web", "docs/units.md", &["/etc/sdme/web.container"]),
    ("pod", "docs/pods.md", &["/etc/sdme/web.container", "/etc/sdme/db.container", "/etc/sdme/web-tier.pod"]),
];

/// The graph, in the language of Graphviz, of the units around the first of these files on a page.
fn graph(page: &str, files: &[&str]) -> String {
    let root_of_files = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root().join(page)).unwrap();
    for file in files {
        let mut blocks = text.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next());
        let block = blocks.find(|block| block.starts_with(&format!("# {file}\n"))).unwrap();
        let path = root_of_files.path().join(file.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, block).unwrap();
    }
    let name = Path::new(files.first().unwrap()).file_stem().unwrap();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_sdme-gen"));
    let output = tool.args(["graph", "--dot", "--root"]).arg(root_of_files.path()).arg(name).output().unwrap();
    assert!(output.status.success(), "{page}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Compares the titles in a picture, which Graphviz writes for each unit and each arrow. The
/// positions are not compared, because they depend on the version of Graphviz.
#[test]
fn pictures_show_the_units() {
    for (name, page, files) in PICTURES {
        let (dot, svg) = (format!("docs/pictures/{name}.dot"), format!("docs/pictures/{name}.svg"));
        let graph = graph(page, files);
        if std::env::var_os("SDME_UPDATE").is_some() {
            fs::write(root().join(&dot), &graph).unwrap();
            continue;
        }
        assert_eq!(fs::read_to_string(root().join(&dot)).unwrap(), graph, "{dot}: run make pictures");
        let picture = fs::read_to_string(root().join(&svg)).unwrap();
        let decoded =
            |text: &str| text.replace("&#45;", "-").replace("&gt;", ">").replace("&#92;", "\\").replace("&amp;", "&");
        let titles = picture.split("<title>").skip(1).filter_map(|rest| rest.split("</title>").next()).map(decoded);
        let drawn: BTreeSet<String> = titles.filter(|title| title != "sdme").collect();
        let names =
            |line: &str| line.split('"').skip(1).step_by(2).map(|name| name.replace("\\\\", "\\")).collect::<Vec<_>>();
        let wanted = graph.lines().filter(|line| line.starts_with("  \"")).map(|line| {
            let names = names(line);
            if line.contains("\" -> \"") { names.join("->") } else { names.first().unwrap().clone() }
        });
        assert_eq!(drawn, wanted.collect(), "{svg}: run make pictures");
        assert!(fs::read_to_string(root().join(page)).unwrap().contains(&format!("(pictures/{name}.svg)")), "{page}");
    }
}

/// Words in backquotes of `docs/security.md` that denote tests: files `tests/FILE`, modules
/// `attacks::MODULE`, and functions, whose names have at least four words.
#[test]
fn tests_named_on_the_page_of_security_exist() {
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
