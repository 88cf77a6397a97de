// SPDX-License-Identifier: MIT
//! Tests of edge cases of layer extraction, each with the expected tree.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::too_many_lines, clippy::type_complexity)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use tar::EntryType;

use crate::image::testing::{Archive, extract, extract_both, listing, path_of, root};

fn a() -> Archive {
    Archive::new()
}

/// Returns the name, the layers and the expected tree of each case, as pairs of path and content.
/// Directories are omitted from the tree.
fn cases() -> Vec<(&'static str, Vec<Archive>, &'static [(&'static str, &'static str)])> {
    vec![
        (
            "a mode and a size of nothing but NUL bytes are zero",
            vec![a().with(EntryType::Regular, b"f", b"", |h| {
                h.as_old_mut().mode = [0; 8];
                h.as_old_mut().size = [0; 12];
            })],
            &[("f", "")],
        ),
        ("whiteout of a file", vec![a().file("f", "1").file("g", "2"), a().file(".wh.f", "")], &[("g", "2")]),
        (
            "whiteout and the same name again",
            vec![a().file("f", "1"), a().file(".wh.f", "").file("f", "2")],
            &[("f", "2")],
        ),
        (
            "the same name and then its whiteout",
            vec![a().file("f", "1"), a().file("f", "2").file(".wh.f", "")],
            &[("f", "2")],
        ),
        (
            "whiteout of a dangling link",
            vec![a().symlink("etc/mtab", "../proc/mounts"), a().file("etc/.wh.mtab", "")],
            &[],
        ),
        (
            "whiteout of an absolute link leaves its target",
            vec![a().file("zone", "z").symlink("etc/localtime", "/zone"), a().file("etc/.wh.localtime", "")],
            &[("zone", "z")],
        ),
        ("whiteout of a directory", vec![a().file("d/e/f", "1").file("x", ""), a().file(".wh.d", "")], &[("x", "")]),
        (
            "whiteout below an absolute link",
            vec![a().file("usr/bin/f", "1").symlink("bin", "/usr/bin"), a().file("bin/.wh.f", "").file("bin/g", "2")],
            &[("bin", "-> /usr/bin"), ("usr/bin/g", "2")],
        ),
        (
            "whiteout of what is not there",
            vec![a().file("f", "1"), a().file("no/.wh.x", "").file(".wh.y", "")],
            &[("f", "1")],
        ),
        (
            "whiteout of a directory this layer writes into",
            vec![a().file("d/old", "1"), a().file("d/new", "2").file(".wh.d", "")],
            &[("d/new", "2")],
        ),
        (
            "opaque first",
            vec![
                a().file("d/old", "1").file("d/e/old", "1"),
                a().dir("d/").file("d/.wh..wh..opq", "").file("d/new", "2"),
            ],
            &[("d/new", "2")],
        ),
        (
            "opaque last",
            vec![
                a().file("d/old", "1").file("d/e/old", "1").file("d/k/old", "1"),
                a().dir("d").file("d/new", "2").file("d/e/new", "3").dir("d/k").file("d/.wh..wh..opq", ""),
            ],
            &[("d/new", "2"), ("d/e/new", "3")],
        ),
        (
            "opaque at the root",
            vec![a().file("old", "1"), a().file("./new", "2").file("./.wh..wh..opq", "")],
            &[("new", "2")],
        ),
        (
            "opaque through a link",
            vec![
                a().file("usr/lib/old", "1").symlink("lib", "/usr/lib"),
                a().file("usr/lib/new", "2").file("lib/.wh..wh..opq", ""),
            ],
            &[("lib", "-> /usr/lib"), ("usr/lib/new", "2")],
        ),
        (
            "aufs bookkeeping",
            vec![a().file(".wh..wh.aufs", "").file(".wh..wh.plnk/1.2", "x").file("f", "1")],
            &[("f", "1")],
        ),
        (
            "directory to link",
            vec![a().file("bin/f", "1"), a().file("usr/bin/f", "2").symlink("bin", "usr/bin")],
            &[("bin", "-> usr/bin"), ("usr/bin/f", "2")],
        ),
        ("directory to file", vec![a().file("d/e/f", "1"), a().file("d", "2")], &[("d", "2")]),
        ("file to directory", vec![a().file("d", "1"), a().dir("d").file("d/f", "2")], &[("d/f", "2")]),
        ("file to directory by a path alone", vec![a().file("d", "1"), a().file("d/f", "2")], &[("d/f", "2")]),
        (
            "link to file leaves its target",
            vec![a().file("t", "1").symlink("l", "t"), a().file("l", "2")],
            &[("t", "1"), ("l", "2")],
        ),
        (
            "path through a relative link",
            vec![a().dir("usr/bin").symlink("bin", "usr/bin"), a().file("bin/f", "1")],
            &[("bin", "-> usr/bin"), ("usr/bin/f", "1")],
        ),
        (
            "path through an absolute link",
            vec![a().dir("usr/bin").symlink("bin", "/usr/bin"), a().file("bin/f", "1")],
            &[("bin", "-> /usr/bin"), ("usr/bin/f", "1")],
        ),
        (
            "path through a link to nowhere",
            vec![a().symlink("lib64", "usr/lib64").file("lib64/ld.so", "1")],
            &[("lib64", "-> usr/lib64"), ("usr/lib64/ld.so", "1")],
        ),
        (
            "a directory entry replaces a link to a directory, as in Docker",
            vec![a().file("usr/bin/f", "1").symlink("bin", "usr/bin"), a().dir("bin/").file("bin/g", "2")],
            &[("usr/bin/f", "1"), ("bin/g", "2")],
        ),
        ("hard link", vec![a().file("f", "1").hardlink("d/g", "f")], &[("f", "1"), ("d/g", "1")]),
        ("hard link, absolute target", vec![a().file("f", "1").hardlink("g", "/f")], &[("f", "1"), ("g", "1")]),
        ("hard link across layers", vec![a().file("f", "1"), a().hardlink("./g", "./f")], &[("f", "1"), ("g", "1")]),
        (
            "overwriting one name of two",
            vec![a().file("f", "1").hardlink("g", "f"), a().file("g", "2")],
            &[("f", "1"), ("g", "2")],
        ),
        ("hard link to itself", vec![a().file("f", "1"), a().hardlink("f", "f")], &[("f", "1")]),
        (
            "hard link to a link",
            vec![a().symlink("l", "/nowhere").hardlink("m", "l")],
            &[("l", "-> /nowhere"), ("m", "-> /nowhere")],
        ),
        (
            "hard link through an absolute link",
            vec![a().file("usr/f", "1").symlink("u", "/usr").hardlink("g", "u/f")],
            &[("usr/f", "1"), ("u", "-> /usr"), ("g", "1")],
        ),
        ("duplicates", vec![a().file("f", "1").file("f", "2").dir("f").file("f/g", "3").file("f", "4")], &[("f", "4")]),
        (
            "prefixes and slashes",
            vec![a().dir("./").file("./a//b/./c", "1").file("/abs/d", "2")],
            &[("a/b/c", "1"), ("abs/d", "2")],
        ),
        ("an empty layer", vec![a().file("f", "1"), a()], &[("f", "1")]),
        (
            "names that are not UTF-8",
            vec![a().file(b"\xff\xfe", "1").symlink(b"l\xf6", b"\xff")],
            &[("\\xff\\xfe", "1"), ("l\\xf6", "-> \u{fffd}")],
        ),
        (
            "PAX names",
            vec![a().pax("path", &[b'x'; 200]).file("short", "1").pax("linkpath", &[b'y'; 150]).symlink("l", "z")],
            &[(LONG, "1"), ("l", LINK)],
        ),
        (
            "GNU names",
            vec![a().with(EntryType::GNULongName, b"././@LongLink", &[b'x'; 200], |_| {}).file("short", "1")],
            &[(LONG, "1")],
        ),
        ("a directory by its slash alone", vec![a().file("d/", "")], &[]),
    ]
}

const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
const LINK: &str = "-> yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\
yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";

#[test]
fn layers_yield_the_expected_trees() {
    if !root("extract::layers_yield_the_expected_trees") {
        return;
    }
    for (name, layers, want) in cases() {
        let dir = tempfile::tempdir().unwrap();
        let want = want.iter().map(|(path, what)| ((*path).to_owned(), (*what).to_owned())).collect();
        for made in extract_both(dir.path(), &layers) {
            let made = made.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            let mut found = listing(&path_of(&made));
            found.retain(|_, what| what != "dir");
            assert_eq!(found, want, "{name}");
        }
    }
}

#[test]
fn owners_modes_and_times_are_those_of_the_archive() {
    if !root("extract::owners_modes_and_times_are_those_of_the_archive") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let first = a()
        .with(EntryType::Directory, b"./", b"", |h| h.set_mtime(5))
        .with(EntryType::Directory, b"ro", b"", |h| {
            h.set_mode(0o555);
            h.set_mtime(42);
        })
        .with(EntryType::Regular, b"ro/suid", b"x", |h| {
            h.set_mode(0o4755);
            h.set_uid(1000);
            h.set_gid(70_000);
            h.set_mtime(0);
        })
        .with(EntryType::Directory, b"tmp", b"", |h| h.set_mode(0o1777))
        .pax("mtime", b"-1.5")
        .symlink("link", "ro/suid")
        .pax("uid", b"3000000000")
        .pax("mtime", b"7.25")
        .file("big", "")
        .with(EntryType::Char, b"null", b"", |h| {
            h.set_device_major(1).unwrap();
            h.set_device_minor(3).unwrap();
            h.set_mode(0o666);
        })
        .with(EntryType::Block, b"disk", b"", |h| {
            h.set_device_major(8).unwrap();
            h.set_device_minor(300).unwrap();
        })
        .with(EntryType::Fifo, b"pipe", b"", |h| h.set_mode(0o620))
        .file("implicit/f", "");
    // Writing into a directory that the layer does not list does not change its time.
    let second = a().file("ro/more", "").file(".wh.big", "");
    for made in extract_both(dir.path(), &[first, second]) {
        owners_modes_and_times_of(&path_of(&made.unwrap()));
    }
}

fn owners_modes_and_times_of(made: &Path) {
    let stat = |path: &str| made.join(path).symlink_metadata().unwrap();
    assert_eq!(stat("").mtime(), 5);
    assert_eq!((stat("ro").mode() & 0o7777, stat("ro").mtime()), (0o555, 42));
    let suid = stat("ro/suid");
    assert_eq!((suid.mode() & 0o7777, suid.uid(), suid.gid(), suid.mtime()), (0o4755, 1000, 70_000, 0));
    assert_eq!(stat("tmp").mode() & 0o7777, 0o1777);
    assert_eq!((stat("link").mtime(), stat("link").mtime_nsec()), (-2, 500_000_000));
    assert!(fs::symlink_metadata(made.join("big")).is_err());
    let found = listing(made);
    assert_eq!(
        (found["null"].as_str(), found["disk"].as_str(), found["pipe"].as_str()),
        ("char 1:3", "block 8:300", "fifo")
    );
    assert_eq!((stat("null").mode() & 0o7777, stat("pipe").mode() & 0o7777), (0o666, 0o620));
    let implicit = stat("implicit");
    assert_eq!((implicit.mode() & 0o7777, implicit.uid(), implicit.mtime()), (0o755, 0, 0));
}

#[test]
fn extended_attributes_are_set_except_foreign_ones() {
    if !root("extract::extended_attributes_are_set_except_foreign_ones") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The value is cap_net_raw+ep in revision 2.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let layer = a()
        .pax("SCHILY.xattr.security.capability", capability)
        .pax("SCHILY.xattr.user.note", b"a\nb=\0c")
        .pax("SCHILY.xattr.security.selinux", b"system_u:object_r:bin_t:s0")
        .pax("SCHILY.xattr.trusted.overlay.opaque", b"y")
        .with(EntryType::Regular, b"ping", b"x", |h| {
            h.set_mode(0o4755);
            h.set_uid(7);
        })
        .pax("SCHILY.xattr.user.dir", b"1")
        .dir("d")
        .pax("SCHILY.xattr.trusted.link", b"1")
        .symlink("l", "nowhere");
    let second = a().pax("SCHILY.xattr.user.other", b"2").dir("d");
    for made in extract_both(dir.path(), &[layer, second]) {
        let tree = made.unwrap();
        let made = path_of(&tree);
        let get = |path: &str, name: &str| xattr::get(made.join(path), name).unwrap();
        assert_eq!(get("ping", "security.capability").as_deref(), Some(&capability[..]));
        assert_eq!(get("ping", "user.note").as_deref(), Some(&b"a\nb=\0c"[..]));
        assert_eq!(get("ping", "trusted.overlay.opaque"), None);
        assert_eq!(fs::metadata(made.join("ping")).unwrap().permissions().mode() & 0o7777, 0o4755);
        assert_eq!((get("d", "user.dir"), get("d", "user.other").as_deref()), (None, Some(&b"2"[..])));
        assert_eq!(get("l", "trusted.link").as_deref(), Some(&b"1"[..]));
    }
}

#[test]
fn gnu_sparse_files_get_holes() {
    if !root("extract::gnu_sparse_files_get_holes") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let layer = a().with(EntryType::GNUSparse, b"s", &[b'd'; 1024], |h| {
        let gnu = h.as_gnu_mut().unwrap();
        for (i, (offset, length)) in [(512_u64, 512_u64), (1 << 20, 512), ((1 << 21), 0)].into_iter().enumerate() {
            gnu.sparse[i].offset.copy_from_slice(format!("{offset:011o}\0").as_bytes());
            gnu.sparse[i].numbytes.copy_from_slice(format!("{length:011o}\0").as_bytes());
        }
        gnu.realsize.copy_from_slice(format!("{:011o}\0", 1 << 21).as_bytes());
    });
    let made = extract(dir.path(), &[layer.clone().file("after", "1")]).unwrap();
    let content = fs::read(made.join("s")).unwrap();
    assert_eq!(content.len(), 1 << 21);
    assert!(content[..512].iter().all(|b| *b == 0) && content[512..1024].iter().all(|b| *b == b'd'));
    assert!(content[1024..1 << 20].iter().all(|b| *b == 0) && content[(1 << 20) + 511] == b'd');
    assert_eq!(fs::read(made.join("after")).unwrap(), b"1");
    assert!(fs::metadata(made.join("s")).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn pax_sparse_files_of_every_version_get_holes() {
    if !root("extract::pax_sparse_files_of_every_version_get_holes") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let records = |archive: Archive, records: &[(&str, &str)]| {
        records
            .iter()
            .fold(archive, |archive, (key, value)| archive.pax(&format!("GNU.sparse.{key}"), value.as_bytes()))
    };
    let data = "d".repeat(512) + &"e".repeat(5);
    let real = [("numblocks", "3"), ("size", "1048576")];
    let pieces = [
        ("offset", "512"),
        ("numbytes", "512"),
        ("offset", "4096"),
        ("numbytes", "5"),
        ("offset", "1048576"),
        ("numbytes", "0"),
    ];
    let first = records(records(a(), &real), &pieces).file("v0.0", &data);
    let map = [("major", "0"), ("minor", "1"), ("name", "v0.1"), ("map", "512,512,4096,5,1048576,0")];
    let second = records(records(first, &real), &map).file("GNUSparseFile.1/x", &data);
    let inside = [("major", "1"), ("minor", "0"), ("name", "v1.0"), ("realsize", "1048576")];
    let mut body = String::from("3\n512\n512\n4096\n5\n1048576\n0\n");
    body.extend(std::iter::repeat_n('\0', 512 - body.len()));
    let third = records(second, &inside).file("GNUSparseFile.1/y", &(body + &data)).file("after", "1");
    let made = extract(dir.path(), &[third]).unwrap();
    let mut want = vec![0; 1 << 20];
    want[512..1024].fill(b'd');
    want[4096..4101].fill(b'e');
    for version in ["v0.0", "v0.1", "v1.0"] {
        assert!(fs::read(made.join(version)).unwrap() == want, "{version}");
        assert!(fs::metadata(made.join(version)).unwrap().blocks() * 512 < 1 << 17, "{version}");
    }
    assert_eq!(fs::read(made.join("after")).unwrap(), b"1");
    assert_eq!(fs::read_dir(&made).unwrap().count(), 4);
}
