// SPDX-License-Identifier: MIT
//! Images unpacked by `umoci`, the reference implementation's tool, and by sdme-gen: both must
//! yield the same trees, in type, mode, owner, time, extended attributes, content and hard links.
//! The images are made of the Debian trees and images that `tests/prepare` builds. Three programs
//! write the archives: umoci itself, GNU tar in both of its formats, and the tar crate.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sdme_gen::config::values::source::{ImageSource, ModeSetting};
use sdme_gen::image::{Request, Silent, Store, import};
use sdme_gen::rootdir::tree::proc_path;
use support::layout::{hex, layout};
use tar::{EntryType, Header};

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The archive that GNU tar makes of some paths of a tree.
fn gnu_tar(root: &Path, options: &[&str], paths: &[&str]) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(root).args(["--numeric-owner", "--sort=name"]).args(options).args(["-cf", "-"]).args(paths);
    run(&mut tar)
}

/// An archive made by the tar crate, for entries that an archive of existing files cannot contain.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, path: &str, target: &str, mode: u32, content: &str) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(u64::from(mode % 7));
        header.set_gid(u64::from(mode % 5));
        header.set_mtime(1_000_000_000 + path.len() as u64);
        header.set_size(content.len() as u64);
        if target.is_empty() {
            self.0.append_data(&mut header, path, content.as_bytes()).unwrap();
        } else {
            self.0.append_link(&mut header, path, target).unwrap();
        }
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.add(EntryType::Regular, path, "", 0o644, content)
    }

    fn dir(self, path: &str) -> Self {
        self.add(EntryType::Directory, path, "", 0o755, "")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, path, target, 0o777, "")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Link, path, target, 0o644, "")
    }

    /// Adds an empty file, whose name `.wh.…` makes it a whiteout.
    fn hide(self, path: &str) -> Self {
        self.file(path, "")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// All properties of the files below `root`, except the times of access and change.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut out = BTreeMap::new();
    let mut first_names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(root).unwrap().to_owned();
        let meta = entry.path().symlink_metadata().unwrap();
        let kind = meta.file_type();
        let what = if kind.is_file() {
            format!("{} bytes {}", meta.len(), hex(&fs::read(entry.path()).unwrap()))
        } else if kind.is_symlink() {
            format!("-> {}", fs::read_link(entry.path()).unwrap().as_os_str().as_bytes().escape_ascii())
        } else if kind.is_dir() {
            "directory".to_owned()
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            format!("device {:x}", meta.rdev())
        };
        let mut attributes: Vec<_> = xattr::list(entry.path()).unwrap().collect();
        attributes.sort();
        let value = |attribute: &OsStr| xattr::get(entry.path(), attribute).unwrap().unwrap_or_default();
        let attributes: Vec<String> =
            attributes.iter().map(|a| format!("{}={}", a.display(), value(a).escape_ascii())).collect();
        let linked = if kind.is_dir() || meta.nlink() == 1 {
            String::new()
        } else {
            format!(
                " linked {} times to {}",
                meta.nlink(),
                first_names.entry(meta.ino()).or_insert(name.clone()).display()
            )
        };
        let line = format!(
            "{what} {:o} {}:{} {}.{:09} {attributes:?}{linked}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        out.insert(name, line);
    }
    out
}

/// The number of files whose line contains `what`. Tests use it to notice that they compare
/// nothing.
fn count(tree: &BTreeMap<PathBuf, String>, what: &str) -> usize {
    tree.values().filter(|line| line.contains(what)).count()
}

struct Both {
    dir: tempfile::TempDir,
}

impl Both {
    /// A directory to work in; none if the test cannot run here.
    fn new(more: &[&str]) -> Option<Self> {
        let needs = [&["root", "umoci", "tar"], more].concat();
        // Not in /tmp, which may be a file system without extended attributes.
        support::require(&needs).then(|| {
            let dir = support::repo("target/test-images");
            fs::create_dir_all(&dir).unwrap();
            Self { dir: tempfile::tempdir_in(dir).unwrap() }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Unpacks an image with both programs, compares the trees, and returns the tree. The times of
    /// the directories `undated` are not compared: umoci leaves them at the time of unpacking,
    /// which is neither in the archive nor the same twice.
    ///
    /// These are directories that no layer contains although a layer contains something in them;
    /// sdme-gen dates them 1970. They are also directories from which a whiteout removes something
    /// that comes after them in the same layer; sdme-gen gives them the time in the archive.
    fn unpack(&self, layout: &Path, tag: &str, undated: &[&str]) -> BTreeMap<PathBuf, String> {
        let theirs = self.path(&format!("umoci-{tag}"));
        let image = format!("{}:{tag}", layout.display());
        run(Command::new("umoci").args(["raw", "unpack", "--image", &image]).arg(&theirs));
        let source = ImageSource::Layout { path: layout.to_str().unwrap().into(), tag: Some(tag.into()) };
        let store = Store::open(&self.path(&format!("store-{tag}")));
        let request = Request { mode: ModeSetting::App, ..Request::new("x", &source) };
        let ours = import(&store, &request, &Silent).unwrap();
        let ours = ours.root().unwrap();
        let (theirs, ours) = (tree(&theirs), tree(&proc_path(ours.root()).join(".")));
        let mut differences = Vec::new();
        let undated_of = |line: &str| line.rsplitn(3, ' ').nth(2).unwrap().to_owned();
        for path in theirs.keys().chain(ours.keys()).collect::<std::collections::BTreeSet<_>>() {
            let (theirs, ours) = (theirs.get(path), ours.get(path));
            if let (Some(theirs), Some(ours), true) = (theirs, ours, undated.contains(&path.to_str().unwrap_or("?"))) {
                assert_ne!(theirs, ours, "umoci has learned to date {}", path.display());
                assert_eq!(undated_of(theirs), undated_of(ours));
            } else if theirs != ours {
                differences.push(format!("{}\n  umoci {theirs:?}\n  ours  {ours:?}", path.display()));
            }
        }
        assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
        ours
    }
}

/// Four layers by umoci, including a whiteout and an opaque directory.
#[test]
fn an_application_built_by_umoci_is_unpacked_equally() {
    let Some(both) = Both::new(&["image:nginx"]) else { return };
    let tree = both.unpack(&support::image("nginx"), "latest", &[]);
    assert!(tree.len() > 500 && count(&tree, "-> ") > 20, "{}: {}", tree.len(), count(&tree, "-> "));
    assert!(!tree.contains_key(Path::new("etc/nginx/sites-enabled/default")));
}

/// A whole Debian system in one layer.
#[test]
fn an_operating_system_built_by_umoci_is_unpacked_equally() {
    let Some(both) = Both::new(&["image:base"]) else { return };
    let tree = both.unpack(&support::image("base"), "latest", &[]);
    // A setuid program, and a file that belongs to a group other than root.
    assert!(tree[Path::new("usr/bin/su")].contains(" 104755 0:0 ") && tree.len() > 3000, "{}", tree.len());
    assert!(tree[Path::new("etc/shadow")].contains(" 100640 0:42 "));
}

/// All kinds of changes, as umoci writes them: it compares the tree before and after.
#[test]
fn all_kinds_of_changes_by_umoci_are_unpacked_equally() {
    let Some(both) = Both::new(&["tree:trixie", "setcap"]) else { return };
    let base =
        gnu_tar(&support::cache().join("trixie"), &["--format=gnu"], &["etc", "bin", "usr/bin", "usr/lib/systemd"]);
    let layout = layout(&both.path("layout"), &[base]);
    let bundle = both.path("bundle");
    let image = |tag: &str| format!("{}:{tag}", layout.display());
    run(Command::new("umoci").args(["unpack", "--image", &image("one")]).arg(&bundle));
    let root = bundle.join("rootfs");
    let at = |path: &str| root.join(path);
    for step in 0..3 {
        match step {
            0 => {
                fs::remove_dir_all(at("etc/apt")).unwrap();
                fs::remove_file(at("etc/localtime")).ok();
                fs::remove_file(at("bin")).unwrap();
                fs::create_dir(at("bin")).unwrap();
                fs::write(at("bin/sh"), "a file where a link was").unwrap();
                fs::remove_file(at("etc/login.defs")).unwrap();
                fs::create_dir(at("etc/login.defs")).unwrap();
                fs::write(at("etc/login.defs/x"), "below what was a file").unwrap();
                fs::rename(at("usr/lib/systemd/system"), at("usr/lib/units")).unwrap();
                symlink("../units", at("usr/lib/systemd/system")).unwrap();
                fs::hard_link(at("usr/bin/bash"), at("usr/bin/linked")).unwrap();
                run(Command::new("setcap").arg("cap_net_raw+ep").arg(at("usr/bin/ls")));
            }
            1 => {
                fs::remove_dir_all(at("bin")).unwrap();
                symlink("/usr/bin", at("bin")).unwrap();
                fs::remove_dir_all(at("etc/login.defs")).unwrap();
                fs::write(at("etc/login.defs"), "a file again").unwrap();
                fs::set_permissions(at("etc/login.defs"), fs::Permissions::from_mode(0o6711)).unwrap();
                std::os::unix::fs::chown(at("etc/nsswitch.conf"), Some(100_000), Some(65_534)).unwrap();
                run(Command::new("mkfifo").arg("-m0620").arg(at("etc/fifo")));
                run(Command::new("mknod").args(["-m", "0640"]).arg(at("etc/null")).args(["c", "1", "3"]));
                xattr::set(at("etc/nsswitch.conf"), "user.note", b"of\0the\nfile").unwrap();
                fs::set_permissions(at("etc"), fs::Permissions::from_mode(0o3775)).unwrap();
            }
            _ => {
                fs::remove_file(at("usr/bin/linked")).unwrap();
                fs::remove_file(at("etc/fifo")).unwrap();
                xattr::remove(at("etc/nsswitch.conf"), "user.note").unwrap();
                fs::create_dir_all(at("new/dir/with")).unwrap();
                symlink("nowhere", at("new/dir/with/link")).unwrap();
            }
        }
        // umoci compares times in whole seconds, and the first layer has no entry for the root
        // directory. Without this time, the root directory would be in the layer only if umoci
        // unpacked and this test changed it in different seconds.
        run(Command::new("touch").arg(format!("--date=@{}", 1_000_000_000 + step)).arg(&root));
        let tag = format!("step-{step}");
        run(Command::new("umoci").args(["repack", "--image", &image(&tag)]).arg(&bundle));
    }
    let one = both.unpack(&layout, "step-0", &["usr"]);
    assert!(one[Path::new("usr/bin/ls")].contains("security.capability"), "{}", one[Path::new("usr/bin/ls")]);
    assert!(
        one[Path::new("usr/lib/systemd/system")].starts_with("-> ")
            && one[Path::new("etc/login.defs")].starts_with("dir")
    );
    let two = both.unpack(&layout, "step-1", &["usr"]);
    assert!(
        two[Path::new("etc/fifo")].starts_with("fifo 10620 ") && two[Path::new("etc/null")].starts_with("device 103 ")
    );
    assert!(two[Path::new("bin")].starts_with("-> /usr/bin ") && two[Path::new("etc")].contains(" 43775 "));
    let three = both.unpack(&layout, "step-2", &["usr"]);
    assert!(!three.contains_key(Path::new("etc/fifo")) && three.contains_key(Path::new("new/dir/with/link")));
}

/// Both formats of GNU tar for the same files: names longer than a header can hold, sparse files,
/// and two things that only the newer format supports: fractions of seconds and extended
/// attributes.
#[test]
fn both_formats_of_gnu_tar_are_unpacked_equally() {
    let Some(both) = Both::new(&["tree:trixie", "setcap"]) else { return };
    let root = both.path("root");
    fs::create_dir(&root).unwrap();
    let trixie = support::cache().join("trixie");
    run(Command::new("cp").arg("-a").arg(trixie.join("usr/bin")).arg(trixie.join("etc")).arg(&root));
    let deep = format!("etc/{}/{}", "d".repeat(150), "e".repeat(150));
    fs::create_dir_all(root.join(&deep)).unwrap();
    fs::write(root.join(&deep).join("f".repeat(200)), "far down").unwrap();
    symlink("t".repeat(300), root.join("etc/long-target")).unwrap();
    fs::write(root.join("etc").join(OsStr::from_bytes(b"\xff\n\\name")), "not UTF-8").unwrap();
    fs::hard_link(root.join("bin/bash"), root.join("etc/bash")).unwrap();
    fs::hard_link(root.join("etc/long-target"), root.join("etc/linked-link")).unwrap();
    let sparse = fs::File::create(root.join("etc/sparse")).unwrap();
    for at in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", at << 17).unwrap();
    }
    sparse.set_len(100 << 17).unwrap();
    run(Command::new("setcap").arg("cap_net_raw+ep").arg(root.join("bin/ls")));
    xattr::set(root.join("etc"), "user.directory", b"\x00\xff").unwrap();
    let old = layout(&both.path("old"), &[gnu_tar(&root, &["--format=gnu"], &["."])]);
    let new = ["--format=posix", "--xattrs", "--xattrs-include=*", "--pax-option=delete=atime,delete=ctime"];
    let new = layout(&both.path("new"), &[gnu_tar(&root, &new, &["."])]);
    let old = both.unpack(&old, "one", &[]);
    fs::remove_dir_all(both.path("umoci-one")).unwrap();
    fs::remove_dir_all(both.path("store-one")).unwrap();
    let new = both.unpack(&new, "one", &[]);
    // Both trees are also the same as the packed one.
    let want = tree(&root);
    assert_eq!(new, want);
    let whole = |tree: &BTreeMap<PathBuf, String>| {
        let cut = |line: &String| line.split_once(" [").unwrap().0.rsplit_once('.').unwrap().0.to_owned();
        tree.iter().map(|(path, line)| (path.clone(), cut(line))).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(whole(&old), whole(&want));
    assert!(count(&new, "linked 2 times to") >= 4 && count(&new, "security.capability") == 1);
}

/// A layer replaces `/bin` and `/sbin` by links into `/usr`, and a later layer has files below
/// these links.
#[test]
fn layers_that_merge_usr_are_unpacked_equally() {
    let Some(both) = Both::new(&["tree:base"]) else { return };
    let base = support::cache().join("base");
    let first = gnu_tar(
        &base,
        &["--format=gnu", "--transform=s,^usr/bin,bin,", "--transform=s,^usr/sbin,sbin,"],
        &["usr/bin", "usr/sbin"],
    );
    let merge =
        Layer::new().hide(".wh.bin").hide(".wh.sbin").symlink("bin", "usr/bin").symlink("sbin", "/usr/sbin").bytes();
    let second = gnu_tar(&base, &["--format=posix"], &["usr/bin", "usr/sbin"]);
    let after = Layer::new()
        .file("bin/new", "through a relative link")
        .file("usr/sbin/new", "through none")
        .hide("bin/.wh.bash")
        .link("usr/bin/again", "usr/bin/new")
        .dir("srv/data")
        .bytes();
    let tree = both.unpack(&layout(&both.path("layout"), &[first, merge, second, after]), "one", &["", "srv", "usr"]);
    assert!(tree[Path::new("bin")].starts_with("-> usr/bin") && tree.contains_key(Path::new("usr/bin/new")));
    assert!(!tree.contains_key(Path::new("usr/bin/bash")) && count(&tree, "linked 2 times") >= 2);
}

/// Whiteouts in every order: before, after and between the files that their layer adds.
#[test]
fn whiteouts_in_every_order_are_unpacked_equally() {
    let Some(both) = Both::new(&["tree:base"]) else { return };
    let base = gnu_tar(&support::cache().join("base"), &["--format=gnu"], &["etc", "usr/share", "var/lib"]);
    let second = Layer::new()
        .dir("etc/apt")
        .hide("etc/apt/.wh..wh..opq")
        .file("etc/apt/sources.list", "all that is left")
        .hide("etc/.wh.passwd")
        .hide("etc/.wh.nothing")
        .hide("usr/share/.wh.zoneinfo")
        .dir("var/lib/dpkg")
        .file("var/lib/dpkg/first", "before the marker")
        .dir("var/lib/dpkg/info")
        .file("var/lib/dpkg/info/kept", "before the marker")
        .hide("var/lib/dpkg/.wh..wh..opq")
        .file("var/lib/dpkg/last", "after the marker")
        .add(EntryType::Fifo, "etc/fifo", "", 0o4600, "")
        .bytes();
    let third = Layer::new()
        .file("etc/login.defs", "back again")
        .hide("var/lib/dpkg/.wh.first")
        .hide(".wh.usr")
        .dir("usr")
        .file("usr/only", "new")
        .hide("etc/.wh.fifo")
        .add(EntryType::Regular, "etc/setuid", "", 0o4755, "#!")
        .bytes();
    let tree =
        both.unpack(&layout(&both.path("layout"), &[base, second, third]), "one", &["", "var", "var/lib/dpkg/info"]);
    let has = |path: &str| tree.contains_key(Path::new(path));
    assert!(has("etc/login.defs") && has("etc/apt/sources.list") && has("var/lib/dpkg/last") && has("usr/only"));
    assert!(!has("etc/fifo") && !has("usr/share") && !has("var/lib/dpkg/first") && !has("var/lib/dpkg/status"));
    assert!(tree[Path::new("etc/setuid")].contains(" 104755 "));
}
