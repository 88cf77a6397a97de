// SPDX-License-Identifier: MIT
//! Archives made to do harm: each must be refused or stay inside, with canaries outside untouched.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::too_many_lines)]

use std::fs;
use std::path::Path;

use tar::EntryType;

use crate::image::extract::{Extractor, Limits};
use crate::image::progress::Silent;
use crate::image::testing::{Archive, extract, listing, root};
use crate::image::tree::Tree;

fn a() -> Archive {
    Archive::new()
}

/// A sparse file in PAX form, called `s` unless the records say otherwise.
fn sparse(records: &[(&str, &str)], body: &str) -> Archive {
    let add =
        |archive: Archive, (key, value): &(&str, &str)| archive.pax(&format!("GNU.sparse.{key}"), value.as_bytes());
    records.iter().fold(a(), add).file("s", body)
}

/// Name, layers, and a piece of the error; `None` where the archive is harmless once confined. `@` in names stands
/// for the directory with the canaries, relative to the file system root.
#[allow(clippy::type_complexity)]
pub fn cases(outside: &str) -> Vec<(&'static str, Vec<Archive>, Option<&'static str>)> {
    let up = format!("../../../../../../../../../../../..{outside}");
    let long = "d/".repeat(3000);
    vec![
        ("dot-dot", vec![a().file("../canary", "evil")], Some("..")),
        ("dot-dot inside", vec![a().dir("a").file("a/../../canary", "evil")], Some("..")),
        ("dot-dot alone", vec![a().dir("..")], Some("..")),
        ("absolute name", vec![a().file(format!("{outside}/canary"), "evil")], None),
        ("absolute link, then through it", vec![a().symlink("l", outside).file("l/canary", "evil")], None),
        ("relative link, then through it", vec![a().symlink("l", &up).file("l/canary", "evil")], None),
        (
            "link chain",
            vec![a().symlink("x", "/").symlink("y", "x/..").symlink("z", format!("y{outside}")).file("z/canary", "e")],
            None,
        ),
        ("file over a link outside", vec![a().symlink("l", format!("{outside}/canary")).file("l", "evil")], None),
        (
            "file over a link outside, next layer",
            vec![a().symlink("l", format!("{outside}/canary")), a().file("l", "evil")],
            None,
        ),
        (
            "directory over a link outside",
            vec![a().symlink("l", outside), a().with(EntryType::Directory, b"l", b"", |h| h.set_mode(0o777))],
            None,
        ),
        ("whiteout through a link", vec![a().symlink("l", outside), a().file("l/.wh.canary", "")], None),
        ("opaque through a link", vec![a().symlink("l", outside), a().file("l/.wh..wh..opq", "")], None),
        ("whiteout of dot-dot", vec![a().dir("d"), a().file("d/.wh...", "")], Some("whiteout of no file")),
        ("whiteout of dot", vec![a().dir("d"), a().file("d/.wh..", "")], Some("whiteout of no file")),
        ("whiteout of nothing", vec![a().dir("d"), a().file("d/.wh.", "")], Some("whiteout of no file")),
        ("below a whiteout", vec![a().file(".wh.d/f", "")], Some("stand for removed files")),
        ("hard link upwards", vec![a().hardlink("h", format!("..{outside}/canary"))], Some("..")),
        (
            "hard link, absolute",
            vec![a().hardlink("h", format!("{outside}/canary")).file("h", "evil")],
            Some("link target"),
        ),
        ("hard link through a link", vec![a().symlink("l", outside).hardlink("h", "l/canary")], Some("link target")),
        (
            "hard link, then write through it",
            vec![a().symlink("l", format!("{outside}/canary")).hardlink("h", "l").file("h", "evil")],
            None,
        ),
        ("hard link to a directory", vec![a().dir("d").hardlink("h", "d")], Some("linking to")),
        ("hard link to a magic link", vec![a().hardlink("h", "/proc/self/exe")], Some("link target")),
        ("link swap", vec![a().dir("d").file("d/f", "1").symlink("d", outside).file("d/canary", "evil")], None),
        ("magic link", vec![a().symlink("p", "/proc/self/cwd").file("p/canary", "evil")], None),
        ("link loop", vec![a().symlink("a", "b").symlink("b", "a").file("a/f", "")], Some("its directory")),
        ("root as a file", vec![a().file(".", "x")], Some("root directory")),
        ("root as a link", vec![a().symlink(".", outside)], Some("root directory")),
        ("unknown type", vec![a().with(EntryType::new(b'Z'), b"z", b"", |_| {})], Some("unknown type")),
        ("sparse, unknown version", vec![sparse(&[("major", "2"), ("realsize", "9")], "")], Some("unknown version")),
        ("sparse without a size", vec![sparse(&[("major", "1"), ("minor", "0")], "0\n")], Some("not say its size")),
        (
            "sparse, map cut short",
            vec![sparse(&[("major", "1"), ("minor", "0"), ("realsize", "9")], "1\n0\n")],
            Some("map of"),
        ),
        (
            "sparse, a map of noise",
            vec![sparse(&[("major", "1"), ("minor", "0"), ("realsize", "9")], &"9".repeat(600))],
            Some("map is damaged"),
        ),
        (
            "sparse, pieces without number",
            vec![sparse(
                &[("major", "1"), ("minor", "0"), ("realsize", "9")],
                &format!("99999\n{}", "0\n".repeat(140_000)),
            )],
            Some("more than 65536 pieces"),
        ),
        (
            "sparse, overlapping",
            vec![sparse(&[("map", "0,2,1,2"), ("numblocks", "2"), ("size", "9")], "abcd")],
            Some("pieces overlap"),
        ),
        (
            "sparse, beyond its size",
            vec![sparse(&[("map", "8,2"), ("numblocks", "1"), ("size", "9")], "ab")],
            Some("does not fit its size"),
        ),
        (
            "sparse, beyond all sizes",
            vec![sparse(&[("map", "18446744073709551615,2"), ("numblocks", "1"), ("size", "9")], "ab")],
            Some("beyond all sizes"),
        ),
        (
            "sparse, half a map",
            vec![sparse(&[("map", "0,2,1"), ("numblocks", "1"), ("size", "9")], "ab")],
            Some("map is not complete"),
        ),
        (
            "sparse, an exabyte of nothing",
            vec![sparse(&[("map", ""), ("numblocks", "0"), ("size", "1152921504606846976")], "")],
            Some("more than the"),
        ),
        (
            "sparse, a name upwards",
            vec![sparse(&[("map", "0,1"), ("numblocks", "1"), ("size", "1"), ("name", "../canary")], "x")],
            Some(".."),
        ),
        ("impossible owner", vec![a().pax("uid", b"4294967295").file("f", "")], Some("impossible owner")),
        ("owner out of range", vec![a().pax("gid", b"99999999999").file("f", "")], Some("impossible owner")),
        ("NUL in a PAX name", vec![a().pax("path", b"a\0b").file("f", "")], Some("NUL")),
        ("dot-dot in a PAX name", vec![a().pax("path", b"x/../../canary").file("f", "evil")], Some("..")),
        ("a name beyond all limits", vec![a().pax("path", long.as_bytes()).dir("d")], Some("more than 4095 bytes")),
        (
            "a component beyond all limits",
            vec![a().pax("path", &[b'x'; 300]).file("f", "")],
            Some("File name too long"),
        ),
        (
            "a giant PAX header",
            vec![a().with(EntryType::XHeader, b"x", b"", |h| h.set_size(1 << 40))],
            Some("extension header"),
        ),
        (
            "a giant long name",
            vec![a().with(EntryType::GNULongName, b"x", b"", |h| h.set_size(1 << 40))],
            Some("extension header"),
        ),
        (
            "a file of an exabyte",
            vec![a().with(EntryType::Regular, b"f", b"", |h| h.set_size(1 << 60))],
            Some("more than the"),
        ),
        (
            "a body that is missing",
            vec![a().with(EntryType::Regular, b"f", b"abc", |h| h.set_size(1 << 20))],
            Some("ends inside"),
        ),
        ("a PAX size that is a lie", vec![a().pax("size", b"999999").file("f", "abc")], Some("ends inside")),
        (
            "PAX records cut short",
            vec![a().with(EntryType::XHeader, b"x", b"99 path=x\n", |_| {}).file("f", "")],
            Some("PAX header"),
        ),
        (
            "an extension header and nothing after it",
            vec![a().with(EntryType::XHeader, b"x", b"9 path=x\n", |_| {})],
            Some("ends after an extension"),
        ),
    ]
}

fn canaries(dir: &Path) -> std::collections::BTreeMap<String, String> {
    let mut found = listing(dir);
    let meta = fs::metadata(dir.join("canary")).unwrap();
    found.insert("meta".into(), format!("{:?} {:?}", meta.permissions(), meta.modified().unwrap()));
    found.insert("dir".into(), format!("{:?}", fs::metadata(dir).unwrap().permissions()));
    found
}

#[test]
fn nothing_gets_out() {
    if !root("extract::nothing_gets_out") {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("canary"), "alive").unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    let before = canaries(outside.path());
    for (name, layers, want) in cases(outside.path().to_str().unwrap()) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("canary"), "alive").unwrap();
        let result = extract(dir.path(), &layers);
        match (result, want) {
            (Ok(_), None) => {}
            (Err(error), Some(want)) => {
                let text = format!("{error:#}");
                assert!(text.contains(want), "{name}: {text}");
            }
            (Ok(_), Some(_)) => panic!("{name}: not refused"),
            (Err(error), None) => panic!("{name}: {error:#}"),
        }
        assert_eq!(fs::read(dir.path().join("canary")).unwrap(), b"alive", "{name}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "{name}");
        assert_eq!(canaries(outside.path()), before, "{name}");
    }
}

#[test]
fn damaged_archives_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let good = a().file("f", "content").unfinished();
    let mut checksum = good.clone();
    checksum[0] ^= 1;
    let mut lone = a().unfinished();
    lone.resize(512, 0);
    lone.extend_from_slice(&good);
    for (bytes, want) in [
        (good[..100].to_vec(), "ends inside a header"),
        (checksum, "wrong checksum"),
        (vec![b'x'; 1024], "not a tar archive"),
        (lone, "single zero block"),
    ] {
        let mut extractor = Extractor::new(&tree, Limits::default(), &Silent);
        let error = format!("{:#}", extractor.layer(bytes.as_slice()).unwrap_err());
        assert!(error.contains(want), "{want}: {error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn many_entries() {
    if !root("extract::many_entries") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut layer = a();
    for i in 0..100_000 {
        layer = layer.file(format!("d/{i}"), "");
    }
    let made = extract(dir.path(), &[layer.clone(), a().file("d/.wh..wh..opq", "").file("d/x", "1")]).unwrap();
    assert_eq!(fs::read_dir(made.join("d")).unwrap().count(), 1);
    let tree = Tree::open(&made).unwrap();
    let mut extractor = Extractor::new(&tree, Limits { bytes: 1 << 30, entries: 1000 }, &Silent);
    let error = extractor.layer(layer.finish().as_slice()).unwrap_err().to_string();
    assert!(error.contains("more than 1000 entries"), "{error}");
}
