// SPDX-License-Identifier: MIT
//! Tests of whole imports from all image formats in files. Registries have their own tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tar::EntryType;

use crate::config::values::source::{ImageSource, ModeSetting, PlatformSetting, Pull};
use crate::image::source::manifest::Platform;
use crate::image::store::digest::Digest;
use crate::image::testing::{Archive, LayoutDir, listing, path_of, root};
use crate::image::{Imported, Limits, Mode, Request, Silent, Store, import};

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Store::open(&dir.path().join("system")), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn get(&self, source: &str) -> anyhow::Result<Imported> {
        let source: ImageSource = source.parse().unwrap();
        import(&self.store, &Request { pull: Pull::Always, ..Request::new("x", &source) }, &Silent)
    }

    fn error(&self, source: &str) -> String {
        let error = format!("{:#}", self.get(source).unwrap_err());
        let left: Vec<_> = fs::read_dir(self.path("system/var/lib/sdme/store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(".import"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        error
    }
}

fn layers() -> Vec<Archive> {
    vec![
        Archive::new().dir("usr/bin").file("usr/bin/app", "program").file("old", ""),
        Archive::new().file(".wh.old", "").file("new", "here"),
        Archive::new().file("last", "3"),
    ]
}

fn config() -> serde_json::Value {
    json!({"Cmd": ["/usr/bin/app"]})
}

/// Asserts that the tree has the content of the layers above.
fn expected(found: &Imported) {
    let root = found.root().unwrap();
    let files = listing(&path_of(&root));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["last", "new", "usr", "usr/bin", "usr/bin/app"]);
}

/// Packs a directory; names have no leading `./`.
fn pack(dir: &Path) -> Vec<u8> {
    let mut archive = Archive::new();
    for entry in walkdir::WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        archive = if entry.file_type().is_dir() {
            archive.dir(name)
        } else {
            archive.with(EntryType::Regular, name.as_bytes(), &fs::read(entry.path()).unwrap(), |_| {})
        };
    }
    archive.finish()
}

fn compressed(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(bytes).unwrap();
    vec![
        ("plain", bytes.to_vec()),
        ("gz", gzip.finish().unwrap()),
        ("bz2", bzip2.finish().unwrap()),
        ("zst", zstd::encode_all(bytes, 3).unwrap()),
    ]
}

#[test]
fn oci_archives_are_imported_and_damaged_ones_refused() {
    if !root("source::oci_archives_are_imported_and_damaged_ones_refused") {
        return;
    }
    let bench = Bench::new();
    let mut layout = LayoutDir::new(&bench.path("layout"));
    let digests = layout.image(Some("one"), config(), &layers());
    layout.image(Some("two"), config(), &[Archive::new().file("two", "")]);
    let reference = bench.get(&format!("oci:{}:one", bench.path("layout").display())).unwrap();
    for (name, bytes) in compressed(&pack(&bench.path("layout"))) {
        let path = bench.write(name, &bytes);
        let found = bench.get(&format!("oci-archive:{path}:one")).unwrap();
        expected(&found);
        assert_eq!(found.image.manifest, reference.image.manifest);
        assert!(bench.error(&format!("oci-archive:{path}:three")).contains("it has: one, two"), "{name}");
    }
    // A damaged layer, a directory that is not a layout, and a file that is not an archive.
    let layer = layout.blob_path(&digests[2]);
    let mut bytes = fs::read(&layer).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&layer, bytes).unwrap();
    let path = bench.write("bad", &pack(&bench.path("layout")));
    fs::remove_dir_all(bench.path("system")).unwrap();
    assert!(bench.error(&format!("oci-archive:{path}:one")).contains("is damaged"));
    fs::remove_file(bench.path("layout/oci-layout")).unwrap();
    let path = bench.write("bad", &pack(&bench.path("layout")));
    assert!(bench.error(&format!("oci-archive:{path}")).contains("is not an OCI image layout"));
    let path = bench.write("bad", b"nonsense, and more than one block of it".repeat(40).as_slice());
    assert!(bench.error(&format!("oci-archive:{path}")).contains("not a tar archive"));
    assert!(bench.error("oci-archive:/nowhere/x.tar").contains("/nowhere/x.tar"));
}

#[test]
fn hostile_archives_are_refused() {
    if !root("source::hostile_archives_are_refused") {
        return;
    }
    let bench = Bench::new();
    let outside = bench.write("outside", br#"{"imageLayoutVersion":"1.0.0"}"#);
    let many = (0..10_001).fold(Archive::new(), |archive, number| archive.file(format!("{number}"), ""));
    let big = "\0".repeat(3 << 20);
    for (name, archive, want) in [
        ("absolute link", Archive::new().symlink("oci-layout", &outside), "no file `oci-layout`"),
        ("upward link", Archive::new().symlink("oci-layout", "../outside"), "no file `oci-layout`"),
        ("hard link", Archive::new().hardlink("oci-layout", &outside), "no file `oci-layout`"),
        ("circle", Archive::new().symlink("oci-layout", "a").symlink("a", "oci-layout"), "no file `oci-layout`"),
        ("directory", Archive::new().dir("oci-layout"), "no file `oci-layout`"),
        ("upward name", Archive::new().file("../oci-layout", "{}"), "no file `oci-layout`"),
        ("large document", Archive::new().file("oci-layout", &big), "larger than 4096"),
        ("many members", many, "more than 10000 members"),
    ] {
        let path = bench.write("bad", &archive.finish());
        let error = bench.error(&format!("oci-archive:{path}"));
        assert!(error.contains(want), "{name}: {error}");
    }
    let path = bench.write("cut", Archive::new().file("oci-layout", &big).unfinished().get(..4096).unwrap());
    assert!(bench.error(&format!("oci-archive:{path}")).contains("ends inside a file"));
    let path = bench.write("bomb", &zstd::encode_all(big.as_bytes(), 3).unwrap());
    let source: ImageSource = format!("oci-archive:{path}").parse().unwrap();
    let request =
        Request { limits: Limits { bytes: 1 << 20, entries: 10, ..Limits::default() }, ..Request::new("x", &source) };
    let error = format!("{:#}", import(&bench.store, &request, &Silent).unwrap_err());
    assert!(error.contains("the uncompressed archive is larger than"), "{error}");
    assert_eq!(fs::read(outside).unwrap(), br#"{"imageLayoutVersion":"1.0.0"}"#);
}

/// Returns an archive like that of `docker save`, in which the second layer is a symbolic link.
fn docker(diff_ids: &[Digest], tags: &[&str]) -> Archive {
    let document = json!({
        "architecture": Platform::host().architecture, "os": "linux", "config": config(),
        "rootfs": {"type": "layers", "diff_ids": diff_ids.iter().map(ToString::to_string).collect::<Vec<_>>()}
    });
    let config = document.to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let mut archive = Archive::new();
    let mut names = Vec::new();
    for (number, layer) in layers().iter().enumerate() {
        let name = format!("{number}/layer.tar");
        if number == 1 {
            archive = archive.with(EntryType::Regular, b"1/real.tar", &layer.finish(), |_| {});
            archive = archive.symlink(&name, "../1/./real.tar");
        } else {
            archive = archive.with(EntryType::Regular, name.as_bytes(), &layer.finish(), |_| {});
        }
        names.push(name);
    }
    let manifest = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]);
    archive.file(config_name, &config).file("manifest.json", &manifest.to_string())
}

#[test]
fn docker_archives_are_imported_and_wrong_ones_refused() {
    if !root("source::docker_archives_are_imported_and_wrong_ones_refused") {
        return;
    }
    let bench = Bench::new();
    let ids: Vec<Digest> = layers().iter().map(|layer| Digest::of(&layer.finish())).collect();
    for (name, bytes) in compressed(&docker(&ids, &["app:1", "l.io:5/app:2"]).finish()) {
        let path = bench.write(name, &bytes);
        expected(&bench.get(&format!("docker-archive:{path}")).unwrap());
        let found = bench.get(&format!("docker-archive:{path}:app:1")).unwrap();
        expected(&found);
        assert!(found.image.reference.ends_with(":docker.io/library/app:1"));
        expected(&bench.get(&format!("docker-archive:{path}:l.io:5/app:2")).unwrap());
        let error = bench.error(&format!("docker-archive:{path}:app:3"));
        assert!(error.contains("it has: docker.io/library/app:1, l.io:5/app:2"), "{error}");
    }
    // Some programs write the keys in lower case.
    let document = json!({
        "architecture": Platform::host().architecture, "os": "linux", "config": config(),
        "rootfs": {"type": "layers", "diff_ids": [ids[0].to_string()]}
    });
    let lower = json!([{"config": "config.json", "repoTags": ["app:1"], "layers": ["layer.tar"]}]);
    let archive = Archive::new()
        .with(EntryType::Regular, b"layer.tar", &layers()[0].finish(), |_| {})
        .file("config.json", &document.to_string())
        .file("manifest.json", &lower.to_string());
    let path = bench.write("lower", &archive.finish());
    assert!(bench.get(&format!("docker-archive:{path}:app:1")).is_ok());
    let mut wrong = ids.clone();
    wrong[1] = Digest::of(b"");
    let path = bench.write("wrong", &docker(&wrong, &[]).finish());
    assert!(bench.error(&format!("docker-archive:{path}")).contains("uncompressed content has the digest"));
    let path = bench.write("short", &docker(&ids[..2], &[]).finish());
    assert!(bench.error(&format!("docker-archive:{path}")).contains("has 3 layers, but the configuration has 2"));
    let hex = "0".repeat(64);
    let lie = Archive::new()
        .file(format!("{hex}.json"), "{}")
        .file("manifest.json", &json!([{"Config": format!("{hex}.json"), "Layers": []}]).to_string());
    let path = bench.write("lie", &lie.finish());
    assert!(bench.error(&format!("docker-archive:{path}")).contains("does not have the digest"));
    let two = json!([{"Config": "a", "RepoTags": ["a:1"], "Layers": []}, {"Config": "b", "Layers": []}]);
    let path = bench.write("two", &Archive::new().file("manifest.json", &two.to_string()).finish());
    assert!(bench.error(&format!("docker-archive:{path}")).contains("has 2 images"));
    let outside = json!([{"Config": "/etc/passwd", "Layers": []}]);
    let path = bench.write("outside", &Archive::new().file("manifest.json", &outside.to_string()).finish());
    assert!(bench.error(&format!("docker-archive:{path}")).contains("no file `/etc/passwd`"));
    let path = bench.write("none", &Archive::new().file("x", "").finish());
    assert!(bench.error(&format!("docker-archive:{path}")).contains("is not an archive of `docker save`"));
}

#[test]
fn directories_of_skopeo_are_imported() {
    if !root("source::directories_of_skopeo_are_imported") {
        return;
    }
    let bench = Bench::new();
    let mut layout = LayoutDir::new(&bench.path("layout"));
    let digests = layout.image(None, config(), &layers());
    let dir = bench.path("copied");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    fs::copy(layout.blob_path(&digests[0]), dir.join("manifest.json")).unwrap();
    for digest in &digests[1..] {
        fs::copy(layout.blob_path(digest), dir.join(digest.hex())).unwrap();
    }
    let source = format!("dir:{}", dir.display());
    let found = bench.get(&source).unwrap();
    expected(&found);
    assert_eq!(found.image.manifest, digests[0].to_string());
    fs::remove_dir_all(bench.path("system")).unwrap();
    fs::write(dir.join(digests[2].hex()), "x").unwrap();
    assert!(bench.error(&source).contains("bytes instead of"));
    fs::remove_file(dir.join("manifest.json")).unwrap();
    assert!(bench.error(&source).contains("is not an image directory"));
}

#[test]
fn root_file_systems_are_imported_as_bases() {
    if !root("source::root_file_systems_are_imported_as_bases") {
        return;
    }
    let bench = Bench::new();
    let system = Archive::new().dir("./").dir("./etc").symlink("./lib", "usr/lib").with(
        EntryType::Regular,
        b"./usr/lib/systemd/systemd",
        b"x",
        |header| header.set_mode(0o755),
    );
    let mut entries = Vec::new();
    for (name, bytes) in compressed(&system.finish()) {
        let found = bench.get(&format!("rootfs:{}", bench.write(name, &bytes))).unwrap();
        assert_eq!((found.image.mode, found.image.requested_mode), (Mode::Base, ModeSetting::Base), "{name}");
        assert!(found.tree.join("usr/lib/systemd/systemd").exists(), "{name}");
        entries.push(found.dir);
    }
    // The same file yields the same entry again; another file at the same path yields another
    // entry.
    let path = bench.write("gz", &compressed(&system.finish())[1].1);
    assert_eq!(bench.get(&format!("rootfs:{path}")).unwrap().dir, entries[1]);
    bench.write("gz", &system.clone().file("more", "").finish());
    assert!(bench.get(&format!("rootfs:{path}")).unwrap().tree.join("more").exists());

    let path = bench.write("app", &Archive::new().file("bin/app", "").finish());
    assert!(bench.error(&format!("rootfs:{path}")).contains("the image has no systemd"));
    let source: ImageSource = format!("rootfs:{path}").parse().unwrap();
    let app = import(&bench.store, &Request { mode: ModeSetting::App, ..Request::new("y", &source) }, &Silent).unwrap();
    assert!(app.tree.join("oci/root/bin/app").exists());
    let path = bench.write("packed", &Archive::new().file("oci-layout", "{}").finish());
    assert!(bench.error(&format!("rootfs:{path}")).contains("write oci-archive: in front"));
}

#[test]
fn the_image_of_the_requested_platform_is_imported() {
    if !root("source::the_image_of_the_requested_platform_is_imported") {
        return;
    }
    let bench = Bench::new();
    let mut layout = LayoutDir::new(&bench.path("layout"));
    let mut made = BTreeMap::new();
    for (platform, file) in [("linux/s390x", "big"), ("linux/riscv64", "little"), ("windows/s390x", "win")] {
        layout.image(None, config(), &[Archive::new().file(file, "")]);
        let (os, architecture) = platform.split_once('/').unwrap();
        let manifest = layout.index.pop().unwrap();
        let bytes = fs::read(layout.blob_path(&Digest::parse(manifest["digest"].as_str().unwrap()).unwrap())).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let old = Digest::parse(manifest["config"]["digest"].as_str().unwrap()).unwrap();
        let mut document: serde_json::Value =
            serde_json::from_slice(&fs::read(layout.blob_path(&old)).unwrap()).unwrap();
        document["architecture"] = architecture.into();
        document["os"] = os.into();
        let document = document.to_string();
        manifest["config"]["digest"] = layout.blob(document.as_bytes()).to_string().into();
        manifest["config"]["size"] = document.len().into();
        let bytes = manifest.to_string();
        made.insert(
            file,
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": bytes.len(),
                   "digest": layout.blob(bytes.as_bytes()).to_string(),
                   "platform": {"os": os, "architecture": architecture}}),
        );
    }
    layout.index = ["win", "big", "little"].iter().map(|file| made[file].clone()).collect();
    layout.write_index();
    let source: ImageSource = format!("oci:{}", bench.path("layout").display()).parse().unwrap();
    let get = |architecture: &str| {
        let platform = PlatformSetting::new(Some(architecture), None).unwrap();
        import(&bench.store, &Request { platform: &platform, ..Request::new("x", &source) }, &Silent)
    };
    // With Pull=missing, an image for another platform is not good enough.
    assert!(get("s390x").unwrap().tree.join("oci/root/big").exists());
    let little = get("riscv64").unwrap();
    assert!(little.tree.join("oci/root/little").exists());
    assert_eq!(little.image.requested_platform, "riscv64");
    let error = format!("{:#}", get("pdp11").unwrap_err());
    assert!(
        error.contains("no image for linux/pdp11; there are: windows/s390x, linux/s390x, linux/riscv64"),
        "{error}"
    );
}
