// SPDX-License-Identifier: MIT
//! Parses arbitrary texts as files of registries.d, each of which is a piece of the data. Nothing
//! panics, and signatures are looked for only if a file says so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdme_gen::config::trust::scope::Subject;
use sdme_gen::image::trust::registries_d::Attachments;

// The YAML parser panics at some texts; the panic is caught and becomes an error
// (src/compose/yaml.rs). The panic hook of libfuzzer-sys would end the process before that, so it
// is replaced. A panic that is not caught still ends the process.
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
