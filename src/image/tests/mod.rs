// SPDX-License-Identifier: MIT
//! Tests of whole imports from layout directories.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use tar::EntryType;

use super::testing::{Archive, LayoutDir, listing, path_of, root};
use super::{Imported, Limits, Mode, ModeSetting, Pull, Request, Silent, Store, import};
use crate::config::values::access::{ImportTimeout, Registries};
use crate::config::values::source::{ImageSource, PlatformSetting};
use crate::diag::Location;

mod documents;
mod versions;

struct World {
    _dir: tempfile::TempDir,
    layout: LayoutDir,
    store: Store,
    base: PathBuf,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let layout = LayoutDir::new(&dir.path().join("layout"));
    let system = dir.path().join("system");
    World { layout, store: Store::open(&system), base: system.join("var/lib/sdme"), _dir: dir }
}

impl World {
    fn source(&self, tag: Option<&str>) -> ImageSource {
        ImageSource::Layout { path: self.layout.path.to_str().unwrap().into(), tag: tag.map(Into::into) }
    }

    fn import(&self, tag: Option<&str>) -> anyhow::Result<Imported> {
        import(&self.store, &Request::new("app", &self.source(tag)), &Silent)
    }

    fn error(&self, tag: Option<&str>) -> String {
        format!("{:#}", self.import(tag).unwrap_err())
    }

    /// Returns the entries of the store without the directory of locks.
    fn entries(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.base.join("store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".locks")
            .collect();
        names.sort();
        names
    }
}

fn app_config() -> serde_json::Value {
    json!({
        "Entrypoint": ["/usr/bin/app", "--flag"], "Cmd": ["serve"], "User": "app", "WorkingDir": "/srv/work",
        "Env": ["PATH=/usr/bin", "ODD=a\"b$c\\d\ne", "not.a.name=1"], "StopSignal": "SIGQUIT",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Volumes": {"/data": {}}, "Labels": {"a": "b"},
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 30_000_000_000_u64}
    })
}

fn systemd(layer: Archive) -> Archive {
    layer.with(EntryType::Regular, b"usr/lib/systemd/systemd", b"x", |header| header.set_mode(0o755))
}

fn app_layers() -> Vec<Archive> {
    vec![
        Archive::new()
            .dir("./")
            .file("etc/passwd", "app:x:10:20::/srv:\n")
            .file("etc/group", "x:x:30:app\n")
            .file("old", ""),
        Archive::new().file(".wh.old", "").file("usr/bin/app", "program"),
        Archive::new().with(EntryType::Regular, b"suid", b"", |h| h.set_mode(0o4755)),
    ]
}

#[test]
fn an_application_is_imported_with_its_configuration() {
    if !root("image::an_application_is_imported_with_its_configuration") {
        return;
    }
    let mut world = world();
    let digests = world.layout.image(None, app_config(), &app_layers());
    let found = world.import(None).unwrap();
    assert_eq!(found.tree, found.dir.join("tree"));
    assert_eq!(
        fs::read_link(world.base.join("fs/app")).unwrap(),
        Path::new("../store").join(found.dir.file_name().unwrap())
    );
    let read = |path: &str| fs::read_to_string(found.tree.join("oci").join(path)).unwrap();
    assert_eq!(read("env"), "PATH=\"/usr/bin\"\nODD=\"a\\\"b\\$c\\\\d\ne\"\nnot.a.name=\"1\"\n");
    assert_eq!((read("ports").as_str(), read("volumes").as_str()), ("53/udp\n80/tcp\n", "/data\n"));
    let root = found.root().unwrap();
    let files = listing(&path_of(&root));
    assert_eq!(files.get("usr/bin/app").map(String::as_str), Some("program"));
    assert!(!files.contains_key("old"));
    for path in ["", "oci", "oci/root"] {
        let meta = fs::metadata(found.tree.join(path)).unwrap();
        assert_eq!((meta.permissions().mode() & 0o7777, meta.uid()), (0o755, 0), "{path}");
    }
    let image = &found.image;
    assert_eq!((image.mode, image.requested_mode), (Mode::App, ModeSetting::Auto));
    assert_eq!(image.manifest, digests.first().unwrap().to_string());
    assert_eq!((image.user.uid, image.user.home.as_str()), (10, "/srv"));
    assert_eq!(image.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(image.healthcheck.as_ref().unwrap().interval, 30_000_000_000);
    assert_eq!(world.store.lookup("app").unwrap().unwrap(), found);
    assert_eq!(world.store.list().unwrap(), [found]);
}

#[test]
fn importing_again_changes_nothing() {
    if !root("image::importing_again_changes_nothing") {
        return;
    }
    let mut world = world();
    world.layout.image(None, app_config(), &app_layers());
    let first = world.import(None).unwrap();
    let inode = fs::metadata(&first.tree).unwrap().ino();
    let always = |mode| {
        let source = world.source(None);
        import(&world.store, &Request { pull: Pull::Always, mode, ..Request::new("app", &source) }, &Silent).unwrap()
    };
    assert_eq!(always(ModeSetting::Auto), first);
    assert_eq!(fs::metadata(&first.tree).unwrap().ino(), inode);
    assert_eq!(world.entries().len(), 1);
    // With Pull=missing, the source is not read.
    fs::rename(&world.layout.path, world.layout.path.with_extension("gone")).unwrap();
    assert_eq!(world.import(None).unwrap(), first);
    fs::rename(world.layout.path.with_extension("gone"), &world.layout.path).unwrap();
    // Another mode yields another entry.
    assert_ne!(always(ModeSetting::App).dir, first.dir);
    assert_eq!(world.entries().len(), 2);
    // The name has lost its link, as after a crash at the last moment.
    fs::remove_file(world.base.join("fs/app")).unwrap();
    assert_eq!(world.import(None).unwrap(), first);
    // A damaged entry is replaced.
    fs::remove_file(first.dir.join("image.json")).unwrap();
    assert_eq!(world.import(None).unwrap(), first);
}

#[test]
fn another_reference_replaces_the_current_version() {
    if !root("image::another_reference_replaces_the_current_version") {
        return;
    }
    let mut world = world();
    world.layout.image(Some("1"), app_config(), &app_layers());
    world.layout.image(
        Some("2"),
        app_config(),
        &[Archive::new().file("etc/passwd", "app:x:1:1::/:\n").file("two", "2")],
    );
    let same = world.layout.index.first().unwrap().clone();
    world.layout.index.push(same);
    world.layout.index.last_mut().unwrap()["annotations"] = json!({"org.opencontainers.image.ref.name": "one"});
    world.layout.write_index();
    let first = world.import(Some("1")).unwrap();
    let second = world.import(Some("2")).unwrap();
    assert!(second.tree.join("oci/root/two").exists() && first.tree.exists());
    assert_eq!(world.store.lookup("app").unwrap().unwrap(), second);
    // Another tag of the same image changes only the record; nothing is unpacked.
    let third = world.import(Some("one")).unwrap();
    assert_eq!(third.dir, first.dir);
    assert!(third.image.reference.ends_with(":one"));
    assert_eq!(world.import(Some("one")).unwrap(), third);
    assert!(world.error(Some("3")).contains("no image named `3`; it has: 1, 2, one"));
    assert_eq!(world.store.lookup("app").unwrap().unwrap(), third);
}

#[test]
fn pull_never_and_bad_names_import_nothing() {
    let world = world();
    let source = world.source(None);
    let never = Request { pull: Pull::Never, ..Request::new("app", &source) };
    assert!(import(&world.store, &never, &Silent).unwrap_err().to_string().contains("has not been imported"));
    assert!(import(&world.store, &Request::new("../app", &source), &Silent).is_err());
    assert!(!world.base.exists());
}

#[test]
fn a_base_needs_systemd() {
    if !root("image::a_base_needs_systemd") {
        return;
    }
    let mut world = world();
    world.layout.image(Some("bare"), json!({"Cmd": ["bash"]}), &[Archive::new().file("etc/os-release", "")]);
    let layer = Archive::new()
        .with(EntryType::Directory, b"./", b"", |h| h.set_mode(0o750))
        .symlink("lib", "usr/lib")
        .with(EntryType::Regular, b"usr/lib/systemd/systemd", b"x", |h| h.set_mode(0o755));
    world.layout.image(Some("full"), json!({"Cmd": ["bash"], "User": "nobody-knows"}), &[layer]);
    assert!(world.error(Some("bare")).contains("the image has no systemd"));
    assert!(world.entries().is_empty());
    let found = world.import(Some("full")).unwrap();
    assert_eq!(found.image.mode, Mode::Base);
    assert!(found.tree.join("usr/lib/systemd/systemd").exists());
    assert_eq!(fs::metadata(&found.tree).unwrap().permissions().mode() & 0o7777, 0o750);
}

#[test]
fn an_unknown_user_does_not_fail_the_import() {
    if !root("image::an_unknown_user_does_not_fail_the_import") {
        return;
    }
    let mut world = world();
    world.layout.image(None, json!({"Cmd": ["/app"], "User": "ghost"}), &[Archive::new()]);
    let user = world.import(None).unwrap().image.user;
    assert_eq!((user.uid, user.gid), (65534, 65534));
    let error = user.process().unwrap_err();
    assert!(error.contains("user `ghost` is not in the image's etc/passwd"), "{error}");
}

/// Some programs write the kernel's name of a processor into an image.
#[test]
fn the_kernel_name_of_an_architecture_is_accepted() {
    if !root("image::the_kernel_name_of_an_architecture_is_accepted") {
        return;
    }
    let mut world = world();
    world.layout.image_for(std::env::consts::ARCH, None, app_config(), &app_layers());
    world.import(None).unwrap();
}

#[test]
fn an_application_without_a_command_is_imported() {
    if !root("image::an_application_without_a_command_is_imported") {
        return;
    }
    let mut world = world();
    world.layout.image(None, json!({}), &[Archive::new()]);
    let found = world.import(None).unwrap();
    assert!(found.image.entrypoint.is_empty() && found.image.cmd.is_empty());
    assert_eq!((found.image.mode, found.image.working_dir.as_str()), (Mode::App, "/"));
}

#[test]
fn tampering_is_refused_and_leaves_nothing() {
    if !root("image::tampering_is_refused_and_leaves_nothing") {
        return;
    }
    let mut world = world();
    let digests = world.layout.image(None, app_config(), &app_layers());
    for (digest, what) in digests.iter().zip(["manifest", "config", "layer", "layer", "layer"]) {
        let path = world.layout.blob_path(digest);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(world.error(None).contains("is damaged"), "{what}");
        fs::write(&path, good.get(1..).unwrap()).unwrap();
        assert!(world.error(None).contains("bytes instead of"), "{what}");
        fs::remove_file(&path).unwrap();
        assert!(world.error(None).contains(digest.hex()), "{what}");
        fs::create_dir(&path).unwrap();
        assert!(world.error(None).contains("not a regular file"), "{what}");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, good).unwrap();
        assert!(world.entries().is_empty(), "{what}");
    }
    assert!(world.store.lookup("app").unwrap().is_none());
    world.import(None).unwrap();
}

#[test]
fn images_beyond_the_limits_are_refused() {
    if !root("image::images_beyond_the_limits_are_refused") {
        return;
    }
    let mut world = world();
    let big = "\0".repeat(1 << 20);
    world.layout.image(None, app_config(), &[Archive::new().file("a", &big), Archive::new().file("b", &big)]);
    let source = world.source(None);
    let request = Request {
        limits: Limits { bytes: 3 << 19, entries: 100, ..Limits::default() },
        ..Request::new("app", &source)
    };
    let error = format!("{:#}", import(&world.store, &request, &Silent).unwrap_err());
    assert!(error.contains(": entry `b`: brings the files of the image to 2097152 bytes"), "{error}");
    let at = Location::new(&"sdme.conf".into(), 2);
    let timeout = ImportTimeout { milliseconds: 0, written: "0ms".to_owned(), at };
    let registries = Registries { import_timeout: Some(timeout), ..Registries::default() };
    let request = Request { registries: &registries, ..Request::new("app", &source) };
    let error = format!("{:#}", import(&world.store, &request, &Silent).unwrap_err());
    assert!(error.contains("importing took longer than ImportTimeout=0ms, sdme.conf:2"), "{error}");
    assert!(world.entries().is_empty());
}

#[test]
fn hostile_layers_leave_nothing() {
    if !root("image::hostile_layers_leave_nothing") {
        return;
    }
    let (mut refused, mut confined) = (0, 0);
    for (name, layers, want) in crate::image::unpack::extract::hostile::cases("/no/such/place") {
        let mut world = world();
        world.layout.image(None, json!({"Cmd": ["x"]}), &layers);
        if let Err(want) = want {
            let error = world.error(None);
            let mut parts = want.split('~').map(|part| part.replace('@', "/no/such/place"));
            assert!(parts.all(|part| error.contains(&part)) && error.contains("layer sha256:"), "{name}: {error}");
            assert!(world.entries().is_empty() && world.store.names().unwrap().is_empty(), "{name}");
            refused += 1;
        } else {
            world.import(None).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!(world.entries().len(), 1, "{name}");
            confined += 1;
        }
    }
    assert!(refused + confined >= 50 && refused >= 40, "{refused} and {confined}");
}

#[test]
fn an_application_copies_nothing_of_a_base() {
    if !root("image::an_application_copies_nothing_of_a_base") {
        return;
    }
    let mut world = world();
    world.layout.image(Some("base"), json!({}), &[systemd(Archive::new().file("big", &"b".repeat(4 << 20)))]);
    world.layout.image(Some("app"), app_config(), &app_layers());
    let base = world.source(Some("base"));
    let base = import(&world.store, &Request { mode: ModeSetting::Base, ..Request::new("base", &base) }, &Silent);
    let base = base.unwrap();
    let state = || {
        let entries = walkdir::WalkDir::new(&base.dir).sort_by_file_name().into_iter().map(Result::unwrap);
        let what = entries.map(|entry| (entry.path().to_owned(), entry.metadata().unwrap()));
        what.map(|(path, meta)| (path, meta.ino(), meta.nlink(), meta.ctime(), meta.ctime_nsec())).collect::<Vec<_>>()
    };
    let before = state();
    let app = world.import(Some("app")).unwrap();
    assert_eq!(state(), before);
    let files = walkdir::WalkDir::new(&app.dir).into_iter().map(|entry| entry.unwrap().metadata().unwrap());
    assert!(files.map(|meta| meta.blocks() * 512).sum::<u64>() < 256 << 10);
    assert!(!app.tree.join("usr").exists() && !app.tree.join("oci/root/big").exists());
}

#[test]
fn nested_indexes_are_followed_and_attestations_skipped() {
    if !root("image::nested_indexes_are_followed_and_attestations_skipped") {
        return;
    }
    let mut world = world();
    world.layout.image(None, app_config(), &app_layers());
    let mut windows = world.layout.index.remove(0);
    let mut linux = windows.clone();
    let arch = crate::image::source::manifest::Platform::host().architecture;
    linux["platform"] = json!({"os": "linux", "architecture": arch});
    windows["platform"] = json!({"os": "windows", "architecture": arch});
    let mut attestation = windows.clone();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let nest = |world: &World, entries: Vec<serde_json::Value>| {
        let bytes = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": entries})).unwrap();
        json!({"mediaType": "application/vnd.oci.image.index.v1+json",
               "digest": world.layout.blob(&bytes).to_string(), "size": bytes.len()})
    };
    let inner = nest(&world, vec![windows.clone(), attestation, linux]);
    world.layout.index = vec![inner];
    world.layout.write_index();
    world.import(None).unwrap();
    let mut deep = nest(&world, vec![windows]);
    for _ in 0..6 {
        deep = nest(&world, vec![deep]);
    }
    world.layout.index = vec![deep];
    world.layout.write_index();
    let source = world.source(None);
    let error = import(&world.store, &Request::new("deep", &source), &Silent).unwrap_err();
    assert!(format!("{error:#}").contains("nested more than"), "{error:#}");
}

#[test]
fn parallel_imports_yield_one_entry() {
    if !root("image::parallel_imports_yield_one_entry") {
        return;
    }
    let mut world = world();
    world.layout.image(None, app_config(), &app_layers());
    let world = &world;
    let results: Vec<Imported> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|i| {
                scope.spawn(move || {
                    let source = world.source(None);
                    let pull = if i % 2 == 0 { Pull::Missing } else { Pull::Always };
                    import(&world.store, &Request { pull, ..Request::new("app", &source) }, &Silent).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.windows(2).all(|pair| pair.first() == pair.last()));
    assert_eq!(world.entries().len(), 1);
}

#[test]
fn images_share_layers() {
    if !root("image::images_share_layers") {
        return;
    }
    let mut world = world();
    let layers = |top: &str| {
        let mut layers = app_layers();
        layers.push(Archive::new().file("top", top).file("usr/.wh.bin", "").hardlink("also", "suid"));
        layers
    };
    let digests = world.layout.image(Some("1"), app_config(), &layers("1"));
    world.layout.image(Some("2"), app_config(), &layers("2"));
    let first = world.import(Some("1")).unwrap();
    let kept = || -> Vec<u64> { first.below.iter().map(|layer| fs::metadata(layer).unwrap().ino()).collect() };
    let before = kept();
    assert_eq!(before.len(), 3);

    // Only the topmost layer is read, and only this layer belongs to the image alone.
    for layer in &digests[2..5] {
        fs::remove_file(world.layout.blob_path(layer)).unwrap();
    }
    let second = world.import(Some("2")).unwrap();
    assert_eq!((&second.below, kept()), (&first.below, before));
    let own: Vec<String> = listing(&second.tree.join("oci/root")).into_keys().collect();
    assert_eq!(own, ["also", "suid", "top", "usr", "usr/bin"]);
    for (image, top) in [(&first, "1"), (&second, "2")] {
        let tree = image.root().unwrap();
        let files = listing(&path_of(&tree));
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["also", "etc", "etc/group", "etc/passwd", "suid", "top", "usr"]);
        assert_eq!(files["top"], top);
        let meta = |path: &str| fs::metadata(path_of(&tree).join(path)).unwrap();
        assert_eq!((meta("also").ino(), meta("also").nlink()), (meta("suid").ino(), 2));
        assert_eq!((meta("suid").mode() & 0o7777, meta("").mtime()), (0o4755, 1_000_000_000));
    }

    // Damage of a shared layer is reported once, and a missing layer causes a new import.
    let verify = || super::verify(&world.store, None).unwrap();
    assert!(verify().is_empty(), "{:?}", verify());
    fs::write(first.below[2].join("oci/root/etc/passwd"), "root::0:0::/:\n").unwrap();
    assert_eq!(verify().len(), 1, "{:?}", verify());
    fs::remove_dir_all(first.below[2].parent().unwrap()).unwrap();
    assert!(world.store.lookup("app").unwrap_err().to_string().contains("is not there; import it again"));
    assert!(world.error(Some("2")).contains("No such file"));
    world.layout.image(Some("3"), app_config(), &layers("2"));
    let third = world.import(Some("3")).unwrap();
    assert_eq!(third.below, second.below);
    assert!(super::verify(&world.store, None).unwrap().is_empty());

    // Layers are removed with the last image that uses them, but not while an import may use them.
    let prune = |dry_run| {
        let retention = super::Retention { versions: 0, cache: 0 };
        super::prune(&world.store, &|| Ok(std::collections::BTreeMap::new()), retention, dry_run).unwrap()
    };
    let layers_left = || fs::read_dir(world.base.join("layers")).unwrap().count();
    prune(false);
    assert_eq!((world.entries().len(), layers_left()), (1, 3));
    let busy = world.store.use_layers().unwrap();
    super::remove(&world.store, "app", &|| Ok(std::collections::BTreeMap::new()), false).unwrap();
    assert!(prune(true).is_empty() && layers_left() == 3);
    drop(busy);
    assert_eq!(prune(true).len(), 3);
    assert_eq!((prune(false).len(), layers_left(), prune(false).len()), (3, 0, 0));
}

#[test]
fn the_lowest_of_many_layers_share_a_directory() {
    if !root("image::the_lowest_of_many_layers_share_a_directory") {
        return;
    }
    let mut world = world();
    let mut layers: Vec<Archive> =
        (0..100).map(|n| Archive::new().file("top", &n.to_string()).dir(format!("{n}"))).collect();
    layers[99] = Archive::new().file("top", "99").file(".wh.98", "").file(".wh.1", "");
    world.layout.image(None, json!({"Entrypoint": ["/app"]}), &layers);
    let found = world.import(None).unwrap();
    assert_eq!(found.below.len(), 23);
    let tree = found.root().unwrap();
    let files = listing(&path_of(&tree));
    assert_eq!((files.len(), files["top"].as_str()), (98, "99"));
}

#[test]
fn a_base_is_one_directory() {
    if !root("image::a_base_is_one_directory") {
        return;
    }
    let mut world = world();
    let layers = [systemd(Archive::new().file("old", "")), Archive::new().file(".wh.old", "").file("new", "")];
    world.layout.image(None, json!({"Cmd": ["/bin/bash"]}), &layers);
    let found = world.import(None).unwrap();
    assert!(found.below.is_empty() && found.tree.join("new").exists() && !found.tree.join("old").exists());
}

#[test]
fn a_lost_attribute_of_a_layer_is_found() {
    if !root("image::a_lost_attribute_of_a_layer_is_found") {
        return;
    }
    let mut world = world();
    let layers = [Archive::new().file("d/old", ""), Archive::new().file(".wh.d", "").file("d/new", "")];
    world.layout.image(None, json!({"Entrypoint": ["/app"]}), &layers);
    let found = world.import(None).unwrap();
    let verify = || super::verify(&world.store, None).unwrap();
    assert!(verify().is_empty(), "{:?}", verify());
    xattr::remove(found.tree.join("oci/root/d"), "trusted.overlay.opaque").unwrap();
    assert_eq!(verify(), ["app: `oci/root/d` was changed (content or attributes)"]);
}

#[test]
fn layers_are_unpacked_into_one_tree_if_they_cannot_be_stacked() {
    if !root("image::layers_are_unpacked_into_one_tree_if_they_cannot_be_stacked") {
        return;
    }
    let mut world = world();
    world.layout.image(None, app_config(), &app_layers());
    // An upper layer on overlayfs is impossible.
    let dir = tempfile::tempdir().unwrap();
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| dir.path().join(name));
    for path in [&lower, &upper, &work] {
        fs::create_dir(path).unwrap();
    }
    let system = crate::image::unpack::overlay::stacked(&[lower], &upper, &work).unwrap();
    let store = Store::open(&path_of(&system));
    let found = import(&store, &Request::new("app", &world.source(None)), &Silent).unwrap();
    assert!(found.below.is_empty());
    let files = listing(&found.tree.join("oci/root"));
    assert!(files["usr/bin/app"] == "program" && !files.contains_key("old"));
}
