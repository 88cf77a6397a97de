// SPDX-License-Identifier: MIT
//! Any texts as files of registries.d, a piece of the data each. Nothing panics, and without a word about it no signatures are looked
//! for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdme_gen::config::trust::scope::Subject;
use sdme_gen::image::trust::registries_d::Attachments;

// The YAML parser panics at some texts, which is caught and made an error (src/compose/yaml.rs). The hook of libfuzzer-sys would end the
// process before; a panic that nothing catches still ends it.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| {
    let mut all = Attachments::default();
    for piece in data.split(|byte| *byte == 0xff).take(4) {
        let Ok(text) = std::str::from_utf8(piece) else { return };
        if all.add(text).is_err() {
            return;
        }
    }
    let subject = Subject::of(&"quay.io/team/app:1".parse().unwrap());
    let key: &[u8] = b"use-sigstore-attachments";
    assert!(!all.are_for(&subject) || data.windows(key.len()).any(|part| part == key) || data.contains(&b'\\'));
});
