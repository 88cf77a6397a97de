// SPDX-License-Identifier: MIT
//! The pull stamp: an empty file in a store entry that satisfies the configuration. With it, a
//! start needs no process to check the image (`ConditionPathExists=` of `sdme-image@.service`). The
//! stamp is in the entry, so it takes effect through the link of the image's name.

use std::fs::{self, File};
use std::path::Path;

use crate::image::store::{Imported, Store};
use crate::paths::MARK;

/// Sets the stamp `mark` in the entry of `imported`, and removes all other stamps. Errors are
/// ignored: without a stamp, the next start checks the image itself.
pub fn set(imported: &Imported, mark: &str) {
    if !imported.dir.join(mark).exists() {
        clear(&imported.dir);
        let _ = File::create_new(imported.dir.join(mark));
    }
}

/// Whether the image `name` has this stamp.
#[must_use]
pub fn is_set(store: &Store, name: &str, mark: &str) -> bool {
    store.links().join(name).join(mark).exists()
}

/// Removes the stamps of the image `name`, so that the next start checks the image.
pub fn forget(store: &Store, name: &str) {
    clear(&store.links().join(name));
}

fn clear(entry: &Path) {
    for file in fs::read_dir(entry).into_iter().flatten().flatten() {
        if file.file_name().to_string_lossy().starts_with(MARK) {
            let _ = fs::remove_file(file.path());
        }
    }
}
