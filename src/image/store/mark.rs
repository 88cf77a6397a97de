// SPDX-License-Identifier: MIT
//! The mark of a store entry that is what the configuration asks for: by it, a start need not run a process to find out
//! (`ConditionPathExists=` of `sdme-image@.service`). It is in the entry, so that it goes where the name leads.

use std::fs::{self, File};
use std::path::Path;

use crate::image::store::{Imported, Store};
use crate::paths::MARK;

/// Marks `imported`, for nothing else than `mark`. Best effort: without one, the next start looks for itself.
pub fn set(imported: &Imported, mark: &str) {
    if !imported.dir.join(mark).exists() {
        clear(&imported.dir);
        let _ = File::create_new(imported.dir.join(mark));
    }
}

/// Whether what is called `name` has this mark.
#[must_use]
pub fn is_set(store: &Store, name: &str, mark: &str) -> bool {
    store.links().join(name).join(mark).exists()
}

/// Has the next start look for itself at what is called `name`, which is not as it should be.
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
