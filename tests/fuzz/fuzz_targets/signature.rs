// SPDX-License-Identifier: MIT
//! Parses arbitrary bytes as attachments of an image: a payload, a bundle, a file of a `dir:`
//! directory, a manifest and a key. Nothing panics, and no key accepts the data as a signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdme_gen::image::digest::Digest;
use sdme_gen::image::trust::attached::{Attached, refers_to};
use sdme_gen::image::trust::keys::{Hash, Key};
use sdme_gen::image::trust::{bundle, payload};

const KEY: &[u8] = include_bytes!("../seeds/signature/key");

fuzz_target!(|data: &[u8]| {
    if let Ok(payload) = payload::parse(data) {
        let text = std::str::from_utf8(data).unwrap();
        assert!(text.contains("cosign container image signature") || text.contains('\\'), "{payload:?}");
    }
    if let Ok(envelope) = bundle::envelope(data) {
        let _ = envelope.statement();
        let key = Key::read("key", KEY).unwrap();
        assert!(!key.has_signed(&envelope.message, &envelope.signature, Hash::OfKey));
    }
    let _ = Attached::from_file(data);
    let _ = refers_to(data, &Digest::of(data));
    if let Ok(key) = Key::read("fuzzed", data) {
        assert!(!key.has_signed(data, data, Hash::Sha256));
    }
});
