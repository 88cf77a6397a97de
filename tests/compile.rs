// SPDX-License-Identifier: MIT
//! Tier 0: compares the output of every fixture with its snapshot, and checks that compiling is
//! deterministic and keeps files apart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fixtures;

use std::fmt::Write as _;

use fixtures::{Fixture, fixtures};
use sdme_gen::compile;
use sdme_gen::config::sources::Sources;
use sdme_gen::output::tree::Tree;

fn text(fixture: &Fixture, sources: &Sources) -> String {
    let compiled = compile(sources, &fixture.facts());
    let mut out = String::new();
    for diagnostic in &compiled.diagnostics {
        writeln!(out, "{diagnostic}").unwrap();
    }
    write!(out, "{}", compiled.tree).unwrap();
    out
}

#[test]
fn every_fixture_matches_its_snapshot() {
    for fixture in fixtures() {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(fixture.name.as_str(), text(&fixture, &fixture.sources())));
    }
}

#[test]
fn every_snapshot_has_its_fixture() {
    let names: Vec<String> = fixtures().into_iter().map(|f| format!("{}.snap", f.name)).collect();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots")).unwrap() {
        let entry = entry.unwrap();
        // Other tests have subdirectories for their snapshots.
        if entry.file_type().unwrap().is_dir() {
            continue;
        }
        let name = entry.file_name().into_string().unwrap();
        assert!(names.contains(&name), "snapshots/{name} belongs to no fixture");
    }
}

#[test]
fn the_order_files_are_found_in_does_not_matter() {
    for fixture in fixtures() {
        let sources = fixture.sources();
        let mut reversed = sources.clone();
        reversed.files.reverse();
        assert_eq!(text(&fixture, &sources), text(&fixture, &reversed), "{}", fixture.name);
        assert_eq!(text(&fixture, &sources), text(&fixture, &sources), "{}", fixture.name);
    }
}

/// The output for the files of a fixture does not depend on unrelated files.
#[test]
fn unrelated_files_do_not_change_the_output() {
    let all = fixtures();
    let rejected = all.iter().find(|f| f.name == "10-rejected").unwrap().sources();
    for fixture in all.iter().filter(|f| f.name.starts_with("01-") || f.name.starts_with("04-")) {
        let alone = compile(&fixture.sources(), &fixture.facts()).tree;
        let mut together = fixture.sources();
        together.files.extend(rejected.files.clone());
        let together = compile(&together, &fixture.facts()).tree;
        let missing: Vec<&str> = files(&alone).filter(|f| !files(&together).any(|g| g == *f)).map(|f| f.0).collect();
        assert!(missing.is_empty(), "{}: {missing:?} changed", fixture.name);
    }
}

fn files(tree: &Tree) -> impl Iterator<Item = (&str, &sdme_gen::output::tree::Node)> {
    tree.iter().map(|(_, path, node)| (path, node))
}

/// Units of the host do not depend on facts about images, because the generator has none.
#[test]
fn units_do_not_depend_on_facts() {
    use sdme_gen::output::tree::Place;
    for fixture in fixtures() {
        let knowing = compile(&fixture.sources(), &fixture.facts()).tree;
        let blind = compile(&fixture.sources(), &sdme_gen::model::Facts::default()).tree;
        assert!(knowing.below(&Place::Units).eq(blind.below(&Place::Units)), "{}", fixture.name);
    }
}

/// Two threads share the work on many files; conflicts are still found between all of them.
#[test]
fn many_files_are_read_as_one_after_the_other() {
    use sdme_gen::config::keys::FileType;
    use sdme_gen::config::sources::{SourceFile, Text};
    let file = |number: usize, image: &str, more: &str| SourceFile {
        file_type: FileType::Container,
        name: format!("c{number:03}"),
        main: Text {
            path: format!("/etc/sdme/c{number:03}.container").into(),
            content: Ok(format!("[Container]\nImage={image}\n{more}").into_bytes()),
        },
        drop_ins: Vec::new(),
    };
    let compiled = |more_at: usize| {
        let more = |number| if number == more_at { "Pull=always\n" } else { "" };
        let files = (0..300).map(|number| file(number, ["a", "b", "c"][number / 100], more(number))).collect();
        compile(&Sources { files, ..Sources::default() }, &sdme_gen::model::Facts::default())
    };
    let right = compiled(usize::MAX);
    assert_eq!((right.model.containers.len(), right.model.images.len()), (300, 3));
    // The first file in order determines the image; a later file that differs is refused.
    let last = compiled(199);
    let said: Vec<String> = last.diagnostics.iter().map(ToString::to_string).collect();
    assert!(matches!(said.as_slice(), [one] if one.starts_with("/etc/sdme/c199.container:2: ")), "{said:?}");
    let first = compiled(100);
    assert_eq!(first.model.containers.len(), 201, "{:?}", first.diagnostics.first());
    assert!(first.model.containers.contains_key("c100") && !first.model.containers.contains_key("c199"));
}
