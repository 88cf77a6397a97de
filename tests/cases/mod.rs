// SPDX-License-Identifier: MIT
//! Tables of cases in text files. A case consists of a few configuration files and the expected
//! result.
//!
//! `## TITLE` starts a case, and `--- NAME` starts a file of it. The file is below `/etc/sdme`
//! unless its name starts with a slash; `--- NAME -> TARGET` is a symbolic link. The lines after
//! the files have the expectations: `! DIAGNOSTIC` (all of them, in order), `+ FILE: LINE` and `-
//! FILE: LINE` (a file has or lacks a line), `+ FILE` and `- FILE` (a file exists or not), and `+
//! FILE -> TARGET`. FILE is the end of a path as `sdme-gen render` prints it. `= TEXT` and `~ TEXT`
//! are interpreted by the test.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use sdme_gen::contract::process::User;
use sdme_gen::diag::Diagnostic;
use sdme_gen::model::{Facts, Identity, ImageFacts, Mode};
use sdme_gen::output::tree::{Node, Place, Tree};
use sdme_gen::search::{SearchPath, search};
use sdme_gen::{Compiled, compile};

/// A case of a table.
#[derive(Debug, Clone, Default)]
pub struct Case {
    pub title: String,
    /// The names and texts of the files. The text of a link is `-> TARGET`.
    pub files: Vec<(String, String)>,
    /// The lines after the files, which have the expectations.
    pub wanted: Vec<String>,
}

/// Reads a table.
pub fn cases(table: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(table);
    let mut all: Vec<Case> = Vec::new();
    let mut in_file = false;
    for line in fs::read_to_string(&path).unwrap().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            all.push(Case { title: title.to_owned(), ..Case::default() });
            in_file = false;
            continue;
        }
        let Some(case) = all.last_mut() else { continue };
        if let Some(name) = line.strip_prefix("--- ") {
            let (name, text) = name.split_once(" -> ").map_or((name, String::new()), |(n, t)| (n, format!("-> {t}")));
            in_file = text.is_empty();
            case.files.push((name.to_owned(), text));
        } else if ["! ", "+ ", "- ", "= ", "~ "].iter().any(|mark| line.starts_with(mark)) {
            in_file = false;
            case.wanted.push(line.to_owned());
        } else if in_file && let Some((_, text)) = case.files.last_mut() {
            *text += line;
            text.push('\n');
        } else {
            assert!(line.is_empty(), "{}: {line:?} belongs to nothing", case.title);
        }
    }
    all
}

impl Case {
    /// Compiles the case. Returns its diagnostics as text, and the tree.
    pub fn compile(&self) -> (Vec<String>, Tree) {
        let compiled = self.compiled();
        (compiled.diagnostics.iter().map(ToString::to_string).collect(), compiled.tree)
    }

    /// Returns the diagnostics of the case.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.compiled().diagnostics
    }

    fn compiled(&self) -> Compiled {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in &self.files {
            let path = match name.strip_prefix('/') {
                Some(path) => root.path().join(path),
                None => root.path().join("etc/sdme").join(name),
            };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(target) = text.strip_prefix("-> ") {
                symlink(target, &path).unwrap();
            } else {
                // The blank line before the next part of the case does not belong to the file.
                let text = text.strip_suffix("\n\n").map_or(text.clone(), |text| format!("{text}\n"));
                fs::write(&path, unescaped(&text)).unwrap();
            }
        }
        compile(&search(&SearchPath::below(root.path())), &facts())
    }

    /// Returns the expectations that are not met.
    pub fn failures(&self) -> Vec<String> {
        let (diagnostics, tree) = self.compile();
        let mut out = Vec::new();
        let wanted = |mark: &str| -> Vec<&str> { self.wanted.iter().filter_map(|l| l.strip_prefix(mark)).collect() };
        if wanted("! ") != diagnostics {
            out.push(format!("diagnostics:\n! {}", diagnostics.join("\n! ")));
        }
        for (mark, there) in [("+ ", true), ("- ", false)] {
            for line in wanted(mark) {
                if has(&tree, line) != there {
                    out.push(format!("{mark}{line}"));
                }
            }
        }
        if !out.is_empty() {
            out.push(format!("{tree}"));
        }
        out
    }
}

/// Replaces the notation of special characters, because a table is plain text.
fn unescaped(text: &str) -> Vec<u8> {
    let marks = [("<BEL>", "\u{7}"), ("<BOM>", "\u{feff}"), ("<CR>", "\r"), ("<SPACE>", " ")];
    let text = marks.iter().fold(text.to_owned(), |text, (mark, meant)| text.replace(mark, meant));
    text.split("<FF>").map(str::as_bytes).collect::<Vec<_>>().join(&0xff)
}

/// Returns the facts about the image `nginx`.
fn facts() -> Facts {
    let image = ImageFacts {
        mode: Mode::App,
        entrypoint: vec!["/entry".to_owned()],
        command: vec!["nginx".to_owned()],
        working_dir: "/".to_owned(),
        users: [(Identity::default(), Ok(User::default()))].into(),
        stop_signal: None,
        health: None,
        volumes: Vec::new(),
        links: BTreeMap::new(),
    };
    let images = [("docker.io-library-nginx:latest".to_owned(), image)].into();
    Facts { images, ..Facts::default() }
}

fn has(tree: &Tree, wanted: &str) -> bool {
    let path = |place: &Place, path: &str| format!("{}/{path}", place.directory());
    let of = |file: &str| {
        let mut all = tree.iter().filter(|(place, p, _)| path(place, p).ends_with(&format!("/{file}")));
        all.next().map(|(_, _, node)| node.clone())
    };
    if let Some((file, target)) = wanted.split_once(" -> ") {
        return of(file) == Some(Node::Link(target.to_owned()));
    }
    match wanted.split_once(": ") {
        None => of(wanted).is_some(),
        Some((file, line)) => {
            matches!(of(file), Some(Node::File(text) | Node::Private(text)) if text.lines().any(|l| l == line))
        }
    }
}
