// SPDX-License-Identifier: MIT
//! Unpacks arbitrary bytes as the layers of an image. Nothing outside of the tree changes.
#![no_main]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sdme_gen::image::{Extractor, Limits, Silent};
use sdme_gen::rootdir::tree::{Tree, remove};
use tar::Header;

const BLOCK: usize = 512;

/// A directory in memory with `outside/canary` and, while a layer is unpacked, `tree`.
static WORK: LazyLock<PathBuf> = LazyLock::new(|| {
    let work = PathBuf::from(format!("/dev/shm/sdme-fuzz-{}", std::process::id()));
    fs::create_dir_all(work.join("outside")).unwrap();
    fs::write(work.join("outside/canary"), "untouched").unwrap();
    work
});

fn names(directory: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// Corrects the checksums, because otherwise almost all inputs would be refused at their first
/// header.
fn repair(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + BLOCK) {
        let header = Header::from_byte_slice(block);
        let size = header.entry_size().unwrap_or(0);
        if block.iter().any(|b| *b != 0) {
            let mut right = header_of(block);
            right.set_cksum();
            block.copy_from_slice(right.as_bytes());
        }
        at += BLOCK + usize::try_from(size).unwrap_or(0).min(1 << 20).next_multiple_of(BLOCK);
    }
}

fn header_of(block: &[u8]) -> Header {
    Header::from_byte_slice(block).clone()
}

// The first byte selects whether checksums are corrected, and the number of blocks in the first of
// two layers.
fuzz_target!(|data: &[u8]| {
    let Some((how, archive)) = data.split_first() else { return };
    let mut archive = archive.to_vec();
    if how & 1 == 0 {
        repair(&mut archive);
    }
    let (first, second) = archive.split_at((usize::from(how >> 1) * BLOCK).min(archive.len()));

    let work = WORK.as_path();
    let root = work.join("tree");
    fs::create_dir(&root).unwrap();
    let tree = Tree::open(&root).unwrap();
    let limits = Limits { bytes: 1 << 20, entries: 200, ..Limits::default() };
    let mut extractor = Extractor::new(limits, &Silent);
    // Without a first layer, the whole input is the second one.
    let _ = (first.is_empty() || extractor.layer(&tree, first).is_ok()) && extractor.layer(&tree, second).is_ok();

    assert_eq!(names(work), [work.join("outside"), root]);
    assert_eq!(names(&work.join("outside")), [work.join("outside/canary")]);
    let canary = fs::symlink_metadata(work.join("outside/canary")).unwrap();
    assert!(canary.is_file() && canary.nlink() == 1 && canary.mode() & 0o7777 == 0o644);
    assert_eq!(fs::read(work.join("outside/canary")).unwrap(), b"untouched");
    remove(Tree::open(work).unwrap().root(), b"tree").unwrap();
});
