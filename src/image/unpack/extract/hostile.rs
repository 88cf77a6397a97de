// SPDX-License-Identifier: MIT
//! Tests of malicious archives: each must be refused or confined to the tree, with files outside of
//! the tree unchanged.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::too_many_lines)]

use std::fs;
use std::path::Path;

use tar::EntryType;

use crate::image::progress::Silent;
use crate::image::testing::{Archive, extract, extract_both, is_ours, listing, path_of, root};
use crate::image::unpack::extract::{Extractor, Limits};
use crate::rootdir::tree::Tree;

fn a() -> Archive {
    Archive::new()
}

/// Returns a sparse file in PAX format. It is called `s` unless the records have another name.
fn sparse(records: &[(&str, &str)], body: &str) -> Archive {
    let add =
        |archive: Archive, (key, value): &(&str, &str)| archive.pax(&format!("GNU.sparse.{key}"), value.as_bytes());
    records.iter().fold(a(), add).file("s", body)
}

/// The expected error, or the files and links in the tree of an archive that is harmless because it
/// is confined. `@` stands for the directory with the canary files, and `~` for a name that is too
/// long to write down or for a limit.
type Want = Result<&'static [&'static str], &'static str>;

/// Returns the name, the layers and the expected result of each case. `outside` is the directory
/// with the canary files.
pub fn cases(outside: &str) -> Vec<(&'static str, Vec<Archive>, Want)> {
    let up = format!("../../../../../../../../../../../..{outside}");
    let long = "d/".repeat(3000);
    vec![
        ("dot-dot", vec![a().file("../canary", "evil")], Err("entry `../canary`: leads upwards with `..`")),
        (
            "dot-dot inside",
            vec![a().dir("a").file("a/../../canary", "evil")],
            Err("entry `a/../../canary`: leads upwards with `..`"),
        ),
        ("dot-dot alone", vec![a().dir("..")], Err("entry `..`: leads upwards with `..`")),
        ("absolute name", vec![a().file(format!("{outside}/canary"), "evil")], Ok(&["@/canary=evil"])),
        (
            "absolute link, then through it",
            vec![a().symlink("l", outside).file("l/canary", "evil")],
            Ok(&["l=-> @", "@/canary=evil"]),
        ),
        (
            "relative link, then through it",
            vec![a().symlink("l", &up).file("l/canary", "evil")],
            Ok(&["l=-> ../../../../../../../../../../../..@", "@/canary=evil"]),
        ),
        (
            "link chain",
            vec![a().symlink("x", "/").symlink("y", "x/..").symlink("z", format!("y{outside}")).file("z/canary", "e")],
            Ok(&["@/canary=e", "x=-> /", "y=-> x/..", "z=-> y@"]),
        ),
        (
            "file over a link outside",
            vec![a().symlink("l", format!("{outside}/canary")).file("l", "evil")],
            Ok(&["l=evil"]),
        ),
        (
            "file over a link outside, next layer",
            vec![a().symlink("l", format!("{outside}/canary")), a().file("l", "evil")],
            Ok(&["l=evil"]),
        ),
        (
            "directory over a link outside",
            vec![a().symlink("l", outside), a().with(EntryType::Directory, b"l", b"", |h| h.set_mode(0o777))],
            Ok(&[]),
        ),
        ("whiteout through a link", vec![a().symlink("l", outside), a().file("l/.wh.canary", "")], Ok(&["l=-> @"])),
        ("opaque through a link", vec![a().symlink("l", outside), a().file("l/.wh..wh..opq", "")], Ok(&["l=-> @"])),
        (
            "whiteout of dot-dot",
            vec![a().dir("d"), a().file("d/.wh...", "")],
            Err("entry `d/.wh...`: is a whiteout of no file: not a file name"),
        ),
        (
            "whiteout of dot",
            vec![a().dir("d"), a().file("d/.wh..", "")],
            Err("entry `d/.wh..`: is a whiteout of no file: not a file name"),
        ),
        (
            "whiteout of nothing",
            vec![a().dir("d"), a().file("d/.wh.", "")],
            Err("entry `d/.wh.`: is a whiteout of no file: not a file name"),
        ),
        (
            "below a whiteout",
            vec![a().file(".wh.d/f", "")],
            Err("entry `.wh.d/f`: is below `.wh.d`, but names of that form stand for removed files"),
        ),
        (
            "hard link upwards",
            vec![a().hardlink("h", format!("..{outside}/canary"))],
            Err("entry `h`: its link target: leads upwards with `..`"),
        ),
        (
            "hard link, absolute",
            vec![a().hardlink("h", format!("{outside}/canary")).file("h", "evil")],
            Err("entry `h`: opening the directory of the link target `@/canary`: \
                 No such file or directory (os error 2)"),
        ),
        (
            "hard link through a link",
            vec![a().symlink("l", outside).hardlink("h", "l/canary")],
            Err("entry `h`: opening the directory of the link target `l/canary`: \
                 No such file or directory (os error 2)"),
        ),
        (
            "hard link, then write through it",
            vec![a().symlink("l", format!("{outside}/canary")).hardlink("h", "l").file("h", "evil")],
            Ok(&["h=evil", "l=-> @/canary"]),
        ),
        (
            "hard link to a directory",
            vec![a().dir("d").hardlink("h", "d")],
            Err("entry `h`: linking to `d`: EPERM: Operation not permitted"),
        ),
        (
            "hard link to a magic link",
            vec![a().hardlink("h", "/proc/self/exe")],
            Err("entry `h`: opening the directory of the link target `/proc/self/exe`: \
                 No such file or directory (os error 2)"),
        ),
        (
            "link swap",
            vec![a().dir("d").file("d/f", "1").symlink("d", outside).file("d/canary", "evil")],
            Ok(&["d=-> @", "@/canary=evil"]),
        ),
        (
            "magic link",
            vec![a().symlink("p", "/proc/self/cwd").file("p/canary", "evil")],
            Ok(&["p=-> /proc/self/cwd", "proc/self/cwd/canary=evil"]),
        ),
        (
            "link loop",
            vec![a().symlink("a", "b").symlink("b", "a").file("a/f", "")],
            Err("entry `a/f`: opening its directory: Too many levels of symbolic links (os error 40)"),
        ),
        (
            "root as a file",
            vec![a().file(".", "x")],
            Err("entry `.`: stands for the root directory but is not a directory"),
        ),
        (
            "root as a link",
            vec![a().symlink(".", outside)],
            Err("entry `.`: stands for the root directory but is not a directory"),
        ),
        (
            "unknown type",
            vec![a().with(EntryType::new(b'Z'), b"z", b"", |_| {})],
            Err("entry `z`: has the unknown type `Z`"),
        ),
        (
            "sparse, unknown version",
            vec![sparse(&[("major", "2"), ("realsize", "9")], "")],
            Err("entry `s`: is a sparse file of an unknown version"),
        ),
        (
            "sparse without a size",
            vec![sparse(&[("major", "1"), ("minor", "0")], "0\n")],
            Err("entry `s`: is a sparse file that does not say its size"),
        ),
        (
            "sparse, map cut short",
            vec![sparse(&[("major", "1"), ("minor", "0"), ("realsize", "9")], "1\n0\n")],
            Err("entry `s`: the map of a sparse file: failed to fill whole buffer"),
        ),
        (
            "sparse, a map of noise",
            vec![sparse(&[("major", "1"), ("minor", "0"), ("realsize", "9")], &"9".repeat(600))],
            Err("entry `s`: is a sparse file whose map is damaged"),
        ),
        (
            "sparse, pieces without number",
            vec![sparse(
                &[("major", "1"), ("minor", "0"), ("realsize", "9")],
                &format!("99999\n{}", "0\n".repeat(140_000)),
            )],
            Err("entry `s`: is a sparse file of more than 65536 pieces"),
        ),
        (
            "sparse, overlapping",
            vec![sparse(&[("map", "0,2,1,2"), ("numblocks", "2"), ("size", "9")], "abcd")],
            Err("entry `s`: is a sparse file whose pieces overlap"),
        ),
        (
            "sparse, beyond its size",
            vec![sparse(&[("map", "8,2"), ("numblocks", "1"), ("size", "9")], "ab")],
            Err("entry `s`: is a sparse file whose map does not fit its size"),
        ),
        (
            "sparse, beyond all sizes",
            vec![sparse(&[("map", "18446744073709551615,2"), ("numblocks", "1"), ("size", "9")], "ab")],
            Err("entry `s`: is a sparse file beyond all sizes"),
        ),
        (
            "sparse, half a map",
            vec![sparse(&[("map", "0,2,1"), ("numblocks", "1"), ("size", "9")], "ab")],
            Err("entry `s`: is a sparse file whose map is not complete"),
        ),
        (
            "sparse, an exabyte of nothing",
            vec![sparse(&[("map", ""), ("numblocks", "0"), ("size", "1152921504606846976")], "")],
            Err("entry `s`: has 1152921504606846976 bytes, more than the ~ an image may have"),
        ),
        (
            "sparse, a name upwards",
            vec![sparse(&[("map", "0,1"), ("numblocks", "1"), ("size", "1"), ("name", "../canary")], "x")],
            Err("entry `../canary`: leads upwards with `..`"),
        ),
        (
            "impossible owner",
            vec![a().pax("uid", b"4294967295").file("f", "")],
            Err("entry `f`: has the impossible owner 4294967295"),
        ),
        (
            "owner out of range",
            vec![a().pax("gid", b"99999999999").file("f", "")],
            Err("entry `f`: has the impossible owner 99999999999"),
        ),
        (
            "NUL in a PAX name",
            vec![a().pax("path", b"a\0b").file("f", "")],
            Err("entry `a\\x00b`: has a NUL byte in its name"),
        ),
        (
            "dot-dot in a PAX name",
            vec![a().pax("path", b"x/../../canary").file("f", "evil")],
            Err("entry `x/../../canary`: leads upwards with `..`"),
        ),
        (
            "a name beyond all limits",
            vec![a().pax("path", long.as_bytes()).dir("d")],
            Err("entry `~`: has a name or link target of more than 4095 bytes"),
        ),
        (
            "a component beyond all limits",
            vec![a().pax("path", &[b'x'; 300]).file("f", "")],
            Err("entry `~`: File name too long (os error 36)"),
        ),
        (
            "a giant PAX header",
            vec![a().with(EntryType::XHeader, b"x", b"", |h| h.set_size(1 << 40))],
            Err("an extension header of 1099511627776 bytes is larger than 1048576"),
        ),
        (
            "a giant long name",
            vec![a().with(EntryType::GNULongName, b"x", b"", |h| h.set_size(1 << 40))],
            Err("an extension header of 1099511627776 bytes is larger than 1048576"),
        ),
        (
            "a file of an exabyte",
            vec![a().with(EntryType::Regular, b"f", b"", |h| h.set_size(1 << 60))],
            Err("entry `f`: has 1152921504606846976 bytes, more than the ~ an image may have"),
        ),
        (
            "a body that is missing",
            vec![a().with(EntryType::Regular, b"f", b"abc", |h| h.set_size(1 << 20))],
            Err("entry `f`: reading its content: the archive ends inside a file"),
        ),
        (
            "a PAX size that is a lie",
            vec![a().pax("size", b"999999").file("f", "abc")],
            Err("entry `f`: reading its content: the archive ends inside a file"),
        ),
        (
            "PAX records cut short",
            vec![a().with(EntryType::XHeader, b"x", b"99 path=x\n", |_| {}).file("f", "")],
            Err("PAX header: record longer than the header"),
        ),
        (
            "an extension header and nothing after it",
            vec![a().with(EntryType::XHeader, b"x", b"9 path=x\n", |_| {})],
            Err("the archive ends after an extension header"),
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
fn malicious_archives_are_refused_or_confined() {
    if !root("extract::malicious_archives_are_refused_or_confined") {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("canary"), "alive").unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    let before = canaries(outside.path());
    let at = outside.path().to_str().unwrap();
    for (name, layers, want) in cases(at) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("canary"), "alive").unwrap();
        for result in extract_both(dir.path(), &layers) {
            let at = |text: &str| text.replace(at, "@").replace(at.trim_start_matches('/'), "@");
            match (result, &want) {
                (Ok(made), Ok(want)) => {
                    let found = listing(&path_of(&made)).into_iter().filter(|(_, what)| what != "dir");
                    let found: Vec<String> = found.map(|(path, what)| at(&format!("{path}={what}"))).collect();
                    assert_eq!(&found, want, "{name}");
                }
                (Err(error), Err(want)) => {
                    let text = at(&format!("{error:#}"));
                    let (start, end) = want.split_once('~').unwrap_or((want, ""));
                    let rest = text.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
                    let matches = rest.is_some_and(|rest| rest.is_empty() != want.contains('~'));
                    assert!(matches, "{name}: {text}");
                }
                (Ok(_), Err(_)) => panic!("{name}: not refused"),
                (Err(error), Ok(_)) => panic!("{name}: {error:#}"),
            }
        }
        assert_eq!(fs::read(dir.path().join("canary")).unwrap(), b"alive", "{name}");
        let beside = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(beside.filter(|file| !is_ours(file)).collect::<Vec<_>>(), ["canary"], "{name}");
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
        (good[..100].to_vec(), "the archive ends inside a header"),
        (checksum, "the archive is damaged: a header has a wrong checksum"),
        (vec![b'x'; 1024], "not a tar archive"),
        (lone, "the archive goes on after a single zero block"),
    ] {
        let mut extractor = Extractor::new(Limits::default(), &Silent);
        let error = format!("{:#}", extractor.layer(&tree, bytes.as_slice()).unwrap_err());
        assert!(error.contains(want), "{want}: {error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn many_entries_are_unpacked_and_limited() {
    if !root("extract::many_entries_are_unpacked_and_limited") {
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
    let mut extractor = Extractor::new(Limits { bytes: 1 << 30, entries: 1000, ..Limits::default() }, &Silent);
    let error = format!("{:#}", extractor.layer(&tree, layer.finish().as_slice()).unwrap_err());
    assert!(error.contains("more than 1000 entries"), "{error}");
}

#[test]
fn holes_and_depth_are_limited() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let mut limits = Limits { bytes: 10 << 20, depth: 4, ..Limits::default() };
    let refused = |archive: Archive, limits| {
        let bytes = archive.finish();
        let error = Extractor::new(limits, &Silent).layer(&tree, bytes.as_slice()).unwrap_err();
        format!("{error:#}")
    };
    let hole = |archive: Archive, name: &str| {
        let records = [("major", "1"), ("minor", "0"), ("name", name), ("realsize", "6291456")];
        let add =
            |archive: Archive, (key, value): &(&str, &str)| archive.pax(&format!("GNU.sparse.{key}"), value.as_bytes());
        records.iter().fold(archive, add).file(name, &format!("{:\0<512}", "0\n"))
    };
    let error = refused(hole(hole(a(), "one"), "two"), limits);
    assert!(error.starts_with("entry `two`: brings the files of the image to 12582912 bytes"), "{error}");
    limits.holes = 1 << 20;
    let error = refused(hole(a(), "one"), limits);
    assert!(error.starts_with("entry `one`: brings the holes of sparse files to 6291456 bytes"), "{error}");
    let error = refused(a().file("a/b/./c/d", "").file("a/b/c/d/e", ""), limits);
    assert!(error.starts_with("entry `a/b/c/d/e`: has a path of 5 components"), "{error}");
}
