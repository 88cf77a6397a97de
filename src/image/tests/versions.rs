// SPDX-License-Identifier: MIT
//! Tests of the versions of an image: download, switch, rollback, retention and removal.

use std::collections::BTreeMap;

use super::*;
use crate::image::digest::Digest;
use crate::image::prune;
use crate::image::{Retention, Switch, Updates, download, latest};

/// Replaces the image in the layout by another version, and returns its digest.
fn version(world: &mut World, text: &str) -> String {
    world.layout.index.clear();
    let layers = [Archive::new().file("etc/passwd", "app:x:10:20::/srv:\n").file("version", text)];
    world.layout.image(None, app_config(), &layers).first().unwrap().to_string()
}

fn pruned(store: &Store) -> usize {
    prune(store, &|| Ok(BTreeMap::new()), Retention { versions: 1, cache: 1 << 30 }, false).unwrap().len()
}

#[test]
fn versions_come_and_go() {
    if !root("image::versions_come_and_go") {
        return;
    }
    let mut world = world();
    let store = world.store.clone();
    let source = world.source(None);
    let request = Request::new("app", &source);
    let current = || store.lookup("app").unwrap().unwrap();
    let first = version(&mut world, "1");
    assert_eq!(latest(&store, &request, &Silent).unwrap(), Digest::parse(&first).unwrap().into());
    let one = world.import(None).unwrap();

    // A download does not change the current version, and is not a former version.
    let second = version(&mut world, "2");
    assert_eq!(latest(&store, &request, &Silent).unwrap().digest.to_string(), second);
    let two = download(&store, &Request { digest: Some(&second), ..request }, &Silent).unwrap();
    two.set_unused().unwrap();
    assert_eq!((current().image.manifest, two.image.manifest.clone()), (first.clone(), second.clone()));
    assert!(store.former_versions("app").unwrap().is_empty());
    let mut updates = store.updates("app", &source.to_string());
    updates.pending = Some(two.entry().to_owned());
    store.note_updates("app", &updates).unwrap();
    assert_eq!(pruned(&store), 0);

    // A digest that the source does not have is refused, unless the store has it.
    let other = format!("sha256:{}", "0".repeat(64));
    let locked = |digest| import(&store, &Request { digest: Some(digest), pull: Pull::Always, ..request }, &Silent);
    assert!(format!("{:#}", locked(&other).unwrap_err()).contains("which is asked for"));
    assert_eq!(locked(&first).unwrap().image.manifest, first);
    store.switch("app", two.entry()).unwrap();
    assert_eq!(current().image.manifest, second);
    assert_eq!(locked(&first).unwrap().image.manifest, first);
    assert!(store.switch("app", "other.1.1").is_err() && store.switch("app", "app.1.1").is_err());

    // An unfinished switch is undone once.
    store.switch("app", two.entry()).unwrap();
    let switch = Switch { from: one.entry().to_owned(), to: two.entry().to_owned(), ..Switch::default() };
    updates.switch = Some(switch.clone());
    store.note_updates("app", &updates).unwrap();
    let lock = store.lock_updates().unwrap();
    assert_eq!(store.undo_unfinished("app", &|_| Ok(())).unwrap(), None);
    drop(lock);
    // The switch stays noted until everything that depends on it is undone.
    assert!(store.undo_unfinished("app", &|_| anyhow::bail!("not now")).is_err());
    assert_eq!(store.undo_unfinished("app", &|_| Ok(())).unwrap(), Some(switch));
    assert_eq!(current().image.manifest, first);
    assert_eq!(store.undo_unfinished("app", &|_| Ok(())).unwrap(), None);

    // Failed versions do not count as former versions.
    let third = version(&mut world, "3");
    import(&store, &Request { pull: Pull::Always, ..request }, &Silent).unwrap();
    store.switch("app", one.entry()).unwrap();
    store.switch("app", two.entry()).unwrap();
    let refused = Updates { refused: [third.clone()].into(), pending: None, switch: None, ..updates };
    store.note_updates("app", &refused).unwrap();
    assert_eq!(pruned(&store), 1);
    let left: Vec<String> = store.former_versions("app").unwrap().into_iter().map(|v| v.image.manifest).collect();
    assert_eq!((left, current().image.manifest), (vec![first], second));
}

/// Machines of several architectures share the digest of the index.
#[test]
fn an_index_is_asked_for_on_every_platform() {
    if !root("image::an_index_is_asked_for_on_every_platform") {
        return;
    }
    let mut world = world();
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let layers = [Archive::new().file("etc/passwd", "app:x:10:20::/srv:\n").file("for", architecture)];
        world.layout.image_for(architecture, None, app_config(), &layers);
        let mut entry = world.layout.index.pop().unwrap();
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entries.push(entry);
    }
    let (store, source) = (world.store.clone(), world.source(None));
    let media = "application/vnd.oci.image.index.v1+json";
    let mut index = |entries: &[serde_json::Value]| {
        let bytes = serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": media, "manifests": entries})).unwrap();
        let digest = world.layout.blob(&bytes).to_string();
        world.layout.index = vec![json!({"mediaType": media, "digest": digest, "size": bytes.len()})];
        world.layout.write_index();
        digest
    };
    let digest = index(&entries);
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let platform = PlatformSetting::new(Some(architecture), None).unwrap();
        let request = Request { platform: &platform, digest: Some(&digest), ..Request::new(architecture, &source) };
        let found = import(&store, &request, &Silent).unwrap();
        assert_eq!(fs::read_to_string(path_of(&found.root().unwrap()).join("for")).unwrap(), architecture);
        assert_eq!((found.image.shared(), found.image.is(&digest)), (digest.as_str(), true));
        let address = latest(&store, &Request { digest: None, ..request }, &Silent).unwrap();
        assert_eq!(
            (address.shared().to_string(), address.digest.to_string()),
            (digest.clone(), found.image.manifest.clone())
        );
        // The image is in the store, so the source is not needed. Another source, however, is.
        let gone = ImageSource::Layout { path: "/no/such/layout".into(), tag: None };
        assert_eq!(found, import(&store, &Request { pull: Pull::Always, ..request }, &Silent).unwrap());
        assert!(import(&store, &Request { source: &gone, ..request }, &Silent).is_err());
        manifests.push(found.image.manifest);
    }
    assert_ne!(manifests.first(), manifests.last());

    // The image also belongs to another index with the same manifests, after the source was asked.
    let other = index(&entries.iter().rev().cloned().collect::<Vec<_>>());
    let platform = PlatformSetting::new(Some("amd64"), None).unwrap();
    let request = Request { platform: &platform, digest: Some(&other), ..Request::new("amd64", &source) };
    let found = import(&store, &request, &Silent).unwrap();
    assert_eq!((Some(&found.image.manifest), found.image.shared()), (manifests.first(), other.as_str()));
    assert!(import(&store, &Request { digest: Some(&digest), ..request }, &Silent).is_err());
}
