// SPDX-License-Identifier: MIT
//! Finds the lines of the configuration from which a line of a unit comes. Pure.
//!
//! The planner does not record that. Compiling is a pure function, so the origins can be found by
//! experiment: each assignment is left out in turn, or changed if the file needs it, and the lines
//! that are then missing came from it. If several assignments affect a line, the one that affects
//! the fewest lines is its origin. A line that no assignment affects is a default.

use std::collections::BTreeMap;

use crate::config::sources::{SourceFile, Sources, Text};
use crate::diag::{Diagnostic, Location, Severity};
use crate::ini::{Entry, continues, parse_partly};
use crate::model::Facts;
use crate::output::tree::{Node, Place, Tree};

/// The column in which the origins begin, unless a line is longer.
const COLUMN: usize = 72;

/// The origins of the lines in the files of a tree.
#[derive(Debug, Default)]
pub struct Origins {
    /// For each file and line: the number of lines that the assignments affect, and their
    /// locations.
    lines: BTreeMap<(Place, String, String), (usize, Vec<Location>)>,
}

/// The lines of a tree that an assignment affects: place, path and text.
type Lines = Vec<(Place, String, String)>;

impl Origins {
    /// Finds the origins of the lines of `tree`, the result of compiling `sources`. Only the files
    /// are examined for which `is_asked` returns true.
    #[must_use]
    pub fn find(sources: &Sources, facts: &Facts, tree: &Tree, is_asked: impl Fn(&SourceFile) -> bool) -> Self {
        let errors = |found: &[Diagnostic]| found.iter().filter(|one| one.severity == Severity::Error).count();
        let usual = errors(&crate::compile(sources, facts).diagnostics);
        let mut origins = Self::default();
        let mut changed = sources.clone();
        for (index, file) in sources.files.iter().enumerate().filter(|(_, file)| is_asked(file)) {
            for (number, text) in std::iter::once(&file.main).chain(&file.drop_ins).enumerate() {
                for entry in assignments(text) {
                    // If the file is refused without the assignment, the assignment gets another
                    // value instead.
                    let found = ["", "x", "0"].into_iter().find_map(|more| {
                        let value = if more.is_empty() {
                            String::new()
                        } else {
                            format!("{}={}{more}", entry.key, entry.value)
                        };
                        replace(&mut changed, (index, number), with(text, &entry, &value));
                        let compiled = crate::compile(&changed, facts);
                        (errors(&compiled.diagnostics) <= usual).then(|| missing(tree, &compiled.tree))
                    });
                    origins.add(found.unwrap_or_default(), &entry.at);
                }
                replace(&mut changed, (index, number), text.clone());
            }
        }
        origins
    }

    fn add(&mut self, lines: Lines, at: &Location) {
        let count = lines.len();
        for line in lines {
            let (least, places) = self.lines.entry(line).or_insert((count, Vec::new()));
            if count < *least {
                (*least, *places) = (count, Vec::new());
            }
            if count == *least && !places.contains(at) {
                places.push(at.clone());
            }
        }
    }

    /// The text of a file of the tree, with the origin behind each assignment.
    #[must_use]
    pub fn annotate(&self, place: &Place, path: &str, text: &str) -> String {
        let mut out = String::new();
        for line in text.lines() {
            out.push_str(line);
            if !line.is_empty() && !line.starts_with(['#', '[']) {
                let found = self.lines.get(&(place.clone(), path.to_owned(), line.to_owned()));
                let places = found.map(|(_, places)| places.iter().map(ToString::to_string).collect::<Vec<_>>());
                let origin = places.map_or_else(|| "default".to_owned(), |places| places.join(", "));
                let blanks = COLUMN.saturating_sub(line.chars().count()).max(2);
                out.push_str(&format!("{:blanks$}# {origin}", ""));
            }
            out.push('\n');
        }
        out
    }
}

fn assignments(text: &Text) -> Vec<Entry> {
    let bytes = text.content.as_deref().unwrap_or_default();
    parse_partly(&text.path, bytes).map(|(document, _)| document.entries).unwrap_or_default()
}

/// Returns the text with the line `other` in the place of an assignment. The other lines keep their
/// numbers.
fn with(text: &Text, entry: &Entry, other: &str) -> Text {
    let content = String::from_utf8_lossy(text.content.as_deref().unwrap_or_default()).into_owned();
    let first = usize::try_from(entry.at.line).unwrap_or_default().saturating_sub(1);
    let mut within = false;
    let lines = content.lines().enumerate().map(|(number, line)| {
        within = number == first || within;
        let is_part = within;
        // A comment between the lines of an assignment does not end it (systemd.syntax(7)).
        within &= continues(line) || (number > first && line.trim_start().starts_with(['#', ';']));
        if number == first {
            other
        } else if is_part {
            ""
        } else {
            line
        }
    });
    let lines: Vec<&str> = lines.collect();
    Text { path: text.path.clone(), content: Ok((lines.join("\n") + "\n").into_bytes()) }
}

/// Replaces the text of the main file (0) or of a drop-in (from 1).
fn replace(sources: &mut Sources, (file, number): (usize, usize), text: Text) {
    let Some(file) = sources.files.get_mut(file) else { return };
    match number.checked_sub(1) {
        None => file.main = text,
        Some(drop_in) => file.drop_ins.iter_mut().skip(drop_in).take(1).for_each(|old| *old = text.clone()),
    }
}

/// The lines that `tree` has and `other` does not have, or has less often.
fn missing(tree: &Tree, other: &Tree) -> Lines {
    let mut out = Vec::new();
    for (place, path, node) in tree.iter() {
        let (Node::File(text) | Node::Private(text)) = node else { continue };
        let theirs = match other.get(place, path) {
            Some(Node::File(text) | Node::Private(text)) => text.as_str(),
            _ => "",
        };
        if text == theirs {
            continue;
        }
        let mut left: Vec<&str> = theirs.lines().collect();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
            match left.iter().position(|other| *other == line) {
                Some(index) => drop(left.swap_remove(index)),
                None => out.push((place.clone(), path.to_owned(), line.to_owned())),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::keys::FileType;

    fn origin_of(text: &str, wanted: &str) -> String {
        let main = Text { path: "/etc/sdme/web.container".into(), content: Ok(text.as_bytes().to_vec()) };
        let file = SourceFile { file_type: FileType::Container, name: "web".to_owned(), main, drop_ins: Vec::new() };
        let sources = Sources { files: vec![file], ..Sources::default() };
        let facts = Facts::default();
        let tree = crate::compile(&sources, &facts).tree;
        let origins = Origins::find(&sources, &facts, &tree, |_| true);
        let annotated = tree.iter().filter_map(|(place, path, node)| match node {
            Node::File(text) => Some(origins.annotate(place, path, text)),
            _ => None,
        });
        let all = annotated.collect::<String>();
        let line = all.lines().find(|line| line.starts_with(wanted)).map(str::to_owned).unwrap();
        line.rsplit_once("# ").unwrap().1.to_owned()
    }

    #[test]
    fn lines_have_origins() {
        let text = "[Unit]\nDescription=a site\n[Container]\nImage=nginx\nNetwork=private\n# A comment.\n\
                    PublishPort=\\\n  8080:80\nMemory=1g\n[Service]\nNice=5\n[Install]\nWantedBy=multi-user.target\n";
        let at = |line: u32| format!("/etc/sdme/web.container:{line}");
        for (wanted, line) in [
            ("Description=a site", 2),
            ("ListenStream=", 7),
            ("MemoryMax=", 9),
            ("Nice=5", 11),
            ("Wants=sdme-image@", 4),
        ] {
            assert_eq!(origin_of(text, wanted), at(line), "{wanted}");
        }
        // The first line ends in an escaped backslash, so the second one does not belong to it.
        let escaped = "[Container]\nImage=nginx\nExec=echo a\\\\\nMemory=1g\n";
        assert_eq!(origin_of(escaped, "MemoryMax="), at(4));
        // The variable is refused without the image.
        let needed = "[Container]\nImage=nginx\nEnvironment=A=b\n";
        assert_eq!(origin_of(needed, "Wants=sdme-image@"), at(2));
        assert_eq!(origin_of(text, "RestartForceExitStatus="), "default");
    }
}
