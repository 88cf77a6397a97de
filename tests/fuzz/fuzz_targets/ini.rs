// SPDX-License-Identifier: MIT
//! Parses arbitrary bytes as a configuration file. Every reported location is a line of the file,
//! and no value contains a line break.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sdme_gen::ini::{parse, split_words};
use sdme_gen::unit::exec_word;

fuzz_target!(|data: &[u8]| {
    // A line ends with LF, CR or CR LF.
    let ends = (0..data.len()).filter(|i| data[*i] == b'\n' || data[*i] == b'\r' && data.get(i + 1) != Some(&b'\n'));
    let lines = 1 + ends.count();
    let within = |line: u32| assert!((1..=lines).contains(&(line as usize)), "line {line} of {lines}");
    let file: Arc<str> = Arc::from("x.container");
    match parse(&file, data) {
        Ok(document) => {
            document.headers.iter().for_each(|(_, at)| within(at.line));
            for entry in document.entries {
                within(entry.at.line);
                assert!(!entry.key.is_empty() && !format!("{}={}", entry.key, entry.value).contains(['\n', '\r']));
                let Ok(words) = split_words(&entry.value) else { continue };
                let line = words.iter().map(|w| exec_word(w)).collect::<Vec<_>>().join(" ");
                let doubled: Vec<String> = words.iter().map(|w| w.replace('%', "%%").replace('$', "$$")).collect();
                assert_eq!(split_words(&line).as_ref(), Ok(&doubled), "{line}");
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(|p| within(p.at.line));
        }
    }
});
