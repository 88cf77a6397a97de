// SPDX-License-Identifier: MIT
//! Versions of one image: downloaded, switched to and back, kept and removed.

use std::collections::BTreeMap;

use super::*;
use crate::image::prune;
use crate::image::{Retention, Switch, Updates, download, latest};

/// Puts another version in place of the one in the layout, and gives its digest.
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
    if !root("image::versions") {
        return;
    }
    let mut world = world();
    let store = world.store.clone();
    let source = world.source(None);
    let request = Request::new("app", &source);
    let current = || store.lookup("app").unwrap().unwrap();
    let first = version(&mut world, "1");
    assert_eq!(latest(&store, &request, &Silent).unwrap().to_string(), first);
    let one = world.import(None).unwrap();

    // A download changes nothing, and is no former version.
    let second = version(&mut world, "2");
    assert_eq!(latest(&store, &request, &Silent).unwrap().to_string(), second);
    let two = download(&store, &Request { digest: Some(&second), ..request }, &Silent).unwrap();
    two.set_unused().unwrap();
    assert_eq!((current().image.manifest, two.image.manifest.clone()), (first.clone(), second.clone()));
    assert!(store.former_versions("app").unwrap().is_empty());
    let mut updates = store.updates("app", &source.to_string());
    updates.pending = Some(two.entry().to_owned());
    store.note_updates("app", &updates).unwrap();
    assert_eq!(pruned(&store), 0);

    // A digest that the source does not have now is refused, unless it is there already.
    let other = format!("sha256:{}", "0".repeat(64));
    let locked = |digest| import(&store, &Request { digest: Some(digest), pull: Pull::Always, ..request }, &Silent);
    assert!(format!("{:#}", locked(&other).unwrap_err()).contains("which is asked for"));
    assert_eq!(locked(&first).unwrap().image.manifest, first);
    store.switch("app", two.entry()).unwrap();
    assert_eq!(current().image.manifest, second);
    assert_eq!(locked(&first).unwrap().image.manifest, first);
    assert!(store.switch("app", "other.1.1").is_err() && store.switch("app", "app.1.1").is_err());

    // A switch that nobody finishes is undone, once.
    store.switch("app", two.entry()).unwrap();
    let switch = Switch { from: one.entry().to_owned(), to: two.entry().to_owned(), ..Switch::default() };
    updates.switch = Some(switch.clone());
    store.note_updates("app", &updates).unwrap();
    let lock = store.lock_updates().unwrap();
    assert_eq!(store.undo_unfinished("app", &|_| Ok(())).unwrap(), None);
    drop(lock);
    // Nothing is forgotten before what hangs on the switch is undone, too.
    assert!(store.undo_unfinished("app", &|_| anyhow::bail!("not now")).is_err());
    assert_eq!(store.undo_unfinished("app", &|_| Ok(())).unwrap(), Some(switch));
    assert_eq!(current().image.manifest, first);
    assert_eq!(store.undo_unfinished("app", &|_| Ok(())).unwrap(), None);

    // Of former versions, those that failed do not count.
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
