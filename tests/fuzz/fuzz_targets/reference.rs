// SPDX-License-Identifier: MIT
//! Parses arbitrary text as an image reference. The printed form of a valid reference is parsed as
//! the same image.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdme_gen::config::values::source::ImageSource;

fuzz_target!(|text: &str| {
    if let Ok(source) = text.parse::<ImageSource>() {
        let printed = source.to_string();
        assert_eq!(printed.parse().as_ref(), Ok(&source), "{printed}");
        if let ImageSource::Registry(r) = source {
            assert!(r.tag.is_some() || r.digest.is_some(), "{printed}");
            assert!(printed.bytes().all(|b| b.is_ascii_graphic()), "{printed}");
        }
    }
});
